import type { Struct } from '../../prm/codec'
import type { DeviceClock } from './clock'
import type { Answer, Firmware, Handler, Request } from './firmware'
import { Refusal, Status } from './refusal'
import { numberOf } from './values'

/** Bytes of a record, and of what stands before the list of counters in the inbox of SET_DIAGNOSTIC_PARAMS. */
const RECORD = 16
const SET_HEAD = 32
const HEADER = 16

/** Rounds that the device does not take, counted from 1 over one run: a fault. */
export interface Loss {
  readonly at: number
  readonly count: number
}

interface Parameters {
  readonly counters: readonly number[]
  readonly logSamples: number
  readonly logPeriod: number
  readonly single: boolean
  readonly repetitive: boolean
  readonly sync: boolean
  readonly clear: boolean
  readonly onDemand: boolean
  readonly enable: boolean
}

/** Sampling since it was set: what has been sampled follows from the clock, whenever somebody looks. */
interface Run {
  readonly parameters: Parameters
  /** Ticks. */
  readonly start: bigint
  /** Ticks between two rounds: what was asked for, or what firmware can do. */
  readonly period: number
  /** Rounds taken before this run, since the ring was cleared. */
  readonly before: number
  /** Ticks at which it was stopped. */
  readonly end: bigint | undefined
  /** Rounds that were taken on demand. */
  demanded: number
}

const idle: Parameters = {
  counters: [],
  logSamples: 0,
  logPeriod: 0,
  single: false,
  repetitive: false,
  sync: false,
  clear: false,
  onDemand: false,
  enable: false,
}

/**
 * Diagnostic counters (facts: dumps, E). One set of parameters for the whole device, whoever sets them. A round is one sample of
 * each counter that is set; the ring has 2^log_num_of_samples rounds, each at its slot: the first round after a clear has sample
 * id 1 and lies in slot 0, as in the one published dump. sample_index is a slot, num_of_samples a number of records.
 */
export class DiagnosticCounters {
  private parameters = idle
  private run: Run | undefined
  private readonly losses: readonly Loss[]

  constructor(
    private readonly clock: DeviceClock,
    /** Ticks that firmware needs for a round. */
    private readonly fastest: number,
    losses: readonly Loss[],
  ) {
    this.losses = [...losses].sort((a, b) => a.at - b.at)
  }

  /** SET_DIAGNOSTIC_PARAMS. @throws Refusal */
  set(firmware: Firmware, { opMod, values, inbox }: Request): Answer {
    if (opMod !== 0) throw new Refusal(Status.BAD_PARAM, 'op_mod')
    const wanted = parse(values.diagnostic_params_context as Struct, inbox)
    if (wanted.enable) check(firmware, wanted)
    const now = this.clock.ticks()
    const { run } = this
    const taken = run === undefined || wanted.clear ? 0 : run.before + this.taken(run, now)
    if (wanted.enable) {
      const period = Math.max(2 ** wanted.logPeriod, this.fastest)
      this.run = { parameters: wanted, start: now, period, before: taken, end: undefined, demanded: 0 }
    } else if (wanted.clear) this.run = undefined
    else if (run !== undefined && run.end === undefined) this.run = { ...run, end: now }
    this.parameters = wanted
    return {}
  }

  /** QUERY_DIAGNOSTIC_PARAMS: what was set. @throws Refusal */
  query({ opMod, outboxLength }: Request): Answer {
    if (opMod !== 0) throw new Refusal(Status.BAD_PARAM, 'op_mod')
    const { counters, logSamples, logPeriod, single, repetitive, sync, clear, onDemand, enable } = this.parameters
    if (outboxLength < SET_HEAD + 4 * counters.length) throw new Refusal(Status.BAD_OUTP_LEN, 'outbox too short')
    return {
      diagnostic_params_context: {
        num_of_counters: counters.length,
        log_num_of_samples: logSamples,
        single: Number(single),
        repetitive: Number(repetitive),
        sync: Number(sync),
        clear: Number(clear),
        on_demand: Number(onDemand),
        enable: Number(enable),
        log_sample_period: logPeriod,
        counter: counters.map((id) => ({ counter_id: id })),
      },
    }
  }

  /** QUERY_DIAGNOSTIC_COUNTERS: records from a slot to the end of the ring at most. @throws Refusal */
  records({ opMod, values, outboxLength }: Request): Answer {
    if (opMod !== 0) throw new Refusal(Status.BAD_PARAM, 'op_mod')
    const { run } = this
    if (run === undefined) throw new Refusal(Status.BAD_RES_STATE, 'nothing is set')
    const { counters, logSamples, onDemand } = run.parameters
    const slot = numberOf(values, 'sample_index')
    const wanted = numberOf(values, 'num_of_samples')
    if (slot >= 2 ** logSamples) throw new Refusal(Status.BAD_INDEX, 'sample_index')
    if (outboxLength < HEADER + wanted * RECORD) throw new Refusal(Status.BAD_OUTP_LEN, 'outbox too short')
    const rounds = onDemand ? 1 : Math.min(Math.ceil(wanted / counters.length), 2 ** logSamples - slot)
    const records = new Uint8Array(wanted * RECORD)
    const view = new DataView(records.buffer)
    const now = this.clock.ticks()
    for (let round = 0; round < rounds; round++) {
      const sample = onDemand ? this.demand(run, now) : this.sampleAt(run, slot + round, now)
      if (sample !== undefined) write(view, round * counters.length, counters, sample)
    }
    return records
  }

