import { readUint, writeUint } from './bits'
import { ValueError } from './errors'
import type { NvParameter } from './nv'

/** A number; of an array its elements; of BYTES and STRING the bytes. */
export type NvValue = number | readonly number[] | Uint8Array

/** What a parameter of 32 bits has when it says nothing. */
const NOT_AVAILABLE = 0xffffffff
/** BYTES that are longer are shown as an array. */
const LONGEST_BYTES = 16

const isBytes = ({ type }: NvParameter): boolean => type === 'BYTES' || type === 'STRING'

/** The value in a TLV's data; what lies behind the end of it is 0. */
export function readNvValue(parameter: NvParameter, data: Uint8Array): NvValue {
  const { offset, width, count } = parameter
  const at = (index: number): number => {
    const from = offset + index * width
    return from + width > data.length * 8 ? 0 : readUint(data, from, width)
  }
  if (count === undefined) return at(0)
  const elements = Array.from({ length: count }, (_, index) => at(index))
  return isBytes(parameter) ? Uint8Array.from(elements) : elements
}

/** @param index of an element, where only one is written */
export function writeNvValue(parameter: NvParameter, data: Uint8Array, value: NvValue, index = 0): void {
  const { offset, width } = parameter
  const values = typeof value === 'number' ? [value] : [...value]
  for (const [step, one] of values.entries()) writeUint(data, offset + (index + step) * width, width, one)
}

export function sameNvValue(a: NvValue, b: NvValue): boolean {
  return String(a) === String(b)
}

/** As mstconfig shows it: ETH(2), True(1), 0x1A(26), Array[0..7], 16 (facts: mstconfig, C.3 and C.5). */
export function nvValueText(parameter: NvParameter, value: NvValue): string {
  if (typeof value === 'number') return numberText(parameter, value)
  if (value instanceof Uint8Array && value.length <= LONGEST_BYTES && parameter.type === 'BYTES')
    return Buffer.from(value).toString('hex').toUpperCase()
  return `Array[0..${value.length - 1}]`
}

/** One element of an array. */
export function nvElementText(parameter: NvParameter, value: number): string {
  return numberText(parameter, value)
}

/** The name of a value, without its number; undefined where it has none. */
export function nvValueName({ type, values }: NvParameter, value: number): string | undefined {
  if (type === 'BOOL') return value === 0 ? 'False' : 'True'
  return Object.entries(values ?? {}).find(([, known]) => known === value)?.[0]
}

function numberText(parameter: NvParameter, value: number): string {
  if (value === NOT_AVAILABLE && parameter.width === 32) return 'N/A'
  if (parameter.type === 'BINARY') return `0x${value.toString(16).toUpperCase()}(${value})`
  const name = nvValueName(parameter, value)
  return name === undefined || name === String(value) ? String(value) : `${name}(${value})`
}

/**
 * A value as people type it: a name of an ENUM, True or False, a number (decimal, 0x, octal with a leading 0), NAME(number) as it is
 * shown, hex digits for BINARY and BYTES.
 * @throws ValueError
 */
export function parseNvValue(parameter: NvParameter, title: string, text: string): NvValue {
  if (isBytes(parameter)) return parseBytes(parameter, title, text)
  const plain = asShown(parameter, text) ?? text
  const named = namedValue(parameter, plain)
  const number = named ?? (parameter.type === 'BINARY' && plain === text ? parseBinary(plain) : parseInteger(plain))
  if (number === undefined) throw new ValueError(title, `${text} is no value of it${choices(parameter)}`)
  const most = 2 ** parameter.width - 1
  if (number > most) throw new ValueError(title, `${text} does not fit: 0 to ${most}`)
  if (number === NOT_AVAILABLE && parameter.width === 32)
    throw new ValueError(title, '0xffffffff stands for no value, and cannot be set')
  const { values, type } = parameter
  if (type === 'ENUM' && values !== undefined && !Object.values(values).includes(number))
    throw new ValueError(title, `${text} is no value of it${choices(parameter)}`)
  return number
}

/** The number of a value as it is shown: ETH(2). A name that is not that of the number is no value. */
function asShown(parameter: NvParameter, text: string): string | undefined {
  const [, number] = /^.+\((\d+)\)$/.exec(text) ?? []
  const isSame = number !== undefined && nvValueText(parameter, Number(number)).toLowerCase() === text.toLowerCase()
  return isSame ? number : undefined
}

function namedValue({ type, values }: NvParameter, text: string): number | undefined {
  const wanted = text.toLowerCase()
  if (type === 'BOOL') return wanted === 'true' ? 1 : wanted === 'false' ? 0 : undefined
  return Object.entries(values ?? {}).find(([name]) => name.toLowerCase() === wanted)?.[1]
}

function choices({ type, values }: NvParameter): string {
  if (type === 'BOOL') return ': True or False'
  return values === undefined ? '' : `: ${Object.keys(values).join(', ')}`
}

function parseInteger(text: string): number | undefined {
  if (/^0x[0-9a-f]+$/i.test(text) || /^(?:0|[1-9]\d*)$/.test(text)) return Number(text)
  return /^0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined
}

function parseBinary(text: string): number | undefined {
  const digits = text.replace(/^0x/i, '').replace(/[:\- ]/g, '')
  return /^[0-9a-f]{1,8}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined
}

function parseBytes({ count = 0 }: NvParameter, title: string, text: string): Uint8Array {
  const digits = text.replace(/^0x/i, '').replace(/[:\- ]/g, '')
  if (!/^(?:[0-9a-f]{8})+$/i.test(digits)) throw new ValueError(title, 'takes hex digits, whole dwords of 8')
  if (digits.length / 2 > count) throw new ValueError(title, `has ${count} bytes, not ${digits.length / 2}`)
  return Uint8Array.from(Buffer.from(digits, 'hex'))
}
