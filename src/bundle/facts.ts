import { createHash } from 'node:crypto'
import { MalformedData } from '../prm/errors'
import { parseJson } from './json'
import { countedKind, fieldKind, registerFieldKind, sysfsKind, type Kind } from './kinds'
import type { BundleItem } from './manifest'
import { isObject, joined, leavesIn, listOf, membersOf, textOf, wordOf, type Members, type Scalar } from './values'

/** What an item says of one thing: a register, a parameter, a capability, a group of counters. */
export interface FactGroup {
  /** registers.PTYS{local_port=1} */
  readonly name: string
  /** Values by name, nested. */
  readonly values: unknown
  /** Equal where all the values are; undefined where nothing says that cheaply. */
  readonly image: string | undefined
  kindOf(path: string): Kind
  /** Name of the value at a path, where it has one. */
  nameOf(path: string): string | undefined
  unitOf(path: string): string | undefined
}

/** One value: the field in the words of those who use it, as `config.SRIOV_EN.next`. */
export interface Fact {
  readonly field: string
  /** The thing it is of. */
  readonly group: string
  readonly value: Scalar
  readonly name: string | undefined
  readonly kind: Kind
  readonly unit: string | undefined
}

/** Names of the fields of a layout that tell the instances of a register apart (local_port, page_select, ...). */
export type IndexFields = (layout: string) => readonly string[]

/** Items that facts are made of; of all others only the hash is compared. */
export const hasFacts = ({ file, status }: BundleItem): boolean =>
  file !== null && file.endsWith('.json') && (status === 'ok' || status === 'partial')

/** The name under which an item is known in fields: counters-1 and counters-2 are readings of the same. */
export const itemField = ({ name }: Pick<BundleItem, 'name'>): string => name.replace(/^counters-\d+$/, 'counters')

/**
 * What an item says, group by group, each with a name of its own: the `data` of its envelope, or, where it is none, all of it.
 * @throws MalformedData when it is no JSON, or not what the command of that name prints
 */
export function* groupsOf(item: BundleItem, bytes: Uint8Array, indexFields: IndexFields): Generator<FactGroup> {
  const data = dataOf(item.file ?? item.name, bytes)
  const read = Object.hasOwn(readers, item.name) ? readers[item.name] : undefined
  const seen = new Map<string, number>()
  for (const one of read === undefined ? generic(item.name, data) : read(item.name, data, indexFields)) {
    const count = (seen.get(one.name) ?? 0) + 1
    seen.set(one.name, count)
    yield count === 1 ? one : { ...one, name: `${one.name}#${count}` }
  }
}

/** The same, value by value. @throws MalformedData */
export function* factsOf(item: BundleItem, bytes: Uint8Array, indexFields: IndexFields): Generator<Fact> {
  for (const group of groupsOf(item, bytes, indexFields))
    for (const [path, value] of leavesIn(group.values))
      yield {
        field: joined(group.name, path),
        group: group.name,
        value,
        name: group.nameOf(path),
        kind: group.kindOf(path),
        unit: group.unitOf(path),
      }
}

/** @throws MalformedData */
export function dataOf(path: string, bytes: Uint8Array): unknown {
  const parsed = parseJson(path, bytes)
  if (!isObject(parsed) && !Array.isArray(parsed)) throw new MalformedData(path, 'is no object')
  return isObject(parsed) && typeof parsed.schemaVersion === 'string' && 'data' in parsed ? parsed.data : parsed
}

const DATA = Buffer.from('"data":')
/** Bytes in which an envelope comes to its data. */
const LONGEST_HEAD = 8192

/**
 * Equal for envelopes that have the same data, whatever device they are of: a hash of all that begins with the data. Undefined where
 * that cannot be told without reading all of it: what stands before has to be the beginning of an object, which then gets its data.
 */