  private demand(run: Run, now: bigint): Sample {
    run.demanded++
    return { id: run.before + run.demanded, ticks: now }
  }

  /** The newest round in a slot; undefined where there was none. */
  private sampleAt(run: Run, slot: number, now: bigint): Sample | undefined {
    const { start, period, before, parameters } = run
    const size = 2 ** parameters.logSamples
    const newest = before + this.taken(run, now) - 1
    const place = newest - ((((newest - slot) % size) + size) % size)
    // Rounds of before this run had other parameters: their slots are empty now.
    if (place < before) return undefined
    const instant = this.instant(place - before)
    return { id: before + instant + 1, ticks: start + BigInt(instant + 1) * BigInt(period) }
  }

  /** Rounds that were taken in a run until now. */
  private taken(run: Run, now: bigint): number {
    const { parameters, start, period, end, demanded } = run
    if (parameters.onDemand) return demanded
    const instants = Math.floor(Number((end ?? now) - start) / period)
    let lost = 0
    for (const { at, count } of this.losses) lost += Math.max(0, Math.min(count, instants - (at - 1)))
    const taken = instants - lost
    return parameters.single ? Math.min(taken, 2 ** parameters.logSamples) : taken
  }

  /** The instant, counted from 0, of the n-th round that was taken. */
  private instant(taken: number): number {
    let instant = taken
    for (const { at, count } of this.losses) if (instant >= at - 1) instant += count
    return instant
  }
}

interface Sample {
  readonly id: number
  readonly ticks: bigint
}

/** Commands of diagnostic counters. */
export const diagnosticCommands: Readonly<Record<string, Handler>> = {
  SET_DIAGNOSTIC_PARAMS: (firmware, request) => firmware.diagnostics.set(firmware, request),
  QUERY_DIAGNOSTIC_PARAMS: ({ diagnostics }, request) => diagnostics.query(request),
  QUERY_DIAGNOSTIC_COUNTERS: ({ diagnostics }, request) => diagnostics.records(request),
}

function parse(context: Struct, inbox: Uint8Array): Parameters {
  const count = numberOf(context, 'num_of_counters')
  if (inbox.length < SET_HEAD + 4 * count) throw new Refusal(Status.BAD_INP_LEN, 'inbox too short')
  const view = new DataView(inbox.buffer, inbox.byteOffset, inbox.length)
  const flag = (name: string): boolean => numberOf(context, name) === 1
  return {
    counters: Array.from({ length: count }, (_, index) => view.getUint16(SET_HEAD + 4 * index + 2)),
    logSamples: numberOf(context, 'log_num_of_samples'),
    logPeriod: numberOf(context, 'log_sample_period'),
    single: flag('single'),
    repetitive: flag('repetitive'),
    sync: flag('sync'),
    clear: flag('clear'),
    onDemand: flag('on_demand'),
    enable: flag('enable'),
  }
}

function check({ profile }: Firmware, wanted: Parameters): void {
  const refuse = (why: string, status: number = Status.BAD_PARAM): never => {
    throw new Refusal(status, why)
  }
  const { counters, logSamples, logPeriod, single, repetitive, onDemand, sync } = wanted
  const capability = profile.capabilities.DEBUG ?? {}
  const list = (capability.diagnostic_counter ?? []) as readonly { counter_id: number; sync?: number }[]
  const known = new Map(list.map((entry) => [entry.counter_id, entry.sync === 1]))
  if (counters.length === 0) refuse('num_of_counters')
  if (new Set(counters).size !== counters.length || counters.some((id) => !known.has(id))) refuse('counter_id')
  if (sync && counters.some((id) => known.get(id) !== true)) refuse('sync')
  if ((single && capability.single !== 1) || (repetitive && capability.repetitive !== 1)) refuse('mode')
  if (single === repetitive && (single || !onDemand)) refuse('mode')
  if (logPeriod < Number(capability.log_min_sample_period ?? 0) || logPeriod > 52) refuse('log_sample_period')
  if (counters.length * 2 ** logSamples > 2 ** Number(capability.log_max_samples ?? 0)) refuse('samples', Status.LIM)
}

/** The record of each counter: id and sample id, time, value; all big-endian. What does not fit is left out. */
function write(view: DataView, first: number, counters: readonly number[], { id, ticks }: Sample): void {
  const stamp = Number(ticks & 0xffff_ffffn)
  for (const [index, counter] of counters.entries()) {
    const at = (first + index) * RECORD
    if (at >= view.byteLength) return
    view.setUint16(at, counter)
    view.setUint16(at + 2, id & 0xffff)
    view.setUint32(at + 4, stamp)
    view.setBigUint64(at + 8, valueOf(counter, ticks))
  }
}

/** Counters grow with the time, each in its own way: from where it stands, some beyond 2^32; and up to one a tick. */
function valueOf(counter: number, ticks: bigint): bigint {
  const mixed = Math.imul(counter, 0x9e3779b1) >>> 0
  const start = BigInt(mixed) << BigInt(mixed % 3 === 0 ? 8 : 0)
  return BigInt.asUintN(64, start + (ticks * BigInt((mixed >>> 8) % 1025)) / 1024n)
}
