import { counterAt, RECORD, sampleIdAt, timeStampAt, valueAt } from './diagnostic-ring'

/** What tells a round from others: 16 bits of its number, 32 bits of its time. */
export interface RoundMark {
  readonly sampleId: number
  readonly timeStamp: number
}

export interface ReadRound extends RoundMark {
  readonly values: readonly (bigint | undefined)[]
  /** Counters that have no record of this round. */
  readonly missing: number
  readonly foreign: number
}

/** Rounds in a stretch of the ring that was read, slot by slot. */
export class RingRounds {
  private readonly view: DataView

  /** @param places where each counter stands among those that were set */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly places: ReadonlyMap<number, number>,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Bytes of a round. */
  private get size(): number {
    return this.places.size * RECORD
  }

  records(slot: number): Uint8Array {
    return this.bytes.subarray(slot * this.size, (slot + 1) * this.size)
  }

  /** By its first record of ours; undefined where there is none. */
  mark(slot: number): RoundMark | undefined {
    const { view, size } = this
    for (let at = slot * size; at < (slot + 1) * size; at += RECORD)
      if (this.places.has(counterAt(view, at)))
        return { sampleId: sampleIdAt(view, at), timeStamp: timeStampAt(view, at) }
    return undefined
  }

  /**
   * The records of a round, in whatever order; undefined for an empty slot and for one without a record of ours. A slot that was
   * never written is all zero: no counter has the id 0.
   * @param stranger is told the ids of counters that are not ours
   */
  round(slot: number, stranger: (counter: number) => void): ReadRound | undefined {
    const { view, size, places } = this
    const values = new Array<bigint | undefined>(places.size).fill(undefined)
    let [sampleId, timeStamp, missing, foreign] = [-1, 0, places.size, 0]
    for (let at = slot * size; at < (slot + 1) * size; at += RECORD) {
      const counter = counterAt(view, at)
      const place = places.get(counter)
      if (place === undefined) {
        if (counter === 0) continue
        foreign++
        stranger(counter)
        continue
      }
      if (sampleId < 0) [sampleId, timeStamp] = [sampleIdAt(view, at), timeStampAt(view, at)]
      if (sampleIdAt(view, at) !== sampleId || values[place] !== undefined) continue
      values[place] = valueAt(view, at)
      missing--
    }
    return sampleId < 0 ? undefined : { sampleId, timeStamp, values, missing, foreign }
  }

  /** The slot of the oldest round in a whole ring: behind an empty one, else where ids step furthest, from the newest to the oldest. */
  oldest(slots: number): number {
    let [seam, furthest] = [0, -1]
    let before = this.mark(slots - 1)
    for (let slot = 0; slot < slots; slot++) {
      const mark = this.mark(slot)
      if (before !== undefined && mark === undefined) return slot
      const step = before === undefined || mark === undefined ? 0 : (mark.sampleId - before.sampleId) & 0xffff
      if (step > furthest) [seam, furthest] = [slot, step]
      before = mark
    }
    return seam
  }

  /** The slot of a round; undefined when it is not there. */
  find(slots: number, is: (mark: RoundMark) => boolean): number | undefined {
    for (let slot = 0; slot < slots; slot++) {
      const mark = this.mark(slot)
      if (mark !== undefined && is(mark)) return slot
    }
    return undefined
  }
}

/**
 * The round that was taken from each slot last. Ids count instants, not slots: when the device loses rounds, how far an id is behind
 * does not tell whether its slot was written again. That it still holds the same round does.
 */
export class SlotMemory {
  private readonly ids: Int32Array
  private readonly stamps: Uint32Array

  constructor(slots: number) {
    this.ids = new Int32Array(slots).fill(-1)
    this.stamps = new Uint32Array(slots)
  }

  take(slot: number, { sampleId, timeStamp }: RoundMark): void {
    this.ids[slot] = sampleId
    this.stamps[slot] = timeStamp
  }

  holds(slot: number, { sampleId, timeStamp }: RoundMark): boolean {
    return this.ids[slot] === sampleId && this.stamps[slot] === timeStamp
  }
}
