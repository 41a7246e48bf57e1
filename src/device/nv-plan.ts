import { NameError, ValueError } from '../prm/errors'
import { nvScope, type NvParameter } from '../prm/nv'
import { namesOfNvExpression, parseNvExpression } from '../prm/nv-expression'
import { parseNvValue, readNvValue, writeNvValue, type NvValue } from '../prm/nv-value'
import type { Device } from './device'
import { Unsupported, UsageError } from './errors'
import type { NvConfiguration } from './nv-config'
import { elementOf, MOST_NV_DATA, namedParameter, type NamedParameter, type NvItem, type NvSetting } from './nv-config'

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
      if (item.tlv.bytes > MOST_NV_DATA)
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
  const [item] = await configuration.itemsNamed(named)
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
