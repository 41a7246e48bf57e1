import { imageCrc, pointerCrc } from './crc'
import { hex, type ImageBytes } from './image-bytes'
import { guardOf, IMAGE_INFO, readDeviceData, readImageInfo, readListedInfo } from './image-info'
import { readRoms } from './rom'
import { sectionType } from './section-types'
import { findSection, isEntry, isTable, matchingWords, missingTable, readTable, SECTOR, TOC_HEADER } from './toc'
import type { FirmwareImage, ImageInfo } from './types'

/** Sixteen pointers of 8 bytes, behind the magic and the version of the boot code. */
const POINTERS = 0x18
const POINTER = 8
const POINTER_COUNT = 16
const TOOLS_AREA = 0x40
/** Largest count of dwords that a BOOT2 may name. */
const MAX_BOOT2 = 0x100000
const HASHES_HEADER = 12
const HTOC_HEADER = 16
const HTOC_ENTRY = 8
const HASHES_TAIL = 8
/** The header of a boot component, in FS5 in front of its code and behind a signed image. */
const BOOT_COMPONENT = 0x2000
const BOOT_COMPONENT_MAGIC = 0x4e564441
/** Where its first component is described; the length is the second dword, little-endian. */
const FIRST_COMPONENT = 0x1ee0

const names = [
  'boot_record',
  'boot2',
  'toc',
  'tools',
  'authentication_start',
  'authentication_end',
  'digest',
  'digest_recovery_key',
  'fw_window_start',
  'fw_window_end',
  'image_info',
  'image_signature',
  'public_key',
  'fw_security_version',
  'gcm_iv_delta',
  'hashes_table',
] as const
/** What FS5 has in some of the slots instead. */
const fs5Names: Readonly<Record<string, string>> = {
  boot_record: 'psc_bct',
  authentication_start: 'psc_bl1_bch',
  authentication_end: 'psc_bl1',
  digest: 'ncore_bch',
  digest_recovery_key: 'reserved',
  fw_window_start: 'psc_fw_bch',
  fw_window_end: 'psc_fw',
  hashes_table: 'ncore_hashes',
}
type Pointers = Readonly<Record<(typeof names)[number], number | null>>

/** Reads an image of FS4 or FS5 that begins at an offset (facts: firmware manager, C.7). */
export function readFs4(image: ImageBytes, format: 'FS4' | 'FS5', start: number): Omit<FirmwareImage, 'others'> {
  const pointers = readPointers(image, format, start)
  const at = (pointer: number | null): number | null => (pointer === null ? null : start + pointer)
  if (pointers.tools === null) image.problem('HW_POINTERS', start + POINTERS, 'point to no tools area')
  else image.pointed('TOOLS_AREA', start + pointers.tools, TOOLS_AREA)
  const table = findTable(image, at(pointers.toc))
  const sealed = table === undefined && isSealed(image, at(pointers.toc), infoAt(image, at(pointers.image_info)))
  if (table !== undefined) {
    const hashes = at(pointers.hashes_table)
    if (format === 'FS4') readBoot2(image, at(pointers.boot2))
    else readUnguardedBoot2(image, at(pointers.boot2), at(pointers.digest), hashes)
    readHashes(image, format, hashes)
    readTable(image, table, 'ITOC', 'FS4', start)
  } else if (!sealed) missingTable(image, 'ITOC', tablePlaces(at(pointers.toc)))
  const listed = findSection(image, sectionType.IMAGE_INFO)
  const info =
    listed === undefined || listed.size < IMAGE_INFO
      ? infoAt(image, at(pointers.image_info))
      : readListedInfo(image, listed.offset)
  if (info === null)
    image.problem('IMAGE_INFO', at(pointers.image_info) ?? start, 'is in no table, and not where the header points')
  checkSlot(image, start, at(pointers.tools))
  const isSized = sealed || format === 'FS5'
  if (isSized && info !== null) checkBurnSize(image, start, info.burnSize, sealed)
  const end = imageEnd(image, start, isSized ? (info?.burnSize ?? 0) : 0)
  if (info !== null) {
    if (info.burnSize > image.length - start) isCut(image, start, info.burnSize)
    readDeviceTable(image, format, info, end)
  }
  const guard = guardOf(image, info, sealed || format === 'FS5', at(pointers.public_key))
  return {
    format,
    offset: start,
    size: end - start,
    encrypted: sealed,
    info,
    securityAttributes: guard.attributes,
    firmwareControl: guard.firmwareControl,
    securityVersion: pointers.fw_security_version ?? 0,
    roms: readRoms(image),
    device: readDeviceData(image),
    sections: image.sections,
    problems: image.problems,
  }
}

