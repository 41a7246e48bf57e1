import type { Access } from '../layout'

/**
 * Bits of an ADB number "BYTES.BITS": 0x10.4, 12, .8. The bytes are decimal, 0x hex or, with a leading 0, octal; an empty part
 * is 0. Undefined for anything else.
 */
export function adbBits(text: string): number | undefined {
  const match = /^(0[xX][0-9a-fA-F]*|\d*)(?:\.(\d*))?$/.exec(text.trim())
  if (match === null || text.trim() === '' || text.trim() === '.') return undefined
  const bytes = integer(match[1] ?? '')
  const bits = bytes === undefined ? Number.NaN : bytes * 8 + Number(match[2] ?? 0)
  return Number.isSafeInteger(bits) ? bits : undefined
}

/** An integer as C reads it with base 0: decimal, 0x hex, 0 octal. */
export function integer(text: string): number | undefined {
  if (text === '' || /^0[xX]$/.test(text)) return 0
  if (/^0[0-7]*$/.test(text)) return Number.parseInt(text, 8)
  return /^(?:0[xX][0-9a-fA-F]+|[1-9]\d*)$/.test(text) ? Number(text) : undefined
}

/**
 * The enumeration of a field, "NAME=VALUE,NAME=VALUE". Entries that are none are left out, as the original does; of a name
 * that occurs twice the first counts. Undefined when nothing is left.
 */
export function adbEnum(text: string): Record<string, number> | undefined {
  const values: Record<string, number> = {}
  for (const entry of text.split(',')) {
    const [name = '', value, more] = entry.split('=').map((part) => part.trim())
    const number = value === undefined || value === '' || more !== undefined ? undefined : integer(value)
    if (name !== '' && name !== '__proto__' && number !== undefined && !Object.hasOwn(values, name))
      values[name] = number
  }
  return Object.keys(values).length === 0 ? undefined : values
}

const accesses: readonly string[] = ['RO', 'RW', 'WO', 'INDEX', 'OP']

export function adbAccess(attributes: Readonly<Record<string, string>>): Access | undefined {
  const text = attributes.rw ?? attributes.access
  return text !== undefined && accesses.includes(text) ? (text as Access) : undefined
}

/** A description: "\;" is the end of a line. */
export function adbText(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text.replace(/\\;/g, '\n')
}
