import { setTimeout as sleep } from 'node:timers/promises'
import type { BundleItem, ItemStatus } from '../../bundle/manifest'
import { Interrupted } from '../../device/errors'
import { describeError, type ErrorDescription } from '../../render/envelope'
import { Progress } from '../../render/progress'
import type { Transport } from '../../transport/contract'
import { openDevice } from '../session'
import type { CallOutcome, Context } from '../types'
import { ItemFile, StagingError } from './item-file'
import type { Item } from './items'
import type { Plan, PlannedDevice } from './plan'
import type { Staging } from './staging'

/** A device with the door into it, or why there is none. */
export interface OpenedDevice {
  readonly planned: PlannedDevice
  readonly transport: Transport | undefined
  readonly error: ErrorDescription | undefined
}

const EXIT_PARTIAL = 8
/** Errors after which a device does not come back. */
const gone = ['ENODEV', 'ENXIO']
/** What this door, device or option does not give is left out; it is no failure. */
const leftOut = ['unsupported', 'usage']

/**
 * Opens every device. One that cannot be opened hides none of the others.
 * @throws UsageError; the error of the first one where there is no device at all, or no right to any
 */
export async function openDevices(context: Context, plan: Plan): Promise<OpenedDevice[]> {
  const opened: OpenedDevice[] = []
  let first: unknown
  for (const planned of plan.devices) {
    try {
      opened.push({ planned, transport: await openDevice(context, planned.name), error: undefined })
    } catch (error) {
      const described = describeError(error)
      if (described.kind === 'usage') {
        await closeDevices(opened)
        throw error
      }
      first ??= error
      opened.push({ planned, transport: undefined, error: described })
    }
  }
  if (opened.every(({ error }) => error !== undefined && ['not-found', 'permission'].includes(error.kind))) throw first
  return opened
}

/** Whatever one says, all are closed. */
export async function closeDevices(devices: readonly OpenedDevice[]): Promise<void> {
  await Promise.allSettled(devices.map(async ({ transport }) => transport?.close()))
}

/** Takes the items of a plan, those of the host first, then those of several devices at a time. */
export class Collector {
  private readonly fatal = new AbortController()
  private readonly signal: AbortSignal
  private readonly deadline: number
  private readonly progress: Progress
  private readonly addresses: readonly string[]

  constructor(
    private readonly context: Context,
    private readonly plan: Plan,
    private readonly staging: Staging,
    private readonly devices: readonly OpenedDevice[],
  ) {
    const { timeout } = context.options
    this.signal = AbortSignal.any([context.signal, this.fatal.signal])
    this.deadline = timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeout * 1000
    const count = plan.devices.reduce((sum, { items }) => sum + items.length, plan.host.length)
    this.progress = new Progress('items', count, context.interactive())
    this.addresses = devices.flatMap(({ transport }) => transport?.device.pci ?? [])
  }

  /** @throws Interrupted; what keeps files from being written */
  async run(): Promise<void> {
    try {
      for (const item of this.plan.host) await this.takeOnce(item, undefined, undefined)
      await this.inParallel()
    } finally {
      this.progress.stop()
    }
  }

