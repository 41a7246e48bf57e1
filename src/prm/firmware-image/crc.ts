/**
 * The CRC16 of images (facts: firmware manager, C.7): polynomial 0x100b, from 0xffff, most significant bit first, 16 zero bits
 * behind the data, inverted at the end.
 */
const POLYNOMIAL = 0x100b

const table = Uint16Array.from({ length: 256 }, (_, byte) => advance(byte << 8, 8))

/** The bits of the data enter 16 steps late in this definition; a table lets them enter at once, from what 0xffff is by then. */
const START = advance(0xffff, 16)

function advance(register: number, bits: number): number {
  let crc = register
  for (let bit = 0; bit < bits; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : POLYNOMIAL)) & 0xffff
  return crc
}

/** Of the bytes from a start to, but without, an end. */
export function imageCrc(bytes: Uint8Array, start: number, end: number): number {
  let crc = START
  for (let at = start; at < end; at++) crc = ((crc << 8) & 0xffff) ^ (table[(crc >>> 8) ^ (bytes[at] ?? 0)] ?? 0)
  return crc ^ 0xffff
}

/** The polynomial with its bits in the other order. */
const REFLECTED_POLYNOMIAL = 0xd008
/** A pointer and half of what follows it. */
const POINTER_BYTES = 6

const reflected = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : REFLECTED_POLYNOMIAL)
  return crc
})

/**
 * The CRC that the boot hardware checks pointers with: over the pointer and the two bytes behind it, least significant bit
 * first, the first two bytes inverted; the two bytes of the result are swapped.
 */
export function pointerCrc(bytes: Uint8Array, start: number): number {
  let crc = 0xffff
  for (let index = 0; index < POINTER_BYTES; index++) {
    const byte = (bytes[start + index] ?? 0) ^ (index < 2 ? 0xff : 0)
    crc = (crc >>> 8) ^ (reflected[(crc ^ byte) & 0xff] ?? 0)
  }
  return ((crc << 8) & 0xff00) | (crc >>> 8)
}
