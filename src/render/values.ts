/** Plain values of decoded layouts, as text and as JSON. */

export type Plain = number | bigint | Uint8Array | { readonly [name: string]: Plain } | readonly Plain[]

export interface Row {
  readonly path: string
  readonly text: string
}

/** Name of a value at a path, where it has one. */
export type Namer = (path: string, value: number | bigint) => string | undefined

/** One row for each value, in order; arrays of plain numbers are one row. */
export function flatten(value: Plain, name: Namer = () => undefined, path = ''): Row[] {
  if (typeof value === 'number' || typeof value === 'bigint')
    return [{ path, text: numberText(value, name(path, value)) }]
  if (value instanceof Uint8Array) return [{ path, text: bytesText(value) }]
  if (isArray(value)) {
    if (value.every((element) => typeof element === 'number')) return [{ path, text: numbersText(value) }]
    return value.flatMap((element, index) => flatten(element, name, `${path}[${index}]`))
  }
  return Object.entries(value).flatMap(([key, member]) => flatten(member, name, path === '' ? key : `${path}.${key}`))
}

/** Integers up to 32 bits are numbers, wider ones decimal strings, bytes hex strings. */
export function toJson(value: Plain): unknown {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return hexString(value)
  if (isArray(value)) return value.map(toJson)
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toJson(member)]))
}

export function hexString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

/** 42 (0x2a), and the name where there is one. */
function numberText(value: number | bigint, name: string | undefined): string {
  const shown = value > 9 ? `${value} (0x${value.toString(16)})` : String(value)
  return name === undefined ? shown : `${shown} ${name}`
}

function bytesText(bytes: Uint8Array): string {
  return `0x${hexString(bytes)}${quoted([...bytes])}`
}

function numbersText(numbers: readonly number[]): string {
  const isBytes = numbers.length > 3 && numbers.every((number) => number <= 0xff)
  if (!isBytes)
    return `[${numbers.map((number) => (number > 9 ? `0x${number.toString(16)}` : String(number))).join(', ')}]`
  return bytesText(Uint8Array.from(numbers))
}

/** Text that the bytes are, when they are one: printable, then only NUL. */
function quoted(bytes: readonly number[]): string {
  const end = bytes.findIndex((byte) => byte === 0)
  const text = end < 0 ? bytes : bytes.slice(0, end)
  const printable = text.length > 2 && text.every((byte) => byte >= 0x20 && byte < 0x7f)
  return printable && bytes.slice(text.length).every((byte) => byte === 0) ? ` "${String.fromCharCode(...text)}"` : ''
}

const isArray = (value: Plain): value is readonly Plain[] => Array.isArray(value)
