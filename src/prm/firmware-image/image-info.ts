import type { ImageBytes } from './image-bytes'
import type { BaseId, DeviceData, ImageInfo } from './types'
import { findSection, isDevInfo } from './toc'
import { sectionType } from './section-types'

/** Bytes of IMAGE_INFO. */
export const IMAGE_INFO = 0x400
/** Name and description are in layouts of this version on. */
const WITH_NAMES = 2

/** Reads IMAGE_INFO at an offset that the file holds it at (facts: firmware manager, C.7). */
export function readImageInfo(image: ImageBytes, at: number): ImageInfo {
  const [flags, time, date] = [image.word(at), image.word(at + 0xc), image.word(at + 0x10)]
  const [pci, subsystem] = [image.word(at + 0x1c), image.word(at + 0x20)]
  const hasNames = ((flags >>> 16) & 0xff) >= WITH_NAMES
  const flag = (bit: number): boolean => ((flags >>> bit) & 1) === 1
  return {
    psid: image.text(at + 0x24, 16),
    version: {
      major: image.word(at + 4) >>> 16,
      minor: image.word(at + 8) >>> 16,
      subminor: image.word(at + 8) & 0xffff,
    },
    releaseDate: date === 0 ? null : `${digits(date >>> 16, 4)}-${digits(date >>> 8, 2)}-${digits(date, 2)}`,
    releaseTime: date === 0 ? null : [time >>> 8, time >>> 16, time >>> 24].map((part) => digits(part, 2)).join(':'),
    productVersion: image.text(at + 0x1c0, 16),
    partNumber: hasNames ? image.text(at + 0x340, 64) : '',
    description: hasNames ? image.text(at + 0x1d0, 256) : '',
    prsName: hasNames ? image.text(at + 0x380, 128) : '',
    vsd: image.text(at + 0x38, 208),
    chips: [0, 1, 2, 3]
      .map((index) => image.word(at + 0x118 + 4 * index))
      .filter((word) => word !== 0)
      .map((word) => ({ hardwareId: word & 0xffff, revision: (word >>> 16) & 0xff })),
    pci: {
      vendor: pci & 0xffff,
      device: pci >>> 16,
      subsystemVendor: subsystem & 0xffff,
      subsystem: subsystem >>> 16,
    },
    flags: {
      secureBoot: flag(2),
      encrypted: flag(3) || flag(4),
      firmwareControl: flag(8),
      debug: flag(13),
      signed: flag(14),
      secure: flag(15),
    },
    burnSize: image.word(at + 0x12c),
    dtocOffset: (image.word(at + 0x110) >>> 8) & 0xff,
  }
}

/** The same, of the section that counts: what has another layout is read all the same, and said. */
export function readListedInfo(image: ImageBytes, at: number): ImageInfo {
  const version = image.word(at) >>> 24
  if (version !== 0) image.problem('IMAGE_INFO', at, `has a layout that is not known, version ${version}`)
  return readImageInfo(image, at)
}

/** Dates and times are decimal digits in hex: 0x2023. */
function digits(value: number, count: number): string {
  return (value & (count === 4 ? 0xffff : 0xff)).toString(16).padStart(count, '0')
}

/** A key pair of development: something in the upper 80 bits of its id, and nothing in the lower 48. */
function isDevelopmentKey(image: ImageBytes, holder: number | null, offset: number): boolean {
  if (holder === null || !image.holds(holder + offset, 16)) return false
  const [first = 0, second = 0, third = 0, fourth] = [0, 4, 8, 12].map((word) => image.word(holder + offset + word))
  return (first !== 0 || second !== 0 || third !== 0) && fourth === 0 && (third & 0xffff) === 0
}

/** What guards an image, and how it is burned. */
export interface ImageGuard {
  readonly attributes: readonly string[]
  readonly firmwareControl: boolean
}

/**
 * What flint calls security attributes, and update method. Of images whose sections can be read, only those count that are
 * updated by firmware and have a signature and keys; of encrypted ones, and of FS5, the flags alone.
 * @param keys where the public keys lie that a header points to
 */
export function guardOf(image: ImageBytes, info: ImageInfo | null, byFlags: boolean, keys: number | null): ImageGuard {
  if (info === null) return { attributes: [], firmwareControl: false }
  const { secure, signed, debug, firmwareControl } = info.flags
  const signature = findSection(image, sectionType.IMAGE_SIGNATURE_256, sectionType.IMAGE_SIGNATURE_512)
  const hasKeys = findSection(image, sectionType.PUBLIC_KEYS_2048, sectionType.PUBLIC_KEYS_4096) !== undefined
  if (!byFlags && !(firmwareControl && signature !== undefined && hasKeys))
    return { attributes: [], firmwareControl: false }
  if (!secure && !signed) return { attributes: [], firmwareControl }
  const isDevelopment = byFlags
    ? isDevelopmentKey(image, keys, 4)
    : isDevelopmentKey(image, signature?.offset ?? null, 16)
  const kinds = [secure ? 'secure-fw' : 'signed-fw', debug ? 'debug' : '', isDevelopment ? 'dev' : '']
  return { attributes: kinds.filter((kind) => kind !== ''), firmwareControl }
}

/** What the sections of the device itself tell; null where the image has none. */
export function readDeviceData(image: ImageBytes): DeviceData | null {
  const made = findSection(image, sectionType.MFG_INFO)?.offset
  const own = image.sections.find(
    ({ type, offset, size }) => type === sectionType.DEV_INFO && image.holds(offset, size) && isDevInfo(image, offset),
  )?.offset
  const ids = own === undefined ? made : own
  if (ids === undefined) return null
  // Two GUIDs and two MACs in the first version of each section, one of each in the second.
  const isPair = own === undefined ? image.word(ids + 0x1c) >>> 24 === 0 : ((image.word(own + 0x10) >>> 8) & 0x1ff) < 2
  const id = (index: number): BaseId => baseId(image, ids + 0x20 + 16 * index)
  return {
    originalPsid: made === undefined ? null : image.text(made, 16),
    vsd: own === undefined ? null : image.text(own + 0x70, 208),
    guids: isPair ? [id(0), id(1)] : [id(0)],
    macs: isPair ? [id(2), id(3)] : [id(1)],
  }
}

function baseId(image: ImageBytes, at: number): BaseId {
  const head = image.word(at)
  const base = [image.word(at + 8), image.word(at + 12)].map((word) => word.toString(16).padStart(8, '0')).join('')
  return { base, count: (head & 0xff) | ((head >>> 8) & 0xff00), step: (head >>> 8) & 0xff }
}
