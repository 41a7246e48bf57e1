import { FirmwareError } from '../device/errors'
import { Progress } from '../render/progress'
import { DeliveryError } from '../transport/contract'

export interface Refused<T> {
  readonly item: T
  readonly error: FirmwareError
}

interface Collected<T, R> {
  readonly found: R[]
  readonly refused: Refused<T>[]
  /** What kept the device from being reached; what was found until then is kept. */
  readonly failure?: DeliveryError
}

/**
 * Does one thing after another; what firmware refuses hides none of the others.
 * @throws any other error; of those of delivery only what comes before something was found
 */
export async function collect<T, R>(
  items: readonly T[],
  progressOf: { readonly label: string; readonly watched: boolean },
  work: (item: T) => Promise<R>,
): Promise<Collected<T, R>> {
  const found: R[] = []
  const refused: Refused<T>[] = []
  const progress = new Progress(progressOf.label, items.length, progressOf.watched)
  try {
    for (const item of items) {
      try {
        found.push(await work(item))
      } catch (error) {
        if (error instanceof DeliveryError && found.length > 0) return { found, refused, failure: error }
        if (!(error instanceof FirmwareError)) throw error
        refused.push({ item, error })
      }
      await progress.step()
    }
  } finally {
    progress.stop()
  }
  return { found, refused }
}

/** What JSON says of a refusal beside its message. */
export function refusalData({ status, statusName, syndrome }: FirmwareError): Record<string, unknown> {
  return { status, statusName, syndrome: `0x${syndrome.toString(16)}` }
}
