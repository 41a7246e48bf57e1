import { MalformedData } from '../prm/errors'

const BLOCK = 512
/** Bytes of a header that holds a long name, or of one that extends it. */
const LONGEST_EXTENSION = 64 * 1024
const LONGEST_PATH = 1024

/** A file of an archive; folders are told by nothing but the names of their files. */
export interface TarEntry {
  readonly path: string
  /** Bytes. */
  readonly size: number
}

/** What comes out of an archive, in its order: a file begins, a part of it, it ends. A part shares the memory of what was pushed. */
export type TarEvent =
  | { readonly kind: 'file'; readonly entry: TarEntry }
  | { readonly kind: 'data'; readonly part: Uint8Array }
  | { readonly kind: 'end' }

const kinds: Readonly<Record<string, string>> = {
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a FIFO',
}

/**
 * Reads a tar archive of plain files as it comes (POSIX ustar with or without pax, and that of GNU tar) and holds no more of it
 * than a header. It is strict, because nobody knows who made the archive: links, devices, names that lead out of it, names that
 * come twice, checksums that are wrong, and anything behind the end are refused.
 */
export class TarReader {
  private readonly header = new Uint8Array(BLOCK)
  private filled = 0
  /** Bytes to come: of the file, of what extends the next header, of padding. */
  private left = 0
  private padding = 0
  private extension: { readonly kind: string; readonly bytes: Uint8Array; filled: number } | undefined
  private inFile = false
  /** Blocks of zeros that ended it. */
  private zeros = 0
  private offset = 0
  private longName: string | undefined
  private longSize: number | undefined
  private readonly names = new Set<string>()

  /** @param name of the archive, for errors @param most files */
  constructor(
    private readonly name: string,
    private readonly most = 100_000,
  ) {}

  /** @throws MalformedData */
  *push(chunk: Uint8Array): Generator<TarEvent> {
    let at = 0
    while (at < chunk.length) {
      const part = chunk.subarray(at, at + this.due())
      at += part.length
      this.offset += part.length
      yield* this.take(part)
    }
  }

  /** Nothing more comes. @throws MalformedData when it should */
  finish(): void {
    if (this.inFile || this.extension !== undefined || this.filled > 0 || this.zeros === 0)
      throw this.malformed('is cut off: the archive has no end')
  }

  private due(): number {
    if (this.left > 0) return this.left
    return this.padding > 0 ? this.padding : BLOCK - this.filled
  }

  private *take(part: Uint8Array): Generator<TarEvent> {
    if (this.left > 0) {
      this.left -= part.length
      if (this.inFile) yield { kind: 'data', part }
      else this.extend(part)
      if (this.left === 0) yield* this.ended()
    } else if (this.padding > 0) this.padding -= part.length
    else {
      this.header.set(part, this.filled)
      this.filled += part.length
      if (this.filled === BLOCK) {
        this.filled = 0
        yield* this.readHeader()
      }
    }
  }

  private *ended(): Generator<TarEvent> {
    if (this.inFile) yield { kind: 'end' }
    else this.applyExtension()
    this.inFile = false
  }

  private *readHeader(): Generator<TarEvent> {
    const { header } = this
    if (header.every((byte) => byte === 0)) {
      this.zeros++
      return
    }
    if (this.zeros > 0) throw this.malformed('has data behind the end of the archive')
    if (sumOf(header) !== octal(header, 148, 8))
      throw this.malformed('is no tar archive, or a damaged one: a checksum is wrong')
    const magic = text(header, 257, 6)
    if (!magic.startsWith('ustar')) throw this.malformed('is a tar archive of an old kind')
    const kind = header[156] === 0 ? '0' : String.fromCharCode(header[156] ?? 0)
    const size = this.longSize ?? sizeOf(header)
    if (size === undefined || !Number.isSafeInteger(size)) throw this.malformed('has a file of no possible size')
    const prefix = magic === 'ustar' ? text(header, 345, 155) : ''
    const path = this.longName ?? (prefix === '' ? '' : `${prefix}/`) + text(header, 0, 100)
    if (kind === 'x' || kind === 'g' || kind === 'L' || kind === 'K')
      return this.startExtension(kind, sizeOf(header) ?? -1)
    this.longName = undefined
    this.longSize = undefined
    if (kind === '5' || path.endsWith('/')) {
      if (size !== 0) throw this.malformed('has a folder with bytes in it')
      this.checked(path.replace(/\/+$/, ''))
      return
    }
    if (kind !== '0' && kind !== '7')
      throw this.malformed(`${shown(path)} is ${kinds[kind] ?? 'of an unknown kind'}: only files are read`)
    yield* this.startFile(this.checked(path), size)
  }

