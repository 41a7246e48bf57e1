import { MalformedData } from '../prm/errors'
import { readNvValue, sameNvValue, type NvValue } from '../prm/nv-value'
import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import { FirmwareError, withHint } from './errors'
import { writeReset } from './firmware/reset'
import type { NvConfiguration } from './nv-config'
import { elementOf, namedParameter, NV_HEADER, nvHeader, type NvItem } from './nv-config'
import type { NvChange, NvPlan, NvWrite } from './nv-plan'
import { accessRegister, registerTarget } from './registers'

/** What mstconfig arms after a change: the next PERST, or PCIe link toggle, resets the chip. */
const RESET_TRIGGER = 0x48

/**
 * Writes TLVs one after the other. When one is refused, those before it are put back.
 * @throws what kept it from being written, with a hint that says what is where
 */
export async function writeTlvs(device: Device, writes: readonly NvWrite[], writer?: number): Promise<void> {
  const done: NvWrite[] = []
  for (const write of writes) {
    try {
      await writeTlv(device, write.item.type, write.data, { writer })
      done.push(write)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      // What was not answered may have been done: it is put back too.
      const isUnsure = error instanceof DeliveryError
      const back = await putBack(device, isUnsure ? [...done, write] : done, writer)
      const hint = `${write.item.tlv.name} ${isUnsure ? 'was not answered' : 'was not written'}; ${back}`
      throw withHint(error, hint)
    }
  }
}

async function putBack(device: Device, done: readonly NvWrite[], writer: number | undefined): Promise<string> {
  const [back, left]: [string[], string[]] = [[], []]
  for (const { item, before, stored } of [...done].reverse()) {
    try {
      if (stored) await writeTlv(device, item.type, before, { writer, cleanup: true })
      else await invalidate(device, item, { cleanup: true })
      back.push(item.tlv.name)
    } catch {
      // Told by its name: the first failure is the one that counts.
      left.push(item.tlv.name)
    }
  }
  const parts = [
    ...(back.length === 0 ? [] : [`put back as before: ${back.join(', ')}`]),
    ...(left.length === 0 ? [] : [`NOT put back, they have the new values: ${left.join(', ')}`]),
  ]
  return parts.length === 0 ? 'nothing changed' : parts.join('; ')
}

async function writeTlv(
  device: Device,
  type: number,
  data: Uint8Array,
  { writer, cleanup = false }: { readonly writer?: number | undefined; readonly cleanup?: boolean },
): Promise<void> {
  const target = registerTarget(device.catalogue, 'MNVDA')
  const image = new Uint8Array(NV_HEADER + data.length)
  image.set(nvHeader(device, { length: data.length, ovr_en: 1 }, type, writer))
  image.set(data, NV_HEADER)
  await accessRegister(device, target, 'write', image, undefined, { cleanup })
}

/** Reads back what was written. Titles of what has another value than was wanted. */
async function readBack(configuration: NvConfiguration, changes: readonly NvChange[]): Promise<string[]> {
  for (const change of changes) configuration.forget(change.setting.item)
  const differing: string[] = []
  for (const change of changes) {
    const { item, parameter } = change.setting
    change.after = elementOf(readNvValue(parameter, await configuration.read(item, 'next')), change.element)
    if (!sameNvValue(change.after, change.wanted)) differing.push(change.title)
  }
  return differing
}

/** What brings the next values to count. */
export type NvActivation = 'reboot' | 'power-cycle'

/** What became of a plan. */
export interface NvOutcome {
  readonly changed: boolean
  /** Whether values that were asked for count only after the next start, or a pending change would undo them. */
  readonly rebootRequired: boolean
  readonly activation: NvActivation | undefined
  /** Parameters that were written, and have another value. */
  readonly differing: readonly string[]
  /** Failed after all was written: it says nothing about the settings. */
  readonly warnings: readonly string[]
}

/**
 * Carries a plan out: writes, reads back, and arms the reset. What fails once all is written is a warning: the settings are made.
 * @throws as writeTlvs
 */
export async function carryOut(configuration: NvConfiguration, plan: NvPlan): Promise<NvOutcome> {
  const { device } = configuration
  await writeTlvs(device, plan.writes)
  const warnings: string[] = []
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Error)) throw error
      warnings.push(`${what}: ${error.message}`)
      return undefined
    }
  }
  const changed = plan.writes.length > 0
  const differing = changed
    ? ((await attempt('the settings were written, but cannot be read back', () =>
        readBack(configuration, plan.changes),
      )) ?? [])
    : []
  const rebootRequired = plan.changes.some(
    ({ wanted, current }) => current === undefined || !sameNvValue(wanted, current),
  )
  const isArmed = changed || rebootRequired
  const isLeft =
    isArmed && (await attempt('the settings of the DPU cannot be read', () => shutsItselfDown(configuration))) === true
  if (isLeft)
    warnings.push('the reset of the chip is not armed: this DPU shuts its CPU down by itself (INT_CPU_AUTO_SHUTDOWN)')
  const activation =
    isArmed && !isLeft
      ? await attempt('the reset that loads the settings is not armed', () => armReset(device))
      : undefined
  return {
    changed,
    rebootRequired,
    activation: rebootRequired ? (activation ?? 'power-cycle') : undefined,
    differing,
    warnings,
  }
}

