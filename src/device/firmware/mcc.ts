import type { Struct } from '../../prm/codec'
import { DeliveryError } from '../../transport/contract'
import type { Device } from '../device'
import { FirmwareError, withHint } from '../errors'
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

/** Waits between two looks at the state, in milliseconds: short at first, then this long. */
const intervals: Readonly<Record<number, number>> = { [controlState.initialize]: 240 }
const INTERVAL = 80
const FIRST_INTERVAL = 5
/** Looks at one state, as mstflint takes them; fewer where firmware has nothing to do for it. */
const MOST_LOOKS = 3000
const FEW_LOOKS = 100
/** Milliseconds for which an instruction is repeated while the device is busy. */
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
export class UpdateRefused extends Error {
  readonly kind = 'firmware'
  override readonly name = 'UpdateRefused'
  readonly opcode = 'ACCESS_REG'
  readonly opMod = 0
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

/** Somebody else has the update handle. */
export class HandleTaken extends Error {
  readonly kind = 'firmware'
  override readonly name = 'HandleTaken'
  readonly opcode = 'ACCESS_REG'
  readonly opMod = 0
  readonly syndrome = 0
  readonly status = 0
  readonly statusName = 'HANDLE_TAKEN'
  readonly hint: string
  constructor(device: Device, { state, owner, host, idleSeconds }: ControlStatus) {
    super(
      `the update handle is held by ${owner} of host ${host} (${controlStateName(state)}, last command ${idleSeconds} s ago): another update is under way, or was killed`,
    )
    this.hint = forceHint(device)
  }
}

export const forceHint = ({ identity }: Device): string =>
  `when no other tool updates ${identity.node}: --force-release of fw update takes the handle away, as does a reset`

interface ReadOptions {
  readonly pause: Pause
  readonly cleanup?: boolean
}

/** Reads MCC, again and again while the device is busy. With handle 0 firmware hands one out, where nobody has it. */
async function readControl(
  device: Device,
  handle: number,
  { pause, cleanup = false }: ReadOptions,
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

/** An update handle that is locked: until it is released nobody else can update the device. */
export class UpdateHandle {
  private constructor(
    private readonly device: Device,
    readonly number: number,
    private readonly pause: Pause,
  ) {}

  /**
   * Takes a handle and locks it.
   * @param force takes it away from whoever has it
   * @throws HandleTaken, UpdateRefused, FirmwareError, DeliveryError
   */
  static async lock(
    device: Device,
    { force, pause }: { readonly force: boolean; readonly pause: Pause },
  ): Promise<UpdateHandle> {
    if (force) await forceRelease(device, pause)
    const free = await readControl(device, 0, { pause })
    if (free.state !== controlState.idle) throw new HandleTaken(device, free)
    const handle = new UpdateHandle(device, free.handle, pause)
    try {
      const status = await handle.instruct(instruction.lock)
      await handle.reach(instruction.lock, status, controlState.locked, { looks: FEW_LOOKS })
    } catch (error) {
      // What was not answered may have been done, and what was refused half of it.
      const isHalf = error instanceof UpdateRefused && error.state !== controlState.idle
      if (error instanceof DeliveryError || isHalf) throw withHint(error, await abandonHint(device, handle, error))
      // Somebody else was faster.
      const now = error instanceof FirmwareError ? await readControl(device, 0, { pause }) : undefined
      if (now !== undefined && now.state !== controlState.idle) throw new HandleTaken(device, now)
      throw error
    }
    return handle
  }

  /** The component, of so many bytes, is about to come: firmware erases its place on flash. */
  async begin(index: number, size: number): Promise<void> {
    const status = await this.instruct(instruction.update, { component_index: index, component_size: size })
    await this.reach(instruction.update, status, controlState.download)
  }

  async verify(index: number): Promise<void> {
    const status = await this.instruct(instruction.verify, { component_index: index })
    await this.reach(instruction.verify, status, controlState.locked)
  }

  /** What was verified runs after the next reset. From here on it is not to be interrupted. */
  async activate(): Promise<void> {
    const status = await this.instruct(instruction.activate, {}, { cleanup: true })
    await this.reach(instruction.activate, status, controlState.locked, { cleanup: true })
  }

  /** @throws UpdateRefused, FirmwareError, DeliveryError: the handle is held still */
  async release(): Promise<void> {
    await this.giveUp(instruction.release, controlState.idle)
  }

  /** Drops what came so far, and gives the handle back; goes on after a signal or a timeout. */
  async abandon(): Promise<void> {
    try {
      await this.giveUp(instruction.cancel, controlState.locked)
    } catch (error) {
      // Where there is nothing to cancel the handle can still be released.
      if (!(error instanceof FirmwareError || error instanceof UpdateRefused)) throw error
    }
    await this.release()
  }

  /** An error of the step before may still stand there: it does not count where the state is the right one. */
  private async giveUp(step: number, wanted: number): Promise<void> {
    const status = await this.instruct(step, {}, { cleanup: true })
    if (status.state === wanted) return
    await this.reach(step, status, wanted, { cleanup: true, looks: FEW_LOOKS })
  }

  /** Sends a block, again and again while the device is busy and the handle is ours: another's makes it refuse alike. */
  send(work: () => Promise<unknown>): Promise<unknown> {
    return patiently(this.pause, work, async () => {
      const { handle, error } = await this.look({})
      return handle === this.number && error === 0
    })
  }

  /** What firmware says went wrong, behind a refusal that does not say it. */
  async explain(error: FirmwareError, step: string): Promise<Error> {
    try {
      const status = await this.look({})
      if (status.error !== 0) return new UpdateRefused(step, status, error.syndrome)
      if (status.handle !== this.number)
        return Object.assign(error, {
          hint: 'the handle of this update was taken away: another tool updates this device',
        })
    } catch {
      // The refusal itself is what counts.
    }
    return error
  }

  private instruct(
    what: number,
    fields: Readonly<Record<string, number>> = {},
    options: { readonly cleanup?: boolean } = {},
  ): Promise<ControlStatus> {
    return instruct(this.device, this.number, what, { fields, ...options, pause: this.pause })
  }

  /** Looks until a state is reached. @throws UpdateRefused, DeliveryError when it takes too long */
  private async reach(
    step: number,
    first: ControlStatus,
    wanted: number,
    { looks = MOST_LOOKS, ...options }: { readonly cleanup?: boolean; readonly looks?: number } = {},
  ): Promise<void> {
    let status = first
    let wait = FIRST_INTERVAL
    for (let look = 0; look < looks; look++) {
      if (status.error !== 0) throw new UpdateRefused(instructionName(step), status)
      if (status.state === wanted) return
      // Nobody leads a handle back to idle but who takes it away; the answer to an instruction may be from before it.
      if (status.state === controlState.idle && look > 0) throw lostHandle(step)
      await this.pause(wait)
      wait = Math.min(wait * 2, intervals[status.state] ?? INTERVAL)
      status = await this.look(options)
    }
    throw new DeliveryError(
      `${instructionName(step)}: firmware is still ${controlStateName(status.state)} after ${looks} looks`,
      'ETIMEDOUT',
    )
  }

  private look(options: { readonly cleanup?: boolean }): Promise<ControlStatus> {
    return readControl(this.device, this.number, { pause: this.pause, ...options })
  }
}

/** Cancels the update and gives the handle back after an error; in words, behind what helps against the error itself. */
export const abandonHint = (device: Device, handle: UpdateHandle, error: Error): Promise<string> =>
  giveBack(device, error, async () => {
    await handle.abandon()
    return 'the update was cancelled and its handle released'
  })

/** The same, without cancelling: what is being activated must go on. */
export const releaseHint = (device: Device, handle: UpdateHandle, error: Error): Promise<string> =>
  giveBack(device, error, async () => {
    await handle.release()
    return 'the update handle was released'
  })

async function giveBack(device: Device, error: Error, work: () => Promise<string>): Promise<string> {
  const { hint } = error as { hint?: string }
  const before = hint === undefined ? '' : `${hint}; `
  try {
    return `${before}${await work()}`
  } catch (failed) {
    const why = failed instanceof Error ? failed.message : String(failed)
    return `${before}the update handle was NOT released (${why}); ${forceHint(device)}`
  }
}

/** Takes the handle away from whoever has it. @throws UpdateRefused, FirmwareError, DeliveryError */
async function forceRelease(device: Device, pause: Pause): Promise<void> {
  const status = await instruct(device, 0, instruction.forceRelease, { pause })
  const isDone = status.state === controlState.idle || status.error === 0
  if (!isDone) throw new UpdateRefused(instructionName(instruction.forceRelease), status)
}

const lostHandle = (step: number): DeliveryError =>
  new DeliveryError(`${instructionName(step)}: the handle of this update was taken away`, 'EBUSY', {
    hint: 'another tool updates this device, or it was reset',
  })

/** Writes MCC, again and again while the device is busy. @throws UpdateRefused, FirmwareError, DeliveryError */
async function instruct(
  device: Device,
  handle: number,
  what: number,
  {
    fields = {},
    cleanup = false,
    pause = sleep,
  }: { readonly fields?: Readonly<Record<string, number>>; readonly cleanup?: boolean; readonly pause?: Pause } = {},
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
async function patiently<T>(
  pause: Pause,
  work: () => Promise<T>,
  hasHope: () => Promise<boolean> = async () => true,
): Promise<T> {
  for (let waited = 0; ; waited += INTERVAL) {
    try {
      return await work()
    } catch (error) {
      const isBusy = error instanceof FirmwareError && BUSY.has(error.statusName)
      if (!isBusy || waited >= BUSY_PATIENCE || !(await hasHope())) throw error
      await pause(INTERVAL)
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
