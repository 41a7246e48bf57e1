import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { builtInCatalogueFile, openCatalogue, userCatalogueFolder, type Catalogue } from '../catalogue'
import { MalformedData, ValueError } from '../errors'
import { isReserved, type Field, type Layout } from '../layout'
import { packCatalogue } from '../pack'
import { emptyEntries, type Entries } from '../entries'
import type { Problem } from './declarations'
import { importAdb } from './adb'
import { importDumpTable } from './dump-csv'
import { importHeaders } from './headers'
import { importNvDatabase } from './nv-sqlite'

export interface UserImport {
  readonly file: string
  readonly entries: Entries
  readonly problems: readonly Problem[]
}

/**
 * Imports kernel headers, or register files (ADB), dump tables (CSV) or configuration databases of mstflint into the user's catalogue, which stands in front of the built-in
 * one.
 * @throws MalformedData when a file cannot be read, is neither, or holds nothing to import
 */
export async function importForUser(files: readonly string[], name: string): Promise<UserImport> {
  if (!/^[\w.+-]+$/.test(name)) throw new ValueError('--name', `${name} cannot be the name of a file`)
  const sources = files.map((file) => ({ name: path.basename(file), path: file, text: readHeader(file) }))
  const builtIn = openCatalogue([builtInCatalogueFile()])
  const { entries, problems } = await importSources(sources, name, builtIn)
  builtIn.close()
  const digest = createHash('sha256')
    .update(sources.map(({ text }) => text).join('\0'))
    .digest('hex')
  const version = `sha256 ${digest.slice(0, 12)}`
  const packed = packCatalogue(entries, [{ name: files.map((file) => path.basename(file)).join(', '), version }])
  const target = path.join(userCatalogueFolder(), `${name}.bin`)
  writeSafely(target, packed)
  return { file: target, entries, problems }
}

interface SourceFile {
  readonly name: string
  readonly path: string
  readonly text: string
}

type Imported = Pick<UserImport, 'entries' | 'problems'>

async function importSources(sources: readonly SourceFile[], name: string, builtIn: Catalogue): Promise<Imported> {
  if (sources.some(({ text }) => text.startsWith(SQLITE))) return importConfigurations(sources)
  if (sources.some(({ text }) => isAdb(text))) return importRegisters(sources, name, builtIn)
  if (sources.every((source) => source.name.endsWith('.csv'))) return importDumpTables(sources)
  return importHeaderFiles(sources, builtIn)
}

const SQLITE = 'SQLite format 3\0'

/** Databases of mlxconfig; of a TLV that stands in several the first counts. */
async function importConfigurations(sources: readonly SourceFile[]): Promise<Imported> {
  const imported = await Promise.all(sources.map((source) => importNvDatabase(source.path)))
  const byName = new Map(imported.flatMap(({ tlvs }) => [...tlvs].reverse()).map((tlv) => [tlv.name, tlv]))
  const tlvs = imported.flatMap((one) => one.tlvs).filter((tlv) => byName.get(tlv.name) === tlv)
  return { entries: { ...emptyEntries(), tlvs }, problems: imported.flatMap(({ problems }) => problems) }
}

/** Tables go by the names of their files. */
function importDumpTables(sources: readonly SourceFile[]): Imported {
  const dumps = sources.map((source) => importDumpTable(source.text, source.name, source.name.replace(/\.csv$/, '')))
  return { entries: { ...emptyEntries(), dumps }, problems: [] }
}

function importHeaderFiles(sources: readonly SourceFile[], builtIn: Catalogue): Imported {
  const { entries, problems } = importHeaders(sources)
  if (entries.layouts.length === 0 && entries.enumerations.length === 0)
    throw new MalformedData(sources.map(({ name }) => name).join(', '), 'holds no layout and no enumeration of mlx5')
  return { entries: besideBuiltIn(entries, builtIn), problems }
}

