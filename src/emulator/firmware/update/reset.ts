import type { Codec } from '../../../prm/codec'
import { Refusal, RegisterStatus, Status } from '../refusal'

export const MFRL = 0x9028
const LAYOUT = 'mfrl_reg_ext'
/** Bit 6 of the trigger: with the machine's next start (PERST). */
const PERST = 0x40

/** MFRL: resets of the chip. A read tells what the device can, whatever was written. */
export class ResetControl {
  private state = 0

  constructor(
    private readonly codec: Codec,
    /** A start of all that the device has. */
    private readonly start: () => void,
    /** reset_state that a reset ends in, in place of happening. */
    private readonly fault: number | undefined,
  ) {}

  /** Changes the answer to a read. */
  apply(answer: Uint8Array): void {
    this.codec.set(LAYOUT, answer, 'reset_state', this.state)
  }

  /**
   * A reset that waits for the machine's next start (PERST) is armed; any other happens at once, as the drivers and the bridge of
   * an emulated machine always follow.
   * @param can what the device can, as a read tells it
   * @throws Refusal
   */
  write(image: Uint8Array, can: Uint8Array): void {
    const get = (from: Uint8Array, name: string): number => Number(this.codec.get(LAYOUT, from, name))
    const trigger = get(image, 'reset_trigger')
    const type = get(image, 'rst_type_sel')
    if ((trigger & ~get(can, 'reset_trigger')) !== 0)
      throw new Refusal(Status.BAD_PARAM, 'reset_trigger', RegisterStatus.BAD_PARAM)
    if (((get(can, 'reset_type') >>> type) & 1) === 0 && trigger !== 0)
      throw new Refusal(Status.BAD_PARAM, 'rst_type_sel', RegisterStatus.BAD_PARAM)
    if (trigger === 0 || (trigger & PERST) !== 0) return
    this.state = this.fault ?? 0
    if (this.fault === undefined) this.start()
  }
}
