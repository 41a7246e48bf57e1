import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { emptyEntries, entryKinds, keysOf, readLine, writeLine, type Entries, type EntryKind } from './entries'
import { MalformedData } from './errors'

/**
 * A packed catalogue, little-endian: "MLX5CAT" and a format byte; 4 bytes length of the table; 20 bytes SHA-1 of all that
 * follows them; the table (JSON: sources, and for each kind the entries as [name, number, offset, length]); the slices,
 * one line of JSON each, offsets counted from the first. A start reads the table and the few slices it needs.
 */
export const magic = 'MLX5CAT'
export const formatVersion = 1
export const headerBytes = 32

/** Where the facts of a catalogue come from. */
export interface Source {
  readonly name: string
  readonly version: string
}

export type IndexEntry = readonly [name: string, number: number, offset: number, length: number]

export interface Table {
  readonly sources: readonly Source[]
  readonly kinds: { readonly [K in EntryKind]: readonly IndexEntry[] }
}

export function packCatalogue(entries: Entries, sources: readonly Source[]): Buffer {
  const slices: Buffer[] = []
  let offset = 0
  const packKind = <K extends EntryKind>(kind: K): IndexEntry[] =>
    entries[kind]
      .map((entry): IndexEntry => {
        const slice = Buffer.from(writeLine[kind](entry))
        const index: IndexEntry = [entry.name, keysOf(kind, entry).number ?? -1, offset, slice.length]
        slices.push(slice)
        offset += slice.length
        return index
      })
      .sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1))
  const kinds = Object.fromEntries(entryKinds.map((kind) => [kind, packKind(kind)])) as unknown as Table['kinds']
  const table = Buffer.from(JSON.stringify({ sources, kinds } satisfies Table))
  const header = Buffer.alloc(headerBytes)
  header.write(magic, 0, 'latin1')
  header.writeUInt8(formatVersion, magic.length)
  header.writeUInt32LE(table.length, 8)
  const body = Buffer.concat([table, ...slices])
  createHash('sha1').update(body).digest().copy(header, 12)
  return Buffer.concat([header, body])
}

/** Reads catalogue/*.jsonl (the built-in one, as committed) and packs it. @throws MalformedData with file and line */
export function packDirectory(directory: string): Buffer {
  const entries = emptyEntries()
  for (const kind of entryKinds) readKind(kind, path.join(directory, `${kind}.jsonl`), entries)
  const sources = JSON.parse(readFileSync(path.join(directory, 'sources.json'), 'utf8')) as { sources: Source[] }
  return packCatalogue(entries, sources.sources)
}

function readKind<K extends EntryKind>(kind: K, file: string, into: Entries): void {
  const target = into[kind] as Entries[K][number][]
  for (const [index, line] of readFileSync(file, 'utf8').split('\n').entries())
    if (line !== '') target.push(readLine[kind](line, `${file}:${index + 1}`))
}

/** @throws MalformedData when the header is not that of a packed catalogue of this format */
export function readHeader(header: Uint8Array, file: string): { tableLength: number; hash: string } {
  const view = Buffer.from(header.buffer, header.byteOffset, header.length)
  if (view.length < headerBytes || view.toString('latin1', 0, magic.length) !== magic)
    throw new MalformedData(file, 'is not a packed catalogue')
  const version = view.readUInt8(magic.length)
  if (version !== formatVersion)
    throw new MalformedData(file, `has format ${version}, this tool reads ${formatVersion}; import it again`)
  return { tableLength: view.readUInt32LE(8), hash: view.toString('hex', 12, headerBytes) }
}
