import type { Codec, FieldRange } from '../../prm/codec'

/** What a value is measured in. Absent where no source says it. */
export type Unit =
  | 'bytes'
  | 'dwords'
  | 'bits'
  | 'packets'
  | 'seconds'
  | 'milliseconds'
  | 'microseconds'
  | 'celsius'
  | 'volts'
  | 'watts'
  | 'dbm'
  | 'amperes'
  | 'metres'
  | 'ratio'
  | 'percent'
  | 'bits_per_second'

/** A counter only grows, until it wraps or is cleared; a gauge is how things are now; an info is a text. */
export type ValueType = 'counter' | 'gauge' | 'info'

export interface CounterValue {
  /** As the layout calls it; of a pair _high and _low, and of a pair _coef and _magnitude, what is common to both. */
  readonly name: string
  /** 64 bits are a bigint, as everywhere. A gauge that is scaled into its unit may have a fraction. */
  readonly value: number | bigint | string
  readonly type: ValueType
  readonly unit: Unit | null
  /** Bits of a counter, after which it wraps. */
  readonly width: number
}

/** A field without the names of what is around it. */
export interface Leaf extends Pick<FieldRange, 'width' | 'value'> {
  readonly name: string
  /** What its enumeration calls the value, or the number where that has no name for it; absent where it has no enumeration. */
  readonly word?: string
}

/**
 * The fields of an answer below a path, without reserved ones and those that only say what was asked for.
 * @param below 'counter_set': the member of the union that the answer selects
 */
export function leavesOf(codec: Codec, layout: string, bytes: Uint8Array, below?: string): Leaf[] {
  const asked = (access: FieldRange['access']): boolean => access === 'INDEX' || access === 'OP' || access === 'WO'
  return codec
    .ranges(layout, bytes)
    .filter(({ reserved, path, access }) =>
      below === undefined ? !reserved && !asked(access) : !reserved && path.startsWith(`${below}.`),
    )
    .map((range) => ({
      name: below === undefined ? range.path : withoutUnion(range.path),
      width: range.width,
      value: range.value,
      ...(range.enum === undefined ? {} : { word: range.enumName ?? bitsInWords(codec, range.enum, range.value) }),
    }))
}

/** Of a value that is several bits the names of all, where each has one; else the number. */
function bitsInWords(codec: Codec, enumeration: string, value: FieldRange['value']): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  const bits = [...Array(64).keys()].filter((bit) => ((BigInt(value) >> BigInt(bit)) & 1n) === 1n)
  const names = bits.map((bit) => codec.enumName(enumeration, bit < 32 ? 2 ** bit : 1n << BigInt(bit)))
  return names.length > 1 && names.every((name) => name !== undefined) ? names.join('|') : String(value)
}

/** counter_set.eth_2863_cntrs_grp_data_layout_ext.if_in_octets_high -> if_in_octets_high */
const withoutUnion = (path: string): string => path.slice(path.indexOf('.', path.indexOf('.') + 1) + 1)

/** What a field is, where it is not what its group is as a rule. */
export interface FieldRule {
  readonly type?: ValueType
  readonly unit?: Unit
  /** The value is multiplied by it, and no longer an integer. */
  readonly scale?: number
  /** Two's complement. */
  readonly signed?: boolean
}

export type FieldRules = (name: string) => FieldRule | undefined

/** Fields of a group, in the order of its layout, as values: pairs are joined. */
export function valuesOf(
  leaves: readonly Leaf[],
  usual: ValueType,
  rules: FieldRules = () => undefined,
): CounterValue[] {
  const byName = new Map(leaves.map((leaf) => [leaf.name, leaf]))
  return leaves.flatMap(
    (leaf) => wideValue(leaf, byName, usual, rules) ?? errorRate(leaf, byName) ?? plain(leaf, usual, rules),
  )
}

