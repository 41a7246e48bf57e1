import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import type { Output } from '../../render/output'
import type { Staging } from './staging'

/** Bytes of one file, at the most: what is longer is cut off, and said so. */
const LONGEST = 64 * 1024 * 1024

/** The file was not written for a reason that is nobody's but the host's: the run cannot go on. */
export class StagingError extends Error {
  constructor(override readonly cause: Error) {
    super(cause.message)
  }
}

class TooLong extends Error {
  readonly kind = 'partial'
  constructor() {
    super(`it is longer than ${LONGEST / 1024 / 1024} MiB: the rest was cut off`)
  }
}

/** A file of the bundle while an item writes it: what it holds is counted and hashed on the way. */
export class ItemFile {
  private readonly hash = createHash('sha256')
  /** What kept it from being written; a command tells it as its own failure. */
  private failed: StagingError | undefined
  size = 0

  private constructor(
    readonly file: string,
    private readonly output: Output,
  ) {}

  /** @throws StagingError */
  static async create(staging: Staging, file: string): Promise<ItemFile> {
    return new ItemFile(file, await orStagingError(() => staging.create(file)))
  }

  /** @throws StagingError; TooLong */
  async write(part: string | Uint8Array): Promise<void> {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    if (this.size + bytes.length > LONGEST) throw new TooLong()
    this.size += bytes.length
    this.hash.update(bytes)
    try {
      await orStagingError(() => this.output.write(bytes))
    } catch (error) {
      this.failed = error as StagingError
      throw error
    }
  }

  /** @throws StagingError when something of it could not be written */
  async commit(): Promise<{ size: number; sha256: string }> {
    this.check()
    await orStagingError(() => this.output.commit())
    return { size: this.size, sha256: this.hash.digest('hex') }
  }

  /** @throws StagingError when something of it could not be written, which is why it is given up */
  async discard(): Promise<void> {
    const kept = await this.output.abandon()
    if (kept !== undefined) rmSync(kept, { force: true })
    this.check()
  }

  private check(): void {
    if (this.failed !== undefined) throw this.failed
  }
}

async function orStagingError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new StagingError(error instanceof Error ? error : new Error(String(error)))
  }
}
