/** A string of the firmware, understood as a format: how many parameters it takes, and its text with them. */
export interface TraceFormat {
  /** 32-bit parameters: 0 to 7; a %llx takes two. */
  readonly parameters: number
  /** @param values as many unsigned 32-bit numbers */
  render(values: readonly number[]): string
}

/** Parameter events of one message are counted in 3 bits. */
export const MOST_PARAMETERS = 7
/** Characters of a message: the kernel's decoder has room for so many. */
export const LONGEST_MESSAGE = 511

interface Piece {
  readonly parameters: number
  readonly text: (values: readonly number[], at: number) => string
}

/** Flags, width, precision and length in the order in which printf takes them; nothing else is a conversion. */
const conversion = /%(?:(%)|([#0]*)(\d*)(?:\.(\d*))?(l{0,2})([xXdiuc]))/y

/**
 * Understands the forms that the kernel's decoder takes (facts: dumps, D.4): x X d i u c with the flags # and 0, a width, a
 * precision and l or ll, and %%. They mean what they mean to the kernel's own printf on a 64-bit host.
 * @returns undefined for any other form, and for more parameters than a message has: such a string is shown as it is
 */
export function compileFormat(text: string): TraceFormat | undefined {
  const pieces: Piece[] = []
  let literal = ''
  let parameters = 0
  for (let at = 0; at < text.length;) {
    const percent = text.indexOf('%', at)
    literal += text.slice(at, percent < 0 ? text.length : percent)
    if (percent < 0) break
    conversion.lastIndex = percent
    const match = conversion.exec(text)
    if (match === null) return undefined
    at = conversion.lastIndex
    if (match[1] !== undefined) {
      literal += '%'
      continue
    }
    if (literal !== '') pieces.push(constant(literal))
    literal = ''
    const piece = match[0] === '%llx' ? both : single(match)
    parameters += piece.parameters
    if (parameters > MOST_PARAMETERS) return undefined
    pieces.push(piece)
  }
  if (literal !== '') pieces.push(constant(literal))
  return { parameters, render: renderer(pieces) }
}

function renderer(pieces: readonly Piece[]): TraceFormat['render'] {
  return (values) => {
    let text = ''
    let at = 0
    for (const piece of pieces) {
      text += piece.text(values, at)
      at += piece.parameters
    }
    return text.length > LONGEST_MESSAGE ? text.slice(0, LONGEST_MESSAGE) : text
  }
}

const constant = (text: string): Piece => ({ parameters: 0, text: () => text })

/**
 * A 64-bit number in two parameters, the high half first. The kernel prints both halves with %x, one after the other; that is a
 * number only as long as the low half has all of its digits, which it is given here.
 */
const both: Piece = {
  parameters: 2,
  text: (values, at) => {
    const high = values[at] ?? 0
    const low = (values[at + 1] ?? 0).toString(16)
    return high === 0 ? `0${low}` : high.toString(16) + low.padStart(8, '0')
  },
}

function single([, , flags = '', width = '', precision, long = '', letter = '']: RegExpExecArray): Piece {
  const digits = digitsOf(letter, long !== '')
  const isPlain = flags === '' && width === '' && precision === undefined
  if (letter === 'c') return piece(padded(width, (value) => printable(String.fromCharCode(value & 0xff))))
  if (isPlain) return piece(digits)
  const prefix = flags.includes('#') && /x/i.test(letter) ? `0${letter}` : ''
  const least = bounded(precision ?? '')
  const room = bounded(width)
  const filler = flags.includes('0') ? '0' : ' '
  return piece((value) => {
    const all = digits(value)
    const sign = all.startsWith('-') ? '-' : prefix
    const number = (sign === '-' ? all.slice(1) : all).padStart(least, '0')
    const missing = Math.max(0, room - sign.length - number.length)
    return filler === '0' ? sign + '0'.repeat(missing) + number : ' '.repeat(missing) + sign + number
  })
}

const piece = (text: (value: number) => string): Piece => ({
  parameters: 1,
  text: (values, at) => text(values[at] ?? 0),
})

function padded(width: string, text: (value: number) => string): (value: number) => string {
  const room = bounded(width)
  return (value) => text(value).padStart(room)
}

/** A parameter is an unsigned 32-bit number; where a long is asked for, it stays one: a long has 64 bits. */
function digitsOf(letter: string, long: boolean): (value: number) => string {
  if (letter === 'x') return (value) => value.toString(16)
  if (letter === 'X') return (value) => value.toString(16).toUpperCase()
  return letter === 'u' || long ? (value) => String(value) : (value) => String(value | 0)
}

/** No width is wider than a message is long. */
const bounded = (digits: string): number => Math.min(Number(digits), LONGEST_MESSAGE)

/** One line of text, whatever firmware has in it: what is neither printable nor a tab is a dot. */
export function printable(text: string): string {
  return /[^\t\x20-\x7e]/.test(text) ? text.replace(/[^\t\x20-\x7e]/g, '.') : text
}
