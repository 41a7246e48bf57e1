import type { Device } from '../../device/device'
import { Unsupported, UsageError } from '../../device/errors'
import { NvConfiguration, nvHeader } from '../../device/nv-config'
import {
  armReset,
  planConfiguration,
  readBack,
  writeTlvs,
  type NvActivation,
  type NvChange,
  type NvPlan,
} from '../../device/nv-write'
import { nvElementText, nvValueText, sameNvValue, type NvValue } from '../../prm/nv-value'
import { columns } from '../../render/columns'
import { hexString } from '../../render/values'
import { splitAssignment } from '../assignment'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

const MOST_BYTES = 256

/** Whole TLVs are written: what is not named keeps its value. */
export async function setParameters(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const assignments = words.map(splitAssignment)
  if (assignments.length === 0) throw new UsageError('nothing to set: give NAME=VALUE')
  return withDevice(context, name, async (device) => {
    const configuration = new NvConfiguration(device)
    const plan = await planConfiguration(configuration, assignments)
    for (const { item, data } of plan.writes)
      if (data.length > MOST_BYTES)
        throw new Unsupported(`${item.tlv.name} has ${data.length} bytes: no register carries it`)
    if (context.options.dryRun) return dryRun(device, plan)
    if (plan.writes.length === 0) return outcome(device, plan, { changed: false, warnings: [], activation: undefined })
    await confirm(context, plan)
    await writeTlvs(device, plan.writes)
    const differing = await readBack(configuration, plan.changes)
    const activation = await armReset(device)
    const warnings = differing.map((title) => `${title} was written, but has another value`)
    return outcome(device, plan, { changed: true, warnings, activation })
  })
}

async function confirm(context: Context, plan: NvPlan): Promise<void> {
  if (context.options.yes) return
  context.note(`these settings will be changed:\n${changeTable(plan.changes)}`.trimEnd())
  if (!(await context.ask('Apply them? [y/N] '))) throw new Unsupported('not confirmed: nothing was written')
}

interface Done {
  readonly changed: boolean
  readonly warnings: readonly string[]
  readonly activation: NvActivation | undefined
}

function outcome(device: Device, { changes, writes }: NvPlan, { changed, warnings, activation }: Done): Result {
  const isDue = changes.some(({ wanted, current }) => current === undefined || !sameNvValue(wanted, current))
  const rebootRequired =
    isDue && (changed || changes.some(({ before, current }) => current !== undefined && !sameNvValue(before, current)))
  return {
    device: device.identity,
    data: {
      changed,
      rebootRequired,
      activation: rebootRequired ? (activation ?? 'reboot') : null,
      parameters: changes.map(changeData),
      tlvs: writes.map(({ item }) => item.tlv.name),
    },
    text: () => {
      const next = activation === 'power-cycle' ? 'power-cycle the machine' : 'reboot the machine'
      const then = rebootRequired ? `To load the new settings, ${next}.\n` : ''
      return changed
        ? `${changeTable(changes)}${then}`
        : `Nothing to change: the next boot has these values already.\n${then}`
    },
    warnings,
    partial: warnings.length > 0,
  }
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
