import { MalformedData, NameError, ValueError } from '../prm/errors'
import { nvScope, type NvParameter } from '../prm/nv'
import { namesOfNvExpression, parseNvExpression } from '../prm/nv-expression'
import { parseNvValue, readNvValue, sameNvValue, writeNvValue, type NvValue } from '../prm/nv-value'
import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import { FirmwareError, Interrupted, Unsupported, UsageError } from './errors'
import type { NvConfiguration } from './nv-config'
import { elementOf, namedParameter, nvHeader, type NamedParameter, type NvItem, type NvSetting } from './nv-config'
import { accessRegister, registerTarget } from './registers'

const HEADER = 12
/** Data that fits into MNVDA. */
const MOST_DATA = 256
/** What mstconfig arms after a change: the next PERST, or PCIe link toggle, resets the chip. */
const RESET_TRIGGER = 0x48

/** One parameter, or element, that gets a value. */
export interface NvChange {
  readonly title: string
  readonly setting: NvSetting
  readonly element: number | undefined
  readonly before: NvValue
  readonly wanted: NvValue
  readonly current: NvValue | undefined
  after: NvValue | undefined
}

/** Whole TLVs, as they are and as they are to be. */
export interface NvWrite {
  /** Whether the next value is one that was written: else it is put back as the default that it is. */
  readonly stored: boolean
  readonly item: Pick<NvItem, 'type'> & { readonly tlv: { readonly name: string } }
  readonly before: Uint8Array
  readonly data: Uint8Array
}

export interface NvPlan {
  readonly changes: readonly NvChange[]
  /** Only those whose data changes. */
  readonly writes: readonly NvWrite[]
}

/** A later TLV was refused. Says what is where. */
export class NvWriteError extends Error {
  /** That of the cause: refused by firmware, or not delivered. */
  readonly kind: string
  readonly errno: string | undefined
  override readonly name = 'NvWriteError'
  readonly opcode: string | undefined
  readonly opMod: number | undefined
  readonly status: number | undefined
  readonly statusName: string | undefined
  readonly syndrome: number | undefined
  constructor(
    override readonly cause: Error,
    readonly hint: string,
  ) {
    super(cause.message)
    this.kind = (cause as { readonly kind?: string }).kind ?? 'internal'
    this.errno = cause instanceof DeliveryError ? cause.errno : undefined
    if (!(cause instanceof FirmwareError)) return
    this.opcode = cause.opcode
    this.opMod = cause.opMod
    this.status = cause.status
    this.statusName = cause.statusName
    this.syndrome = cause.syndrome
  }
}

/**
 * Works out what NAME=VALUE words make of the configuration; nothing is written. Limits and rules are checked with all of the new
 * values.
 * @throws NameError, ValueError; UsageError for a rule that is violated, or a read-only parameter
 */
export async function planConfiguration(
  configuration: NvConfiguration,
  assignments: readonly (readonly [name: string, text: string])[],
): Promise<NvPlan> {
  const { device } = configuration
  const offered = await configuration.columns()
  const data = new Map<number, NvWrite>()
  const changes: NvChange[] = []
  const seen = new Set<string>()
  for (const [name, text] of assignments) {
    const named = namedParameter(device, name)
    const setting = await settingOf(configuration, named, name, offered.has('current'))
    for (const element of elementsOf(named, name)) {
      const title = element === undefined ? setting.title : `${setting.title}[${element}]`
      if (seen.has(title)) throw new UsageError(`${title} is given twice`)
      seen.add(title)
      const { item, parameter } = setting
      const before = await configuration.read(item, 'next')
      if (item.tlv.bytes > MOST_DATA)
        throw new Unsupported(`${item.tlv.name} has ${item.tlv.bytes} bytes: no register carries it`)
      const stored = configuration.isStored(item)
      const write = data.get(item.type) ?? { stored, item, before, data: before.slice() }
      data.set(item.type, write)
      const value = parseNvValue(parameter, title, text)
      await makeValid(configuration, item, parameter, write.data)
      writeNvValue(parameter, write.data, value, element)
      changes.push({
        title,
        setting,
        element,
        before: elementOf(setting.values.next ?? 0, element),
        wanted: elementOf(readNvValue(parameter, write.data), element),
        current: setting.values.current === undefined ? undefined : elementOf(setting.values.current, element),
        after: undefined,
      })
    }
  }
  await checkLimits(configuration, changes, data)
  const writes = [...data.values()].filter(({ before, data: after }) => !Buffer.from(before).equals(after))
  return { changes, writes }
}

async function settingOf(
  configuration: NvConfiguration,
  named: NamedParameter,
  name: string,
  withCurrent: boolean,
): Promise<NvSetting> {
  const scope = nvScope(named.tlv)
  if (named.instance === undefined && (scope === 'port' || scope === 'module'))
    throw new UsageError(
      `${name} is there for each ${scope}: say which, as ${named.parameter.title ?? name}_${scope === 'port' ? 'P1' : 'M0'}`,
    )
  const items = await configuration.items(named.tlv)
  const item = items.find(
    ({ instance }) => instance.port === named.instance?.port && instance.module === named.instance?.module,
  )
  const columns = withCurrent ? (['next', 'current'] as const) : (['next'] as const)
  const [setting] =
    item === undefined ? [] : await configuration.settings(item, columns, new Set([named.parameter.title ?? '']))
  if (setting === undefined) throw new NameError(`this device has no parameter ${name}`)
  if (setting.readOnly) throw new UsageError(`${setting.title} is read-only on this device`)
  return setting
}

