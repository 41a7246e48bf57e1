import { createHash, type Hash } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { createGunzip, type Gunzip } from 'node:zlib'
import { MalformedData } from '../prm/errors'
import type { BundleItem, Manifest } from './manifest'
import { parseManifest } from './parse-manifest'
import { TarReader, type TarEvent } from './tar'

/** What a reader of bundles puts up with; nobody knows who made one. Bytes, unless told otherwise. */
export interface BundleLimits {
  /** Of all that it unpacks to. */
  readonly total: number
  /** How many times more than packed, once it is more than `ratioFrom`. */
  readonly ratio: number
  readonly ratioFrom: number
  readonly manifest: number
  /** Of one file that is held in memory. */
  readonly kept: number
  /** Of all files of one bundle that are held in memory together. */
  readonly held: number
  /** Number of files. */
  readonly files: number
}

const MiB = 2 ** 20
export const bundleLimits: BundleLimits = {
  total: 16 * 1024 * MiB,
  ratio: 300,
  ratioFrom: 64 * MiB,
  manifest: 16 * MiB,
  kept: 256 * MiB,
  held: 256 * MiB,
  files: 100_000,
}

/** What to do with a file: nothing, compute its hash, hold it in memory too, or hand on its parts as they come. */
export type Wanted = 'skip' | 'hash' | 'keep' | ((part: Uint8Array) => void | Promise<void>)

export interface BundleFile {
  /** Below the folder of the bundle. */
  readonly path: string
  readonly size: number
  /** Undefined when it was skipped. */
  readonly sha256: string | undefined
  /** Undefined unless it was to be kept. */
  readonly bytes: Uint8Array | undefined
}

export interface OpenBundle {
  /** Name of the file. */
  readonly name: string
  readonly manifest: Manifest
  /** What manifest.json holds. */
  readonly manifestBytes: Uint8Array
  /**
   * The files behind the manifest, in their order, to the end of the bundle; only once.
   * @throws MalformedData
   */
  files(wanted: (path: string) => Wanted): AsyncGenerator<BundleFile>
  close(): void
}

/** Bytes that are read, and unpacked, at once: large ones let the other core unpack while this one decodes. */
const READ = 256 * 1024
const UNPACK = 512 * 1024

/**
 * Opens a bundle and reads its manifest, which comes first; nothing behind it is read yet, and nothing is ever unpacked to disk.
 * @param name a file; - is stdin
 * @throws MalformedData when it is no bundle; what the system says when it cannot be read
 */
export async function openBundle(name: string, limits: BundleLimits = bundleLimits): Promise<OpenBundle> {
  const source = new Source(name, limits)
  try {
    const events = source.events()
    const { folder, bytes } = await firstFile(name, events, limits)
    const manifest = parseManifest(name, bytes)
    return {
      name,
      manifest,
      manifestBytes: bytes,
      files: (wanted) => followingFiles({ name, folder, limits, source }, events, wanted),
      close: () => source.close(),
    }
  } catch (error) {
    source.close()
    throw error
  }
}

/** Reads a manifest, and no more than that of the file. @throws MalformedData */
export async function readManifest(name: string, limits?: BundleLimits): Promise<Manifest> {
  const bundle = await openBundle(name, limits)
  bundle.close()
  return bundle.manifest
}

export interface ReadItem {
  readonly item: BundleItem
  readonly bytes: Uint8Array
}

/**
 * Reads a bundle to its end and keeps the files of those items that are wanted, in the order of the manifest; size and hash of
 * them are checked.
 * @throws MalformedData
 */
