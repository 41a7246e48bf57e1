import { createReadStream } from 'node:fs'
import { createGzip } from 'node:zlib'
import type { Pack } from 'tar-stream'

/** A file of the archive: what it holds, or where that lies. */
export interface ArchiveEntry {
  readonly path: string
  readonly size: number
  readonly content: Uint8Array | { readonly file: string }
}

/**
 * Writes a gzipped tar, in the order of the entries. The same entries and time give the same bytes.
 * @param time of every entry
 * @param write is given one piece after the other
 * @throws whatever `write` and reading the files do
 */
export async function writeArchive(
  entries: readonly ArchiveEntry[],
  time: Date,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const { pack } = await import('tar-stream')
  const tar = pack()
  const gzip = createGzip()
  tar.pipe(gzip)
  tar.on('error', (error) => gzip.destroy(error))
  const feeding = feed(tar, entries, time).catch((error: unknown) => {
    gzip.destroy(error instanceof Error ? error : new Error(String(error)))
  })
  try {
    for await (const piece of gzip) await write(piece as Buffer)
  } finally {
    tar.destroy()
    await feeding
  }
}

async function feed(tar: Pack, entries: readonly ArchiveEntry[], mtime: Date): Promise<void> {
  for (const { path, size, content } of entries) {
    const header = { name: path, size, mtime, mode: 0o644, type: 'file' as const, uid: 0, gid: 0 }
    await new Promise<void>((resolve, reject) => {
      const entry = tar.entry(header, (error) => (error == null ? resolve() : reject(error)))
      entry.on('error', reject)
      if (content instanceof Uint8Array) return entry.end(content)
      const source = createReadStream(content.file)
      source.on('error', reject)
      source.pipe(entry)
    })
  }
  tar.finalize()
}
