/** A stretch of text that is a secret. */
export interface Hit {
  readonly start: number
  readonly end: number
  readonly token: string
}

interface Needle {
  readonly digits: string
  readonly token: string
  /** Text of few letters: it counts only where it is not part of a longer word. */
  readonly bounded: boolean
  /** Made of another value: one that has the digits itself comes first. */
  readonly derived: boolean
  /** Few digits: they count only where a byte begins. */
  readonly aligned: boolean
}

const PREFIX = 6
/** Between digits: a separator, or the space or comma of a list, whose elements may have a 0x each. */
const separator = /[:.-]|[ ,\t]{1,2}(?:0x)?/
/** Digits with or without separators between them. */
const runs = new RegExp(`[0-9a-f](?:(?:${separator.source})?[0-9a-f])+`, 'gi')
const separatorHere = new RegExp(separator.source, 'iy')

/** Finds hex digits in text, whatever separates them, in a time that does not grow with what is looked for. */
export class DigitFinder {
  private readonly byPrefix = new Map<string, Needle[]>()
  private shortest = Number.POSITIVE_INFINITY

  /** The first token that some digits are given stays theirs. */
  add(digits: string, token: string, { bounded = false, derived = false, aligned = false } = {}): void {
    const prefix = digits.slice(0, PREFIX)
    const there = this.byPrefix.get(prefix) ?? []
    const same = there.findIndex((needle) => needle.digits === digits)
    if (same >= 0 && (derived || there[same]?.derived !== true)) return
    if (same >= 0) there.splice(same, 1)
    there.push({ digits, token, bounded, derived, aligned })
    there.sort((a, b) => b.digits.length - a.digits.length)
    this.byPrefix.set(prefix, there)
    this.shortest = Math.min(this.shortest, digits.length)
  }

  *find(text: string): Generator<Hit> {
    if (this.byPrefix.size === 0) return
    for (const { 0: run, index } of text.matchAll(runs)) {
      if (run.length < this.shortest) continue
      const { digits, places } = digitsOf(run)
      for (const { from, needle } of this.hits(digits)) {
        const start = index + (places[from] ?? 0)
        const end = index + (places[from + needle.digits.length - 1] ?? 0) + 1
        const isPrefixed = /0x$/i.test(text.slice(Math.max(0, start - 2), start))
        yield { start: isPrefixed ? start - 2 : start, end, token: needle.token }
      }
    }
  }

  private *hits(digits: string): Generator<{ from: number; needle: Needle }> {
    for (let from = 0; from + this.shortest <= digits.length;) {
      const candidates = this.byPrefix.get(digits.slice(from, from + PREFIX))
      const at = from
      const needle = candidates?.find(
        (one) =>
          digits.startsWith(one.digits, at) &&
          (!one.aligned || at % 2 === 0) &&
          (!one.bounded || isWordAt(digits, at, one.digits.length)),
      )
      if (needle !== undefined) yield { from, needle }
      from += needle?.digits.length ?? 1
    }
  }
}

function digitsOf(run: string): { digits: string; places: Uint32Array } {
  const places = new Uint32Array(run.length)
  let count = 0
  let digits = ''
  for (let index = 0; index < run.length; index++) {
    const char = run[index] ?? ''
    if (isDigit(char)) {
      digits += char
      places[count++] = index
    } else {
      separatorHere.lastIndex = index
      index += (separatorHere.exec(run)?.[0].length ?? 1) - 1
    }
  }
  return { digits: digits.toLowerCase(), places }
}

const isDigit = (char: string): boolean => char > '/' && char !== ':'

/** Whether the bytes before and behind are no letters. */
function isWordAt(digits: string, from: number, length: number): boolean {
  const isLetter = (at: number): boolean => {
    const code = Number.parseInt(digits.slice(at, at + 2), 16)
    return /[A-Za-z0-9]/.test(String.fromCharCode(code))
  }
  if (from % 2 !== 0) return false
  return (from < 2 || !isLetter(from - 2)) && (from + length + 2 > digits.length || !isLetter(from + length))
}
