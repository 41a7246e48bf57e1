import type { Codec } from '../../../prm/codec'
import type { DeviceClock } from '../clock'
import { Refusal, RegisterStatus, Status } from '../refusal'
import { ImageRefused, UpdateError, type CheckedImage } from './image-check'
import type { Flash } from './flash'

export const MCC = 0x9062
export const MCDA = 0x9063

const instruction = {
  LOCK: 1,
  RELEASE: 2,
  UPDATE: 3,
  VERIFY: 4,
  ACTIVATE: 6,
  CANCEL: 8,
  CHECK: 9,
  FORCE_RELEASE: 0xa,
} as const
const state = { IDLE: 0, LOCKED: 1, INITIALIZE: 2, DOWNLOAD: 3 } as const

/** Errors that are found before a byte is taken; all others when the image is verified. */
const atBegin = new Set([UpdateError.PENDING_RESET, 0x10, 0x11, 0x13, 0x16, 0x18, 0x28])
/** The component that is updated: index 0, as the profiles list it. */
const BOOT_COMPONENT = 0
const LARGEST = 32 * 2 ** 20
const WORD = 4
const MOST_DATA = 128
const DATA_AT = 0x10
/** Looks at the state that the flash is erased for. */
const ERASING = 1
/** Seconds without a command after which a handle is anybody's. */
const HANDLE_SECONDS = 60

const MCC_LAYOUT = 'mcc_reg_ext'
const MCDA_LAYOUT = 'mcda_reg_ext'

/** Numbers of handle_owner_type. */
export type Owner = 'command' | 'icmd'
const ownerTypes: Readonly<Record<Owner, number>> = { command: 4, icmd: 5 }

/** The state machine of updates (MCC), and what carries the image (MCDA). */
export class UpdateControl {
  private current: number = state.IDLE
  private error = 0
  private issued = 0
  private handle = 0
  private owner: Owner = 'command'
  private erasing = 0
  private component: Buffer | undefined
  /** Words of the component that came. */
  private words = new Uint8Array(0)
  private verified: CheckedImage | undefined
  private last = 0

  constructor(
    private readonly codec: Codec,
    private readonly clock: DeviceClock,
    private readonly flash: Flash,
    /** An error that was asked for. */
    private readonly fault: number | undefined,
  ) {}

  has(id: number): boolean {
    return id === MCC || id === MCDA
  }

  /** component_update_state of MCQS. */
  get componentState(): number {
    if (this.component !== undefined) return 1
    return this.flash.isPending ? 4 : 0
  }

  /** @throws Refusal */
  access(id: number, method: 'read' | 'write', image: Uint8Array, room: number, owner: Owner): Uint8Array {
    this.expire()
    if (id === MCDA) return this.data(method, image).subarray(0, room)
    const asked = new Uint8Array(Math.max(image.length, this.codec.sizeBytes(MCC_LAYOUT)))
    asked.set(image)
    const get = (name: string): number => Number(this.codec.get(MCC_LAYOUT, asked, name))
    const handle = get('update_handle')
    if (method === 'write')
      this.instruct(get('instruction'), {
        handle,
        index: get('component_index'),
        size: get('component_size'),
        owner,
      })
    const answer = this.answer(asked, method === 'read' ? this.look(handle) : handle).subarray(0, room)
    if (method === 'write' && this.error !== 0)
      throw new Refusal(Status.BAD_RES_STATE, `error ${this.error}`, RegisterStatus.BAD_PARAM, answer)
    return answer
  }

  /** A start of the device: whoever held the handle holds it no longer. */
  start(): void {
    this.current = state.IDLE
    this.handle = 0
    this.error = 0
    this.drop()
  }

  /** A look hands out a handle where nobody has one, and lets time go by. */
  private look(handle: number): number {
    if (this.current === state.INITIALIZE && this.erasing-- <= 0) this.current = state.DOWNLOAD
    if (handle !== 0 && handle === this.handle) this.touch()
    if (this.current !== state.IDLE) return handle === this.handle ? handle : 0
    this.issued = (this.issued % 0xffffff) + 1
    return this.issued
  }

  private instruct(
    what: number,
    given: { readonly handle: number; readonly index: number; readonly size: number; readonly owner: Owner },
  ): void {
    if (what === instruction.FORCE_RELEASE) return this.start()
    if (what === instruction.LOCK) return this.lock(given.handle, given.owner)
    if (this.current === state.IDLE || given.handle !== this.handle)
      throw new Refusal(Status.RES_BUSY, 'the handle is not yours', RegisterStatus.RESOURCE_UNAVAILABLE)
    this.touch()
    this.error = 0
    if (what === instruction.RELEASE) this.release()
    else if (what === instruction.UPDATE) this.begin(given.index, given.size)
    else if (what === instruction.VERIFY) this.verify()
    else if (what === instruction.ACTIVATE) this.activate()
    else if (what === instruction.CANCEL) this.cancel()
    else if (what !== instruction.CHECK) throw new Refusal(Status.BAD_PARAM, 'instruction')
  }

