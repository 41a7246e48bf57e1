import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { Interrupted, UsageError, withHint } from '../device/errors'
import { columns } from '../render/columns'
import type { BundleItem, Manifest } from '../bundle/manifest'
import { Collector, closeDevices, openDevices, type OpenedDevice } from './collect/collector'
import { finishBundle, type Bundle } from './collect/finish'
import { StagingError } from './collect/item-file'
import { makePlan, type Plan } from './collect/plan'
import { showPlan } from './collect/show-plan'
import { Staging } from './collect/staging'
import type { Context, Result } from './types'

export async function run(context: Context, names: readonly string[]): Promise<Result> {
  const { options, own } = context
  const plan = makePlan(context, names)
  if (options.dryRun) return showPlan(plan)
  if (options.record !== undefined && names.length > 1)
    throw new UsageError('--record writes down one device: collect them one by one')
  const output = options.output ?? defaultName()
  checkOutput(output, options.force)
  const { signal } = context
  const devices = await openDevices(context, plan)
  const folder = `${output}.partial`
  let staging: Staging
  try {
    staging =
      own.resume === true ? await Staging.resume(folder, plan.hash) : Staging.begin(folder, plan.hash, options.force)
    checkSame(staging, devices)
  } catch (error) {
    await closeDevices(devices)
    throw error
  }
  try {
    await collectAll(context, plan, staging, devices)
    const stop = (): void => {
      if (signal.aborted) throw new Interrupted(String(signal.reason))
    }
    const bundle = await finishBundle({ version: context.version, output, force: options.force }, plan, staging, stop)
    staging.remove()
    return result(output, bundle)
  } catch (error) {
    staging.unlock()
    throw resumable(error, output, folder)
  }
}

async function collectAll(
  context: Context,
  plan: Plan,
  staging: Staging,
  devices: readonly OpenedDevice[],
): Promise<void> {
  if (staging.resumed > 0) context.note(`${staging.items.length} items were taken before; the others follow`)
  try {
    await new Collector(context, plan, staging, devices).run()
  } finally {
    await closeDevices(devices)
  }
}

/** What ends a run leaves what was taken, and says how to go on. */
function resumable(error: unknown, output: string, folder: string): unknown {
  const cause = error instanceof StagingError ? error.cause : error
  if (!(cause instanceof Error)) return cause
  return withHint(cause, `what was taken is in ${folder}; the same command with -o ${output} --resume takes the rest`)
}

function defaultName(): string {
  const time = new Date().toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15)
  return `mlx5ctl-${time}.tar.gz`
}

/** @throws UsageError before anything is asked of a device */
function checkOutput(output: string, force: boolean): void {
  const stat = output === '' || output === '-' ? undefined : statSync(output, { throwIfNoEntry: false })
  if (output === '' || output === '-' || (stat !== undefined && !stat.isFile()))
    throw new UsageError(`-o ${output}: a bundle is a file`, 'what is taken lies beside it until all is there')
  if (stat !== undefined && !force) throw new UsageError(`${output} is there already`, '--force overwrites it')
  if (!existsSync(path.dirname(output))) throw new UsageError(`there is no folder ${path.dirname(output)}`)
}

/** @throws UsageError when a name means another device than before the interruption */
function checkSame(staging: Staging, devices: readonly OpenedDevice[]): void {
  for (const { planned, transport } of devices) {
    const before = staging.identity(planned.folder)
    const now = transport?.device
    if (before === undefined || now === undefined) continue
    if (before.node !== now.node || before.pci !== now.pci || before.deviceId !== now.deviceId)
      throw new UsageError(
        `${planned.name} is another device than before: ${before.pci ?? before.node}`,
        '--force begins anew',
      )
  }
}

function result(output: string, { manifest, size, sha256, warnings }: Bundle): Result {
  const counts = { ok: 0, partial: 0, failed: 0, 'left-out': 0 }
  for (const { status } of manifest.items) counts[status]++
  const { devices, items, resumed, redacted, started, finished } = manifest
  return {
    data: { file: output, size, sha256, started, finished, resumed, redacted, counts, devices, items },
    records: items,
    text: () => summary(output, size, counts, manifest),
    warnings,
    partial: counts.partial + counts.failed > 0 || warnings.length > 0,
  }
}

function summary(
  output: string,
  size: number,
  counts: Record<BundleItem['status'], number>,
  manifest: Manifest,
): string {
  const alike = new Map<string, { row: readonly string[]; names: string[] }>()
  for (const { status, device, name, reason } of manifest.items) {
    if (status === 'ok') continue
    const row = [status, device ?? 'host', reason ?? '']
    const key = row.join('\n')
    const group = alike.get(key) ?? { row, names: [] }
    group.names.push(name)
    alike.set(key, group)
  }
  const rows = [...alike.values()].map(({ row, names }) => [...row.slice(0, 2), `${names.join(', ')}: ${row[2] ?? ''}`])
  const numbers = Object.entries(counts).map(([status, count]) => `${count} ${status}`)
  return `${output}: ${size} bytes, ${numbers.join(', ')}\n${columns(rows)}`
}
