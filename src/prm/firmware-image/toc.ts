import { imageCrc } from './crc'
import { CRC_MASK, hex, unchecked, type ImageBytes } from './image-bytes'
import { sectionName, sectionType } from './section-types'
import type { ImageSection, SectionCrc } from './types'

/** Tables of sections: a header of 32 bytes, then entries of 32 bytes (facts: firmware manager, C.7). */
export const TOC_HEADER = 0x20
const TOC_ENTRY = 0x20
const MAX_ENTRIES = 64
/** Tables begin at sectors of flash. */
export const SECTOR = 0x1000

/** "ITOC" or "DTOC", then three dwords that are the same in every image. */
const signatures = { ITOC: 0x49544f43, DTOC: 0x44544f43 } as const
const signatureTail = [0x04081516, 0x2342cafa, 0xbacafe00] as const
/** "mDev", "Info" and two of the same: a device's own section that is in use. */
const devInfoSignature = [0x6d446576, 0x496e666f, 0x2342cafa, 0xbacafe00] as const

export type TableKind = keyof typeof signatures

/** How entries say where a section lies and what guards it: FS3 has two flags where FS4 has three bits. */
export type EntryForm = 'FS3' | 'FS4'

interface Entry {
  readonly type: number
  readonly offset: number
  readonly size: number
  readonly crcMode: SectionCrc['mode']
  readonly crc: number
  /** Its lines of 64 bytes have a CRC each or, when they are encrypted, a tag. */
  readonly lines: boolean
  readonly encrypted: boolean
}

/** How many of the four dwords of the signature are there. */
export function matchingWords(image: ImageBytes, offset: number, kind: TableKind): number {
  return [signatures[kind], ...signatureTail].filter((word, index) => image.word(offset + 4 * index) === word).length
}

export function isTable(image: ImageBytes, offset: number, kind: TableKind): boolean {
  return image.holds(offset, TOC_HEADER) && matchingWords(image, offset, kind) === 1 + signatureTail.length
}

/** Whether the entry at an offset is one, by its own CRC. */
export function isEntry(image: ImageBytes, offset: number): boolean {
  return image.holds(offset, TOC_ENTRY) && entryCrc(image, offset) === (image.word(offset + TOC_ENTRY - 4) & CRC_MASK)
}

/**
 * Reads a table and checks it, its entries and every section that they list.
 * @param start where the image begins: addresses of ITOC are counted from there, those of DTOC from the begin of the file
 */
export function readTable(image: ImageBytes, offset: number, kind: TableKind, form: EntryForm, start: number): void {
  const name = `${kind}_HEADER`
  image.pointed(name, offset, TOC_HEADER)
  for (let index = 0; index < MAX_ENTRIES; index++) {
    const at = offset + TOC_HEADER + index * TOC_ENTRY
    if (!image.holds(at, TOC_ENTRY))
      return image.problem(kind, at, `ends with the file, after ${index} entries and without an end mark`)
    if (image.word(at) >>> 24 === sectionType.END) return checkEnd(image, at, kind, index)
    readEntry(image, at, kind, index, form === 'FS3' ? fs3Entry(image, at, start) : fs4Entry(image, at, kind, start))
  }
  image.problem(kind, offset, `has no end mark among its first ${MAX_ENTRIES} entries`)
}

/** What is damaged may look like the end: then a sound entry follows. */
function checkEnd(image: ImageBytes, at: number, kind: TableKind, index: number): void {
  const next = at + TOC_ENTRY
  if (image.word(next) >>> 24 === sectionType.END || image.isBlank(next, TOC_ENTRY) || !isEntry(image, next)) return
  if (image.bytes.subarray(next, next + TOC_ENTRY).every((byte) => byte === 0)) return
  image.problem(`${kind} entry ${index}`, at, 'is an end mark, but a sound entry follows it')
}