  private lock(handle: number, owner: Owner): void {
    if (this.current !== state.IDLE)
      throw new Refusal(Status.RES_BUSY, 'the handle is taken', RegisterStatus.RESOURCE_UNAVAILABLE)
    if (handle === 0 || handle > this.issued) throw new Refusal(Status.BAD_PARAM, 'update_handle')
    this.handle = handle
    this.owner = owner
    this.error = 0
    this.current = state.LOCKED
    this.touch()
  }

  private release(): void {
    this.expectState(state.LOCKED)
    this.current = state.IDLE
    this.handle = 0
    this.drop()
  }

  private begin(index: number, size: number): void {
    this.expectState(state.LOCKED)
    if (index !== BOOT_COMPONENT) throw new Refusal(Status.BAD_INDEX, 'component_index')
    if (size === 0 || size > LARGEST) throw new Refusal(Status.BAD_PARAM, 'component_size')
    if (this.flash.isPending) this.error = UpdateError.PENDING_RESET
    if (this.fault !== undefined && atBegin.has(this.fault)) this.error = this.fault
    if (this.error !== 0) return
    this.component = Buffer.alloc(size, 0xff)
    this.words = new Uint8Array(Math.ceil(size / WORD))
    this.verified = undefined
    this.erasing = ERASING
    this.current = state.INITIALIZE
  }

  /** A component that is not whole, or that the boot code would not take, stays where it is until it is cancelled. */
  private verify(): void {
    this.expectState(state.DOWNLOAD)
    const { component } = this
    if (component === undefined) throw new Refusal(Status.BAD_RES_STATE, 'no component')
    if (this.words.includes(0)) this.error = UpdateError.BAD_FORMAT
    else if (this.fault !== undefined && !atBegin.has(this.fault)) this.error = this.fault
    else this.error = this.judge(component)
    if (this.error === 0) this.current = state.LOCKED
  }

  private judge(component: Buffer): number {
    try {
      this.verified = this.flash.check(component)
      return 0
    } catch (error) {
      if (error instanceof ImageRefused) return error.code
      throw error
    }
  }

  private activate(): void {
    this.expectState(state.LOCKED)
    if (this.component === undefined || this.verified === undefined)
      throw new Refusal(Status.BAD_RES_STATE, 'nothing was verified')
    this.flash.store(this.component, this.verified)
    this.drop()
  }

  private cancel(): void {
    this.drop()
    this.current = state.LOCKED
  }

  /** Bytes of the component: each group of four has its last one first. */
  private data(method: 'read' | 'write', image: Uint8Array): Uint8Array {
    if (method === 'read') throw new Refusal(Status.BAD_RES_STATE, 'no upload is on')
    const get = (name: string): number => Number(this.codec.get(MCDA_LAYOUT, padded(image), name))
    const [handle, offset, size] = [get('update_handle'), get('offset'), get('size')]
    if (handle !== this.handle || this.current === state.IDLE)
      throw new Refusal(Status.RES_BUSY, 'the handle is not yours', RegisterStatus.RESOURCE_UNAVAILABLE)
    this.touch()
    const { component } = this
    if (component === undefined || this.current !== state.DOWNLOAD)
      throw new Refusal(Status.BAD_RES_STATE, 'no download is on')
    const isFit = size > 0 && size <= MOST_DATA && size % WORD === 0 && offset % WORD === 0
    if (!isFit || offset + size > component.length || image.length < DATA_AT + size)
      throw new Refusal(Status.BAD_PARAM, 'size or offset')
    for (let at = 0; at < size; at++) component[offset + at] = image[DATA_AT + (at ^ 3)] ?? 0
    this.words.fill(1, offset / WORD, (offset + size) / WORD)
    return image
  }

  private answer(asked: Uint8Array, handle: number): Uint8Array {
    const answer = asked.slice()
    const isTaken = this.current !== state.IDLE
    const values = {
      update_handle: handle,
      control_state: this.current,
      error_code: this.error,
      control_progress: 0,
      handle_owner_type: isTaken ? ownerTypes[this.owner] : 0,
      handle_owner_host_id: 0,
      time_elapsed_since_last_cmd: isTaken ? Math.min(0xfff, Math.floor(this.clock.seconds() - this.last)) : 0,
      component_size: 0,
    }
    for (const [name, value] of Object.entries(values)) this.codec.set(MCC_LAYOUT, answer, name, value)
    return answer
  }

  private expectState(wanted: number): void {
    if (this.current !== wanted) throw new Refusal(Status.BAD_RES_STATE, `state ${this.current}`)
  }

  private touch(): void {
    this.last = this.clock.seconds()
  }

  private expire(): void {
    if (this.current !== state.IDLE && this.clock.seconds() - this.last > HANDLE_SECONDS) this.start()
  }

  private drop(): void {
    this.component = undefined
    this.words = new Uint8Array(0)
    this.verified = undefined
  }
}

function padded(image: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.max(image.length, DATA_AT + MOST_DATA))
  whole.set(image)
  return whole
}
