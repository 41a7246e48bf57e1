/**
 * Builds firmware images and archives out of the tables of the formats, for tests: nothing of src/ is used, so that a mistake in
 * the reader cannot hide in what it reads.
 */
import { spawnSync } from 'node:child_process'

export interface SectionRecipe {
  readonly type: number
  /** A multiple of 4 bytes. */
  readonly data: Uint8Array
  /** Default: in the entry. Of "section" the last dword of the data is overwritten. */
  readonly crc?: 'entry' | 'section' | 'none'
  readonly encrypted?: boolean
  /** Lines of 64 bytes with a CRC each. */
  readonly lines?: boolean
}

export interface ImageRecipe {
  readonly format?: 'FS3' | 'FS4' | 'FS5'
  /** Where it begins in the file. */
  readonly offset?: number
  readonly psid?: string
  readonly version?: readonly [major: number, minor: number, subminor: number]
  /** Decimal digits: 2023-10-15. */
  readonly date?: readonly [year: string, month: string, day: string]
  readonly time?: readonly [hour: string, minute: string, second: string]
  readonly productVersion?: string
  readonly partNumber?: string
  readonly description?: string
  readonly prsName?: string
  readonly vsd?: string
  readonly hardwareIds?: readonly number[]
  readonly pciDevice?: number
  /** Bits of dword 0 of IMAGE_INFO: 15 secure, 14 signed, 13 debug, 8 MCC, 3-4 encrypted, 2 secure boot. */
  readonly flags?: number
  readonly burnSize?: number
  readonly securityVersion?: number
  /** Sections behind IMAGE_INFO. */
  readonly sections?: readonly SectionRecipe[]
  /** Whole flash: its size in bytes, and the sections of the device in it. */
  readonly flash?: { readonly size: number; readonly dtocOffset?: number; readonly sections: readonly SectionRecipe[] }
  /** How pointers are guarded: by the CRC of the boot hardware, or that of all else. */
  readonly pointerCrc?: 'hardware' | 'software'
  readonly hashes?: boolean
  /** Dwords of BOOT2 behind its first four; default 512. */
  readonly boot2Dwords?: number
  /** Logarithm of the size of a slot of flash; default 22. */
  readonly slotLog?: number
  /** The table stands one sector behind where the pointer says. */
  readonly secondTable?: boolean
}

export interface Place {
  readonly name: string
  readonly offset: number
  readonly size: number
  /** Whether a flipped bit shows. */
  readonly guarded: boolean
  /** Where its CRC stands in it: the two bytes before are guarded by nothing. */
  readonly crcAt?: number
}

export interface BuiltImage {
  readonly bytes: Buffer
  /** Everything in it, in the order of the file. */
  readonly places: readonly Place[]
}

const names: Readonly<Record<number, string>> = {
  0x02: 'PCI_CODE',
  0x03: 'MAIN_CODE',
  0x10: 'IMAGE_INFO',
  0x11: 'FW_BOOT_CFG',
  0x18: 'ROM_CODE',
  0x30: 'DBG_FW_INI',
  0xa0: 'IMAGE_SIGNATURE_256',
  0xa1: 'PUBLIC_KEYS_2048',
  0xe0: 'MFG_INFO',
  0xe1: 'DEV_INFO',
  0xe5: 'FW_NV_LOG',
}
const nameOf = (type: number): string => names[type] ?? `UNKNOWN_0x${type.toString(16).padStart(2, '0')}`

/** Bit by bit, as it is defined: polynomial 0x100b, from 0xffff, most significant bit first, 16 zero bits, inverted. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  const shiftIn = (bit: number): void => {
    const carry = crc & 0x8000
    crc = ((crc << 1) | bit) & 0xffff
    if (carry !== 0) crc ^= 0x100b
  }
  for (const byte of bytes) for (let bit = 7; bit >= 0; bit--) shiftIn((byte >> bit) & 1)
  for (let bit = 0; bit < 16; bit++) shiftIn(0)
  return crc ^ 0xffff
}

/** Of a pointer and the two bytes behind it: least significant bit first, two bytes inverted, the result with swapped bytes. */
function hardwareCrc(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const [index, byte] of bytes.subarray(0, 6).entries()) {
    const data = index < 2 ? byte ^ 0xff : byte
    for (let bit = 0; bit < 8; bit++) {
      const mixed = (crc ^ (data >> bit)) & 1
      crc >>= 1
      if (mixed === 1) crc ^= 0xd008
    }
  }
  return ((crc & 0xff) << 8) | (crc >> 8)
}

/** Bytes that look like code, the same for the same seed. */
export function filler(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[at] = state >>> 16
  }
  return bytes
}

