/** Where a round lies in the time of its stream. */
export interface PlacedRound {
  /** Its number: the sample id of 16 bits, unwrapped. */
  readonly sample: number
  /** Its time in ticks: the time stamp of 32 bits, unwrapped. */
  readonly ticks: bigint
  /** Rounds between the one before and this one that nobody has seen. */
  readonly skipped: number
  /** False where more than 2^32 ticks may lie between: then the host's clock tells how often ids and time stamps wrapped. */
  readonly exact: boolean
}

const IDS = 0x1_0000
const STAMPS = 0x1_0000_0000
/** Wraps of the time stamp that are weighed at most: three days of 1 GHz. */
const MOST_WRAPS = 65_536

/** What can have happened since the last round that was accepted. */
export interface Passed {
  /** Ticks, at least and at most: by the clock of the host. */
  readonly least: number
  readonly most: number
  /** The last round is still in the ring: then ids cannot have counted once around, and one that is behind it is old. */
  readonly isIntact: boolean
}

/**
 * Unwraps sample ids and time stamps. Rounds are given in the order in which they lie in the ring; one that is not newer than
 * the last is old: it was seen before, or its slot has not been written again yet.
 *
 * What is ambiguous: ids repeat after 65536 rounds, time stamps after 2^32 ticks. While the last round is still in the ring, ids
 * tell all. When it was overwritten, the time stamp tells how many times the ids wrapped, as long as fewer than 2^32 ticks passed.
 * Beyond that the number of wraps is chosen with which ids and time agree best, at the period measured until then, among those for
 * which enough time passed on the host; then `exact` is false.
 */
export class SampleClock {
  private sample = 0
  private ticks = 0n
  private stamp = 0
  private started = false
  private measured: number | undefined

  /** @param asked period in ticks that was asked for; the real one may be longer */
  constructor(private readonly asked: number) {}

  /** Ticks between two rounds, as they came lately; undefined before there were two. */
  get period(): number | undefined {
    return this.measured
  }

  /**
   * @param sampleId 16 bits
   * @param timeStamp 32 bits
   * @returns undefined for an old one
   */
  place(sampleId: number, timeStamp: number, passed: Passed): PlacedRound | undefined {
    if (!this.started) return { sample: sampleId, ticks: BigInt(timeStamp), skipped: 0, exact: true }
    const { isIntact } = passed
    const ids = (sampleId - (this.sample % IDS) + IDS) % IDS
    const low = (timeStamp - this.stamp + STAMPS) % STAMPS
    if (isIntact ? ids === 0 || ids >= IDS / 2 : ids === 0 && low === 0) return undefined
    const { rounds, ticks } = isIntact ? this.near(ids, low, passed) : this.weigh(ids, low, passed)
    return {
      sample: this.sample + rounds,
      ticks: this.ticks + BigInt(ticks),
      skipped: rounds - 1,
      exact: isIntact || ticks < STAMPS,
    }
  }

  /** Whether a round is the one that was accepted last. */
  isLast(sampleId: number, timeStamp: number): boolean {
    return this.started && sampleId === this.sample % IDS && timeStamp === this.stamp
  }

  accept({ sample, ticks }: PlacedRound): void {
    if (this.started) {
      const period = Number(ticks - this.ticks) / (sample - this.sample)
      this.measured = this.measured === undefined ? period : this.measured + (period - this.measured) / 16
    }
    this.started = true
    this.sample = sample
    this.ticks = ticks
    this.stamp = Number(ticks & 0xffff_ffffn)
  }

  /** Longest of the periods that were asked for and measured. */
  private get expected(): number {
    return Math.max(this.asked, this.measured ?? 0)
  }

  /** Ids tell how many rounds passed; of the times that come into question, the one that so many rounds take. */
  private near(rounds: number, low: number, { most }: Passed): { rounds: number; ticks: number } {
    const wraps = Math.round((rounds * this.expected - low) / STAMPS)
    const last = Math.floor((most - low) / STAMPS)
    return { rounds, ticks: low + Math.max(0, Math.min(wraps, last)) * STAMPS }
  }

  /** The numbers of wraps with which ids and time agree best. */
  private weigh(ids: number, low: number, { least, most }: Passed): { rounds: number; ticks: number } {
    const { expected } = this
    const fewest = ids === 0 ? 1 : 0
    const first = Math.max(0, Math.ceil((least - low) / STAMPS))
    const last = Math.min(first + MOST_WRAPS, Math.max(first, Math.floor((most - low) / STAMPS)))
    let best = { rounds: ids + fewest * IDS, ticks: low, error: Number.POSITIVE_INFINITY }
    for (let wraps = first; wraps <= last; wraps++) {
      const ticks = low + wraps * STAMPS
      const laps = this.measured === undefined ? 0 : Math.round((ticks / expected - ids) / IDS)
      const rounds = ids + Math.max(fewest, laps) * IDS
      const error = Math.abs(rounds * expected - ticks)
      if (error < best.error) best = { rounds, ticks, error }
    }
    return best
  }
}
