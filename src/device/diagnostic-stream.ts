import { setTimeout as sleepFor } from 'node:timers/promises'
import { MalformedData } from '../prm/errors'
import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import {
  counterName,
  queryDiagnosticParameters,
  sameSampling,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from './diagnostic-counters'
import { FirmwareError, Interrupted } from './errors'
import { DiagnosticRing } from './diagnostic-ring'
import { RingRounds, SlotMemory, type RoundMark } from './diagnostic-rounds'
import { SampleClock, type Passed } from './diagnostic-samples'
import { StreamTally, type DiagnosticGap, type DiagnosticStreamSummary } from './diagnostic-tally'

export type { DiagnosticGap, DiagnosticStreamSummary }

/** One sample of each counter. */
export interface DiagnosticRound {
  readonly kind: 'sample'
  /** Number of the round, unwrapped. */
  readonly sample: number
  /** Time in ticks, unwrapped: of the first counter. */
  readonly ticks: bigint
  /** In the order in which the counters were set; undefined where the device gave none. */
  readonly values: readonly (bigint | undefined)[]
  /** Its records as the device gave them; valid until the next batch is asked for. */
  readonly records: Uint8Array
}

export type DiagnosticItem = DiagnosticRound | DiagnosticGap

/** Time of the host, and waiting; tests have their own. */
export interface HostClock {
  /** Milliseconds, monotonic. */
  now(): number
  /** Resolves early when the signal comes. */
  sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void>
}

export const hostClock: HostClock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) => sleepFor(milliseconds, undefined, { signal }).catch(() => undefined),
}

export interface DiagnosticStreamOptions {
  /** Rounds after which it ends. */
  readonly count?: number | undefined
  /** Milliseconds after which it ends. */
  readonly duration?: number | undefined
  /** Ends it, without an error. */
  readonly signal?: AbortSignal | undefined
  /** Is told when nothing new comes for a second and several periods. */
  readonly silent?: ((milliseconds: number) => void) | undefined
  readonly clock?: HostClock
}

/** Records that one poll reads at most: 64 KiB. */
const MOST_RECORDS = 4096
/** Milliseconds that a round may wait in the ring, where the ring is long and the period short. */
const LATENCY = 50
const SHORTEST_SLEEP = 1
/** Longest sleep, in milliseconds, while nothing is known about the period. */
const FIRST_SLEEP = 16
/** Rounds beyond those that should be there, which are asked for. */
const SPARE_ROUNDS = 16
/** Periods without a new round after which the whole ring is looked at; and milliseconds, at least. */
const PATIENCE_PERIODS = 8
const PATIENCE = 40
/** Milliseconds without a new round after which the device is asked whether it still samples for us. */
const SUSPICION = 1000
/** Old rounds before a new one, in one poll: more of them, and slots are not written in the order in which they are read. */
const MOST_REPEATED = 16
/** Polls after which a round that is not whole is taken as it is. */
const TORN_POLLS = 3
/** Before ticks were measured against the host's clock, they may be faster than the device says. */
const UNSURE_FACTOR = 8
const SURE_FACTOR = 1.1
/** Milliseconds between the device's clock and what was seen of it. */
const MARGIN = 250

/** Ids repeat after 2^16 rounds: in a ring of half of that they are those of one lap, as long as no more are lost. */
export const MOST_STREAM_LOG_SAMPLES = 15

/**
 * A stream of samples of what is set, which is repetitive and began with an empty ring. Keeps of each slot which round it held.
 *
 * Slots of the ring are read in their order, from the one behind the last that was new. When the device does not go on there, the
 * whole ring is looked at; and when new rounds turn out to lie elsewhere, it is always read as a whole from then on.
 */
