import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'

/** Where a result goes, in one piece or in many. */
export interface Output {
  /** Bytes written so far. */
  readonly written: number
  /** @throws OutputError; EPIPE as it is */
  write(contents: string | Uint8Array): void
  /** All was written. */
  commit(): void
  /** Something failed. Returns the name under which what was written is kept, when it is a file. */
  abandon(): string | undefined
}

/** The file cannot be written; or it is there, and nobody said that it may go. */
export class OutputError extends Error {
  override readonly name = 'OutputError'
  constructor(
    message: string,
    /** Exit code 2, 4 or 3. */
    readonly kind: 'usage' | 'permission' | 'open',
    readonly hint?: string,
  ) {
    super(message)
  }
}

/** Bytes that are gathered before they are written, and milliseconds after which they are, at the next occasion. */
const CHUNK = 64 * 1024
const PATIENCE = 100

/** Gathers what is written in small parts. */
abstract class GatheringOutput implements Output {
  written = 0
  private readonly chunk = Buffer.allocUnsafe(CHUNK)
  private filled = 0
  private flushed = Date.now()

  write(contents: string | Uint8Array): void {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
    this.written += bytes.length
    if (this.filled + bytes.length > CHUNK) this.flush()
    if (bytes.length >= CHUNK) return this.put(bytes)
    this.chunk.set(bytes, this.filled)
    this.filled += bytes.length
    if (Date.now() - this.flushed > PATIENCE) this.flush()
  }

  commit(): void {
    this.flush()
  }

  /** What was gathered belongs to what is kept, unless it cannot be written. */
  abandon(): string | undefined {
    try {
      this.flush()
    } catch {
      // The failure that is being told came first.
    }
    return undefined
  }

  private flush(): void {
    const { filled } = this
    this.filled = 0
    this.flushed = Date.now()
    if (filled > 0) this.put(this.chunk.subarray(0, filled))
  }

  protected abstract put(bytes: Uint8Array): void
}

/** What is written somewhere as it comes; nothing of it can be taken back. */
export class StreamOutput extends GatheringOutput {
  constructor(private readonly sink: (contents: Uint8Array) => void) {
    super()
  }

  protected put(bytes: Uint8Array): void {
    this.sink(bytes)
  }
}

/**
 * Opens a file for a result: it is written to NAME.PID.partial beside it, synced, and renamed when all is there; a failure
 * leaves what there is as NAME.partial. A link stays one. What is no regular file (a device, a FIFO) is written to as it is.
 * @throws OutputError when the file is there and `overwrite` is not set, or cannot be made
 */
export function openOutput(name: string, overwrite: boolean): Output {
  const descriptor = { '-': 1, '/dev/stdout': 1, '/dev/stderr': 2 }[name]
  if (descriptor !== undefined) return new StreamOutput((contents) => writeAll(descriptor, contents))
  const stat = failing(name, () => statSync(name, { throwIfNoEntry: false }))
  if (stat?.isDirectory() === true) throw new OutputError(`${name} is a directory`, 'usage')
  if (stat?.isFile() === false) {
    const fd = failing(name, () => openSync(name, 'w'))
    return new StreamOutput((contents) => failing(name, () => writeAll(fd, contents)))
  }
  if (stat !== undefined && !overwrite)
    throw new OutputError(`${name} is there already`, 'usage', '--force overwrites it')
  return new FileOutput(name, stat)
}

class FileOutput extends GatheringOutput {
  private readonly fd: number
  private readonly file: string
  private readonly temporary: string
  private inFile = 0

  constructor(
    private readonly name: string,
    replaced: Stats | undefined,
  ) {
    super()
    this.file = replaced === undefined ? name : realpathSync(name)
    this.temporary = `${this.file}.${process.pid}.partial`
    const mode = replaced === undefined ? 0o644 : replaced.mode & 0o777
    this.fd = failing(name, () => openSync(this.temporary, 'wx', mode))
  }

  override commit(): void {
    super.commit()
    failing(this.name, () => {
      fsyncSync(this.fd)
      renameSync(this.temporary, this.file)
      closeSync(this.fd)
    })
  }

  override abandon(): string | undefined {
    super.abandon()
    if (!existsSync(this.temporary)) return undefined
    closeSync(this.fd)
    if (this.inFile === 0) {
      unlinkSync(this.temporary)
      return undefined
    }
    const kept = `${this.file}.partial`
    renameSync(this.temporary, kept)
    return kept
  }

  protected put(bytes: Uint8Array): void {
    failing(this.name, () => writeAll(this.fd, bytes, (count) => (this.inFile += count)))
  }
}

/** Says which file it is that cannot be written. */
function failing<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EPIPE') throw error
    const forbidden = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
    throw new OutputError(`${name} cannot be written: ${message}`, forbidden ? 'permission' : 'open')
  }
}

/** Writes all of it to a descriptor, however slow the reader is. */
export function writeAll(
  fd: number,
  contents: string | Uint8Array,
  wrote: (bytes: number) => void = () => undefined,
): void {
  const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
  for (let done = 0; done < bytes.length;) {
    try {
      const count = writeSync(fd, bytes, done, bytes.length - done)
      done += count
      wrote(count)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
