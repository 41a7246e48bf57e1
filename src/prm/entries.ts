import { integer, text } from './entry-values'
import { MalformedData } from './errors'
import type {
  CapabilityType,
  Command,
  CommandScope,
  CommandStatus,
  DumpBlock,
  DumpTable,
  Enumeration,
  Expression,
  Field,
  GeneralObject,
  Layout,
  Register,
} from './layout'
import { nvKey, type NvTlv } from './nv'
import { readNvTlv, writeNvTlv } from './nv-entry'

/** All that a catalogue holds. */
export interface Entries {
  readonly layouts: Layout[]
  readonly enumerations: Enumeration[]
  readonly commands: Command[]
  readonly registers: Register[]
  readonly capabilities: CapabilityType[]
  readonly objects: GeneralObject[]
  readonly statuses: CommandStatus[]
  readonly dumps: DumpTable[]
  readonly tlvs: NvTlv[]
}

export type EntryKind = keyof Entries

/** File of each kind in catalogue/, in the order of the packed file. */
export const entryKinds: readonly EntryKind[] = [
  'layouts',
  'enumerations',
  'commands',
  'registers',
  'capabilities',
  'objects',
  'statuses',
  'dumps',
  'tlvs',
]

export function emptyEntries(): Entries {
  return {
    layouts: [],
    enumerations: [],
    commands: [],
    registers: [],
    capabilities: [],
    objects: [],
    statuses: [],
    dumps: [],
    tlvs: [],
  }
}

/** One line of JSON for each entry: what stands in catalogue/*.jsonl, and in the slices of a packed file. */
export const writeLine: { [K in EntryKind]: (entry: Entries[K][number]) => string } = {
  layouts: ({ name, kind, bits, fields }) =>
    JSON.stringify({ layout: name, ...(kind === 'union' ? { union: true } : {}), bits, fields: fields.map(packField) }),
  enumerations: ({ name, values, literal }) => JSON.stringify({ enum: name, values: packValues(values), literal }),
  commands: ({ name, opcode, inbox, outbox, scope, note }) =>
    JSON.stringify({ command: name, opcode, in: inbox, out: outbox, scope, note }),
  registers: ({ name, id, layout, aliases }) => JSON.stringify({ register: name, id, layout, aliases }),
  capabilities: ({ name, type, layout }) => JSON.stringify({ capability: name, type, layout }),
  objects: ({ name, type, layout }) => JSON.stringify({ object: name, type, layout }),
  statuses: ({ name, code, text }) => JSON.stringify({ status: name, code, text }),
  dumps: ({ name, hardwareId, blocks }) => JSON.stringify({ dump: name, hardwareId, blocks: packBlocks(blocks) }),
  tlvs: writeNvTlv,
}

