/** Bytes of a block: 32 events, the last of which is a timestamp (facts: dumps, D.3). */
export const TRACE_BLOCK = 256
const LAST_EVENT = TRACE_BLOCK - 8
const TIMESTAMP_EVENT = 0xff
const TIME_MODULUS = 2 ** 53

/** Copies of a block that the device writes to at the same time. */
const ATTEMPTS = 4

/** Blocks that follow one another. */
export interface RingPart {
  /** Blocks before these that were overwritten before they were read, at the least. */
  readonly overwritten: number
  /** Whole blocks, oldest first; the caller's. */
  readonly bytes: Uint8Array
}

/** The time of a block: of its last event, undefined where that is no timestamp. */
function timeOf(view: DataView, block: number): number | undefined {
  const head = view.getUint32(block * TRACE_BLOCK + LAST_EVENT)
  if (((head >>> 16) & 0xff) !== TIMESTAMP_EVENT) return undefined
  return (head & 0x1fff) * 2 ** 40 + view.getUint32(block * TRACE_BLOCK + LAST_EVENT + 4) * 256 + (head >>> 24)
}

/** Whether a time comes before another one; they have 53 bits and begin again after months. */
const isBefore = (time: number, other: number): boolean => {
  const distance = other >= time ? other - time : other - time + TIME_MODULUS
  return distance > 0 && distance < TIME_MODULUS / 2
}

/**
 * Reads a ring that a device writes to meanwhile: the blocks that are new since the last look, oldest first. A block is new when
 * its timestamp is another one than the last time; so it does not matter that timestamps wrap.
 */
export class RingReader {
  private readonly view: DataView
  private readonly blocks: number
  /** Of each block, the time that was seen last. */
  private readonly seen: (number | undefined)[]
  private next = 0

  /** @param ring the memory itself; whole blocks count */
  constructor(private readonly ring: Uint8Array) {
    this.blocks = Math.floor(ring.length / TRACE_BLOCK)
    this.view = new DataView(ring.buffer, ring.byteOffset, ring.length)
    this.seen = new Array<number | undefined>(this.blocks).fill(undefined)
  }

  /** At most one round of the ring: a device that writes faster does not hold us for ever. */
  poll(): RingPart[] {
    const parts: RingPart[] = []
    let copies: Uint8Array[] = []
    let overwritten = 0
    const finish = (): void => {
      if (copies.length > 0) parts.push({ overwritten, bytes: Buffer.concat(copies) })
      copies = []
      overwritten = 0
    }
    for (let count = 0; count < this.blocks; count++) {
      const copy = this.copyOf(this.next)
      if (copy === undefined) break
      const passed = this.isPassed(copy.time) ? this.skip() : 0
      if (passed > 0) {
        finish()
        overwritten = passed
        continue
      }
      copies.push(copy.bytes)
      this.seen[this.next] = copy.time
      this.next = (this.next + 1) % this.blocks
    }
    finish()
    return parts
  }

  /** A block that is new, as it was at one moment. */
  private copyOf(block: number): { time: number; bytes: Uint8Array } | undefined {
    const at = block * TRACE_BLOCK
    let bytes: Uint8Array | undefined
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const before = bytes
      bytes = this.ring.slice(at, at + TRACE_BLOCK)
      if (before !== undefined && Buffer.compare(before, bytes) === 0) break
    }
    if (bytes === undefined) return undefined
    const time = timeOf(new DataView(bytes.buffer, bytes.byteOffset, TRACE_BLOCK), 0)
    return time === undefined || time === this.seen[block] ? undefined : { time, bytes }
  }

  /** Whether the device went round and overwrote blocks that were not read: the one before is newer than this one no more. */
  private isPassed(time: number): boolean {
    const before = (this.next + this.blocks - 1) % this.blocks
    const now = timeOf(this.view, before)
    if (now === undefined || now === this.seen[before]) return false
    return before !== this.next && !isBefore(time, now)
  }

  /** Goes on at the oldest block that there is. Returns how many were passed over. */
  private skip(): number {
    const from = this.next
    for (let count = 1; count < this.blocks; count++) {
      const block = (from + count) % this.blocks
      const [time, before] = [timeOf(this.view, block), timeOf(this.view, (block + this.blocks - 1) % this.blocks)]
      if (time === undefined || before === undefined || !isBefore(time, before)) continue
      this.next = block
      return count
    }
    return 0
  }
}

export interface StoredRing {
  /** Parts that follow one another without a gap each. */
  readonly parts: readonly Uint8Array[]
  readonly blocks: number
  /** Blocks that nothing was written to yet, or that do not end with a timestamp. */
  readonly withoutTime: number
}

/**
 * The blocks of a ring that was saved, oldest first: of a whole ring, which begins anywhere, or of blocks one after the other,
 * however many. Where times go back more than once, it is in several parts, in the order of the file.
 */
export function storedRing(bytes: Uint8Array): StoredRing {
  const total = Math.floor(bytes.length / TRACE_BLOCK)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const runs: { from: number; to: number }[] = []
  let last: number | undefined
  let withoutTime = 0
  for (let block = 0; block < total; block++) {
    const time = timeOf(view, block)
    const run = runs.at(-1)
    if (time === undefined) withoutTime++
    else if (run !== undefined && run.to === block && last !== undefined && !isBefore(time, last)) run.to = block + 1
    else runs.push({ from: block, to: block + 1 })
    if (time !== undefined) last = time
  }
  const part = ({ from, to }: { from: number; to: number }): Uint8Array =>
    bytes.subarray(from * TRACE_BLOCK, to * TRACE_BLOCK)
  const [older, newer] = runs
  const parts = runs.map(part)
  if (older !== undefined && newer !== undefined && runs.length === 2 && isRotated(view, older, newer))
    return { parts: [Buffer.concat([part(newer), part(older)])], blocks: total, withoutTime }
  return { parts, blocks: total, withoutTime }
}

/** The second part is older than the first, and goes on right before it. */
function isRotated(view: DataView, first: { from: number }, second: { from: number; to: number }): boolean {
  const [start, end, begin] = [timeOf(view, first.from), timeOf(view, second.to - 1), timeOf(view, second.from)]
  if (start === undefined || end === undefined || begin === undefined) return false
  return !isBefore(start, end) && isBefore(begin, start)
}