export class DiagnosticStream {
  private readonly ring: DiagnosticRing
  private readonly samples: SampleClock
  private readonly tally: StreamTally
  private readonly memory: SlotMemory
  private readonly places: ReadonlyMap<number, number>
  private readonly clock: HostClock
  private readonly slots: number
  private readonly begun: number
  /** Slot that is read next. */
  private next = 0
  private reading: 'slots' | 'whole' = 'slots'
  /** Nothing new came for too long: the next reading is one of the whole ring. */
  private overdue = false
  /** Polls that ended at the same round, which was not whole. */
  private tornPolls = 0
  /** Time of the host at which the ring was last read, and whether all that was new was taken then. */
  private polled: number
  private isCaughtUp = false
  /** Times of the host at which the whole ring was last looked at, and the device asked for its parameters. */
  private looked: number
  private asked: number
  /** Milliseconds without a new round until the last poll, where that was too long. */
  private silence = 0
  /** The last poll found all that it asked for: there may be more. */
  private more = false
  private stranger: number | undefined
  private readonly noteStranger = (counter: number): void => void (this.stranger = counter)

  /** @param given what the device says that it samples @throws MalformedData when that cannot be */
  constructor(
    private readonly device: Device,
    capabilities: DiagnosticCapabilities,
    private readonly given: DiagnosticParameters,
    private readonly options: DiagnosticStreamOptions = {},
  ) {
    const { counters, logSamples, logPeriod } = given
    if (counters.length === 0) throw new MalformedData('num_of_counters', 'is 0: the device samples nothing')
    if (logSamples > MOST_STREAM_LOG_SAMPLES)
      throw new MalformedData('log_num_of_samples', `is ${logSamples}: a stream takes up to ${MOST_STREAM_LOG_SAMPLES}`)
    this.clock = options.clock ?? hostClock
    this.begun = this.polled = this.looked = this.asked = this.clock.now()
    this.slots = 2 ** logSamples
    this.memory = new SlotMemory(this.slots)
    this.ring = new DiagnosticRing(device, counters.length)
    this.samples = new SampleClock(2 ** logPeriod)
    this.tally = new StreamTally(counters.length, capabilities.frequencyKhz, this.begun)
    this.places = new Map(counters.map((id, index) => [id, index]))
  }

  /**
   * Batches of what is new, in order, until the count or the duration is reached or the signal comes. Polls as often as the ring
   * needs it; while nobody asks for the next batch nothing is read, and what the ring loses then is told.
   * @throws DeliveryError EBUSY when somebody else has set other parameters; MalformedData for records that make no sense;
   *   FirmwareError, DeliveryError, Interrupted as the device does
   */
  async *batches(): AsyncGenerator<readonly DiagnosticItem[], void, undefined> {
    const { duration = Number.POSITIVE_INFINITY, signal } = this.options
    while (signal?.aborted !== true) {
      const polled = this.clock.now()
      const isLast = polled - this.begun >= duration
      const items = await this.read(polled)
      if (items === undefined) return
      if (items.length > 0) yield items
      if (isLast || this.wantedRounds() <= 0) return
      if (this.more || this.overdue) continue
      const rest = this.begun + duration - this.clock.now()
      await this.clock.sleep(Math.max(SHORTEST_SLEEP, Math.min(this.pause(polled), rest)), signal)
    }
  }

  /** What is new; undefined when the signal came. */
  private async read(now: number): Promise<DiagnosticItem[] | undefined> {
    try {
      const items = this.overdue || this.reading === 'whole' ? await this.look() : await this.poll(now)
      this.polled = now
      if (items.length === 0) await this.wonder()
      else this.silence = 0
      return items
    } catch (error) {
      if (error instanceof Interrupted && this.options.signal?.aborted === true) return undefined
      // A ring that got smaller has fewer slots: firmware refuses those that are gone.
      if (error instanceof FirmwareError) await this.checkOwner()
      throw error
    }
  }

  summary(): DiagnosticStreamSummary {
    return this.tally.summary(this.reading, Math.round(this.silence))
  }

  /** Rounds until the count is reached. */
  private wantedRounds(): number {
    return (this.options.count ?? Number.POSITIVE_INFINITY) - this.tally.rounds
  }

  /** Milliseconds until the next poll: a quarter of the ring, but no round waits for long. */
  private pause(polled: number): number {
    const now = this.clock.now()
    const period = this.milliseconds(this.samples.period)
    if (period === undefined) return Math.min(FIRST_SLEEP, now - this.begun)
    return Math.min((this.slots * period) / 4, Math.max(LATENCY, period)) - (now - polled)
  }