/** @throws MalformedData when a line is not an entry of its kind; `where` names file and line */
export const readLine: { [K in EntryKind]: (line: string, where: string) => Entries[K][number] } = {
  layouts: (line, where) => {
    const raw = object(line, where)
    const { fields } = raw
    if (!Array.isArray(fields)) throw new MalformedData(where, 'has no fields')
    const kind = raw.union === true ? 'union' : 'struct'
    return { name: text(raw.layout, where), kind, bits: integer(raw.bits, where), fields: unpackFields(fields, where) }
  },
  enumerations: (line, where) => {
    const raw = object(line, where)
    if (!isObject(raw.values)) throw new MalformedData(where, 'has no values')
    const values: Record<string, number | bigint> = Object.create(null) as Record<string, never>
    for (const [name, value] of Object.entries(raw.values)) values[name] = unpackValue(value, where)
    return { name: text(raw.enum, where), values, ...(raw.literal === true ? { literal: true } : {}) }
  },
  commands: (line, where) => {
    const raw = object(line, where)
    return {
      name: text(raw.command, where),
      opcode: integer(raw.opcode, where),
      ...optional('inbox', raw.in, where),
      ...optional('outbox', raw.out, where),
      scope: unpackScope(raw.scope, where),
      ...optional('note', raw.note, where),
    }
  },
  registers: (line, where) => {
    const raw = object(line, where)
    return {
      name: text(raw.register, where),
      id: integer(raw.id, where),
      ...optional('layout', raw.layout, where),
      ...(Array.isArray(raw.aliases) ? { aliases: raw.aliases.map((alias) => text(alias, where)) } : {}),
    }
  },
  capabilities: (line, where) => {
    const raw = object(line, where)
    return {
      name: text(raw.capability, where),
      type: integer(raw.type, where),
      ...optional('layout', raw.layout, where),
    }
  },
  objects: (line, where) => {
    const raw = object(line, where)
    return { name: text(raw.object, where), type: integer(raw.type, where), ...optional('layout', raw.layout, where) }
  },
  statuses: (line, where) => {
    const raw = object(line, where)
    return { name: text(raw.status, where), code: integer(raw.code, where), text: text(raw.text, where) }
  },
  dumps: (line, where) => {
    const raw = object(line, where)
    const hardwareId = integer(raw.hardwareId, where)
    return { name: text(raw.dump, where), hardwareId, blocks: unpackBlocks(raw.blocks, where) }
  },
  tlvs: (line, where) => readNvTlv(object(line, where), where),
}

/** Names under which an entry is found; the number in the second place, where it has one. */
export function keysOf(kind: EntryKind, entry: Entries[EntryKind][number]): { name: string; number?: number } {
  if (kind === 'commands') return { name: entry.name, number: (entry as Command).opcode }
  if (kind === 'registers') return { name: entry.name, number: (entry as Register).id }
  if (kind === 'capabilities' || kind === 'objects') return { name: entry.name, number: (entry as CapabilityType).type }
  if (kind === 'statuses') return { name: entry.name, number: (entry as CommandStatus).code }
  if (kind === 'dumps') return { name: entry.name, number: (entry as DumpTable).hardwareId }
  if (kind === 'tlvs') return { name: entry.name, number: nvKey(entry as NvTlv) }
  return { name: entry.name }
}

/** Other names under which an entry is found: those of a register, and of the parameters of a TLV. */
export function aliasesOf(kind: EntryKind, entry: Entries[EntryKind][number]): readonly string[] {
  if (kind === 'registers') return (entry as Register).aliases ?? []
  return kind === 'tlvs' ? (entry as NvTlv).parameters.flatMap(({ title }) => title ?? []) : []
}

/** Dwords since the end of the block before, dwords of the block, and so on. */
function packBlocks(blocks: readonly DumpBlock[]): number[] {
  let end = 0
  return blocks.flatMap(({ address, dwords }) => {
    const gap = (address - end) / 4
    end = address + dwords * 4
    return [gap, dwords]
  })
}

function unpackBlocks(packed: unknown, where: string): DumpBlock[] {
  if (!Array.isArray(packed) || packed.length % 2 !== 0) throw new MalformedData(where, 'has no blocks')
  const blocks: DumpBlock[] = []
  let end = 0
  for (let at = 0; at < packed.length; at += 2) {
    const address = end + integer(packed[at], where) * 4
    const dwords = integer(packed[at + 1], where)
    if (address < end || dwords < 1) throw new MalformedData(where, 'has a block that is none')
    blocks.push({ address, dwords })
    end = address + dwords * 4
  }
  return blocks
}

type PackedField = [string, number, number] | [string, number, number, Record<string, unknown>]

