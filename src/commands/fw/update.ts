import type { Device } from '../../device/device'
import { Interrupted, Unsupported, UsageError, withHint } from '../../device/errors'
import { planUpdate, type UpdatePlan } from '../../device/firmware/plan'
import { queryFirmware, type FirmwareInfo } from '../../device/firmware/query'
import { updateFirmware, type UpdateSummary } from '../../device/firmware/update'
import { formatVersion } from '../../prm/firmware-image/version'
import { columns } from '../../render/columns'
import { describeError } from '../../render/envelope'
import { Progress } from '../../render/progress'
import type { Context, Result } from '../types'
import { imageData, psidsOf } from './check'
import { cardOf, withEachDevice, type Outcome } from './devices'
import { loadImages, type ImageFile } from './images'
import { failuresOf } from './query'

/** A device, and what is to be done with it. */
interface Planned {
  readonly name: string
  readonly identity: Device['identity']
  readonly info: FirmwareInfo
  readonly plan: UpdatePlan<ImageFile>
}

/** What an update came to. */
interface Updated {
  readonly summary: UpdateSummary
  /** What is on flash afterwards; as it was planned where the device can no longer be asked. */
  readonly after: FirmwareInfo
}

/**
 * fw update: writes images to devices, each device one thing at a time, several devices at once. Nothing is sent to any of them
 * before all were looked at, and every one has an image that is for it.
 */
export async function updateDevices(context: Context, names: readonly string[]): Promise<Result> {
  const { own, options } = context
  if (names.length === 0) throw new UsageError('fw update takes devices: fw update DEVICE... --from FILE|DIR')
  if (options.output !== undefined && options.force)
    throw new UsageError(
      '--force of fw update writes older images: it does not overwrite the file of -o',
      'remove that file first',
    )
  if (own.forceRelease === true && names.length > 1)
    throw new UsageError('--force-release takes the update handle from whoever has it: name one device')
  const outcomes = await withEachDevice(context, names, (device) => queryFirmware(device))
  const loaded = await loadImages(own.from, psidsOf(outcomes))
  const planned = plansOf(context, outcomes, loaded)
  const wanted = planned.filter(({ plan }) => plan.isUpdate)
  const notes = [...loaded.warnings, ...planned.flatMap(({ plan }) => plan.notes)]
  if (wanted.length === 0 || options.dryRun) return result(planned, new Map(), notes)
  await confirm(context, wanted, notes)
  const done = await write(context, wanted)
  const [alone] = done
  if (names.length === 1 && alone?.error !== undefined) throw alone.error
  return result(planned, new Map(done.map((one) => [one.name, one])), notes)
}

/** @throws the first thing that keeps one of the devices from being updated, with its name where there are several */
function plansOf(
  { own, options }: Context,
  outcomes: readonly Outcome<FirmwareInfo>[],
  { images, isNamed }: { readonly images: readonly ImageFile[]; readonly isNamed: boolean },
): Planned[] {
  const cards = new Set<string>()
  const planned = outcomes.map((outcome) => {
    const { name } = outcome
    if (outcome.error !== undefined) throw forDevice(outcomes.length, name, outcome.error)
    const { identity, value: info } = outcome
    const card = cardOf(identity)
    if (cards.has(card)) throw new UsageError(`${name} is on a card that was named before: a card has one flash`)
    cards.add(card)
    const plan = planUpdate(info, images, { from: String(own.from), isNamed, force: options.force })
    return { name, identity, info, plan }
  })
  for (const { name, plan } of planned)
    if (plan.refusal !== undefined) throw forDevice(outcomes.length, name, plan.refusal)
  return planned
}

/** The same error, that names the device where it is one of several. */
function forDevice(count: number, name: string, error: Error): Error {
  if (count === 1) return error
  return Object.assign(error, { message: `${name}: ${error.message}; nothing was sent to any of the ${count} devices` })
}

async function confirm(context: Context, wanted: readonly Planned[], notes: readonly string[]): Promise<void> {
  const what = wanted.length === 1 ? 'this device' : `these ${wanted.length} devices`
  const warnings = notes.map((note) => `warning: ${note}\n`)
  await context.confirm(`${warnings.join('')}firmware is about to be written:\n${changes(wanted)}`, `Update ${what}?`)
}

function changes(planned: readonly Planned[]): string {
  const rows = planned.map(({ name, info, plan }) => [
    name,
    info.psid,
    formatVersion(info.pending ?? info.running),
    plan.candidate === undefined ? '-' : formatVersion(plan.candidate.info.version),
    plan.candidate?.label ?? '-',
  ])
  return columns([['DEVICE', 'PSID', 'ON FLASH', 'NEW', 'IMAGE'], ...rows])
}

