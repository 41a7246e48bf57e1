import type { Codec, Struct, Value } from '../../prm/codec'
import type { Layout } from '../../prm/layout'
import type { Values } from '../profile'

/** Encodes a profile's values by field names. */
export function encodeValues(codec: Codec, layout: string, values: Values): Uint8Array {
  const bytes = new Uint8Array(codec.sizeBytes(layout))
  applyValues(codec, layout, bytes, values)
  return bytes
}

/** Sets the given fields and no others. Texts in arrays of bytes or dwords are NUL padded. */
export function applyValues(codec: Codec, layout: string | Layout, bytes: Uint8Array, values: Values, path = ''): void {
  for (const [name, value] of Object.entries(values)) {
    const where = path === '' ? name : `${path}.${name}`
    if (Array.isArray(value))
      value.forEach((one: unknown, index) => put(codec, layout, bytes, `${where}[${index}]`, one))
    else put(codec, layout, bytes, where, value)
  }
}

function put(codec: Codec, layout: string | Layout, bytes: Uint8Array, path: string, value: unknown): void {
  if (typeof value === 'object' && value !== null) return applyValues(codec, layout, bytes, value as Values, path)
  const ref = codec.resolve(layout, path)
  if (typeof value === 'string' && ref.whole && typeof ref.member.count === 'number') {
    // Elements are bytes or dwords, big-endian; the text goes through them in the order of the wire.
    const { count, width } = ref.member
    const text = Buffer.alloc((count * width) / 8)
    text.write(value, 'latin1')
    for (let index = 0; index < count; index++)
      codec.set(layout, bytes, `${ref.path}[${index}]`, text.readUIntBE((index * width) / 8, width / 8))
  } else if (typeof value === 'string' && ref.width > 64 && !/^0x/.test(value)) {
    const text = new Uint8Array(Math.ceil(ref.width / 8))
    text.set(Buffer.from(value, 'latin1').subarray(0, text.length))
    codec.set(layout, bytes, path, text)
  } else codec.set(layout, bytes, path, codec.parse(ref, String(value)))
}

/** A member of decoded values that is a number, 0 when it is absent. */
export function numberOf(values: Struct, name: string): number {
  const value: Value | undefined = values[name]
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0
}
