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
/** How much more often ids may count than the time that passed allows for: periods are not quite regular. */
const LEEWAY_FACTOR = 2
const LEEWAY = 64
/** Wraps of the time stamp that are weighed at most. */
const MOST_WRAPS = 1024

/**
 * Unwraps sample ids and time stamps. Rounds are given in the order in which they lie in the ring; one that is not newer than
 * the last is old: it was seen before, or its slot has not been written again yet.
 *
 * What is ambiguous: ids repeat after 65536 rounds, time stamps after 2^32 ticks. As long as fewer ticks pass between two reads, the
 * time stamp tells how many times the ids wrapped. Beyond that the number of wraps is chosen with which ids and time agree best, at
 * the period measured until then, among those for which enough time passed on the host; then `exact` is false.
 */
export class SampleClock {
  private sample = 0
  private ticks = 0n
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
   * @param most ticks that can have passed since the last round that was accepted
   * @returns undefined for an old one
   */
  place(sampleId: number, timeStamp: number, most: number): PlacedRound | undefined {
    if (!this.started) return { sample: sampleId, ticks: BigInt(timeStamp), skipped: 0, exact: true }
    const ids = (sampleId - (this.sample % IDS) + IDS) % IDS
    const low = (timeStamp - Number(this.ticks & 0xffff_ffffn) + STAMPS) % STAMPS
    if ((ids === 0 && low === 0) || low > most) return undefined
    const { rounds, ticks } = this.weigh(ids, low, most)
    if (this.measured !== undefined && rounds > (LEEWAY_FACTOR * ticks) / this.measured + LEEWAY) return undefined
    return {
      sample: this.sample + rounds,
      ticks: this.ticks + BigInt(ticks),
      skipped: rounds - 1,
      exact: ticks < STAMPS || rounds === 1,
    }
  }

  accept({ sample, ticks }: PlacedRound): void {
    if (this.started) {
      const period = Number(ticks - this.ticks) / (sample - this.sample)
      this.measured = this.measured === undefined ? period : this.measured + (period - this.measured) / 16
    }
    this.started = true
    this.sample = sample
    this.ticks = ticks
  }

  /** The numbers of wraps with which ids and time stamps agree best. */
  private weigh(ids: number, low: number, most: number): { rounds: number; ticks: number } {
    const period = Math.max(this.asked, this.measured ?? 0)
    const least = ids === 0 ? 1 : 0
    const last = Math.floor((most - low) / STAMPS)
    let best = { rounds: ids + least * IDS, ticks: low, error: Number.POSITIVE_INFINITY }
    for (let wraps = Math.max(0, last - MOST_WRAPS); wraps <= last; wraps++) {
      const ticks = low + wraps * STAMPS
      const laps = this.measured === undefined ? least : Math.max(least, Math.round((ticks / period - ids) / IDS))
      const rounds = ids + laps * IDS
      const error = Math.abs(rounds * period - ticks)
      if (error < best.error) best = { rounds, ticks, error }
    }
    return best
  }
}
