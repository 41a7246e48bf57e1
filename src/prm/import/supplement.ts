import { emptyEntries, entryKinds, keysOf, readLine, writeLine, type Entries, type EntryKind } from '../entries'
import { MalformedData } from '../errors'
import type { Enumeration, Field, Layout } from '../layout'

/** What a line of the supplement is about, by the key that names it. */
const kindOfKey: Readonly<Record<string, EntryKind>> = {
  layout: 'layouts',
  enum: 'enumerations',
  command: 'commands',
  register: 'registers',
  capability: 'capabilities',
  object: 'objects',
  status: 'statuses',
}

/**
 * Adds the hand-written supplement: lines of JSON, each with its source. A line overrides the members it has of the entry
 * with the same name; the others stay. "named" of a layout gives names to reserved fields, and leaves the rest of it alone.
 * @throws MalformedData with the line
 */
export function applySupplement(entries: Entries, text: string, file: string): Entries {
  const result = emptyEntries()
  const lines = text.split('\n').map((line, index) => ({ line, where: `${file}:${index + 1}` }))
  const added = lines.filter(({ line }) => line.trim() !== '').map(({ line, where }) => parse(line, where))
  for (const kind of entryKinds) mergeKind(kind, entries, added, result)
  return { ...result, layouts: refit(result.layouts), enumerations: nameOpcodes(result) }
}

/** Opcodes that only the supplement knows have names in inboxes too. */
function nameOpcodes({ enumerations, commands }: Entries): Enumeration[] {
  const values = Object.fromEntries(commands.map(({ name, opcode }) => [name, opcode]))
  return enumerations.map((one) => (one.name === 'opcode' ? { name: one.name, values } : one))
}

interface Addition {
  readonly kind: EntryKind
  readonly name: string
  readonly raw: Readonly<Record<string, unknown>>
  readonly where: string
}

function parse(line: string, where: string): Addition {
  let raw: unknown
  try {
    raw = JSON.parse(line)
  } catch (error) {
    throw new MalformedData(where, `is no JSON: ${(error as Error).message}`)
  }
  const [key, name] = Object.entries(raw as object)[0] ?? []
  const kind = key === undefined ? undefined : kindOfKey[key]
  if (kind === undefined || typeof name !== 'string') throw new MalformedData(where, 'names no entry')
  const { source, ...rest } = raw as Record<string, unknown>
  if (typeof source !== 'string') throw new MalformedData(where, 'has no source')
  return { kind, name, raw: rest, where }
}

function mergeKind<K extends EntryKind>(kind: K, base: Entries, added: readonly Addition[], into: Entries): void {
  const byName = new Map<string, Record<string, unknown>>()
  for (const entry of base[kind]) byName.set(entry.name, unread(kind, entry))
  for (const addition of added) {
    if (addition.kind !== kind) continue
    const before = byName.get(addition.name) ?? (kind === 'commands' ? { scope: null } : {})
    byName.set(addition.name, withNames({ ...before, ...addition.raw }, addition.where))
  }
  const target = into[kind] as Entries[K][number][]
  for (const [name, raw] of byName) target.push(readLine[kind](JSON.stringify(raw), `supplement, ${name}`))
  if (kind === 'layouts' || kind === 'enumerations') return
  target.sort((a, b) => (keysOf(kind, a).number ?? 0) - (keysOf(kind, b).number ?? 0) || (a.name < b.name ? -1 : 1))
}

/** @throws MalformedData when one of the fields that "named" lists is not there, or not reserved */
function withNames({ named, ...raw }: Record<string, unknown>, where: string): Record<string, unknown> {
  if (named === undefined) return raw
  const fields = (raw.fields as (readonly [name: string, offset: number, width: number])[]).slice()
  for (const [name, offset, width] of named as [name: string, offset: number, width: number][]) {
    const index = fields.findIndex((field) => field[1] === offset && field[2] === width && /^reserved/.test(field[0]))
    if (index < 0) throw new MalformedData(where, `${name}: no reserved field of ${width} bits at bit ${offset}`)
    fields[index] = [name, offset, width]
  }
  return { ...raw, fields }
}

/** The line of an entry as an object, so that single members can be overridden. */
function unread<K extends EntryKind>(kind: K, entry: Entries[K][number]): Record<string, unknown> {
  return JSON.parse(writeLine[kind](entry)) as Record<string, unknown>
}

/** A layout that the supplement made larger may be a member of a union; the union's member grows with it. */
function refit(layouts: readonly Layout[]): Layout[] {
  const bits = new Map(layouts.map((layout) => [layout.name, layout.bits]))
  const grown = (field: Field): Field => {
    const now = field.layout === undefined ? undefined : bits.get(field.layout)
    return now === undefined || field.array !== undefined ? field : { ...field, width: now }
  }
  return layouts.map((layout) => (layout.kind === 'union' ? { ...layout, fields: layout.fields.map(grown) } : layout))
}