/**
 * A DPU whose CPU shuts down by itself, and is not the one of an embedded switch: mstconfig leaves its reset alone (facts:
 * mstconfig, C.4).
 */
async function shutsItselfDown(configuration: NvConfiguration): Promise<boolean> {
  const valueOf = async (title: string): Promise<NvValue | undefined> => {
    const { tlv, parameter } = namedParameter(configuration.device, title)
    const [item] = await configuration.items(tlv)
    if (item === undefined || !(await configuration.supportOf(item)).readable) return undefined
    return configuration.valueOf(item, parameter, 'next')
  }
  return (await valueOf('INT_CPU_AUTO_SHUTDOWN')) === 1 && (await valueOf('INTERNAL_CPU_OFFLOAD_ENGINE')) === 0
}

/** Arms the reset that comes with the next reboot; where firmware refuses that, power must be cycled. */
export async function armReset(device: Device): Promise<NvActivation> {
  try {
    await writeReset(device, { reset_trigger: RESET_TRIGGER })
    return 'reboot'
  } catch (error) {
    if (error instanceof FirmwareError) return 'power-cycle'
    throw error
  }
}

/** Default values for a TLV (MNVDI), or for all that are stored (MNVIA). */
export async function invalidate(
  device: Device,
  item?: Pick<NvItem, 'type'>,
  options: { readonly cleanup?: boolean } = {},
): Promise<void> {
  if (item === undefined) {
    const target = registerTarget(device.catalogue, 'MNVIA')
    await accessRegister(device, target, 'write', new Uint8Array(device.codec.sizeBytes(target.layout)))
    return
  }
  const target = registerTarget(device.catalogue, 'MNVDI')
  await accessRegister(device, target, 'write', nvHeader(device, {}, item.type), undefined, options)
}

/** A stored TLV, with its header as it is stored. */
export interface StoredTlv {
  readonly type: number
  readonly header: Uint8Array
  readonly data: Uint8Array
}

/** Bytes of MNVGN that mstconfig asks for, and where the header stands. */
const LISTED = 0x9c
const LISTED_AT = 16
/** More TLVs than any device stores. */
const MOST_STORED = 4096

/** All that is stored, also what the catalogue does not know (MNVGN). Empty where nothing is. @throws FirmwareError */
export async function storedTlvs(device: Device): Promise<StoredTlv[]> {
  const target = registerTarget(device.catalogue, 'MNVGN')
  const stored = new Map<number, StoredTlv>()
  for (let pointer = 0, turn = 0; turn < MOST_STORED; turn++) {
    const image = new Uint8Array(LISTED)
    new DataView(image.buffer).setUint32(0, pointer)
    let answer: Uint8Array
    try {
      answer = await accessRegister(device, target, 'read', image)
    } catch (error) {
      if (error instanceof FirmwareError && pointer === 0 && isEmpty(error)) return []
      throw error
    }
    const view = new DataView(answer.buffer, answer.byteOffset, answer.length)
    const header = answer.slice(LISTED_AT, LISTED_AT + NV_HEADER)
    const length = Number(device.codec.decode('config_item_ext', header).length)
    const type = view.getUint32(LISTED_AT + 4)
    const data = answer.slice(LISTED_AT + NV_HEADER, LISTED_AT + NV_HEADER + length)
    if (data.length < length)
      throw new MalformedData('MNVGN', `says that a TLV has ${length} bytes, and gives ${data.length}`)
    // Pointer 0 is the end, and as a rule no TLV stands beside it.
    if (length > 0 && !stored.has(type)) stored.set(type, { type, header, data })
    pointer = view.getUint32(0)
    if (pointer === 0) return [...stored.values()]
  }
  throw new MalformedData('MNVGN', `lists more than ${MOST_STORED} TLVs`)
}

/** Status 8 of the register; over a mailbox the device says that there is no such resource. */
const isEmpty = ({ statusName }: FirmwareError): boolean =>
  statusName === 'RESOURCE_NOT_AVAILABLE' || statusName === 'BAD_RES_ERR'