/** [name, offset, width] and, where there is more: {n: count or null, used, stride, of: layout, enum, access, select, when, text}. */
function packField(field: Field): PackedField {
  const { name, offset, width, array, layout, enum: enumeration, access, select, when, text } = field
  const more: Record<string, unknown> = {}
  if (array !== undefined) more.n = array.count
  if (array !== undefined && array.stride !== width) more.stride = array.stride
  if (layout !== undefined) more.of = layout
  if (enumeration !== undefined) more.enum = enumeration
  if (access !== undefined) more.access = access
  if (array?.used !== undefined) more.used = array.used
  if (select !== undefined) more.select = [select.by, select.members]
  if (when !== undefined) more.when = when
  if (text !== undefined) more.text = text
  return Object.keys(more).length === 0 ? [name, offset, width] : [name, offset, width, more]
}

function unpackFields(fields: readonly unknown[], where: string): Field[] {
  return fields.map((packed) => {
    if (!Array.isArray(packed)) throw new MalformedData(where, 'has a field that is none')
    const [name, offset, width, more] = packed as unknown[]
    const base = { name: text(name, where), offset: integer(offset, where), width: integer(width, where) }
    return isObject(more) ? { ...base, ...unpackMore(more, base.width, where) } : base
  })
}

function unpackMore(more: Record<string, unknown>, width: number, where: string): Partial<Field> {
  const stride = more.stride === undefined ? width : integer(more.stride, where)
  const count = more.n === null || more.n === undefined ? null : integer(more.n, where)
  const access = more.access
  if (access !== undefined && !isAccess(access)) throw new MalformedData(where, 'has an unknown access')
  return {
    ...(more.n === undefined ? {} : { array: { count, stride, ...expression('used', more.used, where) } }),
    ...unpackSelection(more.select, where),
    ...expression('when', more.when, where),
    ...optional('text', more.text, where),
    ...optional('layout', more.of, where),
    ...optional('enum', more.enum, where),
    ...(access === undefined ? {} : { access }),
  }
}

function unpackSelection(value: unknown, where: string): Pick<Field, 'select'> {
  if (value === undefined) return {}
  const [by, members] = Array.isArray(value) ? (value as unknown[]) : []
  if (!isObject(members)) throw new MalformedData(where, 'has a selection that is none')
  const named = Object.fromEntries(Object.entries(members).map(([key, name]) => [key, text(name, where)]))
  return { select: { by: text(by, where), members: named } }
}

function expression<K extends string>(key: K, value: unknown, where: string): { [P in K]?: Expression } {
  if (value === undefined) return {}
  if (!isExpression(value, 0)) throw new MalformedData(where, 'has an expression that is none')
  return { [key]: value } as { [P in K]: Expression }
}

function isExpression(value: unknown, depth: number): value is Expression {
  if (typeof value === 'string' || Number.isSafeInteger(value)) return true
  return (
    Array.isArray(value) &&
    depth < 64 &&
    typeof value[0] === 'string' &&
    value.length >= 2 &&
    value.slice(1).every((operand: unknown) => isExpression(operand, depth + 1))
  )
}

function packValues(values: Enumeration['values']): Record<string, number | string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? `0x${value.toString(16)}` : value,
    ]),
  )
}

function unpackValue(value: unknown, where: string): number | bigint {
  if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value)) return BigInt(value)
  return integer(value, where)
}

function unpackScope(scope: unknown, where: string): CommandScope {
  if (scope === null || scope === 0 || scope === 1 || scope === 2 || scope === 3) return scope
  if (isObject(scope)) {
    const read = unpackScope(scope.read, where)
    const write = unpackScope(scope.write, where)
    if (typeof read === 'number' && typeof write === 'number') return { read, write }
  }
  throw new MalformedData(where, 'has no possible scope')
}

function optional<K extends string>(key: K, value: unknown, where: string): { [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: text(value, where) } as { [P in K]: string })
}

function object(line: string, where: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new MalformedData(where, `is no JSON: ${(error as Error).message}`)
  }
  if (!isObject(value)) throw new MalformedData(where, 'is no JSON object')
  return value
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isAccess = (value: unknown): value is NonNullable<Field['access']> =>
  typeof value === 'string' && ['RO', 'RW', 'WO', 'INDEX', 'OP'].includes(value)
