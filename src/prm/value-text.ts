import { ValueError } from './errors'
import type { Enumeration } from './layout'
import { nearest } from './nearest'
import type { FieldRef } from './names'

/** A value as a person types it, for the field that `ref` names. @throws ValueError that names the field */
export function parseValue(
  ref: FieldRef,
  text: string,
  enumeration: Enumeration | undefined,
): number | bigint | Uint8Array {
  const { path, member } = ref
  if (member.plan !== undefined) throw new ValueError(path, 'is a structure; name one of its fields')
  if (ref.whole && member.count !== undefined) throw new ValueError(path, `is an array; give an index, ${path}[0]`)
  if (member.width > 64) return parseBytes(path, member.width, text)
  const value = parseInteger(text) ?? parseName(path, text, enumeration)
  const most = (1n << BigInt(member.width)) - 1n
  if (value > most)
    throw new ValueError(path, `${text} does not fit: 0 to ${most} (0x${most.toString(16)}, ${member.width} bits)`)
  return member.width <= 32 ? Number(value) : value
}

/** Decimal, 0x, 0o or 0b; undefined for anything else. */
export function parseInteger(text: string): bigint | undefined {
  return /^(?:\d+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(text) ? BigInt(text) : undefined
}

/** Name of a value without the prefix that the whole family shares; the shortest where several have the value. */
export function enumName(enumeration: Enumeration | undefined, value: number | bigint): string | undefined {
  if (enumeration === undefined) return undefined
  const names = Object.keys(enumeration.values).filter(
    (name) => BigInt(enumeration.values[name] ?? -1) === BigInt(value),
  )
  if (enumeration.literal === true) return names[0]
  const [name] = names.sort((a, b) => a.length - b.length)
  return name?.slice(commonPrefix(enumeration).length)
}

/** Up to and with the last underscore that all names of the family share. */
export function commonPrefix(enumeration: Enumeration): string {
  if (enumeration.literal === true) return ''
  const names = Object.keys(enumeration.values)
  const [first = ''] = names
  let length = first.length
  for (const name of names) while (!name.startsWith(first.slice(0, length))) length--
  const prefix = first.slice(0, first.slice(0, length).lastIndexOf('_') + 1)
  return names.length > 1 && names.every((name) => name.length > prefix.length) ? prefix : ''
}

function parseName(path: string, text: string, enumeration: Enumeration | undefined): bigint {
  if (/^-\d/.test(text)) throw new ValueError(path, `${text} is negative`)
  if (enumeration === undefined) throw new ValueError(path, `${text} is not a number (decimal, 0x, 0o or 0b)`)
  const prefix = commonPrefix(enumeration)
  const wanted = text.toUpperCase()
  for (const [name, value] of Object.entries(enumeration.values)) {
    const upper = name.toUpperCase()
    if (upper === wanted || upper.slice(prefix.length) === wanted) return BigInt(value)
  }
  const names = Object.keys(enumeration.values).map((name) => name.slice(prefix.length))
  const shown = nearest(text, names)
  const hint = (shown.length > 0 ? shown : names).slice(0, 8).join(', ')
  throw new ValueError(path, `${text} is neither a number nor one of its names (${hint})`)
}

function parseBytes(path: string, width: number, text: string): Uint8Array {
  const length = Math.ceil(width / 8)
  const digits = text.replace(/^0[xX]/, '')
  if (!/^[0-9a-fA-F]+$/.test(digits) || digits.length > length * 2)
    throw new ValueError(path, `takes up to ${length * 2} hex digits (${width} bits)`)
  return Uint8Array.from(Buffer.from(digits.padStart(length * 2, '0'), 'hex'))
}
