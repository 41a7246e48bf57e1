import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import type { BundleItem } from '../../bundle/manifest'
import { UsageError } from '../../device/errors'
import { openOutput, type Output } from '../../render/output'
import type { DeviceIdentity } from '../../transport/contract'

/** What is known of a run while it goes on. */
interface State {
  readonly version: 1
  readonly plan: string
  readonly started: string
  readonly resumed: number
  readonly identities: Readonly<Record<string, DeviceIdentity>>
  readonly items: readonly BundleItem[]
}

const STATE = 'state.json'
const LOCK = 'lock'

/**
 * The folder beside the bundle in which the files lie until all are there. Every file comes to be there whole, and is noted down
 * before the next one is begun: whatever ends the process, what the notes say is there.
 */
export class Staging {
  private constructor(
    readonly folder: string,
    private state: State,
  ) {}

  /** @throws UsageError when a run that was interrupted is there: it is never mixed with another one by itself */
  static begin(folder: string, plan: string, overwrite: boolean): Staging {
    if (isOwnFolder(folder)) {
      if (!overwrite)
        throw new UsageError(
          `${folder} has what an interrupted run took`,
          'the same command with --resume goes on with it, with --force begins anew',
        )
      checkUnlocked(folder)
      const isOurs = readdirSync(folder).every((name) => name === LOCK || name.startsWith(STATE))
      if (!isOurs && readState(folder) === undefined) throw notOfCollect(folder)
      rmSync(folder, { recursive: true })
    }
    mkdirSync(folder, { mode: 0o700 })
    lock(folder)
    const started = new Date().toISOString()
    const staging = new Staging(folder, { version: 1, plan, started, resumed: 0, identities: {}, items: [] })
    staging.save()
    return staging
  }

  /** @throws UsageError when there is nothing, when it is of another plan, or when somebody is at work on it */
  static async resume(folder: string, plan: string): Promise<Staging> {
    if (!isOwnFolder(folder)) throw new UsageError(`there is no ${folder} to go on with`, 'leave --resume away')
    checkUnlocked(folder)
    const state = readState(folder)
    if (state === undefined) throw new UsageError(`${folder} has no notes that can be read`, '--force begins anew')
    if (state.plan !== plan)
      throw new UsageError(
        `${folder} is of other devices, items or options`,
        'give the same ones to go on with it, or --force to begin anew',
      )
    lock(folder)
    const items: BundleItem[] = []
    for (const item of state.items) if (isKept(item) && (await isWhole(folder, item))) items.push(item)
    const staging = new Staging(folder, { ...state, resumed: state.resumed + 1, items })
    staging.removeOthers()
    staging.save()
    return staging
  }

  get started(): string {
    return this.state.started
  }

  get resumed(): number {
    return this.state.resumed
  }

  get items(): readonly BundleItem[] {
    return this.state.items
  }

  taken(device: string | null, name: string): BundleItem | undefined {
    return this.state.items.find((item) => item.device === device && item.name === name)
  }

  identity(folder: string): DeviceIdentity | undefined {
    return this.state.identities[folder]
  }

  setIdentity(folder: string, identity: DeviceIdentity): void {
    this.state = { ...this.state, identities: { ...this.state.identities, [folder]: identity } }
    this.save()
  }

  /** Where a file lies. */
  at(file: string): string {
    return path.join(this.folder, file)
  }

  /** A file of the bundle, which is there when it is committed. */
  create(file: string): Promise<Output> {
    mkdirSync(path.dirname(this.at(file)), { recursive: true })
    return openOutput(this.at(file), true, () => undefined)
  }

  record(item: BundleItem): void {
    const others = this.state.items.filter(({ device, name }) => device !== item.device || name !== item.name)
    this.state = { ...this.state, items: [...others, item] }
    this.save()
  }

  /** Somebody else may go on with it from now on. */
  unlock(): void {
    rmSync(this.at(LOCK), { force: true })
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  private save(): void {
    const temporary = this.at(`${STATE}.new`)
    const fd = openAnew(temporary)
    try {
      const text = Buffer.from(`${JSON.stringify(this.state, null, 1)}\n`)
      for (let at = 0; at < text.length;) at += writeSync(fd, text, at)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, this.at(STATE))
  }

  /** Files that are not noted down were being written when the run ended. */
  private removeOthers(): void {
    const kept = new Set([STATE, LOCK, ...this.state.items.map(({ file }) => file)])
    for (const entry of readdirSync(this.folder, { recursive: true, withFileTypes: true })) {
      const file = path.relative(this.folder, path.join(entry.parentPath, entry.name))
      if (!entry.isDirectory() && !kept.has(file)) rmSync(this.at(file))
    }
  }
}

/**
 * Whether the folder is there. It is gone on with, or deleted, only where nobody else can have laid something into it.
 * @throws UsageError when it is no folder, somebody else's, or open to others
 */
function isOwnFolder(folder: string): boolean {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  if (stat === undefined) return false
  if (!stat.isDirectory()) throw notOfCollect(folder)
  if (stat.uid !== process.geteuid?.() || (stat.mode & 0o077) !== 0)
    throw new UsageError(`${folder} is somebody else's, or open to others`, 'give another -o FILE')
  return true
}

const notOfCollect = (folder: string): UsageError =>
  new UsageError(`${folder} is there, and not of collect`, 'give another -o FILE')

/** A new file in the place of an old one: what a link there leads to stays as it is. */
function openAnew(file: string): number {
  rmSync(file, { force: true })
  return openSync(file, 'wx', 0o600)
}

/** What failed is tried again. */
const isKept = ({ status }: BundleItem): boolean => status === 'ok' || status === 'partial'

/** Whether the file of an item is as it was noted down. */
async function isWhole(folder: string, { file, size, sha256 }: BundleItem): Promise<boolean> {
  if (file === null) return false
  const name = path.join(folder, file)
  return existsSync(name) && statSync(name).size === size && (await hashOf(name)) === sha256
}

/** SHA-256 of a file, in hex digits. */
export async function hashOf(name: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(name)) hash.update(piece as Buffer)
  return hash.digest('hex')
}

function readState(folder: string): State | undefined {
  try {
    const state = JSON.parse(readFileSync(path.join(folder, STATE), 'utf8')) as Partial<State> | null
    return state?.version === 1 && Array.isArray(state.items) ? (state as State) : undefined
  } catch {
    return undefined
  }
}

/** The process that has it, and when it began: a number alone may be another process by now. */
function lock(folder: string): void {
  const fd = openAnew(path.join(folder, LOCK))
  writeSync(fd, `${process.pid} ${startOf(process.pid) ?? ''}\n`)
  closeSync(fd)
}

/** @throws UsageError */
function checkUnlocked(folder: string): void {
  const file = path.join(folder, LOCK)
  if (!existsSync(file)) return
  const [pid = '', start] = readFileSync(file, 'utf8').trim().split(' ')
  const running = startOf(Number(pid))
  if (running !== undefined && running === start)
    throw new UsageError(`process ${pid} is at work on ${folder}`, 'wait for it, or give another -o FILE')
}

/** Clock ticks from boot to the start of a process; undefined when there is none. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
