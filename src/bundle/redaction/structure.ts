import type { RedactedKind } from '../manifest'

/** A secret where its place tells that it is one, whatever its value looks like. */
export interface Placed {
  readonly kind: RedactedKind
  /** Members of the object that hold it: two, where it is split. */
  readonly keys: readonly string[]
  /** Hex digits of a MAC or GUID; the text of a serial number or host name. */
  readonly value: string
}

type Members = Readonly<Record<string, unknown>>

/** How firmware splits a value over two fields, and the bits of the second one. */
const splits: readonly (readonly [high: RegExp, low: string, bits: number])[] = [
  [/^(.*)_47_32$/, '_31_0', 32],
  [/^(.*)_47_16$/, '_15_0', 16],
  [/^(.*)_(?:hi|high|h)$/, '_lo', 32],
  [/^(.*)_(?:hi|high|h)$/, '_low', 32],
  [/^(.*)_(?:hi|high|h)$/, '_l', 32],
]

const macKey = /(?:^|[_/])(?:[a-z]*mac|mac_addr\w*|mac_address|permanent_address|perm_addr|address|V4)$|mac_addr/
const guidKey = /guid|(?:^|[_/.])gid|uuid|phys_switch_id|function[._]uid|^UUID$/
const serialKey = /serial(?:_?(?:number|no))?$|(?:^|[._])(?:vendor_)?sn$|^(?:SN|VU|V3|YA)$|vuid$/
const hostKey = /(?:^|\/)(?:host|nodename|hostname|node_desc|node_description)$/
/** Names that hold counters of the MAC layer, not addresses. */
const counterKey = /error|frames|pause/

/** What the members of an object hold, by their names. */
export function placedSecrets(members: Members): Placed[] {
  const found = [...splitSecrets(members)]
  const taken = new Set(found.flatMap(({ keys }) => keys))
  // Counters are a list of such pairs.
  const named =
    typeof members.name === 'string' && 'value' in members ? placedAt(members.name, members.value) : undefined
  if (named !== undefined) found.push({ ...named, keys: ['value'] })
  for (const [key, value] of Object.entries(members)) {
    if (taken.has(key)) continue
    const placed = placedAt(key, value)
    if (placed !== undefined) found.push({ ...placed, keys: [key] })
  }
  return found
}

function* splitSecrets(members: Members): Generator<Placed> {
  for (const [key, high] of Object.entries(members))
    for (const [pattern, ending, bits] of splits) {
      const base = pattern.exec(key)?.[1]
      if (base === undefined || typeof high !== 'number') continue
      const low = members[`${base}${ending}`]
      const kind = counterKey.test(base)
        ? undefined
        : /mac$|mac_addr/.test(base)
          ? 'mac'
          : /guid|gid/.test(base)
            ? 'guid'
            : undefined
      if (kind === undefined || typeof low !== 'number') continue
      const digits = kind === 'mac' ? 12 : 16
      const value = ((BigInt(high) << BigInt(bits)) | BigInt(low)).toString(16).padStart(digits, '0')
      if (isPlausible(kind, value)) yield { kind, keys: [key, `${base}${ending}`], value }
    }
}

function placedAt(key: string, value: unknown): Omit<Placed, 'keys'> | undefined {
  if (guidKey.test(key)) return numeric('guid', value)
  if (macKey.test(key)) return numeric('mac', value)
  if (serialKey.test(key)) return written('serial', value)
  return hostKey.test(key) ? written('hostname', value) : undefined
}

function numeric(kind: 'mac' | 'guid', value: unknown): Omit<Placed, 'keys'> | undefined {
  const digits = digitsOf(kind, value)
  return digits !== undefined && isPlausible(kind, digits) ? { kind, value: digits } : undefined
}

/** Hex digits of an address, as JSON has it: text with or without separators, a decimal string, dwords or bytes. */
function digitsOf(kind: 'mac' | 'guid', value: unknown): string | undefined {
  const size = kind === 'mac' ? 12 : 16
  if (typeof value === 'string') {
    const plain = value.replace(/^0x/i, '').replace(/[:.\- ]/g, '')
    // A decimal string is a number of 33 to 64 bits; as many hex digits as an address has are one.
    if (/^\d{10,20}$/.test(value) && value.length !== size) return BigInt(value).toString(16).padStart(size, '0')
    return /^[0-9a-f]+$/i.test(plain) && (plain.length === size || (kind === 'guid' && plain.length === 32))
      ? plain.toLowerCase()
      : undefined
  }
  const bytes = bytesOf(value)
  if (bytes === undefined || bytes.length * 2 < size) return undefined
  const all = Buffer.from(bytes).toString('hex')
  const head = all.slice(0, all.length - size)
  return /^0*$/.test(head) ? all.slice(-size) : all
}

function written(kind: 'serial' | 'hostname', value: unknown): Omit<Placed, 'keys'> | undefined {
  if (typeof value === 'number') return kind === 'serial' && value > 0xffff ? { kind, value: String(value) } : undefined
  const bytes = bytesOf(value)
  const text = typeof value === 'string' ? value : bytes === undefined ? '' : Buffer.from(bytes).toString('latin1')
  const trimmed = text.replace(/\0.*$/s, '').trim()
  const isText = /^[ -~]+$/.test(trimmed) && !/^(?:N\/A|none|null|localhost|0+)$/i.test(trimmed)
  return isText ? { kind, value: trimmed } : undefined
}

/** Bytes of an array of dwords or of bytes, big-endian. */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (!Array.isArray(value) || value.length < 2) return undefined
  const numbers = value as readonly unknown[]
  if (!numbers.every((one): one is number => typeof one === 'number' && Number.isInteger(one) && one >= 0))
    return undefined
  const most = Math.max(...numbers)
  if (most <= 0xff && numbers.length > 4) return Uint8Array.from(numbers)
  return most <= 0xffffffff ? Buffer.from(Uint32Array.from(numbers).buffer).swap32() : undefined
}

/**
 * The bytes of an array of numbers in every way in which it may hold some: bytes, words or dwords, either byte order.
 * `size` is that of an element.
 */
export function imagesOf(values: readonly unknown[]): { readonly bytes: Buffer; readonly size: number }[] {
  if (values.length < 2) return []
  const numbers = values.filter(
    (one): one is number => typeof one === 'number' && Number.isInteger(one) && one >= 0 && one <= 0xffffffff,
  )
  if (numbers.length < values.length) return []
  const most = Math.max(...numbers)
  const dwords = Buffer.from(Uint32Array.from(numbers).buffer)
  const images = [
    { bytes: dwords, size: 4 },
    { bytes: Buffer.from(dwords).swap32(), size: 4 },
  ]
  if (most <= 0xffff) {
    const words = Buffer.from(Uint16Array.from(numbers).buffer)
    images.push({ bytes: words, size: 2 }, { bytes: Buffer.from(words).swap16(), size: 2 })
  }
  if (most <= 0xff) images.push({ bytes: Buffer.from(numbers), size: 1 })
  return images
}

/** No address is all zeros or all ones, or has no vendor; that of a group is nobody's. */
export function isPlausible(kind: RedactedKind, digits: string): boolean {
  if (/^0*$/.test(digits) || /^f*$/i.test(digits)) return false
  if (kind !== 'mac') return true
  return !digits.startsWith('000000') && (Number.parseInt(digits.slice(0, 2), 16) & 1) === 0
}
