import { isAscii } from 'node:buffer'
import { MalformedData } from '../prm/errors'

/** What JSON of a bundle may have, far beyond what any item has: bytes, values and levels of nesting. */
const LONGEST = 32 * 2 ** 20
const MOST_VALUES = 500_000
const DEEPEST = 48

/**
 * Parses JSON that nobody knows the author of. It is looked over before: a list of millions of values takes the parser hours and
 * gigabytes, and one that is nested too deep takes the stack of whoever walks it.
 * @param path of the file, for errors
 * @throws MalformedData
 */
export function parseJson(path: string, bytes: Uint8Array): unknown {
  if (bytes.length > LONGEST) throw new MalformedData(path, `is too long: JSON of more than ${LONGEST} bytes`)
  checkSize(path, bytes)
  try {
    return JSON.parse(textFrom(path, bytes))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new MalformedData(path, `is no JSON: ${error.message.slice(0, 120)}`)
  }
}

/** Counts levels and values (by commas and openings, outside of texts) without building anything. */
function checkSize(path: string, bytes: Uint8Array): void {
  let depth = 0
  let values = 0
  let inText = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (inText) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) inText = false
    } else if (byte === QUOTE) inText = true
    else if (byte === COMMA) values++
    else if (byte === BRACKET || byte === BRACE) {
      values++
      if (++depth > DEEPEST) throw new MalformedData(path, 'is nested too deep')
    } else if (byte === BRACKET_END || byte === BRACE_END) depth--
  }
  if (values > MOST_VALUES) throw new MalformedData(path, `has more than ${MOST_VALUES} values`)
}

const QUOTE = 0x22
const COMMA = 0x2c
const BRACKET = 0x5b
const BACKSLASH = 0x5c
const BRACKET_END = 0x5d
const BRACE = 0x7b
const BRACE_END = 0x7d

/** Most JSON is ASCII, which takes a tenth of the time. */
function textFrom(path: string, bytes: Uint8Array): string {
  if (isAscii(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new MalformedData(path, 'is no JSON: it is not UTF-8')
  }
}

/** Has errors of a file in a bundle say which bundle that is. */
export function inBundle<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof MalformedData) throw new MalformedData(name, error.message)
    throw error
  }
}