export interface RomRecipe {
  readonly type: number
  readonly version: readonly [number, number, number]
  readonly cpu?: number
  readonly protocol?: number
  readonly port?: number
}

/** A ROM section: an option ROM that sums up to 0, with the signs of all versions. */
export function romSection(roms: readonly RomRecipe[]): SectionRecipe {
  const data = Buffer.alloc(512 + 256 * roms.length)
  data.write('\x55\xaa', 0, 'latin1')
  data[2] = 1
  for (const [index, { type, version, cpu = 1, protocol = 0xff, port = 0 }] of roms.entries()) {
    const at = 64 + 96 * index
    data.write('mlxsign:', at, 'latin1')
    data.writeUInt32LE(((type << 16) | version[0]) >>> 0, at + 8)
    data.writeUInt32LE(((version[1] << 16) | version[2]) >>> 0, at + 12)
    data.writeUInt32LE((protocol | (cpu << 8) | (port << 12)) >>> 0, at + 16)
  }
  data[511] = 0x100 - (data.subarray(0, 512).reduce((sum, byte) => sum + byte, 0) % 0x100)
  return { type: 0x18, data }
}

/** What a device was made with. */
export function mfgInfo(psid: string, guid: bigint, mac: bigint): SectionRecipe {
  const data = Buffer.alloc(0x140)
  data.write(psid, 0, 16, 'latin1')
  data[0x1c] = 1
  data[0x1d] = 1
  ids(data, 0x20, guid, mac)
  return { type: 0xe0, data }
}

/** What a device is called now. Its CRC is in its last dword. */
export function devInfo(vsd: string, guid: bigint, mac: bigint): SectionRecipe {
  const data = Buffer.alloc(0x200)
  for (const [index, word] of [0x6d446576, 0x496e666f, 0x2342cafa, 0xbacafe00].entries())
    data.writeUInt32BE(word, index * 4)
  data.writeUInt32BE(2 << 8, 0x10)
  ids(data, 0x20, guid, mac)
  data.write(vsd, 0x70, 208, 'latin1')
  return { type: 0xe1, data, crc: 'section' }
}

function ids(data: Buffer, at: number, guid: bigint, mac: bigint): void {
  data[at + 3] = 16
  data.writeBigUInt64BE(guid, at + 8)
  data[at + 0x13] = 16
  data.writeBigUInt64BE(mac, at + 0x18)
}

/** Signature and keys, which make the security attributes count. */
export const signed: readonly SectionRecipe[] = [
  { type: 0xa0, data: filler(0x140, 0xa0) },
  { type: 0xa1, data: filler(0x900, 0xa1) },
]

function imageInfo(recipe: ImageRecipe, burnSize: number): Buffer {
  const info = Buffer.alloc(0x400)
  const [major, minor, subminor] = recipe.version ?? [28, 39, 1002]
  const [year, month, day] = recipe.date ?? ['2023', '10', '15']
  const [hour, minute, second] = recipe.time ?? ['11', '22', '33']
  info.writeUInt32BE(0x30000 | (recipe.flags ?? 0x100), 0)
  info.writeUInt16BE(major, 4)
  info.writeUInt16BE(minor, 8)
  info.writeUInt16BE(subminor, 10)
  info.write(`${second}${minute}${hour}00`, 12, 'hex')
  info.write(`${year}${month}${day}`, 16, 'hex')
  info.writeUInt16BE(recipe.pciDevice ?? 0x1021, 0x1c)
  info.writeUInt16BE(0x15b3, 0x1e)
  info.writeUInt32BE(0x002815b3, 0x20)
  info.write(recipe.psid ?? 'MT_0000000838', 0x24, 16, 'latin1')
  info.write(recipe.vsd ?? 'built for a test', 0x38, 208, 'latin1')
  info.writeUInt16BE((recipe.flash?.dtocOffset ?? 0) << 8, 0x112)
  for (const [index, id] of (recipe.hardwareIds ?? [0x218]).entries()) info.writeUInt32BE(id, 0x118 + 4 * index)
  info.writeUInt32BE(burnSize, 0x12c)
  info.write(recipe.productVersion ?? 'rel-28_39_1002', 0x1c0, 16, 'latin1')
  info.write(recipe.description ?? 'An adapter card; it exists in tests only', 0x1d0, 256, 'latin1')
  info.write(recipe.partNumber ?? 'MCX75310AAS-NEA_Ax', 0x340, 64, 'latin1')
  info.write(recipe.prsName ?? 'cx7_MCX75310AAS-NEA_Ax.prs', 0x380, 128, 'latin1')
  return info
}

