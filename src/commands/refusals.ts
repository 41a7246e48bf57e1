import { FirmwareError } from '../device/errors'
import { Progress } from '../render/progress'

export interface Refused<T> {
  readonly item: T
  readonly error: FirmwareError
}

/** Does one thing after another; what firmware refuses hides none of the others. Any other error ends it. */
export async function collect<T, R>(
  items: readonly T[],
  progressOf: { readonly label: string; readonly watched: boolean },
  work: (item: T) => Promise<R>,
): Promise<{ found: R[]; refused: Refused<T>[] }> {
  const found: R[] = []
  const refused: Refused<T>[] = []
  const progress = new Progress(progressOf.label, items.length, progressOf.watched)
  try {
    for (const item of items) {
      try {
        found.push(await work(item))
      } catch (error) {
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
