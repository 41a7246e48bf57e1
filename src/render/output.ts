import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where a result goes, in one piece or in many. */
export interface Output {
  /** Bytes written so far. */
  readonly written: number
  /** Whether it is a file, and not stdout or another stream. */
  readonly isFile: boolean
  /** What is given may be used again when the promise resolves. @throws OutputError; EPIPE as it is */
  write(contents: string | Uint8Array): Promise<void>
  /** All was written. */
  commit(): Promise<void>
  /** Something failed. Returns the name under which what was written is kept, when it is a file. */
  abandon(): Promise<string | undefined>
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

/** Throws when the command is to end; asked while a reader lets it wait. */
export type Stop = () => void

/** Bytes that are gathered before they are written, and milliseconds after which they are, at the next occasion. */
const CHUNK = 64 * 1024
const PATIENCE = 100
/** Milliseconds between two looks at a reader that is not ready. */
const PAUSE = 5

/** Gathers what is written in small parts. */
abstract class GatheringOutput implements Output {
  written = 0
  abstract readonly isFile: boolean
  private readonly chunk = Buffer.allocUnsafe(CHUNK)
  private filled = 0
  private flushed = Date.now()

  async write(contents: string | Uint8Array): Promise<void> {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
    this.written += bytes.length
    if (this.filled + bytes.length > CHUNK) await this.flush()
    if (bytes.length >= CHUNK) return this.put(bytes)
    this.chunk.set(bytes, this.filled)
    this.filled += bytes.length
    if (Date.now() - this.flushed > PATIENCE) await this.flush()
  }

  commit(): Promise<void> {
    return this.flush()
  }

  /** What was gathered belongs to what is kept, unless it cannot be written. */
  async abandon(): Promise<string | undefined> {
    try {
      await this.flush()
    } catch {
      // The failure that is being told came first.
    }
    return undefined
  }

  private async flush(): Promise<void> {
    const { filled } = this
    this.filled = 0
    this.flushed = Date.now()
    if (filled > 0) await this.put(this.chunk.subarray(0, filled))
  }

  protected abstract put(bytes: Uint8Array): Promise<void>
}

/** What is written somewhere as it comes; nothing of it can be taken back. */
export class StreamOutput extends GatheringOutput {
  readonly isFile = false

  constructor(private readonly sink: (contents: Uint8Array) => void | Promise<void>) {
    super()
  }

  protected async put(bytes: Uint8Array): Promise<void> {
    await this.sink(bytes)
  }
}

/**
 * Opens a file for a result: it is written to a name of its own beside it, synced, and takes its name when all is there; a
 * failure leaves what there is as NAME.partial. A link stays one. What is no regular file (a device, a FIFO) is written to as it
 * is.
 * @param mode of a new file; one that is overwritten keeps its own
 * @throws OutputError when the file is there and `overwrite` is not set, or cannot be made
 */
export async function openOutput(name: string, overwrite: boolean, stop: Stop, mode = 0o644): Promise<Output> {
  if (name === '') throw new OutputError('-o takes the name of a file', 'usage')
  const descriptor = { '-': 1, '/dev/stdout': 1, '/dev/stderr': 2 }[name]
  if (descriptor !== undefined) return new StreamOutput((contents) => writeAll(descriptor, contents, { stop }))
  const stat = failing(name, () => statSync(name, { throwIfNoEntry: false }))
  if (stat?.isDirectory() === true) throw new OutputError(`${name} is a directory`, 'usage')
  if (stat?.isFile() === false) {
    const fd = await openSpecial(name, stop)
    return new StreamOutput((contents) => failingLater(name, writeAll(fd, contents, { stop })))
  }
  if (stat !== undefined && !overwrite) throw alreadyThere(name)
  return new FileOutput(name, stat, overwrite, mode)
}

const alreadyThere = (name: string): OutputError =>
  new OutputError(`${name} is there already`, 'usage', '--force overwrites it')

class FileOutput extends GatheringOutput {
  readonly isFile = true
  private readonly fd: number
  private readonly file: string
  private readonly temporary: string
  private inFile = 0
  private settled = false

  constructor(
    private readonly name: string,
    replaced: Stats | undefined,
    private readonly overwrite: boolean,
    newMode: number,
  ) {
    super()
    this.file = failing(name, () => behindLinks(name))
    const mode = replaced === undefined ? newMode : replaced.mode & 0o777
    const { fd, temporary } = failing(name, () => openBeside(this.file, mode))
    this.fd = fd
    this.temporary = temporary
  }

