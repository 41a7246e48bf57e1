import { planUpdate, type Relation, type UpdatePlan } from '../../device/firmware/plan'
import { queryFirmware, type FirmwareInfo } from '../../device/firmware/query'
import { formatRomVersion, formatVersion } from '../../prm/firmware-image/version'
import { describeError } from '../../render/envelope'
import type { Context, Result } from '../types'
import { commonFailure, everyCard, withEachDevice, type Outcome } from './devices'
import { loadImages, type ImageFile } from './images'
import { failuresOf } from './query'
import { queryText, type Shown } from './query-text'
import { queryXml } from './query-xml'

/** Status lines; those of mstfwmanager where it has one (facts: firmware manager, C.2). */
const statuses: Readonly<Record<Relation, string>> = {
  newer: 'The image is newer, but cannot be written',
  same: 'Up to date',
  older: 'Up to date (the image is older)',
  none: 'No matching image found',
  several: 'Multiple image files found',
  damaged: 'The image is damaged',
  'foreign-chip': 'The image is for another chip',
}

/** fw check: which device has an image, and whether that is newer. Nothing is written. */
export async function checkDevices(context: Context, given: readonly string[]): Promise<Result> {
  const { own, options } = context
  const names = given.length > 0 ? given : everyCard(context)
  const outcomes = await withEachDevice(context, names, (device) => queryFirmware(device))
  const [only, other] = outcomes
  const isXml = options.format === 'xml'
  if (given.length === 1 && only?.error !== undefined && !isXml) throw only.error
  const loaded = await loadImages(own.from, psidsOf(outcomes))
  const checked = outcomes.map((outcome) => ({
    outcome,
    plan:
      outcome.error === undefined
        ? planUpdate(outcome.value, loaded.images, { from: String(own.from), isNamed: loaded.isNamed })
        : undefined,
  }))
  const updates = checked.filter(({ plan }) => plan?.isUpdate === true).length
  const shown = checked.map(shownDevice)
  const records = checked.map(({ outcome, plan }) => checkData(outcome, plan))
  const failed = failuresOf(outcomes)
  return {
    device: other === undefined ? only?.identity : undefined,
    data: { from: own.from, updates, devices: records },
    records,
    text: () => (isXml ? queryXml(shown) : `${queryText(shown, { details: false })}${summary(checked, updates)}`),
    warnings: [...(names.length === 0 ? ['no mlx5 device was found'] : []), ...failed, ...loaded.warnings],
    partial: failed.length > 0,
    verdict: commonFailure(outcomes),
  }
}

export const psidsOf = (outcomes: readonly Outcome<FirmwareInfo>[]): string[] =>
  outcomes.flatMap((one) => (one.error === undefined ? [one.value.psid] : []))

interface Checked {
  readonly outcome: Outcome<FirmwareInfo>
  readonly plan: UpdatePlan<ImageFile> | undefined
}

function shownDevice({ outcome, plan }: Checked): Shown {
  const candidate = plan?.candidate
  return {
    outcome,
    status: plan === undefined ? '' : plan.isUpdate ? 'Update required' : statuses[plan.relation],
    available:
      candidate === undefined
        ? undefined
        : new Map([
            ['FW', formatVersion(candidate.info.version)],
            ...candidate.image.roms.map(({ type, version }) => [type, formatRomVersion(version)] as const),
          ]),
  }
}

function summary(checked: readonly Checked[], updates: number): string {
  const reasons = checked.flatMap(({ outcome, plan }) =>
    plan?.refusal === undefined ? [] : [`${outcome.name}: ${plan.refusal.message}\n`],
  )
  const found = updates === 0 ? '' : `Found ${updates} device(s) requiring firmware update: fw update does it.\n`
  return `${reasons.join('')}${found}`
}

function checkData(
  outcome: Outcome<FirmwareInfo>,
  plan: UpdatePlan<ImageFile> | undefined,
): Readonly<Record<string, unknown>> {
  const base = { name: outcome.name, device: outcome.identity === undefined ? null : { ...outcome.identity } }
  if (outcome.error !== undefined || plan === undefined)
    return {
      ...base,
      psid: null,
      running: null,
      pending: null,
      relation: null,
      updateRequired: false,
      reason: null,
      image: null,
      error: describeError(outcome.error),
    }
  const { psid, running, pending } = outcome.value
  return {
    ...base,
    psid,
    running: formatVersion(running),
    pending: pending === undefined ? null : formatVersion(pending),
    relation: plan.relation,
    updateRequired: plan.isUpdate,
    reason: plan.refusal?.message ?? null,
    image: plan.candidate === undefined ? null : imageData(plan.candidate),
    error: null,
  }
}

/** An image that was chosen, as JSON. */
export function imageData({ file, psid, info, image }: ImageFile): Readonly<Record<string, unknown>> {
  return {
    file,
    psid,
    version: formatVersion(info.version),
    partNumber: info.partNumber,
    releaseDate: info.releaseDate,
    bytes: image.size,
  }
}
