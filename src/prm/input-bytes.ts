import { MalformedData } from './errors'

export interface InputBytes {
  readonly bytes: Uint8Array
  /** What the input was taken for. */
  readonly format: 'raw' | 'hex' | 'hexdump' | 'kernel' | 'dwords' | 'mstreg'
}

/** Longest input taken, in bytes of text or data. */
const MAX_INPUT = 256 * 1024 * 1024

/**
 * Bytes out of what people have at hand: raw binary, plain hex digits, hexdump -C, xxd, od -tx1, the hex dumps of other
 * tools, the kernel's dump lines, and lists of 32-bit values as 0x%08x. Told apart by looks.
 * @throws MalformedData with the line that does not fit the lines before it
 */
export function parseBytes(input: Uint8Array): InputBytes {
  if (input.length > MAX_INPUT) throw new MalformedData('input', `is longer than ${MAX_INPUT} bytes`)
  if (!isText(input)) return { bytes: input, format: 'raw' }
  const lines = Buffer.from(input).toString('latin1').split(/\r?\n/)
  const numbered = lines
    .map((text, index) => ({ text: text.trim(), line: index + 1 }))
    .filter(({ text }) => text !== '')
  const [first] = numbered
  if (first === undefined) return { bytes: new Uint8Array(0), format: 'hex' }
  const reader = readers.find((one) => isOf(one, numbered)) ?? plainHex
  return { bytes: collect(numbered, reader), format: reader.format }
}

interface Line {
  readonly text: string
  readonly line: number
}

interface LineReader {
  readonly format: InputBytes['format']
  readonly looks: RegExp
  /** Lines without data that may stand around. */
  readonly around?: RegExp
  /** The hex digits of a line in the order of the bytes, and the byte offset it claims; undefined when it does not fit. */
  read(text: string): { readonly digits: string; readonly offset?: number } | undefined
}

/** "[ 12.3] mlx5_core ...: dump_command:900: 00000010: 01020304 ..." and "cmd[0]: start dump" lines around it. */
const kernel: LineReader = {
  format: 'kernel',
  looks: /(?:^|[:\s])[0-9a-f]{3,8}: (?:[0-9a-f]{8}(?: |$)){1,4}/i,
  around: /mlx5|dump|cmd\[/i,
  read: (text) => {
    const match = /(?:^|[:\s])([0-9a-f]{3,8}): ((?:[0-9a-f]{8} ?){1,4})(?:\s{2,}.*)?$/i.exec(text)
    return match === null ? undefined : { digits: strip(match[2] ?? ''), offset: Number.parseInt(match[1] ?? '', 16) }
  },
}

/** What mstreg and `reg get` print of a register without a layout: "0x00000004 | 0x00022000". */
const addressed: LineReader = {
  format: 'mstreg',
  looks: /^0x[0-9a-f]{8}\s*\|\s*0x[0-9a-f]{8}$/i,
  around: /access register|^Address\s*\||^=+$|do you want to continue/i,
  read: (text) => {
    const [, offset = '', digits] = /^0x([0-9a-f]{8})\s*\|\s*0x([0-9a-f]{8})$/i.exec(text) ?? []
    return digits === undefined ? undefined : { digits, offset: Number.parseInt(offset, 16) }
  },
}

/** hexdump -C, xxd, od -Ax -tx1 and the like: an offset, bytes, and sometimes text behind them. */
const dump: LineReader = {
  format: 'hexdump',
  looks: /^(?:0x)?[0-9a-f]{4,16}:?\s+(?:[0-9a-f]{2}\s?){1,2}(?:\s|$)/i,
  read: (text) => {
    if (text === '*') return undefined
    const match = /^(?:0x)?([0-9a-f]{4,16}):?(?:\s+(.*))?$/i.exec(text)
    if (match === null) return undefined
    const body = /^((?:[0-9a-f]{2}|[0-9a-f]{4})(?:[ ]{1,2}(?:[0-9a-f]{2}|[0-9a-f]{4}))*)(?:\s{2,}.*|\s*\|.*)?$/i.exec(
      match[2] ?? '',
    )
    const offset = Number.parseInt(match[1] ?? '', 16)
    if (match[2] === undefined) return { digits: '', offset }
    return body === null ? undefined : { digits: strip(body[1] ?? ''), offset }
  },
}

/** 0x%08x values, one or several a line; each is a big-endian dword. */
const dwords: LineReader = {
  format: 'dwords',
  looks: /^0x[0-9a-f]{8}(?:[\s,]+0x[0-9a-f]{8})*,?$/i,
  read: (text) => (dwords.looks.test(text) ? { digits: strip(text.replace(/0x/gi, '')) } : undefined),
}

/** Bytes in hex, with or without blanks, commas or 0x before each. */
const plainHex: LineReader = {
  format: 'hex',
  looks: /^/,
  read: (text) => {
    const parts = text.split(/[\s,:]+/).filter((part) => part !== '')
    const digits = parts.map((part) => part.replace(/^0x/i, ''))
    const single = parts.every((part) => /^0x[0-9a-f]$/i.test(part))
    if (single) return { digits: digits.map((digit) => `0${digit}`).join('') }
    return digits.every((part) => /^(?:[0-9a-f]{2})+$/i.test(part)) ? { digits: digits.join('') } : undefined
  },
}

const readers: readonly LineReader[] = [dwords, kernel, addressed, dump]

/** By its first line with data. */
function isOf({ looks, around }: LineReader, lines: readonly Line[]): boolean {
  const first = lines.find(({ text }) => looks.test(text) || around?.test(text) !== true)
  return first !== undefined && looks.test(first.text)
}

function collect(lines: readonly Line[], reader: LineReader): Uint8Array {
  const digits: string[] = []
  let length = 0
  for (const { text, line } of lines) {
    const read = reader.read(text)
    if (read === undefined && reader.around?.test(text) === true) continue
    if (read === undefined)
      throw new MalformedData(`line ${line}`, `is no line of ${described[reader.format]}: ${text.slice(0, 60)}`)
    if (read.offset !== undefined && read.offset !== length)
      throw new MalformedData(
        `line ${line}`,
        `has offset 0x${read.offset.toString(16)}, 0x${length.toString(16)} was expected`,
      )
    digits.push(read.digits)
    length += read.digits.length / 2
  }
  return Uint8Array.from(Buffer.from(digits.join(''), 'hex'))
}

const described: Readonly<Record<InputBytes['format'], string>> = {
  raw: 'raw bytes',
  hex: 'hex digits',
  hexdump: 'a hex dump',
  kernel: 'a kernel dump',
  mstreg: 'a register by addresses',
  dwords: '32-bit values',
}

/** Text that could be hex: printable ASCII and white space throughout. */
function isText(input: Uint8Array): boolean {
  return input.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 0x20 && byte < 0x7f))
}

function strip(text: string): string {
  return text.replace(/[^0-9a-f]/gi, '')
}
