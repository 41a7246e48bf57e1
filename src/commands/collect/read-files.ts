import { spawn } from 'node:child_process'
import { Interrupted } from '../../device/errors'
import { DeliveryError } from '../../transport/contract'
import type { Surroundings } from './surroundings'

/** Bytes of a file that are read, at the most. */
const LONGEST = 16 * 1024
/** Milliseconds that a file has at the least, within the time of the item: a process begins in it. */
const PATIENCE = 1000

/** What the process does that reads: it answers each file with a line, null where it cannot be read. */
const program = `
const fs = require('node:fs')
for (const { file, most } of JSON.parse(fs.readFileSync(0, 'utf8'))) {
  let text = null
  try {
    const fd = fs.openSync(file, 'r')
    const bytes = Buffer.alloc(most)
    let size = 0
    for (let count = 1; count > 0 && size < most; size += count) count = fs.readSync(fd, bytes, size, most - size)
    fs.closeSync(fd)
    text = bytes.latin1Slice(0, size)
  } catch {}
  fs.writeSync(1, JSON.stringify(text) + '\\n')
}`

interface Wanted {
  readonly file: string
  readonly most?: number
}

/** What files hold. Many of sysfs cannot be read in some states of a device: they are undefined. */
export class FilesRead {
  constructor(
    private readonly contents: ReadonlyMap<string, Buffer>,
    private readonly silent: readonly string[],
  ) {}

  bytes(file: string): Buffer | undefined {
    return this.contents.get(file)
  }

  text(file: string): string | undefined {
    return this.bytes(file)?.toString('utf8').trim()
  }

  /** That some did not answer; undefined when all did. */
  get failure(): DeliveryError | undefined {
    const [first, ...more] = this.silent
    if (first === undefined) return undefined
    const others = more.length === 0 ? '' : `, nor do ${more.length} others`
    return new DeliveryError(`${first} does not answer${others}`, 'ETIMEDOUT', { hint: 'see --item-timeout' })
  }
}

/**
 * Reads files of the kernel one after the other. A driver that hangs lets the reader wait for ever, and no signal ends that:
 * another process reads, and is given up with the file that does not answer; the next one reads the rest.
 * @throws Interrupted; DeliveryError when there is no other process
 */
export async function readFiles(wanted: readonly Wanted[], { signal, timeout }: Surroundings): Promise<FilesRead> {
  const contents = new Map<string, Buffer>()
  const silent: string[] = []
  const due = Date.now() + timeout
  const patience = Math.max(timeout / 4, PATIENCE)
  for (let next = 0; next < wanted.length;) {
    if (signal.aborted) throw new Interrupted(String(signal.reason))
    const left = due - Date.now()
    const answers = left <= 0 ? [] : await answersOf(wanted.slice(next), signal, { patience, left })
    for (const answer of answers) {
      const { file = '' } = wanted[next++] ?? {}
      if (answer !== null) contents.set(file, Buffer.from(answer, 'latin1'))
    }
    const { file } = wanted[next++] ?? {}
    if (file !== undefined) silent.push(file)
  }
  return new FilesRead(contents, silent)
}

/** Of one process, until all is read, or a file does not answer. */
function answersOf(
  wanted: readonly Wanted[],
  signal: AbortSignal,
  { patience, left }: { readonly patience: number; readonly left: number },
): Promise<(string | null)[]> {
  const answers: (string | null)[] = []
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'ignore'] })
    const due = Date.now() + left
    let timer: NodeJS.Timeout | undefined
    let rest = ''
    // It may not even be possible to kill it: nobody waits for its end.
    const end = (settle: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      child.kill('SIGKILL')
      child.unref()
      child.stdout.destroy()
      settle()
    }
    const abort = (): void => end(() => reject(new Interrupted(String(signal.reason))))
    const wait = (): void => {
      clearTimeout(timer)
      timer = setTimeout(() => end(() => resolve(answers)), Math.max(0, Math.min(patience, due - Date.now())))
    }
    signal.addEventListener('abort', abort)
    child.on('error', (error) => end(() => reject(new DeliveryError(`no process reads: ${error.message}`, 'EIO'))))
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(wanted.map(({ file, most = LONGEST }) => ({ file, most }))))
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) answers.push(JSON.parse(line) as string | null)
      wait()
    })
    child.stdout.on('end', () => end(() => resolve(answers)))
    wait()
  })
}
