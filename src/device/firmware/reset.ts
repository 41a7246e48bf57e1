import type { Struct } from '../../prm/codec'
import type { Device } from '../device'
import { RegisterRefusal, Unsupported } from '../errors'
import type { FirmwareInfo } from './query'
import { accessRegister, registerTarget, registerValues, registerValuesOrNone } from '../registers'

/** One of the things that a reset can be, and whether this device can it. */
export interface ResetChoice {
  readonly number: number
  readonly name: string
  readonly supported: boolean
  readonly isDefault: boolean
}

export interface ResetSupport {
  /** What goes down: 0 nothing, 1 the embedded CPU, 3 driver and PCI link, 4 the machine. */
  readonly levels: readonly ResetChoice[]
  /** Which part of the chip is reset. */
  readonly types: readonly ResetChoice[]
  /** Who brings the drivers of all hosts down and up, at level 3: 0 the tool, 1 the driver, 2 the firmware. */
  readonly syncs: readonly ResetChoice[]
  readonly state: { readonly code: number; readonly name: string }
  /** A reset of before waits for the PCI bus to be scanned anew. */
  readonly rescanRequired: boolean
}

interface Known {
  readonly number: number
  readonly name: string
  /** Bit in the field that tells what the device can. */
  readonly bit: number
}

/** Levels of mstfwreset, and their bits in reset_trigger (facts: firmware manager, D). */
const levels: readonly Known[] = [
  { number: 0, name: 'Driver, PCI link, network link will remain up ("live-Patch")', bit: 0 },
  { number: 1, name: 'Only ARM side will not remain up ("Immediate reset").', bit: 1 },
  { number: 3, name: 'Driver restart and PCI reset', bit: 3 },
  { number: 4, name: 'Warm Reboot', bit: 6 },
]
const types: readonly Known[] = [
  'Full chip reset',
  'Phy-less reset (keep network port active during reset)',
  'NIC only reset (for SoC devices)',
  'ARM only reset',
  'ARM OS shut down',
].map((name, number) => ({ number, name, bit: number }))
const syncs: readonly Known[] = ['Tool is the owner', 'Driver is the owner', 'FW is the owner'].map((name, number) => ({
  number,
  name,
  bit: number,
}))

export const TYPE = { FULL: 0, NIC_ONLY: 2, ARM_ONLY: 3, ARM_SHUTDOWN: 4 } as const
/** Those that leave the NIC as it is; an immediate reset can be nothing else. */
const armTypes: ReadonlySet<number> = new Set([TYPE.ARM_ONLY, TYPE.ARM_SHUTDOWN])
/** The default is the first of these that the device can. */
const typeOrder = [TYPE.NIC_ONLY, TYPE.FULL, TYPE.ARM_ONLY, TYPE.ARM_SHUTDOWN]
export const LEVEL = { LIVE_PATCH: 0, IMMEDIATE: 1, PCI: 3, WARM_REBOOT: 4 } as const
export const SYNC = { TOOL: 0, DRIVER: 1 } as const

const states: Readonly<Record<number, string>> = {
  0: 'idle',
  3: 'the drivers did not agree in time',
  4: 'a driver did not agree',
  5: 'a driver did not unload in time',
  6: 'the ARM OS is up and must be shut down first',
  7: 'the ARM OS is shutting down',
  8: 'waiting for the reset',
}
/** States that a reset ends in without having happened. */
const failedStates: ReadonlySet<number> = new Set([3, 4, 5, 6])

/** What resets there are, by MFRL and MROQ. @throws FirmwareError where the device has no MFRL */
export async function readResetSupport(device: Device): Promise<ResetSupport> {
  const mfrl = await registerValues(device, 'MFRL')
  const [trigger, kinds, state] = [mfrl.reset_trigger, mfrl.reset_type, mfrl.reset_state].map(Number)
  const canSync = await readSyncs(device)
  const level = levels.find(({ number, bit }) => number !== LEVEL.IMMEDIATE && has(trigger, bit))
  // Devices of before there were types have the first one.
  const type = typeOrder.find((number) => number === TYPE.FULL || has(kinds, number))
  const sync = [SYNC.DRIVER, SYNC.TOOL].find((number) => has(canSync, number))
  return {
    levels: choices(levels, trigger ?? 0, level?.number),
    types: choices(types, (kinds ?? 0) | 1, type),
    syncs: choices(syncs, canSync, sync),
    state: { code: state ?? 0, name: states[state ?? 0] ?? `state ${state ?? 0}` },
    rescanRequired: mfrl.pci_rescan_required === 1,
  }
}

const has = (mask: number | undefined, bit: number): boolean => (((mask ?? 0) >>> bit) & 1) === 1

const choices = (known: readonly Known[], mask: number, chosen: number | undefined): ResetChoice[] =>
  known.map(({ number, name, bit }) => ({ number, name, supported: has(mask, bit), isDefault: number === chosen }))

/** Feature of MCAM: drivers take part in a reset. Bits count from the last dword. */
const DRIVER_SYNC = 19

