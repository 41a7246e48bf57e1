import { crc32 } from 'node:zlib'
import { MalformedData } from '../errors'
import { hex, ImageBytes } from './image-bytes'
import type { ArchiveBoard, ArchiveImage, FirmwareArchive, ImageProblem } from './types'
import { unxz, unxzAll } from './xz'

/** "MFAR", version, reserved; then sections, each with a header (facts: firmware manager, C.7). */
const HEADER = 16
const SECTION_HEADER = 8
const BOARD = 36
const IMAGE = 40
const CONTENT = 24
const METADATA_HEADER = 4
/** What a list of boards or contents may unfold to, in bytes: that of thousands of boards. */
const MAX_LIST = 16 << 20
/** Largest image that is taken out of an archive, in bytes: twice the largest flash. */
const MAX_IMAGE = 128 << 20

/** How far into unfolded data an image may lie, in bytes: a small file may unfold to anything. */
const MAX_DATA = 2 ** 32

const sections = { 1: 'map', 2: 'TOC', 3: 'data' } as const
const contents: Readonly<Record<number, string>> = {
  0x001: 'FW',
  0x101: 'CLP',
  0x110: 'PXE',
  0x111: 'UEFI',
  0x121: 'FCODE',
}
const FIRMWARE = 1
const KEYS_AND_VALUES = 1

interface Section {
  readonly name: string
  readonly offset: number
  readonly size: number
  readonly compressed: boolean
}

/**
 * Reads what an MFA archive holds, and the CRC over it; the images themselves stay packed.
 * @throws MalformedData
 */
export async function parseArchive(bytes: Uint8Array): Promise<FirmwareArchive> {
  const file = new ImageBytes(bytes)
  const version = file.word(4)
  if (version >>> 16 > 0)
    throw new MalformedData('archive', `has version ${version >>> 16}; only version 0 of MFA is known`, 4)
  const crc = { expected: file.word(file.length - 4), computed: crc32(bytes.subarray(0, -4)) }
  const problems: ImageProblem[] = []
  const ok = crc.expected === crc.computed
  if (!ok) {
    const message = `has CRC32 ${hex(crc.computed)}, and should have ${hex(crc.expected)}`
    problems.push({ section: 'archive', offset: file.length - 4, message })
  }
  const map = readHeader(file, HEADER, 1)
  const toc = readHeader(file, map.offset + map.size, 2)
  const data = readHeader(file, toc.offset + toc.size, 3)
  const [boards, lists] = [await unpacked(bytes, map), await unpacked(bytes, toc)]
  return {
    format: 'MFA',
    version: `${version >>> 16}.${version & 0xffff}`,
    boards: readBoards(new ImageBytes(boards), new ImageBytes(lists)),
    crc: { ...crc, ok },
    data: { offset: data.offset, size: data.size, compressed: data.compressed },
    problems,
  }
}

/** The CRC stands behind the last section. @throws MalformedData */
function readHeader(file: ImageBytes, at: number, type: 1 | 2 | 3): Section {
  const name = sections[type]
  if (!file.holds(at, SECTION_HEADER)) throw new MalformedData('archive', `is cut off before its ${name}`, at)
  const [head, size] = [file.word(at), file.word(at + 4)]
  if (head >>> 24 !== type) throw new MalformedData('archive', `has type ${head >>> 24} where its ${name} begins`, at)
  if (!file.holds(at + SECTION_HEADER, size + 4))
    throw new MalformedData('archive', `is cut off: its ${name} has ${hex(size)} bytes`, at)
  return { name, offset: at + SECTION_HEADER, size, compressed: (head & 1) === 1 }
}

function unpacked(bytes: Uint8Array, { name, offset, size, compressed }: Section): Promise<Uint8Array> {
  const content = bytes.subarray(offset, offset + size)
  return compressed ? unxzAll(content, `archive ${name}`, MAX_LIST) : Promise.resolve(content)
}

