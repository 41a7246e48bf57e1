import type { FirmwareMessage } from './trace-messages'

const EVENT = 8
const BLOCK = 256
const LAST_EVENT = BLOCK - EVENT

/**
 * Writes messages as events into a ring of blocks: a string event, an event for each parameter, and a timestamp; the last event
 * of a block is a timestamp always. A block is written when it is full (facts: dumps, D.3).
 */
export class TraceRing {
  private block = Buffer.alloc(BLOCK)
  private filled = 0
  private written = 0
  private time = 0

  constructor(
    private readonly blocks: number,
    /** Puts a block into memory, at this many bytes from the beginning of the ring. */
    private readonly put: (offset: number, block: Uint8Array) => void,
  ) {}

  append({ time, eventId, number, address, parameters, lost }: FirmwareMessage): void {
    this.time = time
    const common = ((time % 128) * 2 ** 24 + eventId * 2 ** 16 + number * 8) >>> 0
    this.event(common + (lost ? 2 ** 31 : 0), address)
    for (const [index, value] of parameters.entries()) this.event(common + index + 1, value)
    this.timestamp()
  }

  private event(head: number, value: number): void {
    this.block.writeUInt32BE(head, this.filled)
    this.block.writeUInt32BE(value, this.filled + 4)
    this.filled += EVENT
    if (this.filled === LAST_EVENT) this.timestamp()
  }

  /** One tick after the last event: so its low bits say all. */
  private timestamp(): void {
    const at = this.time + 1
    const middle = Math.floor(at / 256) % 2 ** 32
    this.block.writeUInt32BE((at % 256) * 2 ** 24 + 0xff * 2 ** 16 + Math.floor(at / 2 ** 40), this.filled)
    this.block.writeUInt32BE(middle, this.filled + 4)
    this.filled += EVENT
    if (this.filled === LAST_EVENT) return this.timestamp()
    if (this.filled < BLOCK) return
    this.put((this.written % this.blocks) * BLOCK, this.block)
    this.written++
    this.filled = 0
    this.block = Buffer.alloc(BLOCK)
  }
}