  override async commit(): Promise<void> {
    await super.commit()
    failing(this.name, () => {
      fsyncSync(this.fd)
      this.take()
      this.settled = true
      closeSync(this.fd)
      syncFolder(path.dirname(this.file))
    })
  }

  override async abandon(): Promise<string | undefined> {
    await super.abandon()
    if (this.settled) return undefined
    this.settled = true
    closeSync(this.fd)
    if (this.inFile === 0) {
      unlinkSync(this.temporary)
      return undefined
    }
    return keptAs(this.temporary, `${this.file}.partial`)
  }

  protected put(bytes: Uint8Array): Promise<void> {
    return failingLater(this.name, writeAll(this.fd, bytes, { wrote: (count) => (this.inFile += count) }))
  }

  /** What came to be there meanwhile is somebody's, unless it may be overwritten. */
  private take(): void {
    if (this.overwrite) return renameSync(this.temporary, this.file)
    try {
      linkSync(this.temporary, this.file)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST' || existsSync(this.file)) throw alreadyThere(this.name)
      // A file system without links.
      return renameSync(this.temporary, this.file)
    }
    unlinkSync(this.temporary)
  }
}

/** The file that a name means, also where links lead to one that is not there yet. */
function behindLinks(name: string): string {
  const stat = lstatSync(name, { throwIfNoEntry: false })
  if (stat?.isSymbolicLink() !== true) return name
  if (existsSync(name)) return realpathSync(name)
  return path.resolve(path.dirname(name), readlinkSync(name))
}

/** A new file with a name that says that it is not whole. */
function openBeside(file: string, mode: number): { fd: number; temporary: string } {
  for (let attempt = 0; ; attempt++) {
    const temporary = `${file}.${process.pid}${attempt === 0 ? '' : `-${attempt}`}.partial`
    try {
      return { fd: openSync(temporary, 'wx', mode), temporary }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 100) throw error
    }
  }
}

/** Gives a partial file its name, or one with a number where that is taken; the name that it has then. */
function keptAs(temporary: string, wanted: string): string {
  for (let number = 1; number <= 100; number++) {
    const name = number === 1 ? wanted : `${wanted}.${number}`
    if (existsSync(name)) continue
    try {
      renameSync(temporary, name)
      return name
    } catch {
      return temporary
    }
  }
  return temporary
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } catch {
    // Some file systems know no sync of folders.
  } finally {
    closeSync(fd)
  }
}

/** A FIFO without a reader is waited for, so that a signal can end the waiting. */
async function openSpecial(name: string, stop: Stop): Promise<number> {
  for (;;) {
    try {
      return openSync(name, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw described(name, error)
      stop()
      await sleep(PAUSE)
    }
  }
}

/** Says which file it is that cannot be written. */
function failing<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw described(name, error)
  }
}

async function failingLater<T>(name: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw described(name, error)
  }
}

/** Only what the system says; the rest goes on as it is. */
function described(name: string, error: unknown): unknown {
  const { code, message, syscall } = error as NodeJS.ErrnoException
  if (code === 'EPIPE' || syscall === undefined) return error
  const forbidden = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
  return new OutputError(`${name} cannot be written: ${message}`, forbidden ? 'permission' : 'open')
}

interface Writing {
  readonly stop?: Stop
  readonly wrote?: (bytes: number) => void
}

/** Writes all of it to a descriptor, however slow the reader is; signals get through while it lets us wait. */
export async function writeAll(fd: number, contents: string | Uint8Array, writing: Writing = {}): Promise<void> {
  const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
  const target = unblocked(fd)
  for (let done = 0; done < bytes.length;) {
    const count = writeSome(target, bytes, done)
    done += count
    writing.wrote?.(count)
    if (count > 0) continue
    writing.stop?.()
    await sleep(PAUSE)
  }
}

/** The same for messages, which nothing interrupts. */
export function writeAllNow(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length;) {
    const count = writeSome(fd, bytes, done)
    done += count
    if (count === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE)
  }
}

/** Bytes written; 0 when the reader is not ready. */
function writeSome(fd: number, bytes: Uint8Array, done: number): number {
  try {
    return writeSync(fd, bytes, done, bytes.length - done)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}

const descriptors = new Map<number, number>()

/**
 * A descriptor of the same pipe that does not block. It is a new opening of it: whoever has the other end, or shares this one,
 * sees nothing of that.
 */
function unblocked(fd: number): number {
  const known = descriptors.get(fd)
  if (known !== undefined) return known
  let own = fd
  try {
    if (fstatSync(fd).isFIFO()) own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // It blocks, then.
  }
  descriptors.set(fd, own)
  return own
}