/** Sections in one buffer; what is between them is blank. */
class Layout {
  private buffer = Buffer.alloc(0x40000, 0xff)
  private length = 0
  readonly places: Place[] = []

  get bytes(): Buffer {
    return Buffer.from(this.buffer.subarray(0, this.length))
  }

  put(name: string, offset: number, data: Uint8Array, guarded: boolean, crcAt?: number): void {
    this.reach(offset + data.length)
    this.buffer.set(data, offset)
    this.places.push({ name, offset, size: data.length, guarded, ...(crcAt === undefined ? {} : { crcAt }) })
  }

  reach(length: number): void {
    if (length > this.buffer.length) this.buffer = Buffer.concat([this.buffer, Buffer.alloc(2 * length, 0xff)])
    this.length = Math.max(this.length, length)
  }
}

const aligned = (offset: number, step: number): number => Math.ceil(offset / step) * step

/** The bytes of a section as they lie in the file. */
function contentOf({ data, crc }: SectionRecipe): Buffer {
  const content = Buffer.from(data)
  if (crc === 'section') content.writeUInt32BE(crc16(content.subarray(0, -4)), content.length - 4)
  return content
}

/** One table and its sections, whose addresses are counted from an origin. */
function putTable(
  layout: Layout,
  form: { readonly kind: 'ITOC' | 'DTOC'; readonly style: 'FS3' | 'FS4'; readonly origin: number },
  table: number,
  first: number,
  sections: readonly SectionRecipe[],
): void {
  const header = Buffer.alloc(0x20)
  header.write(form.kind, 0, 'latin1')
  for (const [index, word] of [0x04081516, 0x2342cafa, 0xbacafe00].entries()) header.writeUInt32BE(word, 4 + 4 * index)
  header[0x13] = 1
  header[0x17] = sections.length
  header.writeUInt16BE(crc16(header.subarray(0, 0x1c)), 0x1e)
  layout.put(`${form.kind}_HEADER`, table, header, true, 0x1e)
  let at = first
  for (const [index, section] of sections.entries()) {
    const content = contentOf(section)
    const { type, crc = 'entry', encrypted = false, lines = false } = section
    const isDevice = form.style === 'FS3' && type >= 0xe0
    const entry = Buffer.alloc(0x20)
    entry.writeUInt32BE(((type << 24) | content.length) >>> 0, 0)
    if (lines) entry.writeUInt32BE(0x40000000, 4)
    const relative = form.style === 'FS3' && !isDevice ? 0x80000000 : 0
    entry.writeUInt32BE((relative | (at - (isDevice ? 0 : form.origin))) >>> 0, 0x14)
    if (crc === 'entry' || (crc === 'section' && form.style === 'FS3')) entry.writeUInt16BE(crc16(content), 0x1a)
    const guard =
      form.style === 'FS3' ? (crc === 'none' ? 1 : 0) | (isDevice ? 2 : 0) : { entry: 0, none: 1, section: 2 }[crc]
    entry.writeUInt16BE(guard | (encrypted ? 0x8000 : 0), 0x18)
    entry.writeUInt16BE(crc16(entry.subarray(0, 0x1c)), 0x1e)
    layout.put(`${form.kind} entry ${index} (${nameOf(type)})`, table + 0x20 * (index + 1), entry, true, 0x1e)
    const isTail = crc === 'section' && form.style === 'FS4'
    layout.put(nameOf(type), at, content, crc !== 'none' && !encrypted, isTail ? content.length - 2 : undefined)
    at = aligned(at + content.length, 0x80)
  }
  layout.put(`${form.kind} end`, table + 0x20 * (sections.length + 1), Buffer.alloc(0x20, 0xff), false)
}

/** Where the first section lies. */
const FIRST = 0x7000
const BOOT_COMPONENT = 0x2000
const newMagic = Buffer.from('4d544657abcdef00fade12345678dead', 'hex')
const oldMagic = Buffer.from('4d5446578cdfd000dead92704154beef', 'hex')

function boot2(dwords: number): Buffer {
  const code = filler(4 * (dwords + 4), 2)
  code.writeUInt32BE(dwords, 4)
  code.writeUInt32BE(crc16(code.subarray(0, -4)), code.length - 4)
  return code
}

function toolsArea(logSize: number): Buffer {
  const tools = Buffer.alloc(0x40)
  tools.writeUInt32BE(1, 0)
  tools.writeUInt16BE(logSize, 4)
  tools[6] = 1
  tools.writeUInt16BE(crc16(tools.subarray(0, 0x3c)), 0x3e)
  return tools
}