const isAdb = (text: string): boolean =>
  /^\s*(?:<\?xml[^>]*>\s*)?(?:<!--[\s\S]{0,10000}?-->\s*)?<NodesDefinition/.test(text)

/**
 * Layouts and enumerations of an ADB file get the name of the import behind theirs: those of a switch have the names of an
 * HCA's and other fields. A register keeps the name it has in the built-in catalogue as another name.
 */
function importRegisters(sources: readonly SourceFile[], name: string, builtIn: Catalogue): Imported {
  const [source, other] = sources
  if (source === undefined || other !== undefined)
    throw new ValueError('catalogue import', 'takes one ADB file at a time, and nothing beside it')
  const { entries, problems } = importAdb(source.text, source.name, { texts: true })
  const own = (one: string): string => `${one}@${name}`
  return {
    problems,
    entries: {
      ...entries,
      layouts: entries.layouts.map((layout) => ({
        ...layout,
        name: own(layout.name),
        fields: layout.fields.map((field) => ({
          ...field,
          ...(field.layout === undefined ? {} : { layout: own(field.layout) }),
          ...(field.enum === undefined ? {} : { enum: own(field.enum) }),
        })),
      })),
      enumerations: entries.enumerations.map((enumeration) => ({ ...enumeration, name: own(enumeration.name) })),
      registers: entries.registers.map((register) => {
        const known = builtIn.findRegister(register.id)?.name
        return {
          ...register,
          ...(register.layout === undefined ? {} : { layout: own(register.layout) }),
          ...(known === undefined || known === register.name ? {} : { aliases: [known] }),
        }
      }),
    },
  }
}

/**
 * Headers do not know all that the built-in catalogue does: scopes, pairings, status texts, fields from other sources. What
 * they leave open stays as it is there; what they say differently, or more, stands in front.
 */
function besideBuiltIn(imported: Entries, builtIn: Catalogue): Entries {
  const completed = <T extends { readonly name: string }>(entries: readonly T[], known: readonly T[]): T[] => {
    const byName = new Map(known.map((entry) => [entry.name, entry]))
    return entries.map((entry) => ({ ...byName.get(entry.name), ...entry }))
  }
  const scopes = new Map(builtIn.commands().map(({ name, scope }) => [name, scope]))
  return {
    layouts: imported.layouts.filter((layout) => !isPartOf(layout, builtIn.findLayout(layout.name))),
    enumerations: imported.enumerations,
    commands: completed(imported.commands, builtIn.commands()).map((command) => ({
      ...command,
      scope: command.scope ?? scopes.get(command.name) ?? null,
    })),
    registers: completed(imported.registers, builtIn.registers()),
    capabilities: completed(imported.capabilities, builtIn.capabilities()),
    objects: completed(imported.objects, builtIn.objects()),
    dumps: imported.dumps,
    tlvs: imported.tlvs,
    statuses: imported.statuses.filter(({ code }) => builtIn.status(code) === undefined),
  }
}

/** True when the known layout has the same size and every named field of the other, in its place. */
function isPartOf(layout: Layout, known: Layout | undefined): boolean {
  if (known === undefined || known.bits !== layout.bits || known.kind !== layout.kind) return false
  const places = new Set(known.fields.map(placeOf))
  return layout.fields.filter((field) => !isReserved(field)).every((field) => places.has(placeOf(field)))
}

function placeOf({ name, offset, width, array, layout }: Field): string {
  return JSON.stringify([name, offset, width, array, layout])
}

function readHeader(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new MalformedData(file, `cannot be read: ${(error as Error).message}`)
  }
}

function writeSafely(target: string, bytes: Uint8Array): void {
  makeFolder(path.dirname(target))
  const temporary = `${target}.${process.pid}.tmp`
  const fd = openSync(temporary, 'w')
  try {
    writeSync(fd, bytes)
    fsyncSync(fd)
    renameSync(temporary, target)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Not mkdirSync's own recursion: on file systems that refuse every folder, as /proc does, it never ends. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(path.dirname(folder))
  mkdirSync(folder)
}
