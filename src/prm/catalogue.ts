import { closeSync, existsSync, fstatSync, openSync, readSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { entryKinds, readLine, type Entries, type EntryKind } from './entries'
import { MalformedData, NameError } from './errors'
import type { CapabilityType, Command, CommandStatus, Enumeration, GeneralObject, Layout, Register } from './layout'
import { nearest } from './nearest'
import { headerBytes, readHeader, type IndexEntry, type IndexPlace, type Source, type Table } from './packed-format'
import { parseInteger } from './value-text'

/** One packed file of a catalogue. */
export interface CatalogueFile {
  readonly path: string
  readonly hash: string
  readonly sources: readonly Source[]
  readonly counts: { readonly [K in EntryKind]: number }
}

/** Prefixes that the kernel's headers have and that may be typed or left out. */
const prefixes: { readonly [K in EntryKind]?: RegExp } = {
  commands: /^MLX5_CMD_OP(?:CODE)?_/,
  registers: /^MLX5_REG_|_REG$/g,
  capabilities: /^MLX5_CAP_/,
  objects: /^MLX5_(?:OBJ_TYPE|GENERAL_OBJECT_TYPES)_/,
}

const nouns: { readonly [K in EntryKind]: string } = {
  layouts: 'layout',
  enumerations: 'enumeration',
  commands: 'command',
  registers: 'register',
  capabilities: 'capability type',
  objects: 'object type',
  statuses: 'status',
}

/** Opens the built-in catalogue and what the user imported; entries of later files stand in front of earlier ones. */
export function openCatalogue(files: readonly string[] = defaultCatalogueFiles()): Catalogue {
  return new Catalogue(files.map((file) => new PackedFile(file)))
}

/** The packed file beside the bundle, else in dist/ of a source tree; then $XDG_DATA_HOME/mlx5ctl/*.bin by name. */
function defaultCatalogueFiles(): string[] {
  const beside = path.join(__dirname, 'catalogue.bin')
  const builtIn = existsSync(beside) ? beside : path.resolve(__dirname, '../../dist/catalogue.bin')
  return [builtIn, ...userCatalogueFiles()]
}

/** Where imports of the user lie. */
export function userCatalogueFolder(): string {
  const data = process.env.XDG_DATA_HOME
  return path.join(data === undefined || data === '' ? path.join(homedir(), '.local/share') : data, 'mlx5ctl')
}

function userCatalogueFiles(): string[] {
  const folder = userCatalogueFolder()
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => name.endsWith('.bin'))
  return names.sort().map((name) => path.join(folder, name))
}

/**
 * The facts of the PRM by name and by number. Names are looked up without regard to case, `-` and `_` alike, with or
 * without the prefix they have in the kernel's headers. Entries are read when they are asked for, and kept.
 */
export class Catalogue {
  private readonly kept = new Map<string, unknown>()
  private readonly sorted = new Map<EntryKind, readonly unknown[]>()

  constructor(private readonly files: readonly PackedFile[]) {}

  get info(): readonly CatalogueFile[] {
    return this.files.map((file) => ({
      path: file.path,
      hash: file.hash,
      sources: file.sources,
      counts: file.counts(),
    }))
  }

  /** @throws NameError with the nearest names */
  layout(name: string): Layout {
    return this.findLayout(name) ?? this.unknown('layouts', name)
  }

  findLayout(name: string): Layout | undefined {
    return this.byName('layouts', name)
  }

  layoutNames(): readonly string[] {
    return this.names('layouts')
  }

  /** By name, or by opcode as a number or as text: 0x100, 256. @throws NameError */
  command(nameOrOpcode: string | number): Command {
    return this.find('commands', nameOrOpcode) ?? this.unknown('commands', nameOrOpcode)
  }

  findCommand(opcode: number): Command | undefined {
    return this.byNumber('commands', opcode)
  }

  /** By opcode. */
  commands(): readonly Command[] {
    return this.all('commands')
  }

  /** @throws NameError */
  register(nameOrId: string | number): Register {
    return this.find('registers', nameOrId) ?? this.unknown('registers', nameOrId)
  }

  findRegister(id: number): Register | undefined {
    return this.byNumber('registers', id)
  }

  /** By id. */
  registers(): readonly Register[] {
    return this.all('registers')
  }

  /** @throws NameError */
  capability(nameOrType: string | number): CapabilityType {
    return this.find('capabilities', nameOrType) ?? this.unknown('capabilities', nameOrType)
  }