function readEntry(image: ImageBytes, at: number, kind: TableKind, index: number, entry: Entry): void {
  const { type, offset, size, encrypted } = entry
  const name = sectionName(type)
  const expected = image.word(at + TOC_ENTRY - 4) & CRC_MASK
  image.check(`${kind} entry ${index} (${name})`, at, 'entry', expected, entryCrc(image, at))
  const crc = image.isApart(name, offset, size)
    ? checkSection(image, name, entry)
    : { ...unchecked, mode: entry.crcMode }
  image.sections.push({ table: kind, type, name, offset, size, encrypted, crc })
}

function checkSection(image: ImageBytes, name: string, entry: Entry): SectionCrc {
  const { type, offset, size, crcMode } = entry
  if (type === sectionType.DEV_INFO && !isDevInfo(image, offset)) {
    if (!image.isBlank(offset, size)) image.problem(name, offset, 'has neither its signature nor blank flash')
    return { ...unchecked, mode: crcMode }
  }
  if (crcMode === 'none' || isEncryptedCode(image, entry)) return { ...unchecked, mode: crcMode }
  if (crcMode === 'entry')
    return image.check(name, offset, 'entry', entry.crc, imageCrc(image.bytes, offset, offset + size))
  if (size >= 4) return image.checkTail(name, offset, size)
  image.problem(name, offset, 'is too short for the CRC at its end')
  return { ...unchecked, mode: crcMode }
}

/** The first dword behind a line has 16 bits of CRC in clear code, and 32 bits of a tag in encrypted code. */
function isEncryptedCode(image: ImageBytes, { lines, offset, size, encrypted }: Entry): boolean {
  return encrypted || (lines && size > LINE && image.word(offset + LINE) >>> 16 !== 0)
}

const LINE = 64

export function isDevInfo(image: ImageBytes, offset: number): boolean {
  return devInfoSignature.every((word, index) => image.word(offset + 4 * index) === word)
}

const entryCrc = (image: ImageBytes, at: number): number => imageCrc(image.bytes, at, at + TOC_ENTRY - 4)

/** Size in dwords in bits 2 to 23 of dword 0, address in bits 2 to 30 of dword 5: both are bytes when the low bits are cut off. */
function common(image: ImageBytes, at: number): Omit<Entry, 'offset' | 'crcMode'> & { readonly address: number } {
  const [head, second, guard] = [image.word(at), image.word(at + 4), image.word(at + 0x18)]
  return {
    type: head >>> 24,
    size: head & 0xfffffc,
    address: image.word(at + 0x14) & 0x7ffffffc,
    crc: guard & CRC_MASK,
    lines: (second & 0x40000000) !== 0,
    encrypted: guard >>> 31 === 1,
  }
}

function fs4Entry(image: ImageBytes, at: number, kind: TableKind, start: number): Entry {
  const { address, ...rest } = common(image, at)
  const mode = (image.word(at + 0x18) >>> 16) & 7
  const crcMode = mode === 0 ? 'entry' : mode === 2 ? 'section' : 'none'
  if (mode > 2) image.problem(sectionName(rest.type), at, `has an unknown kind of CRC, ${mode}`)
  return { ...rest, crcMode, offset: kind === 'DTOC' ? address : start + address }
}

/** Bit 31 of the address: counted from the begin of the image. Bit 16 of the guard: no CRC. */
function fs3Entry(image: ImageBytes, at: number, start: number): Entry {
  const { address, ...rest } = common(image, at)
  const isRelative = image.word(at + 0x14) >>> 31 === 1
  const crcMode = (image.word(at + 0x18) & 0x10000) === 0 ? 'entry' : 'none'
  return { ...rest, encrypted: false, crcMode, offset: isRelative ? start + address : address }
}

/** The first section of a type, where it lies in the file. */
export function findSection(image: ImageBytes, ...types: readonly number[]): ImageSection | undefined {
  return image.sections.find(
    ({ type, offset, size }) => type !== null && types.includes(type) && image.holds(offset, size),
  )
}

/** For messages about a table that is not where it should be. */
export function missingTable(image: ImageBytes, kind: TableKind, places: readonly number[]): void {
  image.problem(kind, places[0] ?? 0, `no table was found at ${places.map(hex).join(' or ')}`)
}
