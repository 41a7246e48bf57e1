import type { Device } from '../../device/device'
import { readDeviceText } from '../../device/device-texts'
import { FirmwareError, UsageError } from '../../device/errors'
import {
  isModified,
  namedParameter,
  NvConfiguration,
  type NamedParameter,
  type NvColumn,
  type NvItem,
  type NvSetting,
} from '../../device/nv-config'
import { NameError } from '../../prm/errors'
import type { NvTlv } from '../../prm/nv'
import type { DeviceIdentity } from '../../transport/contract'
import { openFacts, withDevice } from '../session'
import type { Context, Result } from '../types'
import { settingData, settingRows, type ShownElement } from './view'

const order: readonly NvColumn[] = ['default', 'current', 'next']

interface Queried {
  readonly identity: DeviceIdentity
  readonly type: string | null
  readonly name: string | null
  readonly description: string | null
  readonly columns: readonly NvColumn[]
  readonly missing: readonly NvColumn[]
  readonly elements: readonly ShownElement[]
  readonly failed: readonly { readonly item: NvItem; readonly message: string }[]
}

/** Devices come first; what looks like a parameter, and everything behind it, is one. */
export async function queryConfiguration(context: Context, words: readonly string[]): Promise<Result> {
  const facts = openFacts()
  const at = words.findIndex((word, index) => isParameter(word) || (index > 0 && isKnown(facts, word)))
  const names = at < 0 ? words : words.slice(0, at)
  const wanted = at < 0 ? [] : words.slice(at)
  if (names.length === 0) throw new UsageError('config query takes a device')
  const queried: Queried[] = []
  for (const name of names) queried.push(await withDevice(context, name, (device) => query(context, device, wanted)))
  const [only, other] = queried
  const failed = queried.flatMap((one) => one.failed)
  return {
    device: other === undefined ? only?.identity : undefined,
    data: { devices: queried.map(deviceData) },
    records: queried.flatMap(({ identity, elements }) =>
      elements.map((element) => ({ node: identity.node, ...settingData(element) })),
    ),
    text: () => queried.map(deviceText).join(''),
    warnings: [
      ...queried.flatMap(({ identity, missing }) =>
        missing.length === 0 ? [] : [`${identity.node}: firmware cannot read ${missing.join(' and ')} settings`],
      ),
      ...failed.map(({ item, message }) => `${item.tlv.name}: ${message}`),
    ],
    partial: failed.length > 0,
  }
}

/** In another case than people write it, or with elements. */
function isKnown(facts: Pick<Device, 'catalogue'>, word: string): boolean {
  if (word.includes('[')) return true
  try {
    namedParameter(facts, word)
    return true
  } catch (error) {
    if (error instanceof NameError) return false
    throw error
  }
}

/** Names of parameters are in capitals; no device is. */
const isParameter = (word: string): boolean => /^[A-Z][A-Z0-9_]*(?:\[\d+(?:\.\.\d+)?\])?$/.test(word)

async function query({ own, options }: Context, device: Device, words: readonly string[]): Promise<Queried> {
  const configuration = new NvConfiguration(device)
  const named = words.map((word) => namedParameter(device, word))
  const all = own.all === true || options.format !== 'text'
  await configuration.checkThere()
  const offered = await configuration.columns()
  const columns = order.filter((column) => (all ? offered.has(column) : column === 'next'))
  const failed: { item: NvItem; message: string }[] = []
  const settings =
    named.length === 0
      ? await everySetting(configuration, columns, failed)
      : await namedSettings(configuration, columns, named, words)
  const header = await deviceHeader(configuration)
  const missing = all ? order.filter((column) => !offered.has(column)) : []
  return { identity: device.identity, ...header, columns, missing, elements: settings, failed }
}

/** A TLV that cannot be read hides none of the others. */
async function everySetting(
  configuration: NvConfiguration,
  columns: readonly NvColumn[],
  failed: { item: NvItem; message: string }[],
): Promise<ShownElement[]> {
  const shown: ShownElement[] = []
  for (const tlv of configuration.device.catalogue.tlvs().filter(isConfigurable))
    for (const item of await configuration.items(tlv)) {
      try {
        shown.push(...(await configuration.settings(item, columns)).map((setting) => ({ setting })))
      } catch (error) {
        if (!(error instanceof FirmwareError)) throw error
        failed.push({ item, message: error.message })
      }
    }
  return shown
}

const isConfigurable = ({ capability, target, parameters }: NvTlv): boolean =>
  !capability && (target === 'NIC' || target === 'EXP_ROM') && parameters.some(({ title }) => title !== undefined)

async function namedSettings(
  configuration: NvConfiguration,
  columns: readonly NvColumn[],
  named: readonly NamedParameter[],
  words: readonly string[],
): Promise<ShownElement[]> {
  const shown: ShownElement[] = []
  for (const [index, one] of named.entries()) {
    const found: NvSetting[] = []
    for (const item of await configuration.itemsNamed(one))
      found.push(...(await configuration.settings(item, columns, new Set([one.parameter.title ?? '']))))
    if (found.length === 0) throw new NameError(`this device has no parameter ${words[index] ?? ''}`)
    for (const setting of found) {
      if (one.from === undefined) shown.push({ setting })
      else for (let element = one.from; element <= (one.to ?? one.from); element++) shown.push({ setting, element })
    }
  }
  return shown
}

/** The chip goes by the name that the dump tables have. */
async function deviceHeader(configuration: NvConfiguration): Promise<Pick<Queried, 'type' | 'name' | 'description'>> {
  const { device } = configuration
  const chip = await configuration.hardware()
  return {
    type: (chip === undefined ? undefined : device.catalogue.chipName(chip.id)) ?? null,
    name: (await readDeviceText(device, 'name')) ?? null,
    description: (await readDeviceText(device, 'description')) ?? null,
  }
}

function deviceData({ identity, type, name, description, columns, elements }: Queried): Record<string, unknown> {
  return {
    device: { ...identity },
    type,
    name,
    description,
    columns,
    parameters: elements.map((element) => settingData(element)),
  }
}

/** The text that the programs parse which read mstconfig's (facts: users and anchors, 2). */
function deviceText({ identity, type, name, description, columns, elements }: Queried, index: number): string {
  const title = `Device #${index + 1}:`
  const label = (text: string, value: string | null): string => `${text.padEnd(20)}${value ?? 'N/A'}\n`
  const shown = identity.pci ?? identity.node
  const isMarked = columns.length > 1 && elements.some(({ setting }) => isModified(setting))
  const readOnly = [...new Set(elements.filter(({ setting }) => setting.readOnly).map(({ setting }) => setting.title))]
  return [
    `\n${title}\n${'-'.repeat(title.length)}\n\n`,
    label('Device type:', type),
    label('Name:', name),
    label('Description:', description),
    label('Device:', identity.transport === 'pci' || identity.transport === 'emu' ? shown : identity.node),
    '\n',
    settingRows(elements, columns),
    isMarked ? "The '*' shows parameters with next value different from default/current value.\n" : '',
    readOnly.length === 0 ? '' : `Read only: ${readOnly.join(', ')}\n`,
  ].join('')
}
