import { MalformedData } from '../errors'
import { parseNvExpression } from '../nv-expression'
import type { NvParameter, NvParameterType, NvTlv } from '../nv'
import { adbBits, adbEnum, adbText } from './adb-values'
import type { Problem } from './declarations'

/** A row of the database, by column. */
export type NvRow = Readonly<Record<string, unknown>>

export interface NvDatabaseImport {
  readonly tlvs: NvTlv[]
  readonly problems: Problem[]
}

/** Why a row is left out. */
class BadRow extends Error {}

const types: readonly string[] = ['BOOL', 'ENUM', 'UNSIGNED', 'INTEGER', 'BINARY', 'BYTES', 'STRING']
const classes: readonly number[] = [0, 1, 3, 6, 7, 8, 9]
/** Ids are shorter where the instance stands beside them. */
const longestId: Readonly<Record<number, number>> = { 1: 0xffff, 3: 0x3ff, 7: 0x3ffff, 9: 0x3fff }
/** Longest that a token file has. */
const MOST_BYTES = 4096

/**
 * The tables of a configuration database of mstflint: mlxconfig_host.db and mlxconfig_switch.db (facts: mstconfig, C.9). Rows
 * that make no sense are left out, and told.
 * @param rows of the tables tlvs and params, in the order of the database
 * @throws MalformedData when nothing is left
 */
export function importNvTables(
  rows: { readonly tlvs: readonly NvRow[]; readonly params: readonly NvRow[] },
  file: string,
): NvDatabaseImport {
  const problems: Problem[] = []
  const guarded = <T>(where: string, work: () => T): T | undefined => {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof BadRow) && !(error instanceof MalformedData)) throw error
      problems.push({ file, line: 1, message: `${where}: ${error.message}` })
      return undefined
    }
  }
  const byTlv = new Map<string, NvRow[]>()
  for (const row of rows.params) {
    const name = String(row.tlv_name)
    byTlv.set(name, [...(byTlv.get(name) ?? []), row])
  }
  const tlvs = rows.tlvs.flatMap((row) => {
    const tlv = guarded(`tlv ${String(row.name)}`, () => readTlv(row))
    if (tlv === undefined) return []
    const parameters = (byTlv.get(tlv.name) ?? []).flatMap((one) => {
      const parameter = guarded(`parameter ${tlv.name}.${String(one.name)}`, () => readParameter(one, tlv.bytes))
      return parameter === undefined ? [] : [parameter]
    })
    return [{ ...tlv, parameters }]
  })
  if (tlvs.length === 0) throw new MalformedData(file, 'holds no TLV')
  return { tlvs, problems }
}

function readTlv(row: NvRow): Omit<NvTlv, 'parameters'> {
  const name = word(row.name, 'name')
  const kind = integer(row.class, 'class')
  if (!classes.includes(kind)) throw new BadRow(`class ${kind} is none`)
  const bytes = integer(row.size, 'size')
  if (bytes < 1 || bytes > MOST_BYTES) throw new BadRow(`has ${bytes} bytes`)
  const id = integer(row.id, 'id')
  if (id < 0 || id > (longestId[kind] ?? 0xffffff)) throw new BadRow(`id ${id} is none of its class`)
  return {
    name,
    ...optional('title', row.mlxconfig_name),
    id,
    class: kind,
    bytes,
    capability: row.cap === 1 || row.cap === 1n,
    target: word(row.target, 'target'),
    ...optional('text', text(row.description)),
  }
}

function readParameter(row: NvRow, bytes: number): NvParameter {
  const type = String(row.type) as NvParameterType
  if (!types.includes(type)) throw new BadRow(`type ${type} is none`)
  const count = integer(row.array_length ?? 0, 'array_length')
  const size = adbBits(String(row.size))
  const written = adbBits(String(row.offset))
  if (size === undefined || written === undefined || size < 1 || count < 0) throw new BadRow('has no position')
  if (count > 0 && size % count !== 0) throw new BadRow(`has ${count} elements in ${size} bits`)
  const width = count > 0 ? size / count : size
  const offset = count > 0 ? wholeBytes(String(row.offset)) : fromTheLeft(written, size)
  if (offset < 0 || offset + size > bytes * 8) throw new BadRow(`leaves the ${bytes} bytes of its TLV`)
  if (type === 'BOOL' && width !== 1) throw new BadRow('is a BOOL of more than a bit')
  const values = type === 'ENUM' ? adbEnum(hexadecimal(row.textual_values)) : undefined
  if (type === 'ENUM' && values === undefined) throw new BadRow('is an ENUM without names')
  const since = integer(row.supported_from_version ?? 0, 'supported_from_version')
  return {
    name: word(row.name, 'name'),
    ...optional('title', row.mlxconfig_name),
    offset,
    width,
    ...(count > 0 ? { count } : {}),
    type,
    ...(values === undefined ? {} : { values }),
    ...expression('dependency', row.dependency),
    ...optional('validBit', row.valid_bit),
    ...temporary(row.temp_vars),
    ...expression('least', row.min_val),
    ...expression('most', row.max_val),
    ...expression('rule', row.rule),
    ...(since > 0 ? { since } : {}),
    ...optional('text', text(row.description)),
  }
}

/** Arrays begin with a byte, whatever bit is written behind it. */
const wholeBytes = (written: string): number => adbBits(written.replace(/\..*$/, '')) ?? -1

/** "0xB.b" counts bits from the right of a dword. */
function fromTheLeft(written: number, size: number): number {
  const dword = Math.floor(written / 32)
  return dword * 32 + 32 - (written % 32) - size
}

/** Numbers of textual values are hexadecimal, with 0x or without. */
function hexadecimal(value: unknown): string {
  return (typeof value === 'string' ? value : '').replace(/=\s*(?:0x)?([0-9a-f]+)/gi, '=0x$1')
}

/** @throws MalformedData for an expression that is none */
function expression<K extends string>(key: K, value: unknown): Partial<Record<K, string>> {
  if (typeof value !== 'string' || value.trim() === '') return {}
  const written = value.trim()
  if (written !== 'ignore_dependency') parseNvExpression(written)
  return { [key]: written } as Partial<Record<K, string>>
}

function temporary(value: unknown): { temporary?: string } {
  if (typeof value !== 'string' || value.trim() === '') return {}
  const [, assigned] = /^\s*\$\w+\s*=([^]+)$/.exec(value) ?? []
  if (assigned === undefined) throw new BadRow('has a variable that is not assigned')
  parseNvExpression(assigned)
  return { temporary: value.trim() }
}

function word(value: unknown, column: string): string {
  if (typeof value === 'string' && /^[\w-]+$/.test(value)) return value
  throw new BadRow(`has no ${column}`)
}

function integer(value: unknown, column: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number
  throw new BadRow(`has no ${column}`)
}

function optional<K extends string>(key: K, value: unknown): Partial<Record<K, string>> {
  return typeof value === 'string' && value !== '' ? ({ [key]: value } as Partial<Record<K, string>>) : {}
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? adbText(value) : undefined)