/** Header, table of hashes and tail, for a hash size of 64 bytes. */
function hashesTable(format: 'FS4' | 'FS5'): Buffer {
  const size = format === 'FS4' ? 12 + 16 + 28 * (8 + 64) + 8 : 0x400
  const hashes = filler(size, 3)
  hashes.writeUInt32BE(0x1000, 0)
  hashes.writeUInt32BE((size - 16) / 4, 4)
  hashes.writeUInt32BE(crc16(hashes.subarray(0, 8)), 8)
  hashes.writeUInt32BE(0, 12)
  hashes.writeUInt32BE(0x00400000, 16)
  hashes.writeUInt32BE(crc16(hashes.subarray(0, -4)), size - 4)
  return hashes
}

/** The header of a boot component: the magic, and of the first component its length, little-endian. */
function bootComponent(length: number): Buffer {
  const header = Buffer.alloc(BOOT_COMPONENT)
  header.write('NVDA', 0, 'latin1')
  header.writeUInt32LE(length, 0x1ee0 + 4)
  return header
}

export const defaultSections: readonly SectionRecipe[] = [
  { type: 0x02, data: filler(0x200, 4) },
  { type: 0x03, data: filler(0x1240, 5) },
  { type: 0x11, data: filler(0x84, 6), crc: 'section' },
  romSection([
    { type: 0x11, version: [14, 32, 12], cpu: 3 },
    { type: 0x10, version: [3, 7, 201], cpu: 1 },
  ]),
  { type: 0x30, data: filler(0x40, 7), crc: 'none' },
  { type: 0x7b, data: filler(0x20, 8) },
]

/** An image of any of the formats; without a recipe an FS4 image of a ConnectX-7. */
export function buildImage(recipe: ImageRecipe = {}): BuiltImage {
  const layout = new Layout()
  const { format = 'FS4', offset = 0, sections = defaultSections, flash } = recipe
  const end = [{ data: { length: 0x400 } }, ...sections].reduce(
    (at, { data }) => aligned(at + data.length, 0x80),
    FIRST,
  )
  const burnSize = recipe.burnSize ?? (format === 'FS5' ? end + BOOT_COMPONENT : 0)
  const all: readonly SectionRecipe[] = [{ type: 0x10, data: imageInfo(recipe, burnSize) }, ...sections]
  if (format === 'FS3') {
    const device = flash?.sections ?? []
    putFs3(layout, offset, [...all, ...device])
  } else putFs4(layout, recipe, { format, offset, end }, all)
  if (flash !== undefined) {
    layout.reach(flash.size)
    if (format !== 'FS3') {
      const part = flash.dtocOffset === undefined ? flash.size : flash.size / (flash.dtocOffset * 2)
      const table = part - 0x1000
      putTable(layout, { kind: 'DTOC', style: 'FS4', origin: 0 }, table, table - 0x4000, flash.sections)
    }
  }
  return { bytes: layout.bytes, places: [...layout.places].sort((a, b) => a.offset - b.offset) }
}

function putFs3(layout: Layout, offset: number, sections: readonly SectionRecipe[]): void {
  const header = Buffer.alloc(0x38, 0)
  header.set(oldMagic)
  header.writeUInt32BE(0x03160101, 0x24)
  layout.put('header', offset, header, false)
  layout.put('BOOT2', offset + 0x38, boot2(0x100), true)
  putTable(layout, { kind: 'ITOC', style: 'FS3', origin: offset }, offset + 0x1000, offset + 0x2000, sections)
}

function putFs4(
  layout: Layout,
  recipe: ImageRecipe,
  { format, offset, end }: { readonly format: 'FS4' | 'FS5'; readonly offset: number; readonly end: number },
  sections: readonly SectionRecipe[],
): void {
  const { pointerCrc = 'hardware', securityVersion = 0, hashes = true, secondTable = false } = recipe
  const header = Buffer.alloc(0x18)
  header.set(newMagic)
  header.writeUInt32BE(format === 'FS4' ? 0x01000001 : 0x02000001, 0x10)
  layout.put('header', offset, header, false)
  const slots = new Map<number, number>([
    [1, 0x1000],
    [2, 0x5000],
    [3, 0x500],
    [10, FIRST],
    [13, securityVersion],
    ...(hashes ? [[15, 0x3000] as const] : []),
    ...(format === 'FS5' ? [[6, end] as const] : []),
  ])
  const pointers = Buffer.alloc(16 * 8)
  for (let slot = 0; slot < 16; slot++) {
    const entry = pointers.subarray(slot * 8, slot * 8 + 8)
    entry.writeUInt32BE(slots.get(slot) ?? 0, 0)
    entry.writeUInt16BE(pointerCrc === 'hardware' ? hardwareCrc(entry) : crc16(entry.subarray(0, 4)), 6)
  }
  layout.put('HW_POINTERS', offset + 0x18, pointers, true)
  layout.put('TOOLS_AREA', offset + 0x500, toolsArea(recipe.slotLog ?? 22), true, 0x3e)
  layout.put('BOOT2', offset + 0x1000, boot2(recipe.boot2Dwords ?? 0x200), format === 'FS4')
  const table = hashesTable(format)
  if (hashes) layout.put('HASHES_TABLE', offset + 0x3000, table, true, table.length - 2)
  const itoc = offset + 0x5000 + (secondTable ? 0x1000 : 0)
  putTable(layout, { kind: 'ITOC', style: 'FS4', origin: offset }, itoc, offset + FIRST, sections)
  if (format === 'FS5')
    layout.put(
      'boot component',
      offset + end,
      bootComponent(4 * ((recipe.boot2Dwords ?? 0x200) + 4) + (hashes ? 0x400 : 0)),
      false,
    )
}

