import { NameError } from '../prm/errors'
import { nearest } from '../prm/nearest'
import { nvScope, nvTitle, nvType, type NvInstance, type NvParameter, type NvTlv } from '../prm/nv'
import { evaluateNvExpression, parseNvExpression, type NvExpression } from '../prm/nv-expression'
import { readNvValue, sameNvValue, type NvValue } from '../prm/nv-value'
import type { Device } from './device'
import { FirmwareError, Unsupported } from './errors'
import { accessRegister, registerTarget, registerValues } from './registers'

/** Columns of a query. */
export type NvColumn = 'default' | 'current' | 'next'
const modes: Readonly<Record<NvColumn, number>> = { next: 0, current: 1, default: 2 }

/** Bytes before the data of a TLV, and data that fits into MNVDA. */
export const NV_HEADER = 12
export const MOST_NV_DATA = 256
const WRITER_MLXCONFIG = 9
/** Ports where the device does not say, and modules. */
const MOST_PORTS = 8
const MODULES = 2
/** Status of an access register that has no such item now: it counts as all zero. */
const UNAVAILABLE = 'RESOURCE_NOT_AVAILABLE'

/** One TLV of one port, module or function. */
export interface NvItem {
  readonly tlv: NvTlv
  readonly instance: NvInstance
  /** The type dword. */
  readonly type: number
}

/** What the device says of a TLV. */
export interface NvSupport {
  readonly readable: boolean
  readonly writable: boolean
  readonly version: number
}

export interface NvSetting {
  /** With its port or module: LINK_TYPE_P1 */
  readonly title: string
  readonly item: NvItem
  readonly parameter: NvParameter
  readonly readOnly: boolean
  readonly values: { readonly [K in NvColumn]?: NvValue }
}

const keyOf = ({ type }: NvItem, column: NvColumn): string => `${type} ${column}`

export interface NvHardware {
  /** Hardware id of the chip: 0x212. */
  readonly id: number
  readonly ports: number
}

/** NV configuration of one device; what was read once is not read again. */
export class NvConfiguration {
  private readonly support = new Map<number, Promise<NvSupport>>()
  private readonly data = new Map<string, Promise<Uint8Array>>()
  private readonly writers = new Map<number, number>()
  private readonly expressions = new Map<string, NvExpression>()
  private chip: Promise<NvHardware | undefined> | undefined
  private offered: Promise<ReadonlySet<NvColumn>> | undefined

  constructor(readonly device: Device) {}

  /** Columns that firmware can read: next always, the others by MNVGC. */
  columns(): Promise<ReadonlySet<NvColumn>> {
    this.offered ??= this.readColumns()
    return this.offered
  }

  /** Asks for no TLV: a device that refuses even that has no NV configuration. @throws Unsupported */
  async checkThere(): Promise<void> {
    try {
      await this.readSupport({ type: 0 })
    } catch (error) {
      if (!(error instanceof FirmwareError)) throw error
      throw new Unsupported(`this device has no NV configuration: ${error.message}`)
    }
  }

  /** All instances of a TLV that there may be. */
  async items(tlv: NvTlv): Promise<NvItem[]> {
    const scope = nvScope(tlv)
    const instances: NvInstance[] =
      scope === 'port'
        ? Array.from({ length: await this.portCount() }, (_, index) => ({ port: index + 1 }))
        : scope === 'module'
          ? Array.from({ length: MODULES }, (_, module) => ({ module }))
          : [{}]
    return instances.map((instance) => itemOf(tlv, instance))
  }

  /** Those that a name means: all of its TLV, or that of one port or module. */
  async itemsNamed({ tlv, instance }: Pick<NamedParameter, 'tlv' | 'instance'>): Promise<NvItem[]> {
    const items = await this.items(tlv)
    if (instance === undefined) return items
    return items.filter((item) => item.instance.port === instance.port && item.instance.module === instance.module)
  }

  /** MNVQC. @throws FirmwareError where the device has no NV configuration at all */
  supportOf(item: NvItem): Promise<NvSupport> {
    const known = this.support.get(item.type) ?? this.readSupport(item)
    this.support.set(item.type, known)
    return known
  }

  /** The data of a TLV, as long as the catalogue says. @throws FirmwareError */
  read(item: NvItem, column: NvColumn): Promise<Uint8Array> {
    const key = keyOf(item, column)
    const known = this.data.get(key) ?? this.readData(item, column)
    this.data.set(key, known)
    return known
  }

  /** Whether somebody wrote the next value of a TLV that was read: else it is the default. */
  isStored({ type }: NvItem): boolean {
    return (this.writers.get(type) ?? 0) !== 0
  }

  /** What was written is read anew. */
  forget(item: NvItem): void {
    for (const column of ['next', 'current', 'default'] as const) this.data.delete(keyOf(item, column))
  }