export function dataKey(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const at = buffer.subarray(0, LONGEST_HEAD).indexOf(DATA)
  if (at < 0) return undefined
  const rest = at + DATA.length
  try {
    const head = JSON.parse(`${buffer.toString('utf8', 0, rest)}null}`) as unknown
    if (!isObject(head) || typeof head.schemaVersion !== 'string' || head.data !== null) return undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  return createHash('sha256').update(buffer.subarray(rest)).digest('base64')
}

type Reader = (item: string, data: unknown, indexFields: IndexFields) => Iterable<FactGroup>

const readers: Readonly<Record<string, Reader>> = {
  capabilities,
  'capabilities-max': capabilities,
  config,
  registers,
  firmware,
  'counters-1': counters,
  'counters-2': counters,
  objects,
  'rscdump-menu': (item, data) => named(item, listOf(membersOf(data).records)),
  sysfs: (item, data) => [group(item, data, { kindOf: sysfsKind })],
}

/** Any other item: its members, by their names. */
function* generic(item: string, data: unknown): Generator<FactGroup> {
  yield group(item, data, {})
}

function* capabilities(item: string, data: unknown): Generator<FactGroup> {
  for (const one of listOf(membersOf(data).capabilities)) {
    const { name, values } = membersOf(one)
    yield group(`${item}.${textOf(name) ?? '?'}`, values, {})
  }
}

/** Default, current and next of each parameter, as mstconfig shows them. */
function* config(item: string, data: unknown): Generator<FactGroup> {
  for (const device of listOf(membersOf(data).devices))
    for (const one of listOf(membersOf(device).parameters)) {
      const parameter = membersOf(one)
      const column = (name: string): readonly [string, unknown][] => {
        const value = parameter[name]
        return isObject(value) ? [[name, value.text]] : []
      }
      const values = Object.fromEntries([...column('default'), ...column('current'), ...column('next')])
      yield group(`${item}.${textOf(parameter.name) ?? '?'}`, values, {})
    }
}

/** Registers of firmware components belong to the item firmware, that of the device to registers: each is told once. */
const components: ReadonlySet<unknown> = new Set(['MCQS', 'MCQI'])

function registers(item: string, data: unknown, indexFields: IndexFields): Iterable<FactGroup> {
  return registerGroups(item, data, indexFields, (name) => !components.has(name))
}

function firmware(item: string, data: unknown, indexFields: IndexFields): Iterable<FactGroup> {
  return registerGroups(item, data, indexFields, (name) => name !== 'MGIR')
}

function* registerGroups(
  item: string,
  data: unknown,
  indexFields: IndexFields,
  wanted: (name: unknown) => boolean,
): Generator<FactGroup> {
  for (const one of listOf(membersOf(data).registers)) {
    const reading = membersOf(one)
    const { name, id, layout } = membersOf(reading.register)
    if (!wanted(name)) continue
    const values = membersOf(reading.values)
    const title = textOf(name) ?? `0x${Number(id).toString(16)}`
    const index = indexText(values, indexFields(textOf(layout) ?? ''))
    const names = membersOf(reading.names)
    yield group(`${item}.${title}${index}`, reading.values ?? { image: reading.image }, {
      image: textOf(reading.image),
      kindOf: (path) => registerFieldKind(title, path),
      nameOf: (path) => textOf(names[path]),
    })
  }
}

/** {local_port=1}: the index fields that are not 0. */
function indexText(values: Members, fields: readonly string[]): string {
  const given = fields.flatMap((field) => {
    const value = wordOf(Object.hasOwn(values, field) ? values[field] : undefined)
    return value === undefined || value === '0' ? [] : [`${field}=${value}`]
  })
  return given.length === 0 ? '' : `{${given.join(',')}}`
}

/** Groups of counters: each value tells whether it is a counter, a gauge or an information. */
function* counters(item: string, data: unknown): Generator<FactGroup> {
  for (const one of listOf(membersOf(data).groups)) {
    const counted = membersOf(one)
    const counter = textOf(counted.group) ?? '?'
    const types = new Map<string, Kind>()
    const units = new Map<string, string | undefined>()
    const values = listOf(counted.values).flatMap((value): [string, unknown][] => {
      const { name, type, unit, value: reading } = membersOf(value)
      if (typeof name !== 'string') return []
      types.set(name, countedKind(counter, textOf(type), name))
      units.set(name, textOf(unit))
      return [[name, reading]]
    })
    const labels = Object.entries(membersOf(counted.labels)).map(([name, value]) => `${name}=${wordOf(value) ?? ''}`)
    const title = `${counter}${labels.length === 0 ? '' : `{${labels.join(',')}}`}`
    yield group(`${itemField({ name: item })}.${title}`, Object.fromEntries(values), {
      kindOf: (path) => types.get(path) ?? 'state',
      unitOf: (path) => units.get(path),
    })
  }
}

/** How many objects of each type there are, and which. */
function* objects(item: string, data: unknown): Generator<FactGroup> {
  for (const one of listOf(membersOf(data).types)) {
    const { type, found, ...values } = membersOf(one)
    const ids = listOf(found)
    yield group(`${item}.${textOf(type) ?? '?'}`, { ...values, count: ids.length, ids }, {})
  }
}

function* named(item: string, list: readonly unknown[]): Generator<FactGroup> {
  for (const one of list) {
    const { name, ...values } = membersOf(one)
    yield group(`${item}.${textOf(name) ?? '?'}`, values, {})
  }
}

function group(name: string, values: unknown, rest: Partial<Omit<FactGroup, 'name' | 'values'>>): FactGroup {
  return {
    name,
    values,
    image: undefined,
    kindOf: fieldKind,
    nameOf: () => undefined,
    unitOf: () => undefined,
    ...rest,
  }
}
