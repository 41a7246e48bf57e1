import type { Device } from '../../device/device'
import { UsageError } from '../../device/errors'
import { deviceInfo } from '../../device/info'
import { namedParameter, NvConfiguration } from '../../device/nv-config'
import { planConfiguration, type NvChange, type NvPlan } from '../../device/nv-plan'
import { carryOut, type NvActivation } from '../../device/nv-write'
import { MalformedData } from '../../prm/errors'
import { parseSettingsFile, type SettingsFile, type WrittenSetting } from '../../prm/nv-file'
import { parseNvValue, sameNvValue } from '../../prm/nv-value'
import { readInput } from '../input'
import { refuseDeviceOptions } from '../refuse'
import { openFacts, withDevice } from '../session'
import type { Context, Result } from '../types'
import { changeData, changeTable, nextStep, warningsOf } from './set'

/** Of one device. */
interface Compared {
  readonly device: Device['identity']
  readonly psid: string | null
  readonly plan: NvPlan
  readonly drift: readonly NvChange[]
  readonly changed: boolean
  /** As far as it differs, or did before it was changed. */
  readonly inSync: boolean
  readonly rebootRequired: boolean
  readonly activation: NvActivation | null
  /** What was written has another value. */
  readonly isPartial: boolean
  readonly warnings: readonly string[]
}

/** Without devices the file alone is checked; with them, whether they are as it says. */
export async function validateFile(context: Context, file: string, names: readonly string[]): Promise<Result> {
  const settings = await readSettings(file)
  checkNames(settings, file)
  if (names.length === 0) {
    refuseDeviceOptions(context, 'config validate without a device')
    const count = [settings.all, ...settings.psids.values(), ...settings.devices.values()].flat().length
    return { data: { settings: count, devices: [] }, text: () => `${file}: ${count} settings, all known\n` }
  }
  const compared: Compared[] = []
  for (const name of names)
    compared.push(await withDevice(context, name, (device) => compare(device, name, settings, file)))
  return outcome(settings, compared)
}

/** Sets what differs; nothing is written to any device before all of them were compared. */
export async function applyFile(context: Context, file: string, given: readonly string[]): Promise<Result> {
  const settings = await readSettings(file)
  checkNames(settings, file)
  const names = given.length > 0 ? given : [...settings.devices.keys()]
  if (names.length === 0) throw new UsageError(`${file} names no devices: say which`)
  const compared: Compared[] = []
  for (const name of names)
    compared.push(await withDevice(context, name, (device) => compare(device, name, settings, file)))
  const isDrift = compared.some(({ drift }) => drift.length > 0)
  if (isDrift && !context.options.dryRun) await confirm(context, compared)
  if (context.options.dryRun) return outcome(settings, compared)
  // A device that fails hides nothing of the others.
  const failures: Error[] = []
  for (const [index, name] of names.entries()) {
    try {
      compared[index] = await withDevice(context, name, (device) => apply(device, name, settings, file))
    } catch (error) {
      if (!(error instanceof Error)) throw error
      failures.push(Object.assign(error, { message: `${name}: ${error.message}` }))
    }
  }
  const [first] = failures
  if (first !== undefined && names.length === 1) throw first
  const done = outcome(settings, compared)
  return {
    ...done,
    drift: false,
    partial: done.partial === true || first !== undefined,
    warnings: [...(done.warnings ?? []), ...failures.map(({ message }) => `NOT applied to ${message}`)],
  }
}

async function readSettings(file: string): Promise<SettingsFile> {
  return parseSettingsFile(Buffer.from(readInput(file)).toString('utf8'), file)
}

/** Names and values, as far as the catalogue knows them. @throws MalformedData with all that is wrong */
function checkNames(settings: SettingsFile, file: string): void {
  const facts = openFacts()
  const wrong: string[] = []
  const lists = [settings.all, ...settings.psids.values(), ...settings.devices.values()]
  for (const [name, text] of lists.flat()) {
    try {
      const { parameter } = namedParameter(facts, name)
      parseNvValue(parameter, name, text)
    } catch (error) {
      wrong.push((error as Error).message)
    }
  }
  if (wrong.length > 0) throw new MalformedData(file, wrong.join('; '))
}

