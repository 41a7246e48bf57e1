/**
 * What the boot code of an emulated chip makes of an image that it is given, by the tables of the format (facts: firmware
 * manager, C.7). It shares nothing with the reader of images that the tool has.
 */

/** error_code of MCC. */
export const UpdateError = {
  DIGEST: 0x02,
  NOT_APPLICABLE: 0x03,
  BAD_FORMAT: 0x08,
  PENDING_RESET: 0x09,
  SECURITY_VERSION: 0x19,
} as const

export type Version = readonly [major: number, minor: number, subminor: number]

export interface CheckedImage {
  readonly version: Version
  /** Year, month and day as they stand in the image: 0x20241205. */
  readonly date: number
  /** Seconds, minutes and hours, one byte each. */
  readonly time: number
  readonly securityVersion: number
}

/** What an image must be for. */
export interface ChipFacts {
  readonly psid: string
  readonly hardwareId: number
  readonly revision: number
  /** The lowest security version that its fuses allow. */
  readonly fuses: number
}

/** The image is refused. */
export class ImageRefused extends Error {
  constructor(readonly code: number) {
    super(`the image is refused with error ${code}`)
  }
}

const MAGIC = Buffer.from('4d544657abcdef00fade12345678dead', 'hex')
const BOOT_VERSION = 0x10
const FORMATS = [1, 2]
const POINTERS = 0x18
const TOC_SLOT = 2
const INFO_SLOT = 10
const SECURITY_SLOT = 13
const NONE = 0xffffffff
const TOC = 0x49544f43
const ENTRY = 0x20
const MOST_ENTRIES = 64
const END = 0xff
const IMAGE_INFO = 0x10
const INFO_BYTES = 0x400
/** CRC of a section: in its entry, none, in its last dword. */
const guard = { ENTRY: 0, SECTION: 2 }

/** @throws ImageRefused */
export function checkImage(image: Buffer, { psid, hardwareId, revision, fuses }: ChipFacts): CheckedImage {
  if (image.length < POINTERS + 16 * 8 || !FORMATS.includes(image[BOOT_VERSION] ?? 0))
    throw new ImageRefused(UpdateError.BAD_FORMAT)
  const table = image.readUInt32BE(POINTERS + TOC_SLOT * 8)
  const pointed = image.readUInt32BE(POINTERS + INFO_SLOT * 8)
  const info = isTable(image, table) ? checkTable(image, table) : pointed
  if (info === undefined || info + INFO_BYTES > image.length) throw new ImageRefused(UpdateError.BAD_FORMAT)
  const ids = [0, 1, 2, 3].map((index) => image.readUInt32BE(info + 0x118 + index * 4))
  const board = image.toString('latin1', info + 0x24, info + 0x34).replace(/\0.*$/s, '')
  if (board !== psid || !ids.includes(((revision << 16) | hardwareId) >>> 0))
    throw new ImageRefused(UpdateError.NOT_APPLICABLE)
  const security = image.readUInt32BE(POINTERS + SECURITY_SLOT * 8)
  const securityVersion = security === NONE ? 0 : security
  if (securityVersion < fuses) throw new ImageRefused(UpdateError.SECURITY_VERSION)
  return {
    securityVersion,
    version: [image.readUInt16BE(info + 4), image.readUInt16BE(info + 8), image.readUInt16BE(info + 10)],
    date: image.readUInt32BE(info + 0x10),
    time: image.readUInt32BE(info + 0xc),
  }
}

/** What a tool leaves blank, so that half an image never boots: firmware writes it last. */
export function withMagic(image: Buffer): Buffer {
  const whole = Buffer.from(image)
  whole.set(MAGIC)
  return whole
}

const isTable = (image: Buffer, at: number): boolean => at + ENTRY <= image.length && image.readUInt32BE(at) === TOC

/** Checks every section. Where IMAGE_INFO lies. @throws ImageRefused */
function checkTable(image: Buffer, table: number): number | undefined {
  let info: number | undefined
  expect(crc(image.subarray(table, table + 0x1c)) === image.readUInt16BE(table + 0x1e))
  for (let index = 1; index <= MOST_ENTRIES; index++) {
    const at = table + index * ENTRY
    expect(at + ENTRY <= image.length)
    if (image[at] === END) return info
    expect(crc(image.subarray(at, at + 0x1c)) === image.readUInt16BE(at + 0x1e))
    const size = image.readUInt32BE(at) & 0xfffffc
    const from = (image.readUInt32BE(at + 0x14) & 0x7ffffffc) >>> 0
    expect(from + size <= image.length)
    checkSection(image.subarray(from, from + size), image.readUInt32BE(at + 0x18))
    if (image[at] === IMAGE_INFO) info = from
  }
  return info
}

function checkSection(section: Buffer, word: number): void {
  if (word >>> 31 === 1 || section.length < 4) return
  const mode = (word >>> 16) & 7
  if (mode === guard.ENTRY) expect(crc(section) === (word & 0xffff))
  if (mode === guard.SECTION)
    expect(crc(section.subarray(0, -4)) === (section.readUInt32BE(section.length - 4) & 0xffff))
}

function expect(condition: boolean): void {
  if (!condition) throw new ImageRefused(UpdateError.DIGEST)
}

const POLYNOMIAL = 0x100b
/** What 8 bits that leave the register are worth. */
const leaving = Array.from({ length: 256 }, (_, byte) =>
  Array.from({ length: 8 }).reduce<number>(
    (register) => ((register << 1) ^ ((register & 0x8000) === 0 ? 0 : POLYNOMIAL)) & 0xffff,
    byte << 8,
  ),
)

/** Bytes enter at the bottom of a register that begins as 0xffff; two bytes of zero follow, and the result is inverted. */
function crc(bytes: Uint8Array): number {
  let register = 0xffff
  const enter = (byte: number): void => {
    register = (((register << 8) | byte) & 0xffff) ^ (leaving[register >>> 8] ?? 0)
  }
  for (const byte of bytes) enter(byte)
  enter(0)
  enter(0)
  return register ^ 0xffff
}