export interface ArchiveRecipe {
  readonly boards: readonly {
    readonly psid: string
    readonly metadata?: Readonly<Record<string, string>>
    /** Parts, put together in their order. */
    readonly parts: readonly {
      readonly bytes: Uint8Array
      readonly group?: number
      readonly selectTag?: string
      readonly content?: number
      readonly version?: readonly number[]
    }[]
  }[]
  readonly compress?: boolean
  readonly version?: number
  /** In place of the list of boards. */
  readonly map?: Buffer
}

/** An MFA archive. @param compress by the xz program */
export function buildArchive({ boards, compress = false, version = 1, map: other }: ArchiveRecipe): Buffer {
  const [map, toc, data]: [Buffer[], Buffer[], Buffer[]] = [[], [], []]
  let [tocAt, dataAt] = [0, 0]
  for (const { psid, metadata = {}, parts } of boards) {
    const pairs = Object.entries(metadata)
    const text = Buffer.concat(pairs.map(([key, value]) => Buffer.from(`${key}\0${value}\0`, 'latin1')))
    const meta = pairs.length === 0 ? text : Buffer.concat([Buffer.from([1, 0, 0, pairs.length]), text])
    const head = Buffer.alloc(36)
    head.write(psid, 0, 32, 'latin1')
    head[32] = parts.length
    head.writeUInt16BE(meta.length, 34)
    map.push(head, meta)
    for (const [
      index,
      { bytes, group = index, selectTag = '', content = 1, version: numbers = [] },
    ] of parts.entries()) {
      const image = Buffer.alloc(40)
      image.writeUInt32BE(tocAt, 0)
      image.writeUInt16BE(1, 4)
      image[7] = group
      image.write(selectTag, 8, 32, 'latin1')
      map.push(image)
      const entry = Buffer.alloc(24)
      entry.writeUInt32BE(dataAt, 0)
      entry.writeUInt32BE(bytes.length, 4)
      entry.writeUInt16BE(content, 8)
      entry[11] = numbers.length
      for (const [place, number] of numbers.entries()) entry.writeUInt16BE(number, 12 + 2 * place)
      toc.push(entry)
      tocAt += entry.length
      data.push(Buffer.from(bytes))
      dataAt += bytes.length
    }
  }
  const head = Buffer.alloc(16)
  head.write('MFAR', 0, 'latin1')
  head.writeUInt32BE(version, 4)
  const lists = [other === undefined ? map : [other], toc, data]
  const body = lists.map((parts, index) => archiveSection(index + 1, Buffer.concat(parts), compress))
  return withArchiveCrc(Buffer.concat([head, ...body, Buffer.alloc(4)]))
}

/** Puts the right CRC32 behind an archive, in place of its last four bytes. */
export function withArchiveCrc(archive: Buffer): Buffer {
  archive.writeUInt32BE(crc32(archive.subarray(0, -4)), archive.length - 4)
  return archive
}

function archiveSection(type: number, content: Buffer, compress: boolean): Buffer {
  const packed = compress ? xz(content) : content
  const head = Buffer.alloc(8)
  head[0] = type
  head[3] = compress ? 1 : 0
  head.writeUInt32BE(packed.length, 4)
  return Buffer.concat([head, packed])
}

function xz(content: Buffer): Buffer {
  const { stdout, status, error } = spawnSync('xz', ['-6', '-c', '--check=crc32'], {
    input: content,
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`xz: ${error?.message ?? `exit ${status}`}`)
  return stdout
}

/** Bit by bit: polynomial 0xedb88320, least significant bit first. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}
