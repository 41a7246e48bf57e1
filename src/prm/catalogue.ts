import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import type { Entries, EntryKind } from './entries'
import { NameError } from './errors'
import type {
  CapabilityType,
  Command,
  CommandStatus,
  DumpTable,
  Enumeration,
  GeneralObject,
  Layout,
  Register,
} from './layout'
import { nearest } from './nearest'
import type { NvTlv } from './nv'
import { openPackedFile, type CatalogueFile, type PackedFile } from './packed-file'
import { parseInteger } from './value-text'

/** Classes of configuration TLVs, as the database and mstconfig have them one after the other. */
const tlvOrder: readonly number[] = [6, 9, 0, 1, 3, 7]

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
  dumps: 'dump table',
  tlvs: 'configuration TLV or parameter',
}

export type { CatalogueFile }

/** Opens the built-in catalogue and what the user imported; entries of later files stand in front of earlier ones. */
export function openCatalogue(files: readonly string[] = defaultCatalogueFiles()): Catalogue {
  return new Catalogue(files.map((file) => openPackedFile(file)))
}

/** The packed file beside the bundle, else in dist/ of a source tree. */
export function builtInCatalogueFile(): string {
  const beside = path.join(__dirname, 'catalogue.bin')
  return existsSync(beside) ? beside : path.resolve(__dirname, '../../dist/catalogue.bin')
}

/** The built-in file, then $XDG_DATA_HOME/mlx5ctl/*.bin by name. */
function defaultCatalogueFiles(): string[] {
  return [builtInCatalogueFile(), ...userCatalogueFiles()]
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
  private closed = false

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

  findRegister(nameOrId: string | number): Register | undefined {
    return this.find('registers', nameOrId)
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

  /** What a register dump reads, by the name of the chip or by its hardware id. @throws NameError */
  dumpTable(nameOrId: string | number): DumpTable {
    return this.find('dumps', nameOrId) ?? this.unknown('dumps', nameOrId)
  }

  /** What a chip is called, without reading its dump table: ConnectX7. */
  chipName(hardwareId: number): string | undefined {
    for (const file of [...this.files].reverse()) {
      const found = file.index('dumps').find(([, number]) => number === hardwareId)
      if (found !== undefined) return found[0]
    }
    return undefined
  }

  findDumpTable(hardwareId: number): DumpTable | undefined {
    return this.byNumber('dumps', hardwareId)
  }

  /** In the order of mstconfig: those of modules, the device, ports, functions and hosts; by name. */
  tlvs(): readonly NvTlv[] {
    const rank = ({ class: kind }: NvTlv): number => tlvOrder.indexOf(kind) + 1 || tlvOrder.length + 1
    return [...this.all('tlvs')].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
  }

  /** A configuration TLV by its name or that of one of its parameters, or by its number (nvKey). */
  findTlv(nameOrKey: string | number): NvTlv | undefined {
    return this.find('tlvs', nameOrKey)
  }

  /** Idempotent. */
  close(): void {
    if (!this.closed) for (const file of this.files) file.close()
    this.closed = true
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
        const found = file.byName(kind, wanted, (own) => canonical(kind, own))
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
