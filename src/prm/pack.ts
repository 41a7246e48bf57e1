import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import {
  aliasesOf,
  emptyEntries,
  entryKinds,
  keysOf,
  readLine,
  writeLine,
  type Entries,
  type EntryKind,
} from './entries'
import {
  formatVersion,
  headerBytes,
  magic,
  type IndexEntry,
  type IndexPlace,
  type Source,
  type Table,
} from './packed-format'

/** Writers of packed catalogues; the format is described in packed-format.ts. */
export function packCatalogue(entries: Entries, sources: readonly Source[]): Buffer {
  const parts: Buffer[] = []
  let offset = 0
  const append = (text: string): { offset: number; length: number } => {
    const part = Buffer.from(text)
    parts.push(part)
    offset += part.length
    return { offset: offset - part.length, length: part.length }
  }
  const packKind = <K extends EntryKind>(kind: K): IndexPlace => {
    const index = entries[kind].map((entry): IndexEntry => {
      const slice = append(writeLine[kind](entry))
      const { number = -1 } = keysOf(kind, entry)
      return [entry.name, number, slice.offset, slice.length, ...aliasesOf(kind, entry)]
    })
    index.sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1))
    return { count: index.length, ...append(JSON.stringify(index)) }
  }
  const kinds = Object.fromEntries(entryKinds.map((kind) => [kind, packKind(kind)])) as unknown as Table['kinds']
  const table = Buffer.from(JSON.stringify({ sources, kinds } satisfies Table))
  const header = Buffer.alloc(headerBytes)
  header.write(magic, 0, 'latin1')
  header.writeUInt8(formatVersion, magic.length)
  header.writeUInt32LE(table.length, 8)
  const body = Buffer.concat([table, ...parts])
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
