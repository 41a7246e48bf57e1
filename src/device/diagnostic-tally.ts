import { ticksToNanoseconds } from './diagnostic-counters'
import type { PlacedRound } from './diagnostic-samples'

/** Rounds that were taken, or should have been, and that nobody has seen. */
export interface DiagnosticGap {
  readonly kind: 'lost'
  readonly rounds: number
  /** The rounds before and behind, and their times in ticks. */
  readonly after: number
  readonly before: number
  readonly from: bigint
  readonly to: bigint
  /** False where more than 2^32 ticks passed, so that the host's clock says how many rounds these were. */
  readonly exact: boolean
}

export interface DiagnosticStreamSummary {
  readonly rounds: number
  /** Records of 16 bytes: of one counter each. */
  readonly records: number
  readonly lostRounds: number
  /** Of the rounds that were lost, and those that were missing in others. */
  readonly lostRecords: number
  readonly gaps: number
  /** The first gaps, up to 100. */
  readonly firstGaps: readonly DiagnosticGap[]
  /** Rounds that came again, or behind a later one. */
  readonly repeated: number
  /** Records of counters that were not asked for. */
  readonly foreign: number
  readonly first: { readonly sample: number; readonly ticks: bigint } | undefined
  readonly last: { readonly sample: number; readonly ticks: bigint } | undefined
  /** Between two rounds, on the average, rounded down; undefined before there were two. */
  readonly periodNanoseconds: bigint | undefined
  /** Milliseconds without a new round in the end, where that was too long: of several periods. Else 0. */
  readonly silence: number
  /** slots: only what is new was read. whole: the whole ring each time, for sample_index turned out to be no slot. */
  readonly reading: 'slots' | 'whole'
}

const KEPT_GAPS = 100
/** Milliseconds that make a measure. */
const MEASURED_AFTER = 500

/** Counts what a stream gives. */
export class StreamTally {
  rounds = 0
  repeated = 0
  foreign = 0
  last: { readonly sample: number; readonly ticks: bigint } | undefined
  private missing = 0
  private lost = 0
  private gaps = 0
  private readonly firstGaps: DiagnosticGap[] = []
  private first: { readonly sample: number; readonly ticks: bigint; readonly at: number } | undefined

  constructor(
    private readonly counters: number,
    private readonly frequencyKhz: number,
    /** Milliseconds of the host at which a new round was last read. */
    public seen: number,
  ) {}

  /** A new round. @returns the gap before it, if there is one */
  add({ sample, ticks, skipped, exact }: PlacedRound, missing: number, now: number): DiagnosticGap | undefined {
    const { last } = this
    this.rounds++
    this.missing += missing
    this.seen = now
    this.first ??= { sample, ticks, at: now }
    this.last = { sample, ticks }
    if (skipped === 0 || last === undefined) return undefined
    const gap: DiagnosticGap = {
      kind: 'lost',
      rounds: skipped,
      after: last.sample,
      before: sample,
      from: last.ticks,
      to: ticks,
      exact,
    }
    this.lost += skipped
    this.gaps++
    if (this.firstGaps.length < KEPT_GAPS) this.firstGaps.push(gap)
    return gap
  }

  /** Ticks in a millisecond of the host: as the device says, until they were measured. 0 when nobody knows. */
  get rate(): { readonly ticks: number; readonly measured: boolean } {
    const { first, last, frequencyKhz } = this
    const passed = first === undefined ? 0 : this.seen - first.at
    if (first === undefined || last === undefined || passed < MEASURED_AFTER)
      return { ticks: frequencyKhz, measured: false }
    return { ticks: Number(last.ticks - first.ticks) / passed, measured: true }
  }

  summary(reading: DiagnosticStreamSummary['reading'], silence: number): DiagnosticStreamSummary {
    const { first, last, counters, rounds, lost, missing, gaps, firstGaps, repeated, foreign } = this
    const steps = first === undefined || last === undefined ? 0 : last.sample - first.sample
    const ticks = first === undefined || last === undefined ? 0n : last.ticks - first.ticks
    const nanoseconds = ticksToNanoseconds(ticks, this.frequencyKhz)
    return {
      rounds,
      records: rounds * counters - missing,
      lostRounds: lost,
      lostRecords: lost * counters + missing,
      gaps,
      firstGaps,
      repeated,
      foreign,
      first: first && { sample: first.sample, ticks: first.ticks },
      last,
      periodNanoseconds: nanoseconds === undefined || steps === 0 ? undefined : nanoseconds / BigInt(steps),
      silence,
      reading,
    }
  }
}