  /**
   * Parameters of a TLV that this device has, with their values.
   * @param wanted titles without port and module; all by default
   */
  async settings(item: NvItem, columns: readonly NvColumn[], wanted?: ReadonlySet<string>): Promise<NvSetting[]> {
    const titled = item.tlv.parameters.filter(({ title }) => title !== undefined && wanted?.has(title) !== false)
    if (item.tlv.capability || titled.length === 0) return []
    const { readable, writable, version } = await this.supportOf(item)
    if (!readable) return []
    const found: NvSetting[] = []
    for (const parameter of titled) {
      if ((parameter.since ?? 0) > version || !(await this.isShown(item, parameter))) continue
      const values: { [K in NvColumn]?: NvValue } = {}
      for (const column of columns) values[column] = await this.valueOf(item, parameter, column)
      const title = nvTitle(parameter.title ?? '', item.instance)
      found.push({ title, item, parameter, readOnly: !writable, values })
    }
    return found
  }

  /** A parameter whose valid bit is 0 has the value of the default. */
  async valueOf(item: NvItem, parameter: NvParameter, column: NvColumn): Promise<NvValue> {
    const data = await this.read(item, column)
    const valid = item.tlv.parameters.find(({ name }) => name === parameter.validBit)
    const isOwn = valid === undefined || readNvValue(valid, data) !== 0
    if (isOwn || column === 'default' || !(await this.columns()).has('default')) return readNvValue(parameter, data)
    return readNvValue(parameter, await this.read(item, 'default'))
  }

  /** Whether this device has a parameter, by what it says it can (facts: mstconfig, C.3). */
  private async isShown(item: NvItem, parameter: NvParameter): Promise<boolean> {
    const { dependency, rule, since = 0, count } = parameter
    if (dependency === 'ignore_dependency' || count !== undefined) return true
    if (dependency === undefined) return rule !== undefined || since > 0
    const value = await this.evaluate(dependency, item)
    return value !== undefined && value !== 0
  }

  /**
   * The value of an expression over the next values; undefined when it names what the device does not have.
   * @param overrides data that is about to be written, by type dword
   */
  async evaluate(
    text: string,
    item: NvItem,
    overrides: ReadonlyMap<number, Uint8Array> = new Map(),
    variables: ReadonlyMap<string, number> = new Map(),
  ): Promise<number | undefined> {
    const expression = this.expressions.get(text) ?? parseNvExpression(text)
    this.expressions.set(text, expression)
    const values = new Map<string, number>()
    const lookUp = async (part: NvExpression): Promise<void> => {
      if (part.kind === 'call') for (const operand of part.operands) await lookUp(operand)
      if (part.kind !== 'name') return
      const value = variables.get(part.name) ?? (await this.named(part.tlv, part.name, item, overrides))
      if (value !== undefined) values.set(`${part.tlv ?? ''}.${part.name}`, value)
    }
    await lookUp(expression)
    return evaluateNvExpression(expression, (tlv, name) => values.get(`${tlv ?? ''}.${name}`))
  }

  /** A parameter of the same TLV, or of another one: that of the same port or module. */
  private async named(
    tlvName: string | undefined,
    name: string,
    item: NvItem,
    overrides: ReadonlyMap<number, Uint8Array>,
  ): Promise<number | undefined> {
    const tlv = tlvName === undefined ? item.tlv : this.device.catalogue.findTlv(tlvName)
    const parameter = tlv?.parameters.find((one) => one.name === name)
    if (tlv === undefined || parameter === undefined) return undefined
    const other = tlvName === undefined ? item : itemOf(tlv, sameInstance(tlv, item.instance))
    if (!(await this.supportOf(other)).readable) return undefined
    // As it stands there, whatever its valid bit says: so mstconfig takes it.
    const value = readNvValue(parameter, overrides.get(other.type) ?? (await this.read(other, 'next')))
    return typeof value === 'number' ? value : undefined
  }

  private async portCount(): Promise<number> {
    const ports = (await this.hardware())?.ports ?? 0
    return ports > 0 ? Math.min(ports, MOST_PORTS) : MOST_PORTS
  }

  /** The chip, as MGIR has it; undefined where firmware refuses MGIR. Read once. */
  hardware(): Promise<NvHardware | undefined> {
    this.chip ??= this.readHardware()
    return this.chip
  }

  private async readHardware(): Promise<NvHardware | undefined> {
    try {
      const values = await registerValues(this.device, 'MGIR')
      const { num_ports: ports, hw_dev_id: id } = values.hw_info as Record<string, unknown>
      return { id: Number(id), ports: Number(ports) }
    } catch (error) {
      if (error instanceof FirmwareError) return undefined
      throw error
    }
  }

  private async readColumns(): Promise<ReadonlySet<NvColumn>> {
    try {
      const { nvda_read_current_settings: current, nvda_read_factory_settings: factory } = await registerValues(
        this.device,
        'MNVGC',
      )
      return new Set<NvColumn>([
        'next',
        ...(current === 1 ? ['current' as const] : []),
        ...(factory === 1 ? ['default' as const] : []),
      ])
    } catch (error) {
      if (error instanceof FirmwareError) return new Set(['next'])
      throw error
    }
  }

