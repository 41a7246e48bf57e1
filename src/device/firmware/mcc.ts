import type { Struct } from '../../prm/codec'
import type { Device } from '../device'
import { FirmwareError, RegisterRefusal } from '../errors'
import { accessRegister, decodeRegister, registerTarget } from '../registers'
import { controlStateName, instructionName, ownerName, updateErrorHint, updateErrorName } from './words'

/** Instructions of MCC (facts: firmware manager, C.6). */
export const instruction = {
  lock: 1,
  release: 2,
  update: 3,
  verify: 4,
  activate: 6,
  cancel: 8,
  forceRelease: 0xa,
} as const

export const controlState = { idle: 0, locked: 1, initialize: 2, download: 3 } as const

/** Milliseconds between two tries, and for which an instruction is repeated while the device is busy. */
const BUSY_INTERVAL = 80
const BUSY_PATIENCE = 10_000
const BUSY = new Set(['BUSY', 'RESOURCE_NOT_AVAILABLE', 'RES_BUSY', 'NOT_READY', 'NO_RES_ERR'])
const HEADER = 16

/** Milliseconds go by. */
export type Pause = (milliseconds: number) => Promise<void>
export const sleep: Pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** What MCC tells. */
export interface ControlStatus {
  readonly state: number
  readonly error: number
  /** Percent, where the state has any. */
  readonly progress: number
  readonly handle: number
  readonly owner: string
  readonly host: number
  /** Since the last command of the owner. */
  readonly idleSeconds: number
}

/** Firmware refused a step of an update, and said why. */
export class UpdateRefused extends RegisterRefusal {
  override readonly name = 'UpdateRefused'
  readonly syndrome: number
  /** error_code of MCC. */
  readonly status: number
  readonly statusName: string
  /** control_state of MCC. */
  readonly state: number
  readonly hint: string | undefined
  constructor(step: string, { state, error }: Pick<ControlStatus, 'state' | 'error'>, syndrome = 0) {
    super(`${step}: firmware refused: ${updateErrorName(error)} (MCC error ${hex(error)}, ${controlStateName(state)})`)
    this.state = state
    this.status = error
    this.statusName = updateErrorName(error)
    this.syndrome = syndrome
    this.hint = updateErrorHint(error)
  }
}

interface AccessOptions {
  readonly pause: Pause
  readonly cleanup?: boolean
}

/** Reads MCC, again and again while the device is busy. With handle 0 firmware hands one out, where nobody has it. */
export async function readControl(
  device: Device,
  handle: number,
  { pause, cleanup = false }: AccessOptions,
): Promise<ControlStatus> {
  const target = registerTarget(device.catalogue, 'MCC')
  const image = device.codec.encode(target.layout, { update_handle: handle })
  const answer = await patiently(pause, () => accessRegister(device, target, 'read', image, undefined, { cleanup }))
  return statusOf(decodeRegister(device.codec, target, answer).values ?? {})
}

function statusOf(values: Struct): ControlStatus {
  return {
    state: Number(values.control_state),
    error: Number(values.error_code),
    progress: Number(values.control_progress),
    handle: Number(values.update_handle),
    owner: ownerName(Number(values.handle_owner_type)),
    host: Number(values.handle_owner_host_id),
    idleSeconds: Number(values.time_elapsed_since_last_cmd),
  }
}

/** Writes MCC, again and again while the device is busy. @throws UpdateRefused, FirmwareError, DeliveryError */
export async function instruct(
  device: Device,
  handle: number,
  what: number,
  { fields = {}, cleanup = false, pause }: AccessOptions & { readonly fields?: Readonly<Record<string, number>> },
): Promise<ControlStatus> {
  const target = registerTarget(device.catalogue, 'MCC')
  const image = device.codec.encode(target.layout, { instruction: what, update_handle: handle, ...fields })
  const write = async (): Promise<Uint8Array> => {
    try {
      return await accessRegister(device, target, 'write', image, undefined, { cleanup })
    } catch (error) {
      throw (error instanceof FirmwareError ? errorIn(device, error, what) : undefined) ?? error
    }
  }
  // Where somebody else has the handle a lock is refused alike.
  const isFree = async (): Promise<boolean> =>
    (await readControl(device, handle, { pause })).state === controlState.idle
  const answer = await patiently(pause, write, what === instruction.lock ? isFree : undefined)
  return statusOf(decodeRegister(device.codec, target, answer).values ?? {})
}

/** Does it again and again while the device is busy, and there is hope. */
export async function patiently<T>(
  pause: Pause,
  work: () => Promise<T>,
  hasHope: () => Promise<boolean> = async () => true,
): Promise<T> {
  for (let waited = 0; ; waited += BUSY_INTERVAL) {
    try {
      return await work()
    } catch (error) {
      const isBusy = error instanceof FirmwareError && BUSY.has(error.statusName)
      if (!isBusy || waited >= BUSY_PATIENCE || !(await hasHope())) throw error
      await pause(BUSY_INTERVAL)
    }
  }
}

/** The refusal of a register may carry the register, with an error code in it. */
function errorIn(device: Device, error: FirmwareError, what: number): UpdateRefused | undefined {
  const target = registerTarget(device.catalogue, 'MCC')
  const image = error.outbox.subarray(HEADER)
  if (image.length < device.codec.sizeBytes(target.layout)) return undefined
  const status = statusOf(decodeRegister(device.codec, target, image).values ?? {})
  return status.error === 0 ? undefined : new UpdateRefused(instructionName(what), status, error.syndrome)
}

const hex = (value: number): string => `0x${value.toString(16)}`
