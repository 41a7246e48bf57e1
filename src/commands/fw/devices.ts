import type { Device } from '../../device/device'
import { Interrupted, UsageError, withHint } from '../../device/errors'
import { isVirtualFunction } from '../../device/info'
import { describeError } from '../../render/envelope'
import type { DeviceIdentity } from '../../transport/contract'
import { listDevices } from '../../transport/open'
import { openFacts, withDevice } from '../session'
import type { Context } from '../types'

/** Devices that are worked on at once; each of them is asked one thing at a time. */
const AT_ONCE = 8

/** What became of one device. */
export type Outcome<T> =
  | { readonly name: string; readonly identity: DeviceIdentity; readonly value: T; readonly error?: undefined }
  | { readonly name: string; readonly identity: DeviceIdentity | undefined; readonly error: Error }

/**
 * Does the same with many devices, several at once. One that fails keeps none of the others from being done; outcomes are in
 * the order of the names.
 * @throws Interrupted
 */
export async function withEachDevice<T>(
  context: Context,
  names: readonly string[],
  work: (device: Device, name: string) => Promise<T>,
): Promise<Outcome<T>[]> {
  if (names.length > 1 && context.options.record !== undefined)
    throw new UsageError('--record writes down one device: name one')
  const facts = openFacts()
  const outcomes: Outcome<T>[] = []
  const waiting = names.entries()
  let interruption: Interrupted | undefined
  const worker = async (): Promise<void> => {
    for (const [index, name] of waiting) {
      let identity: DeviceIdentity | undefined
      try {
        const use = async (device: Device): Promise<Outcome<T>> => {
          identity = device.identity
          return { name, identity, value: await work(device, name) }
        }
        outcomes[index] = await withDevice(context, name, use, facts)
      } catch (error) {
        if (error instanceof Interrupted) interruption ??= error
        if (!(error instanceof Error)) throw error
        outcomes[index] = { name, identity, error }
      }
    }
  }
  // What runs is let come to its end, also when one of them throws: each cleans up behind itself.
  const ended = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, names.length) }, worker))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
  if (interruption !== undefined) throw outcomes.length === 1 ? interruption : ofEach(interruption, outcomes)
  return outcomes
}

/** The interruption, with what became of each device, where that is more than nothing. */
function ofEach(interruption: Interrupted, outcomes: readonly Outcome<unknown>[]): Error {
  if (outcomes.every(({ error }) => error instanceof Interrupted && describeError(error).hint === null))
    return interruption
  const fates = outcomes.map(({ name, error }) => `${name}: ${error === undefined ? 'done before' : fateOf(error)}`)
  return withHint(new Interrupted(interruption.signal), fates.join('; '))
}

function fateOf(error: Error): string {
  const { message, hint } = describeError(error)
  return error instanceof Interrupted ? (hint ?? 'not begun') : [message, ...(hint === null ? [] : [hint])].join('; ')
}

/**
 * What decides the exit code where not one device answered, and all for the same reason; else some of what was asked for is there.
 * @returns undefined where there is no such error
 */
export function commonFailure(outcomes: readonly Outcome<unknown>[]): Error | undefined {
  const errors = outcomes.flatMap(({ error }) => (error === undefined ? [] : [error]))
  const kinds = new Set(errors.map((error) => describeError(error).kind))
  return errors.length === outcomes.length && kinds.size === 1 ? errors[0] : undefined
}

/** What all functions of a card share. Emulated and recorded devices are cards of their own. */
export function cardOf({ transport, node, pci }: DeviceIdentity): string {
  return pci === undefined || transport === 'emu' || transport === 'replay' ? node : cardAt(pci)
}

const cardAt = (pci: string): string => pci.replace(/\.\d$/, '')

/** A card once: its first physical function, through the best door it has. */
export function everyCard({ options }: Context): string[] {
  const seen = new Set<string>()
  return listDevices({ devRoot: options.devRoot, sysfsRoot: options.sysfsRoot }).flatMap(({ pci, deviceId, doors }) => {
    const name = pci ?? doors[0]?.node
    const card = pci === undefined ? name : cardAt(pci)
    if (name === undefined || card === undefined || seen.has(card) || isVirtualFunction(deviceId)) return []
    seen.add(card)
    return [name]
  })
}
