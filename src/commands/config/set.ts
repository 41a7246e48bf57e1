import type { Device } from '../../device/device'
import { UsageError } from '../../device/errors'
import { NvConfiguration, nvHeader } from '../../device/nv-config'
import { planConfiguration, type NvChange, type NvPlan } from '../../device/nv-plan'
import { carryOut, type NvActivation, type NvOutcome } from '../../device/nv-write'
import { nvElementText, nvValueText, type NvValue } from '../../prm/nv-value'
import { columns } from '../../render/columns'
import { hexString } from '../../render/values'
import { splitAssignment } from '../assignment'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

/** Whole TLVs are written: what is not named keeps its value. */
export async function setParameters(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const assignments = words.map(splitAssignment)
  if (assignments.length === 0) throw new UsageError('nothing to set: give NAME=VALUE')
  return withDevice(context, name, async (device) => {
    const configuration = new NvConfiguration(device)
    const plan = await planConfiguration(configuration, assignments)
    if (context.options.dryRun) return dryRun(device, plan)
    if (plan.writes.length > 0) await confirm(context, plan)
    return outcome(device, plan, await carryOut(configuration, plan))
  })
}

async function confirm(context: Context, plan: NvPlan): Promise<void> {
  const warnings = plan.changes
    .filter(({ title, wanted }) => title === 'DISABLE_SLOT_POWER_LIMITER' && wanted === 1)
    .map(
      ({ title }) =>
        `${title} lets the card draw more than its slot is made for: this may damage it, and concerns its warranty\n`,
    )
  await context.confirm(
    `${warnings.join('')}these settings will be changed:\n${changeTable(plan.changes)}`,
    'Apply them?',
  )
}

function outcome(device: Device, { changes, writes }: NvPlan, done: NvOutcome): Result {
  const { changed, rebootRequired, activation, differing } = done
  const warnings = warningsOf(done)
  return {
    device: device.identity,
    data: {
      changed,
      rebootRequired,
      activation: activation ?? null,
      parameters: changes.map(changeData),
      tlvs: writes.map(({ item }) => item.tlv.name),
    },
    text: () => {
      const then = activation === undefined ? '' : `To load the new settings, ${nextStep(activation)}.\n`
      return changed
        ? `${changeTable(changes)}${then}`
        : `Nothing to change: the next boot has these values already.\n${then}`
    },
    warnings,
    partial: differing.length > 0,
  }
}

export const nextStep = (activation: NvActivation): string =>
  activation === 'power-cycle' ? 'power-cycle the machine' : 'reboot the machine'

export function warningsOf({ differing, warnings }: NvOutcome): string[] {
  return [...warnings, ...differing.map((title) => `${title} was written, but has another value`)]
}

/** The TLVs that would be written, each as the image of MNVDA. */
function dryRun(device: Device, { changes, writes }: NvPlan): Result {
  const images = writes.map(({ item, data }) => ({
    tlv: item.tlv.name,
    image: hexString(Buffer.concat([nvHeader(device, { length: data.length, ovr_en: 1 }, item.type), data])),
  }))
  return {
    device: device.identity,
    data: {
      changed: false,
      rebootRequired: false,
      activation: null,
      parameters: changes.map(changeData),
      tlvs: images.map(({ tlv }) => tlv),
      images,
    },
    text: () => images.map(({ tlv, image }) => `${tlv} ${image}\n`).join(''),
  }
}

export function changeData({
  title,
  setting,
  element,
  before,
  wanted,
  current,
  after,
}: NvChange): Record<string, unknown> {
  const shown = (value: NvValue | undefined): unknown =>
    value === undefined
      ? null
      : { value: value instanceof Uint8Array ? hexString(value) : value, text: text(setting.parameter, element, value) }
  return {
    name: title,
    tlv: setting.item.tlv.name,
    current: shown(current),
    before: shown(before),
    wanted: shown(wanted),
    after: shown(after),
  }
}

type Parameter = NvChange['setting']['parameter']

function text(parameter: Parameter, element: number | undefined, value: NvValue): string {
  return element === undefined || typeof value !== 'number'
    ? nvValueText(parameter, value)
    : nvElementText(parameter, value)
}

export function changeTable(changes: readonly NvChange[]): string {
  return columns([
    ['PARAMETER', 'CURRENT', 'NEXT BOOT', 'NEW'],
    ...changes.map(({ title, setting: { parameter }, element, current, before, wanted }) => [
      title,
      current === undefined ? '-' : text(parameter, element, current),
      text(parameter, element, before),
      text(parameter, element, wanted),
    ]),
  ])
}