  private milliseconds(ticks: number | undefined): number | undefined {
    const { ticks: rate } = this.tally.rate
    return ticks === undefined || rate === 0 ? undefined : ticks / rate
  }

  /**
   * Ticks from the last round that was taken to the first that was not there when the ring was last read. When that is longer ago
   * than the ring reaches, the first that is still there came later.
   */
  private passed(): Passed {
    const { ticks, measured } = this.tally.rate
    if (ticks === 0) return { least: 0, most: 2 ** 31, likely: 0 }
    const ring = (this.slots * Math.max(this.samples.period ?? 0, 2 ** this.given.logPeriod)) / ticks
    const now = this.clock.now()
    const { seen } = this.tally
    const empty = Math.max(0, this.polled - seen)
    const unread = now - Math.max(this.polled, seen)
    return {
      least: measured ? Math.max(0, ((empty + Math.max(0, unread - ring) - MARGIN) * ticks) / SURE_FACTOR) : 0,
      most: ((this.isCaughtUp ? 0 : ring) + (now - seen + MARGIN) * (measured ? SURE_FACTOR : UNSURE_FACTOR)) * ticks,
      likely: (empty + Math.max(0, unread - ring / 2)) * ticks,
    }
  }

  /** Reads the slots that should have been written since the last poll. */
  private async poll(now: number): Promise<DiagnosticItem[]> {
    const slot = this.next
    const rounds = this.roundsToRead(now)
    const read = new RingRounds(await this.ring.read(slot, rounds), this.places)
    if (this.isOverrun(read)) return this.look()
    const { items, end, old, foreign } = this.take(read, order(rounds, 0), slot)
    this.next = (slot + end) % this.slots
    this.tally.foreign += foreign
    if (old > MOST_REPEATED) this.reading = 'whole'
    else this.tally.repeated += old
    this.more = end === rounds && this.reading === 'slots'
    this.isCaughtUp = end < rounds
    return items
  }

  private roundsToRead(now: number): number {
    const once = Math.max(1, Math.floor(MOST_RECORDS / this.given.counters.length))
    const most = Math.min(this.slots - this.next, once, this.wantedRounds())
    if (this.more) return most
    const period = this.milliseconds(this.samples.period)
    const due = period === undefined ? 0 : Math.ceil(((now - this.tally.seen) / period) * SURE_FACTOR)
    return Math.min(most, due + SPARE_ROUNDS)
  }

  /** The first slot holds a round of a later lap: older ones may be left further on. */
  private isOverrun(read: RingRounds): boolean {
    const mark = read.mark(0)
    if (mark === undefined || this.tally.last === undefined || this.memory.holds(this.next, mark)) return false
    const placed = this.samples.place(mark.sampleId, mark.timeStamp, this.passed())
    return placed !== undefined && placed.skipped >= this.slots
  }

  /** Reads the whole ring, from its oldest round on. */
  private async look(): Promise<DiagnosticItem[]> {
    const { overdue, next: expected, slots } = this
    const isFirst = this.tally.last === undefined
    const read = new RingRounds(await this.ring.read(0, slots), this.places)
    const { items, first, last } = this.take(read, ...this.unread(read))
    this.looked = this.clock.now()
    this.overdue = this.more = false
    this.isCaughtUp = true
    if (overdue && !isFirst && first !== undefined && first !== expected) this.reading = 'whole'
    if (last !== undefined) this.next = (last + 1) % slots
    return items
  }

  /**
   * Slots of the whole ring that can hold new rounds, in the order of these, and the slot of the first where slots are remembered:
   * those behind the last round, where it still lies at its slot; else what follows it in time; and all when it is gone.
   */
  private unread(read: RingRounds): [slots: Iterable<number>, remembered?: number] {
    const { slots, next, samples } = this
    const isLast = ({ sampleId, timeStamp }: RoundMark): boolean => samples.isLast(sampleId, timeStamp)
    const before = read.mark((next + slots - 1) % slots)
    if (this.reading === 'slots' && before !== undefined && isLast(before)) return [order(slots, next), 0]
    const oldest = read.oldest(slots)
    const last = read.find(slots, isLast)
    if (last === undefined) return [order(slots, oldest)]
    return [order((oldest - last - 1 + slots) % slots, last + 1, slots)]
  }

