import { writeBig } from './bits'
import type { Codec, FieldRange } from './codec'
import { MalformedData } from './errors'

/** A row "name | 0x%08x" of the text in which mstreg, mlxreg and `reg get` print a register. */
export interface TextRow {
  readonly line: number
  readonly name: string
  /** Hex digits without 0x. */
  readonly digits: string
}

const HEADING = /^\s*Field Name\s*\|\s*(?:Data|Hex Value)\b/
const RULE = /^\s*={10,}\s*$/
const ROW = /^\s*(\S+)\s*\|\s*0x([0-9a-f]+)\s*(?:\||$)/i

/**
 * The rows of a register's table; undefined when the text holds none. What stands before its heading and after its closing
 * rule is passed over.
 * @throws MalformedData with the line that is no row, and for a second table
 */
export function parseRegisterTable(input: Uint8Array): readonly TextRow[] | undefined {
  const lines = Buffer.from(input).toString('latin1').split(/\r?\n/)
  const heading = lines.findIndex((line) => HEADING.test(line))
  if (heading < 0) return undefined
  const again = lines.findIndex((line, index) => index > heading && HEADING.test(line))
  if (again >= 0) throw new MalformedData(`line ${again + 1}`, 'begins a second register; give one at a time')
  const rows: TextRow[] = []
  for (const [index, text] of lines.entries()) {
    if (index <= heading || text.trim() === '') continue
    if (RULE.test(text)) {
      if (rows.length > 0) break
      continue
    }
    const [, name, digits] = ROW.exec(text) ?? []
    if (name === undefined || digits === undefined)
      throw new MalformedData(`line ${index + 1}`, `is no row of a register's table: ${text.trim().slice(0, 60)}`)
    rows.push({ line: index + 1, name, digits })
  }
  return rows
}

/** More than the selectors that decide over one another in any register. */
const MOST_ROUNDS = 8

interface Placed {
  readonly image: Uint8Array
  /** Rows that are no field of the layout. */
  readonly unknown: readonly TextRow[]
  /** Rows whose value does not fit their field. */
  readonly unfit: readonly TextRow[]
}

/**
 * Puts the values of a table into a register's image. Rows that have a field's short name in common belong to its fields in the
 * order of the dwords. What the rows say of selectors decides which members of unions the other rows mean, unless the table
 * shows all members beside one another, as older tools do.
 * @param empty the register, all zero; it is not changed
 * @returns the image, and the rows that are no field of the layout
 * @throws MalformedData with the line of a value that does not fit its field
 */
export function imageOfRows(
  codec: Codec,
  layout: string,
  rows: readonly TextRow[],
  empty: Uint8Array,
): Pick<Placed, 'image' | 'unknown'> {
  const problems = ({ unknown, unfit }: Placed): number => unknown.length + unfit.length
  let placed = placeSelected(codec, layout, rows, empty)
  if (problems(placed) > 0) {
    const all = placeRows(placesByName(codec.ranges(layout, empty, { alternatives: true })), rows, empty)
    if (problems(all) < problems(placed)) placed = all
  }
  const [row] = placed.unfit
  if (row !== undefined) throw new MalformedData(`line ${row.line}`, `0x${row.digits} does not fit ${row.name}`)
  return placed
}

function placeSelected(codec: Codec, layout: string, rows: readonly TextRow[], empty: Uint8Array): Placed {
  let placed: Placed = { image: empty, unknown: rows, unfit: [] }
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const before = placed.image
    placed = placeRows(placesByName(codec.ranges(layout, before)), rows, empty)
    if (placed.image.every((byte, index) => byte === before[index])) break
  }
  return placed
}

function placeRows(places: ReadonlyMap<string, Place[]>, rows: readonly TextRow[], empty: Uint8Array): Placed {
  const image = empty.slice()
  const unknown: TextRow[] = []
  const unfit: TextRow[] = []
  for (const row of rows) {
    const place = places.get(row.name)?.shift()
    const value = BigInt(`0x${row.digits}`)
    if (place === undefined) unknown.push(row)
    else if (value >> BigInt(place.width) !== 0n) unfit.push(row)
    else writeBig(image, place.offset, place.width, value)
  }
  return { image, unknown, unfit }
}

/** Where a row's value goes: bits from the first bit of the register, and how many. */
interface Place {
  readonly offset: number
  readonly width: number
}

/** Places by every name that they are printed under, in the order of the bits. */
function placesByName(leaves: readonly FieldRange[]): Map<string, Place[]> {
  const places = new Map<string, Place[]>()
  const add = (name: string, place: Place): void => {
    const others = places.get(name)
    if (others === undefined) places.set(name, [place])
    else others.push(place)
  }
  for (const { path, offset, width, value, reserved } of leaves) {
    if (reserved) continue
    const short = shortName(path)
    const around = path.slice(0, path.lastIndexOf('.') + 1)
    for (const name of new Set([path, short, around + short])) add(name, { offset, width })
    if (typeof value !== 'bigint') continue
    const halves = [
      { half: 'hi', place: { offset, width: width - 32 } },
      { half: 'lo', place: { offset: offset + width - 32, width: 32 } },
    ]
    for (const { half, place } of halves)
      for (const name of [`${short}_${half}`, `${path}.${half}`, `${path}.${short}_${half}`]) add(name, place)
  }
  return places
}

/**
 * The short name of a leaf, as mstreg prints it: the last part of the path, with the indices of arrays of structures behind it:
 * app_prio[0].protocol_id is protocol_id_0.
 */
export function shortName(path: string): string {
  const parts = path.split('.')
  const leaf = parts.at(-1) ?? path
  const indices = parts.slice(0, -1).flatMap((part) => /\[(\d+)\]$/.exec(part)?.[1] ?? [])
  return [leaf, ...indices].join('_')
}
