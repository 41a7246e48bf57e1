import type { RedactedKind } from '../manifest'
import { DigitFinder, type Hit } from './digits'
import { digitsOfText, formsOfGuid, formsOfMac, type Forms } from './representations'
import { imagesOf, isPlausible, placedSecrets, type Placed } from './structure'
import { isObject } from '../values'

const tokenNames: Readonly<Record<RedactedKind, string>> = {
  serial: 'SERIAL',
  mac: 'MAC',
  guid: 'GUID',
  hostname: 'HOST',
}
/** Words that are shorter are met for many reasons: they are redacted only where their place tells what they are. */
const SHORTEST = 2
/** In hex digits of bytes, with no letter on either side. */
const SHORTEST_IN_HEX = 3
/** Words that count inside of longer ones too: no word of a language. */
const isUnmistakable = (word: string): boolean => word.length >= 6 && /[^a-z]/i.test(word)
/** Addresses as people and kernels write them: 6 bytes, or 8 as 8 or 4 groups. */
const writtenAddress =
  /(?<![0-9a-f:])(?:(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{2}:){7}[0-9a-f]{2}|(?:[0-9a-f]{4}:){3}[0-9a-f]{4})(?![0-9a-f:])/gi
const ipv6 = /(?<![0-9a-f:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9a-f:])/gi
const inHex = /\b0x[0-9a-f]{5,}\b/gi
/** No part of a fraction or of a version; a full stop may end a sentence. */
const inDecimal = /(?<!\w|\d\.)\d{5,20}(?!\w|\.\d)/g
/** What this class leaves behind: no word is looked for in it. */
const tokenText = '(?:SERIAL|MAC|GUID|HOST)-\\d+'
/** Members at the top of a document whose values are words of this tool. */
const ownWords = new Set(['schemaVersion', 'tool', 'kind', 'command', 'status'])
const MEMBERS = /^[A-Za-z_][\w.[\]-]*$/

/**
 * Takes secrets out of the files of a bundle. It is shown all of them first, and learns; then it replaces each value by a token
 * that stands for it in the whole bundle, in every form in which the value is met. In hex digits of bytes it leaves zeros.
 */
export class Redaction {
  private readonly tokens = new Map<string, string>()
  private readonly counts = new Map<RedactedKind, number>()
  private readonly digits = new DigitFinder()
  private readonly numbers = new Map<bigint, string>()
  private readonly words = new Map<string, string>()
  private pattern: RegExp | undefined

  constructor(private readonly kinds: ReadonlySet<RedactedKind>) {}

  /** What is in a file, by its form. @throws SyntaxError for JSON that is none */
  learn(text: string, isJson: boolean): void {
    if (isJson) this.learnFrom(JSON.parse(text))
    else this.learnText(text)
  }

  /** A name that the caller knows of. */
  learnName(kind: 'serial' | 'hostname', name: string): void {
    this.learnValue({ kind, value: name })
  }

  redact(text: string, isJson: boolean): string {
    return isJson ? `${JSON.stringify(this.redactDocument(JSON.parse(text)), null, 2)}\n` : this.redactText(text)
  }

  /** Whether a file has nothing of what is known. */
  isClean(text: string, isJson: boolean): boolean {
    if (!isJson) return this.redactText(text) === text
    const value: unknown = JSON.parse(text)
    return (
      JSON.stringify(this.redactDocument(value)) === JSON.stringify(value) &&
      this.replace(text, this.addresses(text)) === text &&
      textsOf(withoutOwnWords(value)).every((one) => this.redactText(one) === one)
    )
  }

  redactText(text: string): string {
    return this.replace(text, [...this.addresses(text), ...this.wordsIn(text)])
  }

  /** A name by itself, whose place tells what it is: also one that is too short to be looked for. */
  redactName(kind: 'serial' | 'hostname', name: string): string {
    return this.tokens.get(keyOf(kind, name)) ?? this.redactText(name)
  }