/** A pointer that was never written is none. Their CRC is that of the boot hardware, or that of all else. */
function readPointers(image: ImageBytes, format: 'FS4' | 'FS5', start: number): Pointers {
  const found: Partial<Record<(typeof names)[number], number | null>> = {}
  let sound = true
  for (const [index, name] of names.entries()) {
    const at = start + POINTERS + index * POINTER
    const [value, expected] = [image.word(at), image.word(at + 4)]
    found[name] = value === 0 || value === 0xffffffff ? null : value
    if (value === 0xffffffff) continue
    const agrees = [pointerCrc(image.bytes, at), imageCrc(image.bytes, at, at + 4)].includes(expected)
    sound &&= agrees
    if (!agrees) image.problem('HW_POINTERS', at, `has a wrong CRC at ${pointerName(format, name)}, ${hex(value)}`)
  }
  const crc = { mode: 'section', expected: null, computed: null, ok: sound } as const
  const size = POINTER_COUNT * POINTER
  image.isApart('HW_POINTERS', start + POINTERS, size)
  image.sections.push({
    table: null,
    type: null,
    name: 'HW_POINTERS',
    offset: start + POINTERS,
    size,
    encrypted: false,
    crc,
  })
  return found as Pointers
}

const pointerName = (format: 'FS4' | 'FS5', name: string): string =>
  format === 'FS5' ? (fs5Names[name] ?? name) : name

/** The table lies where the pointer says, or one sector behind it while it is being replaced. */
const tablePlaces = (pointer: number | null): number[] => (pointer === null ? [] : [pointer, pointer + SECTOR])

const findTable = (image: ImageBytes, pointer: number | null): number | undefined =>
  tablePlaces(pointer).find((place) => isTable(image, place, 'ITOC'))

/** IMAGE_INFO where the header points; anything may stand there, so that its PSID has to look like one. */
function infoAt(image: ImageBytes, offset: number | null): ImageInfo | null {
  if (offset === null || !image.holds(offset, IMAGE_INFO)) return null
  const info = readImageInfo(image, offset)
  return /^[\w-]{4,}$/.test(info.psid) ? info : null
}

/**
 * Whether there is no table because it is encrypted: the image says so, or IMAGE_INFO is sound and what stands in place of the
 * table has nothing of one, nor is it blank. Else it is damaged.
 */
function isSealed(image: ImageBytes, pointer: number | null, info: ImageInfo | null): boolean {
  if (info === null || pointer === null || !image.holds(pointer, SECTOR)) return false
  if (info.flags.encrypted) return true
  if (matchingWords(image, pointer, 'ITOC') > 0 || isEntry(image, pointer + TOC_HEADER)) return false
  return new Set(image.bytes.subarray(pointer, pointer + SECTOR)).size > ENCRYPTED_VALUES
}

/** 4096 bytes of cipher have all 256 values, or nearly; a table has fewer. */
const ENCRYPTED_VALUES = 240

/** Its second dword counts the dwords behind the first four; the last has the CRC. */
export function readBoot2(image: ImageBytes, at: number | null): number | null {
  if (at === null) {
    image.problem('BOOT2', POINTERS, 'is pointed to by nothing')
    return null
  }
  const count = image.word(at + 4)
  if (count < 4 || count > MAX_BOOT2) {
    image.problem('BOOT2', at + 4, `has an impossible size, ${hex(count)} dwords`)
    return null
  }
  const size = (count + 4) * 4
  if (!image.isApart('BOOT2', at, size)) return null
  const tail = at + size - 4
  const crc = image.check('BOOT2', at, 'section', image.word(tail), imageCrc(image.bytes, at, tail))
  image.sections.push({ table: null, type: null, name: 'BOOT2', offset: at, size, encrypted: false, crc })
  return size
}

/**
 * Of FS5, which guards it by a digest that is not checked here: the header of its boot component says how long it is together
 * with the table of hashes.
 */
function readUnguardedBoot2(image: ImageBytes, at: number | null, header: number | null, hashes: number | null): void {
  if (at === null || header === null || !image.holds(header, BOOT_COMPONENT)) return
  if (image.word(header) !== BOOT_COMPONENT_MAGIC) return
  const size = image.littleWord(header + FIRST_COMPONENT + 4) - (hashes === null ? 0 : fs5HashesSize(image, hashes))
  if (size < 4 || size > MAX_BOOT2) image.problem('BOOT2', header, `has an impossible size, ${size} bytes`)
  else image.pointed('BOOT2', at, size, false)
}

