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

/** What is written somewhere as it comes; nothing of it can be taken back. */
export class StreamOutput implements Output {
  written = 0

  constructor(private readonly sink: (contents: string | Uint8Array) => void) {}

  write(contents: string | Uint8Array): void {
    if (contents.length === 0) return
    this.written += contents.length
    this.sink(contents)
  }

  commit(): void {}

  abandon(): undefined {}
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

class FileOutput implements Output {
  written = 0
  private readonly fd: number
  private readonly file: string
  private readonly temporary: string

  constructor(
    private readonly name: string,
    replaced: Stats | undefined,
  ) {
    this.file = replaced === undefined ? name : realpathSync(name)
    this.temporary = `${this.file}.${process.pid}.partial`
    const mode = replaced === undefined ? 0o644 : replaced.mode & 0o777
    this.fd = failing(name, () => openSync(this.temporary, 'wx', mode))
  }

  write(contents: string | Uint8Array): void {
    failing(this.name, () => writeAll(this.fd, contents, (count) => (this.written += count)))
  }

  commit(): void {
    failing(this.name, () => {
      fsyncSync(this.fd)
      renameSync(this.temporary, this.file)
      closeSync(this.fd)
    })
  }

  abandon(): string | undefined {
    if (!existsSync(this.temporary)) return undefined
    closeSync(this.fd)
    if (this.written === 0) {
      unlinkSync(this.temporary)
      return undefined
    }
    const kept = `${this.file}.partial`
    renameSync(this.temporary, kept)
    return kept
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
