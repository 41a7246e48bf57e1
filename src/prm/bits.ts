/**
 * Reading and writing of bit ranges. Offsets and widths are in bits; bit 0 is the most significant bit of byte 0. The
 * caller has checked that the range lies inside the bytes.
 */

/** A range of up to 32 bits, at any offset, as an unsigned number. */
export function readUint(bytes: Uint8Array, offset: number, width: number): number {
  let index = offset >>> 3
  const last = (offset + width - 1) >>> 3
  // Up to 40 bits pass through here, so doubles, not 32-bit shifts.
  let value = at(bytes, index) & (0xff >>> (offset & 7))
  while (index < last) value = value * 256 + at(bytes, ++index)
  const below = 7 - ((offset + width - 1) & 7)
  return below === 0 ? value : Math.floor(value / (1 << below))
}

/** A range of any width as an unsigned integer. */
export function readBig(bytes: Uint8Array, offset: number, width: number): bigint {
  let value = 0n
  for (let done = 0; done < width;) {
    const step = Math.min(32, width - done)
    value = (value << BigInt(step)) | BigInt(readUint(bytes, offset + done, step))
    done += step
  }
  return value
}

/** A range of any width as a big-endian integer of ceil(width / 8) bytes, padded with zero bits on the left. */
export function readBytes(bytes: Uint8Array, offset: number, width: number): Uint8Array {
  const length = Math.ceil(width / 8)
  const result = new Uint8Array(length)
  let from = offset
  for (let index = 0; index < length; index++) {
    const step = index === 0 ? width - (length - 1) * 8 : 8
    result[index] = readUint(bytes, from, step)
    from += step
  }
  return result
}

/** Writes `width` (up to 32) bits and changes no other. The value fits. */
export function writeUint(bytes: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value
  let end = offset + width
  while (end > offset) {
    const index = (end - 1) >>> 3
    const shift = 7 - ((end - 1) & 7)
    const step = Math.min(8 - shift, end - offset)
    const mask = ((1 << step) - 1) << shift
    const part = step === 32 ? rest : rest % (1 << step)
    bytes[index] = (at(bytes, index) & ~mask) | (part << shift)
    rest = Math.floor(rest / (1 << step))
    end -= step
  }
}

/** Writes a range of any width; the value fits. */
export function writeBig(bytes: Uint8Array, offset: number, width: number, value: bigint): void {
  let rest = value
  for (let left = width; left > 0;) {
    const step = Math.min(32, left)
    left -= step
    writeUint(bytes, offset + left, step, Number(rest & 0xffffffffn))
    rest >>= 32n
  }
}

/** Writes a big-endian integer of ceil(width / 8) bytes, whose padding bits are zero. */
export function writeBytes(bytes: Uint8Array, offset: number, width: number, value: Uint8Array): void {
  let to = offset
  for (let index = 0; index < value.length; index++) {
    const step = index === 0 ? width - (value.length - 1) * 8 : 8
    writeUint(bytes, to, step, at(value, index))
    to += step
  }
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}