const fs5HashesSize = (image: ImageBytes, at: number): number => image.word(at + 4) * 4 + HTOC_HEADER

/** Header with a CRC of its own, then hashes of sections, all of it with a CRC. */
function readHashes(image: ImageBytes, format: 'FS4' | 'FS5', at: number | null): void {
  if (at === null) return
  if (!image.holds(at, HASHES_HEADER + HTOC_HEADER))
    return image.problem('HASHES_TABLE', at, `lies beyond the end of the file, ${hex(image.length)}`)
  image.checkTail('HASHES_TABLE header', at, HASHES_HEADER)
  const [version, head] = [image.word(at + HASHES_HEADER), image.word(at + HASHES_HEADER + 4)]
  const entries = version === 1 ? 64 : 28
  const size =
    format === 'FS5'
      ? fs5HashesSize(image, at)
      : HASHES_HEADER + HTOC_HEADER + entries * (HTOC_ENTRY + (head >>> 16)) + HASHES_TAIL
  image.pointed('HASHES_TABLE', at, size)
}

/** Flash has slots for images; the tools area says how large one is, as a logarithm. A section behind it would lie in another. */
function checkSlot(image: ImageBytes, start: number, tools: number | null): void {
  const log = tools === null ? 0 : image.word(tools + 4) >>> 16
  if (log === 0) return
  const last = image.sections.filter(({ table }) => table === 'ITOC').at(-1)
  const end = last === undefined ? 0 : last.offset + last.size - start
  if (last !== undefined && log < 32 && end > 2 ** log)
    image.problem(
      last.name,
      last.offset,
      `ends at ${hex(end)} of the image, behind the slot of flash, ${hex(2 ** log)}`,
    )
}

/** Where nothing else tells the end of an image: of one whose table cannot be read, and of FS5, which has more behind its sections. */
function checkBurnSize(image: ImageBytes, start: number, burnSize: number, sealed: boolean): void {
  if (burnSize === 0) {
    if (sealed) image.problem('IMAGE_INFO', start, 'does not tell how long the image is, whose table is encrypted')
    return
  }
  for (const { name, offset, size } of image.sections) {
    const end = offset + size - start
    if (end > burnSize)
      image.problem(name, offset, `ends at ${hex(end)} of the image, behind its end, ${hex(burnSize)}`)
  }
}

/** Where the last section ends; of what cannot be read, what the image says, as far as the file goes. */
function imageEnd(image: ImageBytes, start: number, burnSize: number): number {
  if (burnSize > 0) return Math.min(start + burnSize, image.length)
  const ends = image.sections.map(({ offset, size }) => offset + size).filter((end) => end <= image.length)
  return Math.max(start, ...ends)
}

function isCut(image: ImageBytes, start: number, burnSize: number): void {
  const there = hex(image.length - start)
  image.problem('image', image.length, `is cut off: it has ${hex(burnSize)} bytes, of which the file has ${there}`)
}

/** A file that goes on behind the image has the sections of a device, with a table at its end. */
function readDeviceTable(image: ImageBytes, format: 'FS4' | 'FS5', info: ImageInfo, end: number): void {
  const length = image.length - (format === 'FS5' && isSigned(image) ? BOOT_COMPONENT : 0)
  if (length <= end) return
  const part = info.dtocOffset === 0 ? length : Math.floor(length / (info.dtocOffset * 2))
  const place = part - SECTOR
  if (isTable(image, place, 'DTOC')) readTable(image, place, 'DTOC', 'FS4', 0)
  else if (isWhole(image)) missingTable(image, 'DTOC', [place])
}

/** The header of a signature stands behind an image; flash sizes are multiples of 256 KiB. */
function isSigned(image: ImageBytes): boolean {
  return image.length % 0x40000 !== 0 && image.word(image.length - BOOT_COMPONENT) === BOOT_COMPONENT_MAGIC
}

/** Of an image that is cut off, or whose sections cannot be read, nobody knows where it ends. */
function isWhole(image: ImageBytes): boolean {
  const listed = image.sections.filter(({ table }) => table === 'ITOC')
  return listed.length > 0 && listed.every(({ offset, size }) => image.holds(offset, size))
}
