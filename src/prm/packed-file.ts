import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { entryKinds, readLine, type Entries, type EntryKind } from './entries'
import { MalformedData } from './errors'
import {
  FIRST_ALIAS,
  headerBytes,
  readHeader,
  type IndexEntry,
  type IndexPlace,
  type Source,
  type Table,
} from './packed-format'

/** One packed file of a catalogue. */
export interface CatalogueFile {
  readonly path: string
  readonly hash: string
  readonly sources: readonly Source[]
  readonly counts: { readonly [K in EntryKind]: number }
}

/** Files that are open, by what they were when they were opened: a device and its emulator read the same one. */
const opened = new Map<string, PackedFile>()

/** @throws MalformedData when it is absent, damaged or of another format */
export function openPackedFile(path: string): PackedFile {
  const stat = statSync(path, { throwIfNoEntry: false })
  const key = stat === undefined ? path : [path, stat.ino, stat.size, stat.mtimeMs].join(':')
  const file = opened.get(key) ?? new PackedFile(path, () => opened.delete(key))
  opened.set(key, file)
  file.users++
  return file
}

/** One packed file: its table in memory, its slices read by position. */
export class PackedFile {
  users = 0
  readonly hash: string
  readonly sources: readonly Source[]
  private readonly fd: number
  private readonly table: Table
  private readonly base: number
  private readonly size: number
  private readonly indices = new Map<EntryKind, readonly IndexEntry[]>()
  private readonly byKindAndName = new Map<EntryKind, ReadonlyMap<string, IndexEntry>>()

  constructor(
    readonly path: string,
    private readonly forget: () => void,
  ) {
    try {
      this.fd = openSync(path, 'r')
    } catch (error) {
      throw new MalformedData(path, `the catalogue cannot be opened: ${(error as Error).message}`)
    }
    this.size = fstatSync(this.fd).size
    const { tableLength, hash } = readHeader(this.read(0, Math.min(headerBytes, this.size)), path)
    this.hash = hash
    this.base = headerBytes + tableLength
    this.table = parseTable(this.read(headerBytes, tableLength), path)
    this.sources = this.table.sources
  }

  index(kind: EntryKind): readonly IndexEntry[] {
    const known = this.indices.get(kind)
    if (known !== undefined) return known
    const { offset, length, count } = this.table.kinds[kind]
    const index = parseIndex(this.read(this.base + offset, length), count, this.path)
    this.indices.set(kind, index)
    return index
  }

  counts(): CatalogueFile['counts'] {
    return Object.fromEntries(entryKinds.map((kind) => [kind, this.table.kinds[kind].count])) as CatalogueFile['counts']
  }

  /** @param name in its canonical form */
  byName<K extends EntryKind>(
    kind: K,
    name: string,
    canonical: (name: string) => string,
  ): Entries[K][number] | undefined {
    let names = this.byKindAndName.get(kind)
    if (names === undefined) {
      names = namesOf(this.index(kind), canonical)
      this.byKindAndName.set(kind, names)
    }
    const entry = names.get(name)
    return entry === undefined ? undefined : this.slice(kind, entry)
  }

  byNumber<K extends EntryKind>(kind: K, number: number): Entries[K][number] | undefined {
    const entry = this.index(kind).find((candidate) => candidate[1] === number)
    return entry === undefined ? undefined : this.slice(kind, entry)
  }

  close(): void {
    this.users--
    if (this.users !== 0) return
    this.forget()
    closeSync(this.fd)
  }

  private slice<K extends EntryKind>(kind: K, [name, , offset, length]: IndexEntry): Entries[K][number] {
    const text = this.read(this.base + offset, length).toString('utf8')
    return readLine[kind](text, `${this.path}, ${name}`)
  }

  private read(position: number, length: number): Buffer {
    if (!(position >= 0 && length >= 0 && position + length <= this.size))
      throw new MalformedData(this.path, 'the catalogue is truncated', this.size)
    const bytes = Buffer.allocUnsafe(length)
    const got = readSync(this.fd, bytes, 0, length, position)
    if (got !== length) throw new MalformedData(this.path, 'the catalogue is truncated', position + got)
    return bytes
  }
}

/** A name of its own goes before another entry's second name. */
function namesOf(index: readonly IndexEntry[], canonical: (name: string) => string): ReadonlyMap<string, IndexEntry> {
  const names = new Map(index.map((entry) => [canonical(entry[0]), entry]))
  for (const entry of index)
    for (const alias of entry.slice(FIRST_ALIAS).map(String)) {
      const key = canonical(alias)
      if (!names.has(key)) names.set(key, entry)
    }
  return names
}

function parseTable(bytes: Buffer, file: string): Table {
  const table = parseJson(bytes, file) as Table
  const isPlace = (place: Partial<IndexPlace> | undefined): boolean =>
    [place?.count, place?.offset, place?.length].every((value) => Number.isSafeInteger(value))
  if (!Array.isArray(table?.sources) || !entryKinds.every((kind) => isPlace(table.kinds?.[kind])))
    throw new MalformedData(file, "the catalogue's table is damaged")
  return table
}

function parseIndex(bytes: Buffer, count: number, file: string): readonly IndexEntry[] {
  const index = parseJson(bytes, file)
  const isEntry = (entry: unknown): boolean =>
    Array.isArray(entry) &&
    typeof entry[0] === 'string' &&
    entry.length >= FIRST_ALIAS &&
    entry.slice(1, FIRST_ALIAS).every((value) => Number.isSafeInteger(value)) &&
    entry.slice(FIRST_ALIAS).every((value) => typeof value === 'string')
  if (!Array.isArray(index) || index.length !== count || !index.every(isEntry))
    throw new MalformedData(file, "the catalogue's index is damaged")
  return index as readonly IndexEntry[]
}

function parseJson(bytes: Buffer, file: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new MalformedData(file, `the catalogue's table is damaged: ${(error as Error).message}`)
  }
}
