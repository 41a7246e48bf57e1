import { devlinkBinaries, devlinkTextBinary } from '../prm/devlink'
import { MalformedData } from '../prm/errors'
import { PAIR } from './register-diff'

/** What the kernel puts where nothing could be read. */
const NOT_READABLE = 0xbadacce5
const HOLE = Buffer.from([0xe5, 0xcc, 0xda, 0xba])
const CRDUMP = 'crdump_data'

/**
 * Registers out of a file: a core dump (pairs, big-endian), the lines of mstregdump, JSON or ndjson of regdump, or the image of
 * CR space that devlink's health reporter fw_fatal has, raw or as devlink prints it.
 * @param kind coredump, crdump or text; told apart by looks when it is not given
 * @returns pairs of address and value, big-endian, in the order of the file
 * @throws MalformedData
 */
export function parseDump(input: Uint8Array, kind?: string): Uint8Array {
  if (input.length === 0) throw new MalformedData('dump', 'is empty')
  if (kind === 'coredump') return pairs(input)
  const text = looksLikeText(input)
  if (kind === 'crdump') return imagePairs(text ? devlinkImage(input) : input)
  if (!text && kind === undefined) return binaryPairs(input)
  const start = Buffer.from(input.subarray(0, 4096)).toString('latin1').trimStart()
  if (kind === undefined && start.startsWith('{')) return jsonPairs(input)
  if (kind === undefined && start.includes(`${CRDUMP}:`)) return imagePairs(devlinkImage(input))
  return textPairs(input)
}

function pairs(input: Uint8Array): Uint8Array {
  if (input.length % PAIR !== 0)
    throw new MalformedData('dump', `has ${input.length} bytes: pairs of address and value have ${PAIR} each`)
  return input
}

/** @throws MalformedData for what looks like neither */
function binaryPairs(input: Uint8Array): Uint8Array {
  const whole = input.subarray(0, input.length - (input.length % PAIR))
  if (looksLikePairs(whole)) {
    if (whole.length === input.length) return input
    throw new MalformedData('dump', `is cut: its ${input.length} bytes are no whole number of pairs of ${PAIR}`)
  }
  if (Buffer.from(input.buffer, input.byteOffset, input.length).includes(HOLE)) return imagePairs(input)
  throw new MalformedData('dump', 'looks like none that is known; coredump:FILE or crdump:FILE says what it is')
}

/** Addresses of words, that is multiples of 4, are every second dword. */
function looksLikePairs(input: Uint8Array): boolean {
  if (input.length === 0) return false
  for (let at = 3; at < input.length; at += PAIR) if (((input[at] ?? 0) & 3) !== 0) return false
  return true
}

/** All of the input but for its beginning is too long to look at. */
function looksLikeText(input: Uint8Array): boolean {
  return input
    .subarray(0, 4096)
    .every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 0x20 && byte < 0x7f))
}

/** "0x00000014 0x01234567", with or without the error line at which mstregdump ends. */
function textPairs(input: Uint8Array): Uint8Array {
  const lines = Buffer.from(input).toString('latin1').split('\n')
  const words = new Uint32Array(lines.length * 2)
  let count = 0
  for (const [index, line] of lines.entries()) {
    const [, address, value] = /^\s*(0x[0-9a-f]{1,8})\s+(0x[0-9a-f]{1,8})\s*$/i.exec(line) ?? []
    if (address !== undefined && value !== undefined) {
      words[count++] = Number(address)
      words[count++] = Number(value)
    } else if (line.trim() !== '' && !line.startsWith('-E-'))
      throw new MalformedData(`line ${index + 1}`, `is no address and value: ${line.slice(0, 60)}`)
  }
  if (count === 0) throw new MalformedData('dump', 'has no address and value')
  return Buffer.from(words.buffer, 0, count * 4).swap32()
}

/** An image of CR space, little-endian, the word of address N at byte N. */
function imagePairs(image: Uint8Array): Uint8Array {
  if (image.length % 4 !== 0) throw new MalformedData('crdump', `has ${image.length} bytes, no whole number of dwords`)
  const view = new DataView(image.buffer, image.byteOffset, image.length)
  const result = Buffer.alloc(image.length * 2)
  let filled = 0
  for (let address = 0; address < image.length; address += 4) {
    const word = view.getUint32(address, true)
    if (word === NOT_READABLE) continue
    filled = result.writeUInt32BE(address, filled)
    filled = result.writeUInt32BE(word, filled)
  }
  return result.subarray(0, filled)
}

function devlinkImage(input: Uint8Array): Uint8Array {
  const text = Buffer.from(input).toString('latin1')
  const json = text.trimStart().startsWith('{')
  const image = json
    ? devlinkBinaries(parseJson(text)).find(({ path }) => path.split('.').at(-1) === CRDUMP)?.bytes
    : devlinkTextBinary(text, CRDUMP)
  if (image === undefined)
    throw new MalformedData('dump', `has no ${CRDUMP}: it is in the dumps of the reporter fw_fatal`)
  return image
}

interface Block {
  readonly address: number
  readonly bytes: string
}

/** One document of regdump -j, records of its ndjson, or a dump of devlink. */
function jsonPairs(input: Uint8Array): Uint8Array {
  const text = Buffer.from(input).toString('utf8')
  if (text.includes(`"${CRDUMP}"`)) return imagePairs(devlinkImage(input))
  const lines = text.trim().split('\n')
  const records = isJson(lines[0] ?? '') ? lines.map(parseJson) : [parseJson(text)]
  const blocks = records.flatMap((record) => {
    const { data } = (typeof record === 'object' && record !== null ? record : {}) as {
      data?: { blocks?: unknown } | null
    }
    return Array.isArray(data?.blocks) ? (data.blocks as unknown[]) : data === undefined ? [] : [data]
  })
  if (blocks.length === 0 || !blocks.every(isBlock)) throw new MalformedData('JSON', 'is no register dump')
  return Buffer.concat(
    blocks.map(({ address, bytes }) => {
      const words = Buffer.from(bytes, 'hex')
      const result = Buffer.alloc(words.length * 2)
      for (let at = 0; at < words.length; at += 4) {
        result.writeUInt32BE(address + at, at * 2)
        words.copy(result, at * 2 + 4, at, at + 4)
      }
      return result
    }),
  )
}

function isBlock(value: unknown): value is Block {
  const { address, bytes } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Block>
  const last = 2 ** 32 - (typeof bytes === 'string' ? bytes.length / 2 : 0)
  return (
    Number.isSafeInteger(address) &&
    Number(address) >= 0 &&
    Number(address) <= last &&
    typeof bytes === 'string' &&
    /^(?:[0-9a-f]{8})+$/i.test(bytes)
  )
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MalformedData('JSON', (error as Error).message)
  }
}