  redactJson(value: unknown): unknown {
    if (typeof value === 'string') return this.redactLeaf(value)
    if (typeof value === 'number') return Number.isInteger(value) ? (this.numbers.get(BigInt(value)) ?? value) : value
    if (Array.isArray(value)) return this.redactArray(value as readonly unknown[])
    if (typeof value !== 'object' || value === null) return value
    return this.redactMembers(value as Readonly<Record<string, unknown>>)
  }

  private redactDocument(value: unknown): unknown {
    if (!isObject(value)) return this.redactJson(value)
    const rest = this.redactMembers(value)
    return Object.fromEntries(Object.entries(rest).map(([key, one]) => [key, ownWords.has(key) ? value[key] : one]))
  }

  private learnFrom(value: unknown): void {
    if (typeof value === 'string') return this.learnText(value)
    if (typeof value !== 'object' || value === null) return
    if (!Array.isArray(value))
      for (const placed of placedSecrets(value as Record<string, unknown>)) this.learnValue(placed)
    for (const member of Object.values(value)) this.learnFrom(member)
  }

  private learnText(text: string): void {
    for (const [address] of text.matchAll(writtenAddress)) {
      const digits = address.replace(/[:-]/g, '').toLowerCase()
      const kind = digits.length === 12 ? 'mac' : 'guid'
      if (isPlausible(kind, digits)) this.learnValue({ kind, value: digits })
    }
  }

  private learnValue({ kind, value }: Pick<Placed, 'kind' | 'value'>): void {
    if (!this.kinds.has(kind) || /^localhost(?:\.|$)/i.test(value)) return
    const key = keyOf(kind, value)
    if (this.tokens.has(key)) return
    const token = this.newToken(kind, value)
    this.tokens.set(key, token)
    if (kind === 'mac') this.learnForms(formsOfMac(value), token)
    else if (kind === 'guid') this.learnForms(formsOfGuid(value), token)
    else this.learnWord(kind, value, token)
  }

  /** A host may be called HOST-1. */
  private newToken(kind: RedactedKind, value: string): string {
    const number = (this.counts.get(kind) ?? 0) + 1
    this.counts.set(kind, number)
    const token = `${tokenNames[kind]}-${number}`
    return token === value.toUpperCase() ? this.newToken(kind, value) : token
  }

  private learnForms({ digits, derived, parts, numbers }: Forms, token: string): void {
    for (const one of digits) this.digits.add(one, token)
    for (const one of derived) this.digits.add(one, token, { derived: true })
    for (const one of parts) this.digits.add(one, token, { derived: true, aligned: true })
    for (const number of numbers) if (!this.numbers.has(number)) this.numbers.set(number, token)
  }

  private learnWord(kind: RedactedKind, word: string, token: string): void {
    // InfiniBand's node descriptions are "HOST mlx5_0", "HOST HCA-1".
    const host = kind === 'hostname' ? /^(\S+) (?:mlx5_\d+|HCA-\d+)$/.exec(word)?.[1] : undefined
    if (host !== undefined) this.learnValue({ kind, value: host })
    const short = kind === 'hostname' && /^[^.\s]+\.\S+$/.test(word) ? word.replace(/\..*$/, '') : undefined
    if (short !== undefined && /[a-z]/i.test(short)) this.learnValue({ kind, value: short })
    if (word.length < SHORTEST) return
    this.words.set(word.toLowerCase(), token)
    this.pattern = undefined
    if (word.length < SHORTEST_IN_HEX) return
    for (const digits of digitsOfText(word)) this.digits.add(digits, token, { bounded: !isUnmistakable(word) })
  }

  /** Hex digits of bytes stay hex digits: zeros. But a name may have no other letters than these. */
  private redactLeaf(text: string): string {
    const name = this.words.get(text.toLowerCase())
    if (name !== undefined) return name
    if (!/^(?:[0-9a-f]{2}){4,}$/i.test(text) || /^\d{10,20}$/.test(text)) return this.redactText(text)
    let masked = text
    for (const { start, end } of [...this.addresses(text), ...this.wordsIn(text)])
      masked = masked.slice(0, start) + '0'.repeat(end - start) + masked.slice(end)
    return masked
  }