/** Which elements are set; undefined is the whole of a parameter. */
function elementsOf({ parameter, from, to }: NamedParameter, name: string): (number | undefined)[] {
  const isBytes = parameter.type === 'BYTES' || parameter.type === 'STRING'
  if (isBytes && from !== undefined) throw new UsageError(`${name}: bytes are set as a whole`)
  if (from === undefined && parameter.count !== undefined && !isBytes)
    throw new UsageError(
      `${name} is an array: give elements, as ${name}[0]=... or ${name}[0..${parameter.count - 1}]=...`,
    )
  if (from === undefined) return [undefined]
  return Array.from({ length: (to ?? from) - from + 1 }, (_, index) => from + index)
}

/**
 * Sets the valid bit of a parameter. As long as it is 0, defaults count for all parameters that share it: they are written out, so
 * that they keep counting.
 */
async function makeValid(
  configuration: NvConfiguration,
  item: NvItem,
  parameter: NvParameter,
  data: Uint8Array,
): Promise<void> {
  const valid = item.tlv.parameters.find((one) => one.name === parameter.validBit)
  if (valid === undefined || readNvValue(valid, data) !== 0) return
  for (const sibling of item.tlv.parameters.filter((one) => one.validBit === valid.name))
    writeNvValue(sibling, data, await configuration.valueOf(item, sibling, 'next'))
  writeNvValue(valid, data, 1)
}

async function checkLimits(
  configuration: NvConfiguration,
  changes: readonly NvChange[],
  data: ReadonlyMap<number, NvWrite>,
): Promise<void> {
  const overrides = new Map([...data].map(([type, write]) => [type, write.data]))
  for (const { title, setting, wanted } of changes) {
    const { item, parameter } = setting
    const variables = await variableOf(configuration, setting, overrides)
    const evaluate = (text: string): Promise<number | undefined> =>
      configuration.evaluate(text, item, overrides, variables)
    const most = parameter.most === undefined ? undefined : await evaluate(parameter.most)
    if (typeof wanted === 'number' && most !== undefined && wanted > most)
      throw new ValueError(title, `${wanted} is larger than the ${most} that this device allows`)
    const least = parameter.least === undefined ? undefined : await evaluate(parameter.least)
    if (typeof wanted === 'number' && least !== undefined && wanted < least)
      throw new ValueError(title, `${wanted} is smaller than the ${least} that this device allows`)
  }
  for (const { item } of new Map(changes.map(({ setting }) => [setting.item.type, setting])).values())
    await checkRules(configuration, item, changes, overrides)
}

/** Rules of the parameters that change, and of those of the same TLV whose rules are about them. */
async function checkRules(
  configuration: NvConfiguration,
  item: NvItem,
  changes: readonly NvChange[],
  overrides: ReadonlyMap<number, Uint8Array>,
): Promise<void> {
  const changed = new Set(
    changes.filter(({ setting }) => setting.item.type === item.type).map(({ setting }) => setting.parameter.name),
  )
  for (const parameter of item.tlv.parameters) {
    const { rule, name, title = name } = parameter
    if (rule === undefined) continue
    const isOwn = changed.has(name)
    const names = namesOfNvExpression(parseNvExpression(rule))
    if (!isOwn && !names.some((one) => one.tlv === undefined && changed.has(one.name))) continue
    const variables = await variableOf(configuration, { item, parameter }, overrides)
    const holds = await configuration.evaluate(rule, item, overrides, variables)
    if (holds === undefined && isOwn)
      throw new UsageError(`${title}: this device lacks what its rule is about: ${rule}`)
    if (holds === 0)
      throw new UsageError(
        `${title}: a rule of the device does not hold with these values`,
        `it depends on ${namesIn(configuration.device, item, rule).join(', ')}`,
      )
  }
}

/** "$_x=EXPRESSION": an integer that the rule may name. */
async function variableOf(
  configuration: NvConfiguration,
  { item, parameter }: Pick<NvSetting, 'item' | 'parameter'>,
  overrides: ReadonlyMap<number, Uint8Array>,
): Promise<ReadonlyMap<string, number>> {
  const [, name, text] = /^\$(\w+)\s*=([^]+)$/.exec(parameter.temporary ?? '') ?? []
  if (name === undefined || text === undefined) return new Map()
  const value = await configuration.evaluate(text, item, overrides)
  return value === undefined ? new Map() : new Map([[name, Number.isFinite(value) ? Math.trunc(value) >>> 0 : 0]])
}

/** Parameters that a rule names, as people know them. */
function namesIn({ catalogue }: Device, item: NvItem, rule: string): string[] {
  const names = namesOfNvExpression(parseNvExpression(rule)).map(({ tlv, name }) => {
    const own = tlv === undefined ? item.tlv : catalogue.findTlv(tlv)
    return own?.parameters.find((one) => one.name === name)?.title ?? name
  })
  return [...new Set(names)]
}

/**
 * Writes TLVs one after the other. When one is refused, those before it are put back.
 * @throws NvWriteError, which says what is where
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
      throw error instanceof Interrupted ? new Interrupted(error.signal, hint) : new NvWriteError(error, hint)
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
  const image = new Uint8Array(HEADER + data.length)
  image.set(nvHeader(device, { length: data.length, ovr_en: 1 }, type, writer))
  image.set(data, HEADER)
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
 * @throws NvWriteError, Interrupted
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
  const target = registerTarget(device.catalogue, 'MFRL')
  try {
    const image = device.codec.encode(target.layout, { reset_trigger: RESET_TRIGGER })
    await accessRegister(device, target, 'write', image)
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
    const header = answer.slice(LISTED_AT, LISTED_AT + HEADER)
    const length = Number(device.codec.decode('config_item_ext', header).length)
    const type = view.getUint32(LISTED_AT + 4)
    const data = answer.slice(LISTED_AT + HEADER, LISTED_AT + HEADER + length)
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
