/** Where a round lies in the time of its stream. */
export interface PlacedRound {
  /** Its number: the sample id of 16 bits, unwrapped. */
  readonly sample: number
  /** Its time in ticks: the time stamp of 32 bits, unwrapped. */
  readonly ticks: bigint
  /** Rounds between the one before and this one that nobody has seen. */
  readonly skipped: number
  /** False after 2^32 ticks and 2^15 rounds or more: then the host's clock tells how often ids and time stamps wrapped. */
  readonly exact: boolean
}

const IDS = 0x1_0000
const STAMPS = 0x1_0000_0000
/** Wraps of the time stamp that are weighed at most: three days of 1 GHz. */
const MOST_WRAPS = 65_536
/** By how much the period of a long time may differ from the one that was measured lately. */
const PERIOD_DOUBT = 0.01

/** Ticks that have passed since the last round that was accepted, by the clock of the host. */
export interface Passed {
  readonly least: number
  readonly most: number
  readonly likely: number
}

/**
 * Unwraps sample ids and time stamps. Whoever gives it rounds knows by their slots that they were not given before.
 *
 * What is ambiguous: ids repeat after 65536 rounds, time stamps after 2^32 ticks, and rounds may be lost, by the device or by
 * whoever reads. Of the numbers of wraps for which enough time passed on the host, and not too much, those are chosen with which
 * ids, time stamps and the host's clock agree best, at the period measured until then. An id that could be ahead only by more
 * rounds than the time was enough for is behind: that round comes again.
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
   * @returns undefined for one that comes again
   */
  place(sampleId: number, timeStamp: number, passed: Passed): PlacedRound | undefined {
    if (!this.started) return { sample: sampleId, ticks: BigInt(timeStamp), skipped: 0, exact: true }
    const ids = (sampleId - (this.sample % IDS) + IDS) % IDS
    const low = (timeStamp - this.stamp + STAMPS) % STAMPS
    const ahead = ids === 0 ? IDS : ids
    if ((ids === 0 && low === 0) || (ahead >= IDS / 2 && ahead * this.expected > passed.most)) return undefined
    const { rounds, ticks } = this.weigh(ahead, low, passed)
    return {
      sample: this.sample + rounds,
      ticks: this.ticks + BigInt(ticks),
      skipped: rounds - 1,
      exact: rounds < IDS / 2 || ticks < STAMPS,
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

  /** The numbers of wraps with which ids and time agree best. */
  private weigh(ahead: number, low: number, { least, most, likely }: Passed): { rounds: number; ticks: number } {
    const { expected } = this
    const first = Math.max(0, Math.ceil((least - low) / STAMPS))
    const last = Math.min(first + MOST_WRAPS, Math.max(first, Math.floor((most - low) / STAMPS)))
    const mostLaps = this.measured === undefined ? 0 : Math.max(0, Math.floor((most / expected - ahead) / IDS))
    let best = { rounds: ahead, ticks: low, doubt: Number.POSITIVE_INFINITY }
    for (let wraps = first; wraps <= last; wraps++) {
      const ticks = low + wraps * STAMPS
      const laps = Math.max(0, Math.min(mostLaps, Math.round((ticks / expected - ahead) / IDS)))
      const rounds = ahead + laps * IDS
      const doubt =
        Math.abs(rounds * expected - ticks) / (expected + PERIOD_DOUBT * ticks) +
        Math.abs(ticks - likely) / Math.max(1, most - least)
      if (doubt < best.doubt) best = { rounds, ticks, doubt }
    }
    return best
  }
}