/** By MROQ; devices of before it have a bit in MCAM for drivers that take part. */
async function readSyncs(device: Device): Promise<number> {
  const values = await registerValuesOrNone(device, 'MROQ')
  if (values?.query_is_valid === 1) return Number(values.pci_sync_for_fw_update_start)
  const features = (await registerValuesOrNone(device, 'MCAM'))?.mng_feature_cap_mask as number[] | undefined
  return (1 << SYNC.TOOL) | (has(features?.at(-1), DRIVER_SYNC) ? 1 << SYNC.DRIVER : 0)
}

/** A reset was asked for, and did not happen. */
export class ResetFailed extends RegisterRefusal {
  override readonly name = 'ResetFailed'
  readonly syndrome = 0
  readonly hint = 'what ran before still runs; a reboot loads what is on flash'
  constructor(
    /** reset_state of MFRL. */
    readonly status: number,
    readonly statusName: string,
  ) {
    super(`the reset failed: ${statusName} (MFRL reset_state ${status})`)
  }
}

export interface ResetRequest {
  readonly level: number
  readonly type: number
  readonly sync: number
}

/** What is asked for, with the defaults of the device for the rest. @throws Unsupported */
export function resetRequest(support: ResetSupport, wanted: Partial<ResetRequest>): ResetRequest {
  const level = chosen('level', support.levels, wanted.level)
  return {
    level,
    type: chosen('type', typesAt(level, support.types), wanted.type),
    sync: level === LEVEL.PCI ? chosen('sync', support.syncs, wanted.sync) : SYNC.TOOL,
  }
}

/** The types that there are at a level, with the default there. */
function typesAt(level: number, types: readonly ResetChoice[]): ResetChoice[] {
  const withDefault = (number: number | undefined, all: readonly ResetChoice[]): ResetChoice[] =>
    all.map((one) => ({ ...one, isDefault: one.number === number }))
  // A patch of what runs has no type.
  if (level === LEVEL.LIVE_PATCH) return withDefault(TYPE.FULL, types)
  if (level !== LEVEL.IMMEDIATE) return [...types]
  const arm = types.filter(({ number }) => armTypes.has(number))
  return withDefault(arm.find(({ supported }) => supported)?.number, arm)
}

function chosen(what: string, all: readonly ResetChoice[], number: number | undefined): number {
  const found = all.find((one) => (number === undefined ? one.isDefault : one.number === number))
  const can = all.filter(({ supported }) => supported).map((one) => `${one.number} (${one.name})`)
  if (found?.supported === true) return found.number
  const wanted = number === undefined ? `no reset ${what} of its own choice` : `no reset ${what} ${number}`
  throw new Unsupported(`this device has ${wanted}; it has ${can.length === 0 ? 'none' : can.join(', ')}`)
}

/** Asks firmware for a reset. @throws FirmwareError, DeliveryError: the device may be gone before it answers */
export async function requestReset(device: Device, { level, type, sync }: ResetRequest): Promise<void> {
  const bit = levels.find(({ number }) => number === level)?.bit ?? 0
  await writeReset(device, { reset_trigger: 1 << bit, rst_type_sel: type, pci_sync_for_fw_update_start: sync })
}

/** A device at one moment. */
export interface ResetView {
  readonly info: FirmwareInfo
  readonly support: ResetSupport
  /** Seconds of a clock that only goes on. */
  readonly seenAt: number
}

/**
 * Whether a reset that was asked for is over: firmware is idle, what was on flash runs, and the device counts its time anew. The
 * embedded CPU alone, and a patch of what runs, leave that count as it is.
 * @throws ResetFailed
 */
export function isResetOver(before: ResetView, now: ResetView, { level, type }: ResetRequest): boolean {
  const { code, name } = now.support.state
  if (failedStates.has(code)) throw new ResetFailed(code, name)
  if (code !== 0) return false
  if (level === LEVEL.IMMEDIATE || armTypes.has(type)) return true
  if (before.info.pendingReset) return !now.info.pendingReset
  return level === LEVEL.LIVE_PATCH || hasRestarted(before, now)
}

/** Uptimes are whole seconds: the same start is told with up to a second between. */
const SLACK = 1

function hasRestarted(before: ResetView, now: ResetView): boolean {
  const startOf = ({ seenAt, info }: ResetView): number => seenAt - info.uptime
  // One that has just started, or that counts no time, cannot tell.
  return before.info.uptime <= SLACK || startOf(now) - startOf(before) >= SLACK
}

/** Writes MFRL. */
export async function writeReset(device: Device, fields: Readonly<Record<string, number>>): Promise<void> {
  const target = registerTarget(device.catalogue, 'MFRL')
  await accessRegister(device, target, 'write', device.codec.encode(target.layout, fields))
}

/** Milliseconds of one step of a time in DTOR: milliseconds, seconds, minutes, hours. */
const multipliers = [1, 1000, 60_000, 3_600_000]
/** Milliseconds where the device does not tell. */
const DRIVER_PATIENCE = 300_000

/** How long drivers may take to go down and come up again, in milliseconds (DTOR). */
export async function resetPatience(device: Device): Promise<number> {
  const values = await registerValuesOrNone(device, 'DTOR')
  const { to_value: count, to_multiplier: unit } = (values?.DRIVER_UNLOAD_AND_RESET_TO ?? {}) as Struct
  const time = Number(count ?? 0) * (multipliers[Number(unit)] ?? 1)
  return time > 0 ? time : DRIVER_PATIENCE
}