export async function readBundle(
  name: string,
  wanted: (item: BundleItem) => boolean,
  limits: BundleLimits = bundleLimits,
): Promise<{ manifest: Manifest; items: ReadItem[] }> {
  const bundle = await openBundle(name, limits)
  try {
    const { manifest } = bundle
    const items = new Map(
      manifest.items.flatMap((item) => (item.file !== null && wanted(item) ? [[item.file, item]] : [])),
    )
    // What the manifest says is enough: the first file that is not of its size ends it.
    if ([...items.values()].reduce((sum, { size }) => sum + (size ?? 0), 0) > limits.held)
      throw new MalformedData(name, `has items of more than ${limits.held} bytes, which is too much to hold at once`)
    const found = new Map<string, Uint8Array>()
    for await (const { path, size, sha256, bytes } of bundle.files((path) => (items.has(path) ? 'keep' : 'skip'))) {
      const item = items.get(path)
      if (item === undefined || bytes === undefined) continue
      if (size !== item.size || sha256 !== item.sha256)
        throw new MalformedData(name, `${path} is not what the manifest says: it was changed, or the bundle is damaged`)
      found.set(path, bytes)
    }
    return {
      manifest,
      items: [...items].map(([path, item]) => {
        const bytes = found.get(path)
        if (bytes === undefined) throw new MalformedData(name, `${path} is in the manifest, but not in the bundle`)
        return { item, bytes }
      }),
    }
  } finally {
    bundle.close()
  }
}

/** The compressed file, unpacked and taken apart. */
class Source {
  /** Bytes of the file so far. */
  read = 0
  private unpacked = 0
  private readonly file: ReadStream
  private readonly gunzip: Gunzip = createGunzip({ chunkSize: UNPACK })
  private failure: unknown

  constructor(
    private readonly name: string,
    private readonly limits: BundleLimits,
  ) {
    this.file =
      name === '-' ? createReadStream('', { fd: 0, autoClose: false }) : createReadStream(name, { highWaterMark: READ })
    let isFirst = true
    this.file.on('data', (chunk) => {
      this.read += chunk.length
      if (isFirst) this.checkKind(Buffer.from(chunk))
      isFirst = false
    })
    this.file.on('end', () => {
      if (this.read === 0) this.fail(new MalformedData(this.shownName, 'is empty'))
    })
    this.file.on('error', (error) => this.fail(error))
    this.file.pipe(this.gunzip)
  }

  get shownName(): string {
    return this.name === '-' ? 'stdin' : this.name
  }

  async *events(): AsyncGenerator<TarEvent> {
    const tar = new TarReader(this.shownName, this.limits.files)
    try {
      for await (const chunk of this.gunzip as AsyncIterable<Buffer>) {
        this.count(chunk.length)
        yield* tar.push(chunk)
      }
    } catch (error) {
      throw this.told(error)
    } finally {
      this.close()
    }
    tar.finish()
    if (this.gunzip.bytesWritten < this.read)
      throw new MalformedData(this.shownName, 'has data behind its end', this.gunzip.bytesWritten)
  }

  close(): void {
    this.file.destroy()
    this.gunzip.destroy()
  }

  private count(bytes: number): void {
    const { total, ratio, ratioFrom } = this.limits
    this.unpacked += bytes
    if (this.unpacked > total) throw new MalformedData(this.shownName, `unpacks to more than ${total} bytes`)
    if (this.unpacked > ratioFrom && this.unpacked > ratio * this.read)
      throw new MalformedData(this.shownName, `unpacks to more than ${ratio} times its size`)
  }

  private checkKind(start: Buffer): void {
    if (start[0] === 0x1f && (start.length < 2 || start[1] === 0x8b)) return
    this.fail(new MalformedData(this.shownName, `is no bundle (.tar.gz): ${kindOf(start)}`))
  }

  private fail(error: unknown): void {
    this.failure ??= error
    this.gunzip.destroy(error as Error)
  }

  /** What zlib says, in words; everything else is what it was. */
  private told(error: unknown): unknown {
    if (this.failure !== undefined) return this.failure
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'Z_BUF_ERROR') return new MalformedData(this.shownName, 'is cut off', this.read)
    if (code?.startsWith('Z_') === true) return new MalformedData(this.shownName, `is damaged: ${message}`, this.read)
    return error
  }
}