  private *startFile(path: string, size: number): Generator<TarEvent> {
    if (this.names.has(path)) throw this.malformed(`has ${shown(path)} twice`)
    this.names.add(path)
    if (this.names.size > this.most) throw this.malformed(`has more than ${this.most} files`)
    this.left = size
    this.padding = paddingOf(size)
    this.inFile = true
    yield { kind: 'file', entry: { path, size } }
    if (size === 0) yield* this.ended()
  }

  private startExtension(kind: string, size: number): void {
    if (!(size >= 0 && size <= LONGEST_EXTENSION)) throw this.malformed('has a header that is too long')
    this.left = size
    this.padding = paddingOf(size)
    this.extension = { kind, bytes: new Uint8Array(size), filled: 0 }
    if (size === 0) this.applyExtension()
  }

  private extend(part: Uint8Array): void {
    const { extension } = this
    if (extension === undefined) return
    extension.bytes.set(part, extension.filled)
    extension.filled += part.length
  }

  /** Of what extends a header, name and size count; what is said for all headers (g) is time stamps and the like. */
  private applyExtension(): void {
    const { extension } = this
    this.extension = undefined
    if (extension?.kind === 'L') this.longName = text(extension.bytes, 0, extension.bytes.length)
    if (extension?.kind !== 'x') return
    const records = paxRecords(Buffer.from(extension.bytes))
    if (records === undefined) throw this.malformed('has a pax header that is damaged')
    this.longName = records.get('path') ?? this.longName
    const size = records.get('size')
    if (size !== undefined) this.longSize = /^\d{1,15}$/.test(size) ? Number(size) : Number.NaN
  }

  /** Nothing is unpacked, but others unpack: a name that leads elsewhere is a reason to trust nothing of it. */
  private checked(path: string): string {
    const plain = path.replace(/^(?:\.\/)+/, '')
    const isUnsafe =
      plain.startsWith('/') ||
      plain.length > LONGEST_PATH ||
      /[\u0000-\u001f\u007f-\u009f\ufffd\u2028-\u202e]/.test(plain) ||
      plain.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')
    if (isUnsafe && path !== '.') throw this.malformed(`has an unsafe name: ${shown(path)}`)
    return plain
  }

  private malformed(message: string): MalformedData {
    return new MalformedData(this.name, message, this.offset)
  }
}

/** Records "LENGTH KEY=VALUE\n", where the length is that of the whole record; undefined when they are none. */
function paxRecords(bytes: Buffer): Map<string, string> | undefined {
  const records = new Map<string, string>()
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at)
    const digits = bytes.toString('latin1', at, space < 0 ? at : Math.min(space, at + 8))
    const end = at + Number(digits)
    if (!/^[1-9]\d*$/.test(digits) || end > bytes.length || end <= space + 1 || bytes[end - 1] !== 0x0a)
      return undefined
    const record = bytes.toString('utf8', space + 1, end - 1)
    const equals = record.indexOf('=')
    if (equals < 0) return undefined
    records.set(record.slice(0, equals), record.slice(equals + 1))
    at = end
  }
  return records
}

const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK

/** The sum of a header, in which that of itself counts as blanks. */
function sumOf(header: Uint8Array): number {
  let sum = 0
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte
  return sum
}

/** Octal digits, or, with the top bit set, a big-endian number. */
function sizeOf(header: Uint8Array): number | undefined {
  const first = header[124] ?? 0
  if (first !== 0x80) return first > 0x80 ? undefined : octal(header, 124, 12)
  return header.subarray(125, 136).reduce((sum, byte) => sum * 256 + byte, 0)
}

function octal(header: Uint8Array, at: number, length: number): number | undefined {
  const digits = text(header, at, length).trim()
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined
}

/** Up to the first NUL. */
function text(bytes: Uint8Array, at: number, length: number): string {
  const part = bytes.subarray(at, at + length)
  const end = part.indexOf(0)
  return Buffer.from(end < 0 ? part : part.subarray(0, end)).toString('utf8')
}

/** A name from outside, in a message. */
const shown = (path: string): string => JSON.stringify(path.slice(0, 100))