  /** By type. */
  capabilities(): readonly CapabilityType[] {
    return this.all('capabilities')
  }

  /** @throws NameError */
  object(nameOrType: string | number): GeneralObject {
    return this.find('objects', nameOrType) ?? this.unknown('objects', nameOrType)
  }

  /** By type. */
  objects(): readonly GeneralObject[] {
    return this.all('objects')
  }

  /** @throws NameError */
  enumeration(name: string): Enumeration {
    return this.byName('enumerations', name) ?? this.unknown('enumerations', name)
  }

  enumerationNames(): readonly string[] {
    return this.names('enumerations')
  }

  status(code: number): CommandStatus | undefined {
    return this.byNumber('statuses', code)
  }

  close(): void {
    for (const file of this.files) file.close()
  }

  private find<K extends EntryKind>(kind: K, key: string | number): Entries[K][number] | undefined {
    if (typeof key === 'number') return this.byNumber(kind, key)
    const number = parseInteger(key)
    return number === undefined ? this.byName(kind, key) : this.byNumber(kind, Number(number))
  }

  private byName<K extends EntryKind>(kind: K, name: string): Entries[K][number] | undefined {
    const wanted = kind === 'layouts' || kind === 'enumerations' ? name : canonical(kind, name)
    return this.keep(`${kind}:${wanted}`, () => {
      for (const file of [...this.files].reverse()) {
        const found = file.byName(kind, wanted)
        if (found !== undefined) return found
      }
      return undefined
    })
  }

  private byNumber<K extends EntryKind>(kind: K, number: number): Entries[K][number] | undefined {
    return this.keep(`${kind}#${number}`, () => {
      for (const file of [...this.files].reverse()) {
        const found = file.byNumber(kind, number)
        if (found !== undefined) return found
      }
      return undefined
    })
  }

  private keep<T>(key: string, read: () => T): T {
    if (this.kept.has(key)) return this.kept.get(key) as T
    const value = read()
    this.kept.set(key, value)
    return value
  }

  private all<K extends EntryKind>(kind: K): readonly Entries[K][number][] {
    const known = this.sorted.get(kind)
    if (known !== undefined) return known as readonly Entries[K][number][]
    const numbers = new Set(this.files.flatMap((file) => file.index(kind).map((entry) => entry[1])))
    const entries = [...numbers].sort((a, b) => a - b).flatMap((number) => this.byNumber(kind, number) ?? [])
    this.sorted.set(kind, entries)
    return entries
  }

  private names(kind: EntryKind): readonly string[] {
    return [...new Set(this.files.flatMap((file) => file.index(kind).map(([name]) => name)))].sort()
  }

  private unknown(kind: EntryKind, key: string | number): never {
    const candidates = typeof key === 'number' ? [] : nearest(canonical(kind, key), this.names(kind))
    const hint = candidates.length === 0 ? '' : `; did you mean ${candidates.join(', ')}?`
    const shown = typeof key === 'number' ? `0x${key.toString(16)}` : key
    throw new NameError(`there is no ${nouns[kind]} ${shown}${hint}`, candidates)
  }
}

function canonical(kind: EntryKind, name: string): string {
  if (kind === 'layouts' || kind === 'enumerations') return name
  return name
    .toUpperCase()
    .replace(/-/g, '_')
    .replace(prefixes[kind] ?? '', '')
}

/** One packed file: its table in memory, its slices read by position. */
class PackedFile {
  readonly hash: string
  readonly sources: readonly Source[]
  private readonly fd: number
  private readonly table: Table
  private readonly base: number
  private readonly size: number
  private readonly indices = new Map<EntryKind, readonly IndexEntry[]>()
  private readonly byKindAndName = new Map<EntryKind, ReadonlyMap<string, IndexEntry>>()
  private open = true

  /** @throws MalformedData when it is absent, damaged or of another format */
  constructor(readonly path: string) {
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

  byName<K extends EntryKind>(kind: K, name: string): Entries[K][number] | undefined {
    let names = this.byKindAndName.get(kind)
    if (names === undefined) {
      names = new Map(this.index(kind).map((entry) => [entry[0], entry]))
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
    if (this.open) closeSync(this.fd)
    this.open = false
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
    Array.isArray(entry) && typeof entry[0] === 'string' && entry.slice(1).every((value) => Number.isSafeInteger(value))
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
