import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { parseKernelLine, type KernelLine } from '../prm/firmware-trace/kernel-lines'
import { OpenError } from '../transport/contract'
import { Unsupported } from './errors'

/** Where the kernel shows its trace, below /sys, and what the tracepoint is called: now, and formerly (facts: dumps, D.4). */
const places = ['kernel/tracing', 'kernel/debug/tracing']
const events = ['events/mlx5/mlx5_fw', 'events/mlx5/fw_tracer']
const instancePrefix = 'mlx5ctl-'
const instanceName = /^mlx5ctl-(\d+)(?:-\w+)?$/
/** Instances that this process watches. */
const watched = new Set<string>()

/** Bytes that are read at once, and in one look at a pipe; characters of a line. */
const CHUNK = 64 * 1024
const MOST_IN_A_LOOK = 4 * 1024 * 1024
const LONGEST_LINE = 64 * 1024
/** Lines by which the place is found again up to which a trace was read. */
const REMEMBERED = 32

/** A folder of tracefs with the firmware's tracepoint. */
export interface KernelTracer {
  readonly folder: string
  readonly event: string
}

/**
 * @param sysfsRoot instead of /sys
 * @throws Unsupported where there is no tracepoint; OpenError without the permission to look
 */
export function findKernelTracer(sysfsRoot = '/sys'): KernelTracer {
  for (const place of places) {
    const folder = path.join(sysfsRoot, place)
    const event = events.find((one) => existsSync(path.join(folder, one, 'enable')))
    if (event !== undefined) return { folder, event }
    reachable(folder)
  }
  throw new Unsupported(
    `the kernel shows no trace of the firmware below ${places.map((place) => path.join(sysfsRoot, place)).join(' or ')}`,
    'is mlx5_core loaded, and tracefs mounted (mount -t tracefs none /sys/kernel/tracing)?',
  )
}

function reachable(folder: string): void {
  try {
    readdirSync(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM') throw failed(folder, error)
  }
}

/** Whether the tracepoint is on, so that the kernel keeps what comes. */
export function isTracepointOn(tracer: KernelTracer): boolean {
  return attempt(path.join(tracer.folder, tracer.event, 'enable'), (file) => readFileSync(file, 'utf8')).startsWith('1')
}

/** Is called between two parts of what is read, to let signals in. */
export type Pause = () => Promise<void>

/** What the kernel has kept, oldest first; nothing of it is taken away. */
export async function storedKernelTrace(
  tracer: KernelTracer,
  pause: Pause,
  take: (lines: readonly KernelLine[]) => void | Promise<void>,
): Promise<void> {
  await eachPart(tracer, pause, (lines) => take(parsed(lines)))
}

async function eachPart(
  { folder }: KernelTracer,
  pause: Pause,
  take: (lines: readonly string[]) => void | Promise<void>,
): Promise<void> {
  const file = path.join(folder, 'trace')
  const fd = attempt(file, (name) => openSync(name, constants.O_RDONLY | constants.O_NONBLOCK))
  try {
    const lines = new LineReader(fd)
    for (let part = lines.read(); part !== undefined; part = lines.read()) {
      await take(part)
      await pause()
    }
    await take(lines.rest())
  } finally {
    closeSync(fd)
  }
}

/** A trace that is watched. */
export interface WatchedTrace {
  /** What came since the last call; never waits for more. */
  look(): Promise<KernelLine[]>
  /** Puts all back. Idempotent. */
  close(): void
}

/**
 * Watches the tracepoint from now on, in an instance of the kernel's tracing of its own, which disturbs nobody; where the kernel
 * makes none, in the trace that all share, where the tracepoint is switched on for as long as that takes.
 */
export async function watchKernelTrace(tracer: KernelTracer, pause: Pause): Promise<WatchedTrace> {
  const instances = path.join(tracer.folder, 'instances')
  removeStale(instances)
  let folder: string
  try {
    // In containers pids come again: what a killed run left behind may have ours.
    folder = mkdtempSync(path.join(instances, `${instancePrefix}${process.pid}-`))
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!['ENOENT', 'ENOSYS', 'ENOTSUP', 'EROFS', 'ENOMEM', 'EACCES', 'EPERM'].includes(code))
      throw failed(instances, error)
    return watchShared(tracer, pause)
  }
  watched.add(folder)
  return watchInstance({ folder, event: tracer.event })
}