  private async inParallel(): Promise<void> {
    const waiting = [...this.devices]
    let failure: Error | undefined
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await this.takeDevice(next)
    }
    const guarded = async (): Promise<void> => {
      try {
        await worker()
      } catch (error) {
        failure ??= error instanceof Error ? error : new Error(String(error))
        this.fatal.abort('an error')
      }
    }
    await Promise.all(Array.from({ length: this.plan.parallel }, guarded))
    if (failure !== undefined) throw failure
  }

  private async takeDevice(device: OpenedDevice): Promise<void> {
    const { planned, transport } = device
    if (transport !== undefined) noting(() => this.staging.setIdentity(planned.folder, transport.device))
    let error = device.error
    for (const item of planned.items) {
      const failed = await this.takeOnce(item, device, error)
      if (failed?.errno !== undefined && gone.includes(failed.errno) && 'words' in item.source)
        error ??= { ...failed, message: `the device is gone: ${failed.message}` }
    }
  }

  /** What was taken before the run was interrupted is not taken again. Gives the error of an item, where it has one. */
  private async takeOnce(
    item: Item,
    device: OpenedDevice | undefined,
    lost: ErrorDescription | undefined,
  ): Promise<ErrorDescription | undefined> {
    const folder = device?.planned.folder ?? null
    // Signals get through between two items, whatever these do.
    await new Promise((resolve) => setImmediate(resolve))
    this.checkStopped()
    try {
      if (this.staging.taken(folder, item.name) !== undefined) return undefined
      await this.waitFor(item, folder)
      return await this.take(item, folder, device, lost)
    } finally {
      await this.progress.step()
    }
  }

  private async take(
    item: Item,
    folder: string | null,
    device: OpenedDevice | undefined,
    lost: ErrorDescription | undefined,
  ): Promise<ErrorDescription | undefined> {
    const blank = this.blank(item, folder, device?.planned.name)
    const left = Math.min(this.plan.itemTimeout, this.deadline - Date.now())
    const refusal =
      this.unredactable(item) ?? ('words' in item.source ? (lost ?? this.refusal(item, device, left)) : undefined)
    if (refusal !== undefined) {
      const about = judged({ exitCode: exitOf(refusal.kind), error: refusal, warnings: [] }, 0)
      this.record({ ...blank, ...about, ...(refusal === lost ? { status: 'failed' } : {}) })
      return refusal
    }
    const file = await ItemFile.create(this.staging, blank.file ?? item.file)
    const started = new Date()
    const start = performance.now()
    const outcome = await this.produce(item, file, device, Math.max(left, 1))
    const about = {
      ...judged(outcome, file.size, item.asked),
      started: started.toISOString(),
      duration: Math.round(performance.now() - start),
    }
    // Some commands take a signal for their end, not for a failure.
    if (outcome.error?.kind === 'interrupted' || this.signal.aborted) {
      await file.discard()
      throw new Interrupted(String(this.signal.reason))
    }
    const hasFile = about.status === 'ok' || about.status === 'partial'
    if (hasFile) this.record({ ...blank, ...about, ...(await file.commit()) })
    else {
      await file.discard()
      this.record({ ...blank, ...about })
    }
    return outcome.error ?? undefined
  }

  private unredactable({ form }: Item): ErrorDescription | undefined {
    if (form !== 'bytes' || this.plan.redact.length === 0) return undefined
    return { kind: 'unsupported', message: 'its bytes cannot be redacted', hint: null }
  }

  /** Why an item is not even tried. */
  private refusal({ lacks }: Item, device: OpenedDevice | undefined, left: number): ErrorDescription | undefined {
    const lack = device?.transport === undefined ? undefined : lacks?.(device.transport)
    if (lack !== undefined) return { kind: 'unsupported', message: lack, hint: null }
    if (left > 0) return undefined
    return { kind: 'delivery', message: 'the time of --timeout was over', hint: 'see --timeout', errno: 'ETIMEDOUT' }
  }

  private async produce(
    { source }: Item,
    file: ItemFile,
    device: OpenedDevice | undefined,
    timeout: number,
  ): Promise<CallOutcome> {
    const { options } = this.context
    const { devRoot, sysfsRoot, verbose, quiet, clearSemaphore } = options
    const roots = { ...(devRoot === undefined ? {} : { devRoot }), ...(sysfsRoot === undefined ? {} : { sysfsRoot }) }
    const { signal, addresses } = this
    if ('words' in source)
      return this.context.call(source.words, {
        signal,
        opened: device?.transport,
        options: { ...roots, verbose, quiet, clearSemaphore, timeout: timeout / 1000 },
        write: (part) => file.write(part),
      })
    try {
      const name = device?.planned.name ?? ''
      const { text, failure } = await source.produce({
        options: roots,
        signal,
        timeout,
        name,
        identity: device?.transport?.device,
        addresses,
      })
      await file.write(text)
      if (failure !== undefined) throw failure
      return { exitCode: 0, error: null, warnings: [] }
    } catch (error) {
      if (error instanceof StagingError) throw error
      const described = describeError(error)
      return { exitCode: exitOf(described.kind), error: described, warnings: [] }
    }
  }

  /** The second sample of counters comes an interval behind the first one, where there is one. */
  private async waitFor({ behind }: Item, folder: string | null): Promise<void> {
    const first = behind === undefined ? undefined : this.staging.taken(folder, behind)
    if (first?.started == null || first.file === null) return
    const due = Date.parse(first.started) + this.plan.interval
    try {
      await sleep(Math.max(0, Math.min(due, this.deadline) - Date.now()), undefined, { signal: this.signal })
    } catch {
      this.checkStopped()
    }
  }

  private blank({ name, file, source }: Item, folder: string | null, device: string | undefined): BundleItem {
    const command = 'words' in source ? `mlx5ctl ${source.words.join(' ')}` : source.shown
    return {
      device: folder,
      name,
      command: command?.replace('ADDRESS', this.addressOf(device)) ?? null,
      file: folder === null ? `host/${file}` : `devices/${folder}/${file}`,
      status: 'failed',
      reason: null,
      exit: { code: 0, kind: null },
      started: null,
      duration: 0,
      size: null,
      sha256: null,
    }
  }

  private addressOf(name: string | undefined): string {
    return this.devices.find(({ planned }) => planned.name === name)?.transport?.device.pci ?? name ?? ''
  }

  private record(item: BundleItem): void {
    noting(() =>
      this.staging.record(item.status === 'ok' || item.status === 'partial' ? item : { ...item, file: null }),
    )
  }

  private checkStopped(): void {
    if (this.signal.aborted) throw new Interrupted(String(this.signal.reason))
  }
}

/** @throws StagingError */
function noting(work: () => void): void {
  try {
    work()
  } catch (error) {
    throw new StagingError(error as Error)
  }
}

/** Exit codes of what is no command of this tool. */
function exitOf(kind: string): number {
  const codes: Readonly<Record<string, number>> = {
    'not-found': 3,
    open: 3,
    permission: 4,
    delivery: 5,
    malformed: 7,
    unsupported: 9,
    usage: 2,
  }
  return codes[kind] ?? 1
}

/** A failure behind which something was written is a part. */
function judged(
  { exitCode, error, warnings }: CallOutcome,
  size: number,
  asked = false,
): Pick<BundleItem, 'status' | 'reason' | 'exit'> {
  const status = statusOf(exitCode, error, size, asked)
  const said = error?.message ?? (warnings.length > 0 ? warnings.join('; ') : 'part of it is missing')
  const code = status === 'partial' ? EXIT_PARTIAL : exitCode
  return { status, reason: status === 'ok' ? null : said, exit: { code, kind: error?.kind ?? null } }
}

function statusOf(exitCode: number, error: ErrorDescription | null, size: number, asked: boolean): ItemStatus {
  if (error === null) return exitCode === 0 ? 'ok' : 'partial'
  if (size > 0) return 'partial'
  // A segment that the device does not know is a usage error; by name it may be a mistyped one.
  return leftOut.includes(error.kind) && !(asked && error.kind === 'usage') ? 'left-out' : 'failed'
}