function readBoards(map: ImageBytes, toc: ImageBytes): ArchiveBoard[] {
  const boards: ArchiveBoard[] = []
  let at = 0
  while (at < map.length) {
    if (!map.holds(at, BOARD)) throw new MalformedData('archive map', 'ends inside of a board', at)
    const [count, metadata] = [map.word(at + 32) >>> 24, map.word(at + 32) & 0xffff]
    const images = at + BOARD + metadata
    if (!map.holds(images, count * IMAGE)) throw new MalformedData('archive map', 'ends inside of a board', at)
    boards.push({
      psid: map.text(at, 32),
      metadata: readMetadata(map, at + BOARD, metadata),
      images: Array.from({ length: count }, (_, index) => readImage(map, images + index * IMAGE, toc)),
    })
    at = images + count * IMAGE
  }
  return boards
}

/** Strings one behind the other, each with its NUL: key, value, key, value. */
function readMetadata(map: ImageBytes, at: number, size: number): Record<string, string> {
  if (size < METADATA_HEADER || map.word(at) >>> 24 !== KEYS_AND_VALUES) return {}
  const count = map.word(at) & 0xffff
  const text = Buffer.from(map.bytes.subarray(at + METADATA_HEADER, at + size)).toString('latin1')
  const strings = text
    .split('\0')
    .slice(0, 2 * count)
    .map((string) => string.replace(/[^\x20-\x7e]/g, '.'))
  const pairs = strings.flatMap((key, index) => (index % 2 === 0 ? [[key, strings[index + 1] ?? ''] as const] : []))
  return Object.fromEntries(pairs.filter(([key]) => key !== ''))
}

function readImage(map: ImageBytes, at: number, toc: ImageBytes): ArchiveImage {
  const entry = map.word(at)
  if (!toc.holds(entry, CONTENT)) throw new MalformedData('archive map', 'names an entry that the TOC has not', at)
  const [kind, high] = [toc.word(entry + 8), toc.word(entry + 20) >>> 16]
  const numbers = [0, 1, 2, 3].map((index) => {
    const word = toc.word(entry + 12 + 4 * (index >> 1))
    return index % 2 === 0 ? word >>> 16 : word & 0xffff
  })
  return {
    type: map.word(at + 4) >>> 16,
    group: map.word(at + 4) & 0xff,
    selectTag: map.text(at + 8, 32),
    content: contents[kind >>> 16] ?? hex(kind >>> 16),
    version: numbers.slice(0, Math.min(4, kind & 0xff)),
    offset: high * 2 ** 32 + toc.word(entry),
    size: toc.word(entry + 4),
  }
}

/**
 * The firmware image of a board, its parts put together: of each group the first without a select tag.
 * @throws MalformedData where the archive has no such board, or is damaged
 */
export async function extractImage(bytes: Uint8Array, archive: FirmwareArchive, psid: string): Promise<Uint8Array> {
  const board = archive.boards.find((one) => one.psid === psid)
  if (board === undefined) throw new MalformedData('archive', `has no image for PSID ${psid}`)
  const parts = firmwareParts(board)
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  if (parts.length === 0) throw new MalformedData('archive', `has no firmware for PSID ${psid}`)
  if (size > MAX_IMAGE || parts.some((part) => part.offset + part.size > MAX_DATA))
    throw new MalformedData('archive', `has an image of ${size} bytes for PSID ${psid}`)
  const { offset, size: length, compressed } = archive.data
  const data = bytes.subarray(offset, offset + length)
  const read: Uint8Array[] = []
  for (const part of parts) {
    const end = part.offset + part.size
    if (compressed) read.push(await unxz(data, 'archive data', part.offset, part.size))
    else if (end <= data.length) read.push(data.subarray(part.offset, end))
    else throw new MalformedData('archive data', `ends before the image of PSID ${psid} does`, offset + part.offset)
  }
  return Buffer.concat(read)
}

function firmwareParts({ images }: ArchiveBoard): ArchiveImage[] {
  const parts: ArchiveImage[] = []
  for (const image of images)
    if (image.type === FIRMWARE && image.selectTag === '' && parts.at(-1)?.group !== image.group) parts.push(image)
  return parts
}

/** What firmware a board of an archive has, by its parts: FW, PXE, UEFI. */
export function boardVersions({
  images,
}: ArchiveBoard): { readonly content: string; readonly version: readonly number[] }[] {
  return images.filter(({ version }) => version.length > 0).map(({ content, version }) => ({ content, version }))
}