/** NAME_high and NAME_low are one counter of 64 bits. */
function wideValue(
  { name, value, width }: Leaf,
  among: ReadonlyMap<string, Leaf>,
  usual: ValueType,
  rules: FieldRules,
): CounterValue[] | undefined {
  if (width !== 32) return undefined
  const isHigh = name.endsWith('_high')
  if (!isHigh && !name.endsWith('_low')) return undefined
  const stem = name.slice(0, name.lastIndexOf('_'))
  const low = among.get(`${stem}_low`)
  if (low === undefined || !among.has(`${stem}_high`)) return undefined
  if (!isHigh) return []
  return [valued(stem, (BigInt(Number(value)) << 32n) | BigInt(Number(low.value)), 64, usual, rules)]
}

/** coef * 10^-magnitude (facts: the register file of mstflint); of some the coefficient has a decimal digit of its own. */
function errorRate({ name }: Leaf, among: ReadonlyMap<string, Leaf>): CounterValue[] | undefined {
  if (!name.includes('ber_')) return undefined
  const [, stem, part, lane = ''] = /^(.*)_(coef|magnitude|coef_float)(_lane\d+)?$/.exec(name) ?? []
  if (stem === undefined) return undefined
  const coefficient = among.get(`${stem}_coef${lane}`)
  const magnitude = among.get(`${stem}_magnitude${lane}`)
  const fraction = among.get(`${stem}_coef_float${lane}`)
  if (coefficient === undefined || magnitude === undefined) return undefined
  if (part !== 'magnitude') return []
  const digits = fraction === undefined ? '' : `.${Number(fraction.value)}`
  const value = Number(`${Number(coefficient.value)}${digits}e-${Number(magnitude.value)}`)
  return [{ name: `${stem}${lane}`, value, type: 'gauge', unit: 'ratio', width: 0 }]
}

function plain({ name, value, width, word }: Leaf, usual: ValueType, rules: FieldRules): CounterValue[] {
  if (word !== undefined) return [info(name, word)]
  if (value instanceof Uint8Array) return [info(name, Buffer.from(value).toString('hex'))]
  return [valued(name, value, width, usual, rules)]
}

function valued(name: string, raw: number | bigint, width: number, usual: ValueType, rules: FieldRules): CounterValue {
  const { type = usual, unit = unitOf(name), scale, signed = false } = rules(name) ?? {}
  const number = signed ? Number(BigInt.asIntN(width, BigInt(raw))) : raw
  const value = scale === undefined ? number : scaled(Number(number), scale)
  return { name, value, type, unit: unit ?? null, width }
}

/** Scales are 0.125, 1/256 or powers of ten: what is not exact in binary is rounded to what was meant. */
const scaled = (value: number, scale: number): number => Number((value * scale).toPrecision(12))

/** What the names of the layouts say by themselves: octets, and frames or packets. */
export function unitOf(name: string): Unit | null {
  const words = name.split(/[_.]/)
  if (words.includes('octets')) return 'bytes'
  return words.some((word) => /^(?:pkts?|frames|packets)(?:\d|$)/.test(word)) ? 'packets' : null
}

export const info = (name: string, value: string): CounterValue => ({ name, value, type: 'info', unit: null, width: 0 })

export const gauge = (name: string, value: number | bigint, unit: Unit | null = null): CounterValue => ({
  name,
  value,
  type: 'gauge',
  unit,
  width: 0,
})

/** Text in dwords, from the first byte on: to the first NUL, without the spaces it is padded with, printable. */
export function textOf(dwords: readonly Leaf[]): string {
  const bytes = Buffer.alloc(dwords.length * 4)
  for (const [index, { value }] of dwords.entries()) bytes.writeUInt32BE(Number(value) >>> 0, index * 4)
  return bytes
    .toString('latin1')
    .replace(/^\0+/, '')
    .replace(/\0.*$/s, '')
    .replace(/[^ -~]/g, '.')
    .trim()
}

/** The elements of an array of dwords: vendor_name[0], vendor_name[1], ... */
export const elementsOf = (leaves: readonly Leaf[], name: string): Leaf[] =>
  leaves.filter((leaf) => leaf.name === name || leaf.name.startsWith(`${name}[`))