/** What the file says of a device: of itself before its PSID before all. @throws MalformedData when it says nothing */
function settingsFor(
  settings: SettingsFile,
  { identity }: Device,
  name: string,
  psid: string | undefined,
  file: string,
): WrittenSetting[] {
  const known = new Set([name, identity.node, identity.pci, ...identity.rdma, ...identity.net].map(plainName))
  const own = [...settings.devices].flatMap(([key, list]) => (known.has(plainName(key)) ? list : []))
  const ofPsid = psid === undefined ? [] : (settings.psids.get(psid) ?? [])
  const byName = new Map([...settings.all, ...ofPsid, ...own].map(([key, text]) => [key.toUpperCase(), text]))
  if (byName.size === 0) throw new MalformedData(file, `says nothing of ${name} (PSID ${psid ?? 'unknown'})`)
  return [...byName]
}

/** A device under one name, however it is written: with /dev before it, a PCI address with its domain or without. */
function plainName(name: string | undefined): string {
  const plain = (name ?? '').replace(/^\/dev\/(?:fwctl\/|mlx5ctl-)?/, '').toLowerCase()
  return /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(plain) ? `0000:${plain}` : plain
}

async function compare(device: Device, name: string, settings: SettingsFile, file: string): Promise<Compared> {
  const { psid } = await deviceInfo(device)
  const plan = await planConfiguration(new NvConfiguration(device), settingsFor(settings, device, name, psid, file))
  const drift = plan.changes.filter(({ before, wanted }) => !sameNvValue(before, wanted))
  const rebootRequired = plan.changes.some(
    ({ before, current }) => current !== undefined && !sameNvValue(before, current),
  )
  const state = {
    changed: false,
    inSync: drift.length === 0,
    rebootRequired,
    activation: null,
    isPartial: false,
    warnings: [],
  }
  return { device: device.identity, psid: psid ?? null, plan, drift, ...state }
}

async function apply(device: Device, name: string, settings: SettingsFile, file: string): Promise<Compared> {
  const found = await compare(device, name, settings, file)
  const done = await carryOut(new NvConfiguration(device), found.plan)
  return {
    ...found,
    changed: done.changed,
    inSync: done.differing.length === 0,
    isPartial: done.differing.length > 0,
    rebootRequired: done.rebootRequired,
    activation: done.activation ?? null,
    warnings: warningsOf(done).map((text) => `${name}: ${text}`),
  }
}

async function confirm(context: Context, compared: readonly Compared[]): Promise<void> {
  const tables = compared
    .filter(({ drift }) => drift.length > 0)
    .map(({ device, drift }) => `${device.node}\n${changeTable(drift)}`)
  await context.confirm(`these settings will be changed:\n${tables.join('')}`, 'Apply them?')
}

function outcome(settings: SettingsFile, compared: readonly Compared[]): Result {
  const isDrift = compared.some(({ inSync }) => !inSync)
  const [only, other] = compared
  const warnings = compared.flatMap((one) => one.warnings)
  return {
    device: other === undefined ? only?.device : undefined,
    data: {
      settings: [settings.all, ...settings.psids.values(), ...settings.devices.values()].flat().length,
      devices: compared.map(({ device, psid, plan, drift, changed, inSync, rebootRequired, activation }) => ({
        device: { ...device },
        psid,
        inSync,
        changed,
        rebootRequired,
        activation,
        compared: plan.changes.length,
        drift: drift.map(changeData),
      })),
    },
    text: () =>
      compared
        .map(({ device, drift, changed, activation, plan }) => {
          if (drift.length === 0) return `${device.node}: ${plan.changes.length} settings, as they should be\n`
          return `${device.node}: ${drift.length} of ${plan.changes.length} settings ${changed ? `were changed${activation === null ? '' : `; ${nextStep(activation)} to load them`}` : 'differ'}\n${changeTable(drift)}`
        })
        .join(''),
    warnings,
    drift: isDrift,
    partial: compared.some(({ isPartial }) => isPartial),
  }
}
