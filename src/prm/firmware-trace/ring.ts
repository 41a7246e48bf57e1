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
  /** How often times go back from one part to the next: not at all, unless something is wrong with it. */
  readonly backwards: number
}

/** Blocks that follow one another in the file and in time. */
interface Run {
  readonly from: number
  to: number
  readonly start: number
  end: number
}

/**
 * The blocks of a ring that was saved, oldest first: of a whole ring, which begins anywhere, or of blocks one after the other,
 * however many. Where times go back more than once, the parts are in the order of the file.
 */
export function storedRing(bytes: Uint8Array): StoredRing {
  const blocks = Math.floor(bytes.length / TRACE_BLOCK)
  const runs = runsOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), blocks)
  const backs = runs.flatMap((run, index) => {
    const before = runs[index - 1]
    return before !== undefined && isBefore(run.start, before.end) ? [index] : []
  })
  const [first, last, back = 0] = [runs[0], runs.at(-1), backs[0]]
  const isRotated = backs.length === 1 && first !== undefined && last !== undefined && !isBefore(first.start, last.end)
  const ordered = isRotated ? [...runs.slice(back), ...runs.slice(0, back)] : runs
  const parts = ordered.map(({ from, to }) => bytes.subarray(from * TRACE_BLOCK, to * TRACE_BLOCK))
  // Over the end of the ring it goes on without a gap.
  const seam = runs.length - back
  if (isRotated && last.to === blocks && first.from === 0)
    parts.splice(seam - 1, 2, Buffer.concat(parts.slice(seam - 1, seam + 1)))
  const timed = runs.reduce((sum, { from, to }) => sum + to - from, 0)
  return { parts, blocks, withoutTime: blocks - timed, backwards: isRotated ? 0 : backs.length }
}

function runsOf(view: DataView, blocks: number): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (let block = 0; block < blocks; block++) {
    const time = timeOf(view, block)
    if (time === undefined) run = undefined
    else if (run !== undefined && !isBefore(time, run.end)) {
      run.to = block + 1
      run.end = time
    } else {
      run = { from: block, to: block + 1, start: time, end: time }
      runs.push(run)
    }
  }
  return runs
}