  /**
   * Takes rounds in the order given, as far as they are new; slots behind the last of them have not been written again.
   * @param remembered slot of the ring that the first one is, to leave out what was taken from the slots before
   */
  private take(read: RingRounds, slots: Iterable<number>, remembered?: number): Taken {
    const taken: Taken = { items: [], end: 0, old: 0, foreign: 0, first: undefined, last: undefined }
    let passed = this.passed()
    let [index, old, foreign, isTorn] = [0, 0, 0, false]
    for (const slot of slots) {
      if (this.wantedRounds() <= 0) break
      index++
      const round = read.round(slot, this.noteStranger)
      foreign += round?.foreign ?? 0
      if (round === undefined) continue
      const isKnown = remembered !== undefined && this.memory.holds(remembered + slot, round)
      const placed = isKnown ? undefined : this.samples.place(round.sampleId, round.timeStamp, passed)
      if (placed === undefined) {
        old++
        continue
      }
      // The device may be writing it just now.
      isTorn = round.missing > 0 && this.tornPolls < TORN_POLLS
      if (isTorn) break
      this.samples.accept(placed)
      const gap = this.tally.add(placed, round.missing, this.clock.now())
      if (gap !== undefined) taken.items.push(gap)
      // What follows may come right behind this one.
      passed = { ...passed, least: 0, likely: 0 }
      this.memory.take((remembered ?? 0) + slot, round)
      const records = read.records(slot)
      taken.items.push({ kind: 'sample', sample: placed.sample, ticks: placed.ticks, values: round.values, records })
      taken.old += old
      taken.foreign += foreign
      old = foreign = 0
      taken.end = index
      taken.first ??= slot
      taken.last = slot
    }
    this.tornPolls = isTorn ? this.tornPolls + 1 : 0
    return taken
  }

  /** @throws DeliveryError EBUSY when the device samples something else */
  private async checkOwner(): Promise<void> {
    if (sameSampling(await queryDiagnosticParameters(this.device), this.given)) return
    throw new DeliveryError('the device samples something else now: somebody has set other parameters', 'EBUSY', {
      hint: 'diagnostic counters have one set of parameters for the whole device',
    })
  }

  /** Nothing new came: whether that is as it should be. */
  private async wonder(): Promise<void> {
    const now = this.clock.now()
    const { tally } = this
    const period = this.milliseconds(Math.max(this.samples.period ?? 0, 2 ** this.given.logPeriod)) ?? 0
    const patience = Math.max(PATIENCE, PATIENCE_PERIODS * period)
    if (this.reading === 'slots') this.overdue = now - Math.max(tally.seen, this.looked) > patience
    const silence = now - tally.seen
    // Of a short stream without any the caller wants to know too.
    if (silence >= (tally.rounds === 0 ? patience : Math.max(SUSPICION, patience))) this.silence = silence
    if (now - Math.max(tally.seen, this.asked) < Math.max(SUSPICION, patience)) return
    this.options.silent?.(silence)
    this.asked = now
    await this.checkOwner()
    if (this.stranger !== undefined && tally.rounds === 0)
      throw new MalformedData('counter_id', `${counterName(this.stranger)} was not asked for, and nothing else comes`)
  }
}

interface Taken {
  readonly items: DiagnosticItem[]
  /** Slots up to, and with, the last round that was new. */
  end: number
  /** Rounds among them that were not new, and records of counters that were not asked for. */
  old: number
  foreign: number
  first: number | undefined
  last: number | undefined
}

/** So many slots of a ring, from one on. */
function* order(count: number, start: number, slots = count): Generator<number> {
  for (let index = 0; index < count; index++) yield (start + index) % slots
}
