/** C tokens of kernel headers. Comments and line continuations vanish; `#define`s are set aside; other directives are skipped. */
import { MalformedData } from '../errors'

/** A header to read. `name` is what messages call it. */
export interface SourceFile {
  readonly name: string
  readonly text: string
}

export interface Place {
  readonly file: string
  /** Counted from 1. */
  readonly line: number
}

export interface Token extends Place {
  readonly kind: 'name' | 'number' | 'string' | 'symbol'
  readonly text: string
  /** Position in the text, in characters. */
  readonly at: number
}

export interface Define extends Place {
  readonly name: string
  /** Undefined for an object-like macro. */
  readonly parameters: readonly string[] | undefined
  readonly body: readonly Token[]
}

export interface TokenizedFile {
  readonly tokens: readonly Token[]
  readonly defines: readonly Define[]
}

/** Characters; the largest kernel header of this family has half a million. */
const MAX_TEXT = 16 * 1024 * 1024

const SPACE = /[ \t\r\f\v]+|\\\r?\n/y
const NAME = /[A-Za-z_]\w*/y
const NUMBER = /\d\w*/y
const SYMBOL = /<<=|>>=|\.\.\.|<<|>>|<=|>=|==|!=|&&|\|\||->|##|[^\s\w]/y

/**
 * Splits one header into tokens.
 *
 * @throws MalformedData with file and line: a comment that never ends, or a text over 16 MiB
 */
export function tokenize(source: SourceFile): TokenizedFile {
  if (source.text.length > MAX_TEXT) throw new MalformedData(source.name, 'is too large for a kernel header')
  const tokens: Token[] = []
  const defines: Define[] = []
  for (const line of logicalLines(source)) {
    const [first] = line
    if (first?.text !== '#') {
      for (const token of line) tokens.push(token)
      continue
    }
    const define = readDefine(line)
    if (define) defines.push(define)
  }
  return { tokens, defines }
}

/** Tokens up to each newline that neither a backslash nor a comment hides. */
function* logicalLines(source: SourceFile): Generator<Token[]> {
  const { text } = source
  const cursor = { at: 0, line: 1 }
  let tokens: Token[] = []
  while (cursor.at < text.length) {
    if (text[cursor.at] === '\n') {
      cursor.at += 1
      cursor.line += 1
      if (tokens.length > 0) yield tokens
      tokens = []
      continue
    }
    if (skipBlank(source, cursor)) continue
    tokens.push(readToken(source, cursor))
  }
  if (tokens.length > 0) yield tokens
}

interface Cursor {
  at: number
  line: number
}

function skipBlank(source: SourceFile, cursor: Cursor): boolean {
  const { text } = source
  if (text.startsWith('/*', cursor.at)) {
    const end = text.indexOf('*/', cursor.at + 2)
    if (end < 0) throw new MalformedData(`${source.name}:${cursor.line}`, 'this comment never ends')
    advance(text, cursor, end + 2)
    return true
  }
  const length = text.startsWith('//', cursor.at) ? lineLength(text, cursor.at) : matchAt(SPACE, text, cursor.at)
  if (length === undefined) return false
  advance(text, cursor, cursor.at + length)
  return true
}

/** Counts the lines on the way, looking at nothing behind `end`: a file may be one endless line. */
function advance(text: string, cursor: Cursor, end: number): void {
  for (; cursor.at < end; cursor.at++) if (text[cursor.at] === '\n') cursor.line += 1
}

/** Characters up to the newline that ends a line comment: one that no backslash hides. */
function lineLength(text: string, start: number): number {
  let end = text.indexOf('\n', start)
  while (end >= 0 && /\\\r?$/.test(text.slice(Math.max(start, end - 2), end))) end = text.indexOf('\n', end + 1)
  return (end < 0 ? text.length : end) - start
}

function readToken(source: SourceFile, cursor: Cursor): Token {
  const { text } = source
  const place = { file: source.name, line: cursor.line }
  const kinds = [
    ['name', NAME],
    ['number', NUMBER],
    ['symbol', SYMBOL],
  ] as const
  const quoted = stringLength(text, cursor.at)
  if (quoted > 0) {
    cursor.at += quoted
    return { kind: 'string', text: text.slice(cursor.at - quoted, cursor.at), at: cursor.at - quoted, ...place }
  }
  for (const [kind, pattern] of kinds) {
    const length = matchAt(pattern, text, cursor.at)
    if (length === undefined) continue
    const start = cursor.at
    cursor.at += length
    return { kind, text: text.slice(start, cursor.at), at: start, ...place }
  }
  // Only control characters and the like come here; as a symbol they fail where they stand.
  cursor.at += 1
  return { kind: 'symbol', text: text.slice(cursor.at - 1, cursor.at), at: cursor.at - 1, ...place }
}

/**
 * Characters of the string or character constant that starts here, 0 when none does. One that is not closed, like the
 * apostrophe of an #error, goes to the end of its line, so that no text is looked at twice.
 */
function stringLength(text: string, start: number): number {
  const quote = text[start]
  if (quote !== '"' && quote !== "'") return 0
  let at = start + 1
  while (at < text.length && text[at] !== '\n' && text[at] !== quote)
    at += text[at] === '\\' && text[at + 1] !== '\n' ? 2 : 1
  return Math.min(text[at] === quote ? at + 1 : at, text.length) - start
}

function matchAt(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at
  const match = pattern.exec(text)
  return match ? match[0].length : undefined
}

/** A macro is function-like when its parenthesis touches its name. */
function readDefine(line: readonly Token[]): Define | undefined {
  const [, directive, name] = line
  if (directive?.text !== 'define' || name?.kind !== 'name') return undefined
  const rest = line.slice(3)
  const place = { file: name.file, line: name.line }
  const [open] = rest
  if (open?.text !== '(' || open.at !== name.at + name.text.length)
    return { name: name.text, parameters: undefined, body: rest, ...place }
  const close = rest.findIndex((token) => token.text === ')')
  if (close < 0) return undefined
  const parameters = rest.slice(1, close).filter((token) => token.kind === 'name')
  return { name: name.text, parameters: parameters.map((token) => token.text), body: rest.slice(close + 1), ...place }
}
