import { createHash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'
import { builtInCatalogueFile, openCatalogue, userCatalogueFolder, type Catalogue } from '../catalogue'
import { MalformedData, ValueError } from '../errors'
import { isReserved, type Field, type Layout } from '../layout'
import { packCatalogue } from '../pack'
import type { Entries } from '../entries'
import type { Problem } from './declarations'
import { importHeaders } from './headers'

export interface UserImport {
  readonly file: string
  readonly entries: Entries
  readonly problems: readonly Problem[]
}

/**
 * Imports headers into the user's catalogue, which stands in front of the built-in one.
 * @throws MalformedData when a file cannot be read, cannot be a header, or nothing in it is a layout or an enum
 */
export function importForUser(files: readonly string[], name: string): UserImport {
  if (!/^[\w.+-]+$/.test(name)) throw new ValueError('--name', `${name} cannot be the name of a file`)
  const sources = files.map((file) => ({ name: path.basename(file), text: readHeader(file) }))
  const { entries: imported, problems } = importHeaders(sources)
  if (imported.layouts.length === 0 && imported.enumerations.length === 0)
    throw new MalformedData(files.join(', '), 'holds no layout and no enumeration of mlx5')
  const entries = besideBuiltIn(imported, openCatalogue([builtInCatalogueFile()]))
  const digest = createHash('sha256')
    .update(sources.map(({ text }) => text).join('\0'))
    .digest('hex')
  const version = `sha256 ${digest.slice(0, 12)}`
  const packed = packCatalogue(entries, [{ name: files.map((file) => path.basename(file)).join(', '), version }])
  const target = path.join(userCatalogueFolder(), `${name}.bin`)
  writeSafely(target, packed)
  return { file: target, entries, problems }
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
  writeSync(fd, bytes)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(temporary, target)
}

/** Not mkdirSync's own recursion: on file systems that refuse every folder, as /proc does, it never ends. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(path.dirname(folder))
  mkdirSync(folder)
}