  private async readSupport({ type }: Pick<NvItem, 'type'>): Promise<NvSupport> {
    const { catalogue, codec } = this.device
    const target = registerTarget(catalogue, 'MNVQC')
    const image = await accessRegister(this.device, target, 'read', codec.encode(target.layout, { type }))
    const { support_rd: readable, support_wr: writable, version } = codec.decode(target.layout, image)
    return { readable: readable === 1, writable: writable === 1, version: Number(version) }
  }

  private async readData({ type, tlv }: NvItem, column: NvColumn): Promise<Uint8Array> {
    const target = registerTarget(this.device.catalogue, 'MNVDA')
    const image = new Uint8Array(NV_HEADER + MOST_NV_DATA)
    image.set(nvHeader(this.device, { length: MOST_NV_DATA, access_mode: modes[column], ovr_en: 1 }, type))
    try {
      const answer = await accessRegister(this.device, target, 'read', image)
      const { writer_id: writer } = this.device.codec.decode('config_item_ext', answer.subarray(0, NV_HEADER))
      if (column === 'next') this.writers.set(type, Number(writer))
      return answer.slice(NV_HEADER, NV_HEADER + tlv.bytes)
    } catch (error) {
      if (error instanceof FirmwareError && error.statusName === UNAVAILABLE) return new Uint8Array(tlv.bytes)
      throw error
    }
  }
}

/** The 12 bytes before the data (facts: mstconfig, C.2). */
export function nvHeader(
  { codec }: Device,
  values: Readonly<Record<string, number>>,
  type: number,
  writer = WRITER_MLXCONFIG,
): Uint8Array {
  const bytes = codec.encode('config_item_ext', { writer_id: writer, ...values })
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, type)
  return bytes
}

export const itemOf = (tlv: NvTlv, instance: NvInstance): NvItem => ({ tlv, instance, type: nvType(tlv, instance) })

function sameInstance(tlv: NvTlv, { port, module }: NvInstance): NvInstance {
  const scope = nvScope(tlv)
  if (scope === 'port') return { port: port ?? 1 }
  return scope === 'module' ? { module: module ?? 0 } : {}
}

/** Whether next differs from what is there now, or from the default; arrays count too, or one element of them. */
export function isModified({ values: { next, current, default: factory } }: NvSetting, element?: number): boolean {
  if (next === undefined) return false
  return [current, factory].some(
    (value) => value !== undefined && !sameNvValue(elementOf(value, element), elementOf(next, element)),
  )
}

/** The whole of a value, or one element. */
export const elementOf = (value: NvValue, element: number | undefined): NvValue =>
  element === undefined || typeof value === 'number' ? value : (value[element] ?? 0)

/** A parameter that was named: NUM_OF_VFS, LINK_TYPE_P1, HOST_CHAINING_DESCRIPTORS[0..3]. */
export interface NamedParameter {
  readonly tlv: NvTlv
  readonly parameter: NvParameter
  /** Of one port or module only. */
  readonly instance: NvInstance | undefined
  readonly from: number | undefined
  readonly to: number | undefined
}

/** @throws NameError with the names that resemble it */
export function namedParameter(device: Pick<Device, 'catalogue'>, text: string): NamedParameter {
  const [, written = text, first, last] = /^(.*?)(?:\[(\d+)(?:\.\.(\d+))?\])?$/.exec(text) ?? []
  const [, base = '', kind, number] = /^(.*)_([PM])(\d+)$/.exec(written.toUpperCase()) ?? []
  const whole = find(device, written)
  const found = whole ?? find(device, base)
  if (found === undefined) {
    const titles = device.catalogue.tlvs().flatMap(({ parameters }) => parameters.flatMap(({ title }) => title ?? []))
    const like = nearest(written, titles)
    throw new NameError(
      `there is no parameter ${written}${like.length === 0 ? '' : `; did you mean ${like.join(', ')}?`}`,
      like,
    )
  }
  const scope = nvScope(found.tlv)
  const isInstance = whole === undefined && { P: 'port', M: 'module' }[kind ?? ''] === scope
  if (whole === undefined && !isInstance)
    throw new NameError(`${base} has no ${kind === 'P' ? 'ports' : 'modules'}: there is no ${written}`)
  const instance: NvInstance | undefined =
    whole !== undefined ? undefined : scope === 'port' ? { port: Number(number) } : { module: Number(number) }
  const { count } = found.parameter
  const from = first === undefined ? undefined : Number(first)
  const to = last === undefined ? from : Number(last)
  if (from !== undefined && count === undefined) throw new NameError(`${written} is no array`)
  if (to !== undefined && (to >= (count ?? 0) || to < (from ?? 0)))
    throw new NameError(`${text}: ${written} has elements 0 to ${(count ?? 1) - 1}`)
  return { ...found, instance, from, to }
}

function find(
  { catalogue }: Pick<Device, 'catalogue'>,
  title: string,
): { tlv: NvTlv; parameter: NvParameter } | undefined {
  const tlv = title === '' ? undefined : catalogue.findTlv(title)
  const parameter = tlv?.parameters.find((one) => one.title?.toUpperCase() === title.toUpperCase())
  return tlv === undefined || parameter === undefined ? undefined : { tlv, parameter }
}
