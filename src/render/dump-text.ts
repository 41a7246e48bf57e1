/**
 * Text of dumps, by the megabyte: bytes go straight to bytes, without strings between. What is returned is valid until the next
 * call: the memory is used again.
 */

const DIGITS = Buffer.from('0123456789abcdef')
/** The two digits of each byte. */
const HIGH = Uint8Array.from({ length: 256 }, (_, byte) => DIGITS[byte >>> 4] ?? 0)
const LOW = Uint8Array.from({ length: 256 }, (_, byte) => DIGITS[byte & 15] ?? 0)
const SPACE = 0x20
const NEWLINE = 0x0a

let scratch = Buffer.alloc(0)

function scratchOf(length: number): Buffer {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length)
  return scratch.subarray(0, length)
}

const PAIR = 8
const PAIR_LINE = '0x00000000 0x00000000\n'.length

/** "0x%08x 0x%08x", address and value, one line for each pair of big-endian dwords; what is left of a pair is left out. */
export function pairLines(pairs: Uint8Array): Uint8Array {
  const count = Math.floor(pairs.length / PAIR)
  const text = scratchOf(count * PAIR_LINE)
  for (let pair = 0, from = 0, to = 0; pair < count; pair++) {
    for (let half = 0; half < 2; half++) {
      text[to++] = 0x30
      text[to++] = 0x78
      for (let end = from + 4; from < end; from++) {
        const byte = pairs[from] ?? 0
        text[to++] = HIGH[byte] ?? 0
        text[to++] = LOW[byte] ?? 0
      }
      text[to++] = half === 0 ? SPACE : NEWLINE
    }
  }
  return text
}

const ROW = 16
const ROW_HEAD = '0x00000000  '.length

/** "0x00000010  00 00 00 04 ...": 16 bytes a line, each line with its offset, the first of which is `offset`. */
export function hexRows(bytes: Uint8Array, offset = 0): Uint8Array {
  const rows = Math.ceil(bytes.length / ROW)
  const text = scratchOf(rows * ROW_HEAD + bytes.length * 3).fill(SPACE)
  for (let from = 0, to = 0; from < bytes.length;) {
    text[to] = 0x30
    text[to + 1] = 0x78
    const place = offset + from
    for (let digit = 9, rest = place; digit > 1; digit--, rest >>>= 4) text[to + digit] = LOW[rest & 15] ?? 0
    to += ROW_HEAD
    for (const end = Math.min(bytes.length, from + ROW); from < end; from++, to += 3) {
      const byte = bytes[from] ?? 0
      text[to] = HIGH[byte] ?? 0
      text[to + 1] = LOW[byte] ?? 0
    }
    text[to - 1] = NEWLINE
  }
  return text
}