/** By its first bytes. */
function kindOf(start: Buffer): string {
  const looks: readonly (readonly [string, boolean])[] = [
    ['it is compressed by xz', start.subarray(0, 6).equals(Buffer.from('fd377a585a00', 'hex'))],
    ['it is compressed by zstd', start.subarray(0, 4).equals(Buffer.from('28b52ffd', 'hex'))],
    ['it is compressed by bzip2', start.subarray(0, 3).equals(Buffer.from('BZh'))],
    ['it is a zip archive', start.subarray(0, 2).equals(Buffer.from('PK'))],
    ['it is a tar archive that is not compressed', start.toString('latin1', 257, 262) === 'ustar'],
    ['it is JSON', /^\s*[{[]/.test(start.toString('latin1', 0, 64))],
  ]
  return looks.find(([, fits]) => fits)?.[0] ?? 'it is not compressed by gzip'
}

/** The manifest, and the folder that it lies in. @throws MalformedData when something else comes first */
async function firstFile(
  name: string,
  events: AsyncGenerator<TarEvent>,
  limits: BundleLimits,
): Promise<{ folder: string; bytes: Uint8Array }> {
  const shownName = name === '-' ? 'stdin' : name
  let folder = ''
  const parts: Uint8Array[] = []
  for (;;) {
    const next = await events.next()
    if (next.done === true) throw new MalformedData(shownName, 'is no bundle: it has no files')
    const event = next.value
    if (event.kind === 'end') return { folder, bytes: Buffer.concat(parts) }
    if (event.kind === 'data') parts.push(Uint8Array.from(event.part))
    else {
      const [first = '', ...rest] = event.entry.path.split('/')
      if (rest.join('/') !== 'manifest.json') throw new MalformedData(shownName, notABundle(first, event.entry.path))
      if (event.entry.size > limits.manifest)
        throw new MalformedData(shownName, `has a manifest of more than ${limits.manifest} bytes`)
      folder = first
    }
  }
}

function notABundle(folder: string, path: string): string {
  if (folder.startsWith('sosreport-')) return 'is a report of sos, and no bundle'
  if (folder.startsWith('sysinfo-snapshot')) return 'is a snapshot of sysinfo-snapshot, and no bundle'
  return `is no bundle: ${path} comes first in it, and not the manifest`
}

interface Followed {
  readonly name: string
  readonly folder: string
  readonly limits: BundleLimits
  readonly source: Source
}

async function* followingFiles(
  { folder, limits, source }: Followed,
  events: AsyncGenerator<TarEvent>,
  wanted: (path: string) => Wanted,
): AsyncGenerator<BundleFile> {
  const { shownName } = source
  let current: FileCollector | undefined
  for await (const event of events) {
    if (event.kind === 'file') {
      const { path, size } = event.entry
      if (!path.startsWith(`${folder}/`)) throw new MalformedData(shownName, `${path} is not in the folder ${folder}`)
      const inner = path.slice(folder.length + 1)
      const how = wanted(inner)
      if (how === 'keep' && size > limits.kept)
        throw new MalformedData(shownName, `${inner} has more than ${limits.kept} bytes`)
      current = new FileCollector(inner, size, how)
    } else if (event.kind === 'data') await current?.add(event.part)
    else if (current !== undefined) yield current.file()
  }
}

class FileCollector {
  private readonly hash: Hash | undefined
  private readonly parts: Uint8Array[] = []

  constructor(
    private readonly path: string,
    private readonly size: number,
    private readonly wanted: Wanted,
  ) {
    this.hash = wanted === 'skip' ? undefined : createHash('sha256')
  }

  /** What is kept is copied: the part may lie in much larger memory. */
  add(part: Uint8Array): void | Promise<void> {
    this.hash?.update(part)
    if (this.wanted === 'keep') this.parts.push(Uint8Array.from(part))
    else if (typeof this.wanted === 'function') return this.wanted(part)
  }

  file(): BundleFile {
    return {
      path: this.path,
      size: this.size,
      sha256: this.hash?.digest('hex'),
      bytes: this.wanted === 'keep' ? (this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts)) : undefined,
    }
  }
}
