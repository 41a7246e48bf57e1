/**
 * The CRC16 of images (facts: firmware manager, C.7): polynomial 0x100b, from 0xffff, most significant bit first, 16 zero bits
 * behind the data, inverted at the end.
 */
const POLYNOMIAL = 0x100b

/** What a byte does to the register, with 0, 1, 2 or 3 bytes behind it: four bytes are taken at once. */
const [last, third, second, first] = [8, 16, 24, 32].map((bits) =>
  Uint16Array.from({ length: 256 }, (_, byte) => advance(byte << 8, bits)),
) as [Uint16Array, Uint16Array, Uint16Array, Uint16Array]

/** The bits of the data enter 16 steps late in this definition; a table lets them enter at once, from what 0xffff is by then. */
const START = advance(0xffff, 16)

function advance(register: number, bits: number): number {
  let crc = register
  for (let bit = 0; bit < bits; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : POLYNOMIAL)) & 0xffff
  return crc
}

/** Of the bytes from a start to, but without, an end; both lie in the bytes. */
export function imageCrc(bytes: Uint8Array, start: number, end: number): number {
  const byte = (index: number): number => bytes[index] ?? 0
  const bulk = start + ((end - start) & ~3)
  let crc = START
  let at = start
  for (; at < bulk; at += 4) {
    const high = (crc >>> 8) ^ byte(at)
    const low = (crc & 0xff) ^ byte(at + 1)
    crc = of(first, high) ^ of(second, low) ^ of(third, byte(at + 2)) ^ of(last, byte(at + 3))
  }
  for (; at < end; at++) crc = ((crc << 8) & 0xffff) ^ of(last, (crc >>> 8) ^ byte(at))
  return crc ^ 0xffff
}

const of = (table: Uint16Array, index: number): number => table[index] ?? 0

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