async function write(context: Context, wanted: readonly Planned[]): Promise<Outcome<Updated>[]> {
  const total = wanted.reduce((sum, { plan }) => sum + (plan.candidate?.image.size ?? 0), 0)
  const progress = new Progress('bytes', total, context.interactive())
  const byName = new Map(wanted.map((one) => [one.name, one]))
  try {
    return await withEachDevice(context, [...byName.keys()], async (device, name) => {
      const one = byName.get(name)
      if (one?.plan.candidate === undefined) throw new Error(`${name} has no plan`)
      return writeOne(context, device, { info: one.info, candidate: one.plan.candidate, progress })
    })
  } finally {
    progress.stop()
  }
}

async function writeOne(
  { own }: Context,
  device: Device,
  {
    info,
    candidate,
    progress,
  }: { readonly info: FirmwareInfo; readonly candidate: ImageFile; readonly progress: Progress },
): Promise<Updated> {
  const bytes = await candidate.read()
  // Names can change hands between two openings.
  const now = await queryFirmware(device)
  if (now.psid !== info.psid || now.chipId.hardwareId !== info.chipId.hardwareId)
    throw new Unsupported(`this is another device by now: PSID ${now.psid}, not ${info.psid}`)
  const summary = await updateFirmware(device, bytes, {
    forceRelease: own.forceRelease === true,
    onProgress: (count) => void progress.step(count),
  })
  const planned = { ...info, pending: candidate.info.version, pendingReset: true }
  try {
    return { summary, after: await queryFirmware(device) }
  } catch (error) {
    if (!(error instanceof Error) || describeError(error).kind === 'internal') throw error
    if (error instanceof Interrupted)
      throw withHint(error, 'the image IS activated: a reset loads it (fw reset, or a reboot)')
    const warning = `the image is activated, but the device could not be queried afterwards: ${error.message}`
    return { summary: { ...summary, warnings: [...summary.warnings, warning] }, after: planned }
  }
}

function result(
  planned: readonly Planned[],
  done: ReadonlyMap<string, Outcome<Updated>>,
  notes: readonly string[],
): Result {
  const records = planned.map((one) => updateData(one, done.get(one.name)))
  const failed = failuresOf([...done.values()])
  const [only, other] = planned
  return {
    device: other === undefined ? only?.identity : undefined,
    data: {
      changed: records.some(({ changed }) => changed),
      rebootRequired: records.some(({ rebootRequired }) => rebootRequired),
      devices: records,
    },
    records,
    text: () => planned.map((one) => updateText(one, done.get(one.name))).join(''),
    warnings: [...notes, ...failed, ...[...done.values()].flatMap(warningsOf)],
    partial: failed.length > 0,
  }
}

function warningsOf(outcome: Outcome<Updated>): string[] {
  if (outcome.error !== undefined) return []
  return outcome.value.summary.warnings.map((text) => `${outcome.name}: ${text}`)
}

interface UpdateRecord {
  readonly changed: boolean
  readonly rebootRequired: boolean
  readonly [key: string]: unknown
}

function updateData({ name, identity, info, plan }: Planned, outcome: Outcome<Updated> | undefined): UpdateRecord {
  const updated = outcome?.error === undefined ? outcome?.value : undefined
  const { running, pending, pendingReset } = updated?.after ?? info
  return {
    name,
    device: { ...identity },
    psid: info.psid,
    relation: plan.relation,
    planned: plan.isUpdate,
    changed: updated !== undefined,
    rebootRequired: pendingReset,
    before: formatVersion(info.pending ?? info.running),
    running: formatVersion(running),
    pending: pending === undefined ? null : formatVersion(pending),
    image: plan.candidate === undefined ? null : imageData(plan.candidate),
    bytes: updated?.summary.bytes ?? 0,
    blocks: updated?.summary.blocks ?? 0,
    error: outcome?.error === undefined ? null : describeError(outcome.error),
  }
}

function updateText({ name, info, plan }: Planned, outcome: Outcome<Updated> | undefined): string {
  const version = plan.candidate === undefined ? '' : formatVersion(plan.candidate.info.version)
  const before = formatVersion(info.pending ?? info.running)
  const waits = 'a reset loads it (fw reset, or a reboot)'
  if (!plan.isUpdate) return `${name}: ${version} is on flash, nothing to do${info.pendingReset ? `; ${waits}` : ''}\n`
  if (outcome === undefined) return `${name}: would write ${version} in place of ${before}\n`
  if (outcome.error !== undefined) return `${name}: NOT updated to ${version}\n`
  const { running, pendingReset } = outcome.value.after
  return `${name}: ${version} written in place of ${before}; ${pendingReset ? waits : `${formatVersion(running)} runs`}\n`
}
