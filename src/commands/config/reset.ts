import type { Device } from '../../device/device'
import { Unsupported, UsageError } from '../../device/errors'
import { namedParameter, NvConfiguration, type NvItem } from '../../device/nv-config'
import { armReset, invalidate, type NvActivation } from '../../device/nv-write'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

/** Defaults from the next boot on: for all that is stored, or for the TLVs of the parameters that are named. */
export async function resetConfiguration(context: Context, name: string, words: readonly string[]): Promise<Result> {
  return withDevice(context, name, async (device) => {
    const items = await itemsOf(device, words)
    const names = [...new Set(items.map(({ tlv }) => tlv.name))]
    if (!context.options.yes) {
      const what = items.length === 0 ? 'all parameters' : `all parameters of ${names.join(', ')}`
      context.note(`${what} of ${device.identity.node} will have their defaults from the next boot on`)
      if (!(await context.ask('Reset them? [y/N] '))) throw new Unsupported('not confirmed: nothing was reset')
    }
    if (items.length === 0) await invalidate(device)
    for (const item of items) await invalidate(device, item)
    const activation = await armReset(device)
    return {
      device: device.identity,
      data: { changed: true, rebootRequired: true, activation, tlvs: items.length === 0 ? null : names },
      text: () => `${items.length === 0 ? 'All parameters' : names.join(', ')} reset. ${advice(activation)}\n`,
    }
  })
}

/** A parameter stands for its TLV, which is reset as a whole. */
async function itemsOf(device: Device, words: readonly string[]): Promise<NvItem[]> {
  const configuration = new NvConfiguration(device)
  const found = new Map<number, NvItem>()
  for (const word of words) {
    const { tlv, instance } = namedParameter(device, word)
    for (const item of await configuration.items(tlv)) {
      const isMeant =
        instance === undefined || (item.instance.port === instance.port && item.instance.module === instance.module)
      const { readable, writable } = await configuration.supportOf(item)
      if (!isMeant || !readable) continue
      if (!writable) throw new UsageError(`${word} is read-only on this device`)
      found.set(item.type, item)
    }
    if (![...found.values()].some((item) => item.tlv === tlv))
      throw new UsageError(`this device has no parameter ${word}`)
  }
  return [...found.values()]
}

export const advice = (activation: NvActivation): string =>
  activation === 'power-cycle'
    ? 'Power-cycle the machine to load the defaults.'
    : 'Reboot the machine to load the defaults.'