function watchInstance(own: KernelTracer): WatchedTrace {
  const enable = path.join(own.folder, own.event, 'enable')
  let fd: number | undefined
  const undo = [
    () => writeFileSync(enable, '0'),
    () => {
      if (fd !== undefined) closeSync(fd)
    },
    () => rmdirSync(own.folder),
    () => void watched.delete(own.folder),
  ]
  try {
    fd = attempt(path.join(own.folder, 'trace_pipe'), (file) =>
      openSync(file, constants.O_RDONLY | constants.O_NONBLOCK),
    )
    attempt(enable, (file) => writeFileSync(file, '1'))
  } catch (error) {
    // What went wrong first is what matters.
    runAll(undo)
    throw error
  }
  const lines = new LineReader(fd)
  return {
    look: async () => {
      const all: KernelLine[] = []
      for (let done = 0; done < MOST_IN_A_LOOK; done += CHUNK) {
        const part = lines.read()
        if (part === undefined) break
        all.push(...parsed(part))
      }
      return all
    },
    close: undoing(undo),
  }
}

/** The trace that all share: read whole each time; what was seen is found again by its last lines. */
async function watchShared(tracer: KernelTracer, pause: Pause): Promise<WatchedTrace> {
  const enable = path.join(tracer.folder, tracer.event, 'enable')
  const wasOn = isTracepointOn(tracer)
  const read = async (): Promise<string[]> => {
    const all: string[] = []
    await eachPart(tracer, pause, (lines) => {
      for (const line of lines) if (parseKernelLine(line) !== undefined) all.push(line)
    })
    return all
  }
  let last = (await read()).slice(-REMEMBERED)
  if (!wasOn) attempt(enable, (file) => writeFileSync(file, '1'))
  return {
    look: async () => {
      const lines = await read()
      const known = endOf(last, lines)
      const fresh = known === undefined ? lines : lines.slice(known)
      last = lines.slice(-REMEMBERED)
      const gap: KernelLine[] = known === undefined ? [{ kind: 'lost', events: undefined }] : []
      return [...gap, ...parsed(fresh)]
    },
    close: undoing([
      () => {
        if (!wasOn) writeFileSync(enable, '0')
      },
    ]),
  }
}

/** Index behind the last lines of before; undefined when they are there no more. */
function endOf(last: readonly string[], lines: readonly string[]): number | undefined {
  if (last.length === 0) return 0
  for (let end = lines.length; end >= last.length; end--)
    if (last.every((line, index) => line === lines[end - last.length + index])) return end
  return undefined
}

/** Instances of runs that were killed. The kernel keeps one that is in use. */
function removeStale(instances: string): void {
  let names: string[] = []
  try {
    names = readdirSync(instances)
  } catch {
    // There are none then.
  }
  for (const name of names) {
    const folder = path.join(instances, name)
    const pid = instanceName.exec(name)?.[1]
    if (pid === undefined) continue
    const isInUse = Number(pid) === process.pid ? watched.has(folder) : existsSync(`/proc/${pid}`)
    if (isInUse) continue
    try {
      rmdirSync(folder)
    } catch {
      // Somebody else's all the same.
    }
  }
}

/** All steps, once; the first failure is thrown when they are done. */
function undoing(steps: readonly (() => void)[]): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    const failures = runAll(steps)
    if (failures.length > 0) throw failures[0]
  }
}

function runAll(steps: readonly (() => void)[]): unknown[] {
  return steps.flatMap((step) => {
    try {
      step()
      return []
    } catch (error) {
      return [error]
    }
  })
}

function parsed(lines: readonly string[]): KernelLine[] {
  return lines.flatMap((line) => parseKernelLine(line) ?? [])
}

/** Whole lines of what can be read at the moment. */
class LineReader {
  private readonly chunk = Buffer.allocUnsafe(CHUNK)
  private held = ''

  constructor(private readonly fd: number) {}

  /** Undefined at the end, or where there is nothing yet. */
  read(): string[] | undefined {
    const count = this.fill()
    if (count === 0) return undefined
    const lines = (this.held + this.chunk.toString('latin1', 0, count)).split('\n')
    this.held = (lines.pop() ?? '').slice(0, LONGEST_LINE)
    return lines
  }

  /** What follows the last end of a line. */
  rest(): string[] {
    return this.held === '' ? [] : [this.held]
  }

  private fill(): number {
    try {
      return readSync(this.fd, this.chunk, 0, CHUNK, null)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN' || code === 'EINTR') return 0
      throw error
    }
  }
}

function attempt<T>(file: string, work: (file: string) => T): T {
  try {
    return work(file)
  } catch (error) {
    throw failed(file, error)
  }
}

function failed(file: string, error: unknown): OpenError {
  const { code = 'EIO', message } = error as NodeJS.ErrnoException
  const forbidden = code === 'EACCES' || code === 'EPERM'
  return new OpenError(`the kernel's trace cannot be used: ${message}`, forbidden ? 'permission' : 'open', {
    errno: code,
    hint: forbidden ? 'run as root; kernel lockdown may close tracefs' : `${file} is of tracefs`,
  })
}
