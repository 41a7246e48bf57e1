import { DeliveryError } from '../../transport/contract'
import type { Device } from '../device'
import { FirmwareError, RegisterRefusal, withHint } from '../errors'
import {
  controlState,
  type ControlStatus,
  instruct,
  instruction,
  type Pause,
  patiently,
  readControl,
  UpdateRefused,
} from './mcc'
import { controlStateName, instructionName } from './words'

/** Waits between two looks at the state, in milliseconds: short at first, then this long. */
const intervals: Readonly<Record<number, number>> = { [controlState.initialize]: 240 }
const INTERVAL = 80
const FIRST_INTERVAL = 5
/** Looks at one state, as mstflint takes them; fewer where firmware has nothing to do for it. */
const MOST_LOOKS = 3000
const FEW_LOOKS = 100

/** Somebody else has the update handle. */
export class HandleTaken extends RegisterRefusal {
  override readonly name = 'HandleTaken'
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

const forceHint = ({ identity }: Device): string =>
  `when no other tool updates ${identity.node}: --force-release of fw update takes the handle away, as does a reset`

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