  /** Numbers that are the bytes of a value, or the words or dwords. */
  private redactArray(values: readonly unknown[]): unknown[] {
    const result = [...values]
    for (const { bytes, size } of imagesOf(values))
      for (const { start, end, token } of this.digits.find(bytes.toString('hex')))
        for (let at = Math.floor(start / 2 / size); at < end / 2 / size; at++) result[at] = token
    return result.map((one, index) => (one === values[index] ? this.redactJson(one) : one))
  }

  private redactMembers(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const placed = new Map<string, string>()
    for (const { keys, kind, value } of placedSecrets(members)) {
      const token = this.tokens.get(keyOf(kind, value))
      if (token !== undefined) for (const key of keys) placed.set(key, token)
    }
    return Object.fromEntries(
      Object.entries(members).map(([key, value]) => {
        const token = placed.get(key)
        const name = MEMBERS.test(key) ? this.replace(key, this.addresses(key)) : this.redactText(key)
        return [name, token === undefined ? this.redactJson(value) : tokenFor(value, token)]
      }),
    )
  }

  private *addresses(text: string): Generator<Hit> {
    yield* this.digits.find(text)
    yield* this.numbersIn(text)
    for (const { 0: address, index } of text.matchAll(ipv6)) {
      const digits = expanded(address)
      if (digits === undefined) continue
      for (const { token } of this.digits.find(digits)) yield { start: index, end: index + address.length, token }
    }
  }

  private *numbersIn(text: string): Generator<Hit> {
    if (this.numbers.size === 0) return
    for (const pattern of [inHex, inDecimal])
      for (const { 0: number, index } of text.matchAll(pattern)) {
        const token = number.length > 18 && number.startsWith('0x') ? undefined : this.numbers.get(BigInt(number))
        if (token !== undefined) yield { start: index, end: index + number.length, token }
      }
  }

  private replace(text: string, hits: Iterable<Hit>): string {
    const sorted = [...hits].sort((a, b) => a.start - b.start || b.end - a.end)
    if (sorted.length === 0) return text
    const parts: string[] = []
    let at = 0
    for (const { start, end, token } of sorted) {
      if (start < at) continue
      parts.push(text.slice(at, start), token)
      at = end
    }
    return parts.join('') + text.slice(at)
  }

  private *wordsIn(text: string): Generator<Hit> {
    if (this.words.size === 0) return
    this.pattern ??= wordPattern([...this.words.keys()])
    for (const { 0: word, index } of text.matchAll(this.pattern)) {
      const token = this.words.get(word.toLowerCase())
      if (token !== undefined) yield { start: index, end: index + word.length, token }
    }
  }
}

const withoutOwnWords = (value: unknown): unknown =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter(([key]) => !ownWords.has(key))) : value

/** All texts of a document that are values. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsOf) : []
}

const keyOf = (kind: RedactedKind, value: string): string => `${kind}:${value.toLowerCase()}`

/** The longest first: one may be part of another. */
function wordPattern(words: readonly string[]): RegExp {
  const alternatives = [...words]
    .sort((a, b) => b.length - a.length)
    .map((word) => {
      const escaped = word.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
      return isUnmistakable(word) ? escaped : `(?<![A-Za-z0-9])${escaped}(?![A-Za-z0-9])`
    })
  return new RegExp([`(?<![A-Za-z0-9])${tokenText}(?![A-Za-z0-9])`, ...alternatives].join('|'), 'gi')
}

/** Of a list the elements that say something. */
function tokenFor(value: unknown, token: string): unknown {
  if (!Array.isArray(value)) return token
  return (value as readonly unknown[]).map((one) => (one === 0 ? 0 : token))
}

/** The 32 digits of an IPv6 address; undefined for what is none. */
function expanded(address: string): string | undefined {
  const [head = '', tail, ...more] = address.split('::')
  if (more.length > 0) return undefined
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  return [...before, ...Array.from({ length: missing }, () => '0'), ...after]
    .map((group) => group.padStart(4, '0'))
    .join('')
}
