import type { Device } from '../../device/device'
import { UsageError, withHint } from '../../device/errors'
import { namedParameter, NvConfiguration, type NvItem } from '../../device/nv-config'
import { armReset, invalidate, type NvActivation } from '../../device/nv-write'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

/** Defaults from the next boot on: for all that is stored, or for the TLVs of the parameters that are named. */
export async function resetConfiguration(context: Context, name: string, words: readonly string[]): Promise<Result> {
  return withDevice(context, name, async (device) => {
    const items = await itemsOf(device, words)
    const names = [...new Set(items.map(({ tlv }) => tlv.name))]
    const what = items.length === 0 ? 'all parameters' : `all parameters of ${names.join(', ')}`
    await context.confirm(
      `${what} of ${device.identity.node} will have their defaults from the next boot on`,
      'Reset them?',
    )
    await resetAll(device, items)
    const activation = await armReset(device)
    return {
      device: device.identity,
      data: { changed: true, rebootRequired: true, activation, tlvs: items.length === 0 ? null : names },
      text: () => `${items.length === 0 ? 'All parameters' : names.join(', ')} reset. ${advice(activation)}\n`,
    }
  })
}

/** @throws what keeps a TLV from being reset, with those that were before it */
async function resetAll(device: Device, items: readonly NvItem[]): Promise<void> {
  if (items.length === 0) return invalidate(device)
  const done: string[] = []
  for (const item of items) {
    try {
      await invalidate(device, item)
      done.push(item.tlv.name)
    } catch (error) {
      if (done.length > 0 && error instanceof Error) throw withHint(error, `reset before it: ${done.join(', ')}`)
      throw error
    }
  }
}

/** A parameter stands for its TLV, which is reset as a whole. */
async function itemsOf(device: Device, words: readonly string[]): Promise<NvItem[]> {
  const configuration = new NvConfiguration(device)
  const found = new Map<number, NvItem>()
  for (const word of words) {
    const named = namedParameter(device, word)
    if (named.from !== undefined) throw new UsageError(`${word}: a reset is of the whole parameter, and of its TLV`)
    let isThere = false
    for (const item of await configuration.itemsNamed(named)) {
      const { readable, writable } = await configuration.supportOf(item)
      if (!readable) continue
      if (!writable) throw new UsageError(`${word} is read-only on this device`)
      isThere = true
      found.set(item.type, item)
    }
    if (!isThere) throw new UsageError(`this device has no parameter ${word}`)
  }
  return [...found.values()]
}

export const advice = (activation: NvActivation): string =>
  activation === 'power-cycle'
    ? 'Power-cycle the machine to load the defaults.'
    : 'Reboot the machine to load the defaults.'
