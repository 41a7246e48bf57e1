import type { Struct } from '../prm/codec'
import { MalformedData } from '../prm/errors'
import { queryCapabilities } from './capabilities'
import { encodeInbox, type Device } from './device'
import { Unsupported, UsageError } from './errors'

/** Counters that the debug capability has room for: (4096 - 64) / 4. */
const MOST_COUNTERS = 1008
/** Bytes before the list of counters, in the inbox of SET and in the outbox of QUERY_DIAGNOSTIC_PARAMS. */
const CONTEXT_HEAD = 32
/** sample_index has 16 bits. */
const MOST_LOG_SAMPLES = 16

export interface DiagnosticCounter {
  readonly id: number
  /** Can be sampled at the same instant as others. */
  readonly sync: boolean
}

/** What a device can sample (facts: dumps, E). */
export interface DiagnosticCapabilities {
  readonly counters: readonly DiagnosticCounter[]
  readonly single: boolean
  readonly repetitive: boolean
  /** The ring has room for 2^n records: samples of single counters. */
  readonly logMaxSamples: number
  /** Ticks of the device, as a power of two. What firmware reaches may be far slower. */
  readonly logMinSamplePeriod: number
  /** Ticks in a millisecond; 0 when the device does not tell. */
  readonly frequencyKhz: number
}

/** One set of parameters for the whole device, whoever sets them. */
export interface DiagnosticParameters {
  readonly counters: readonly number[]
  /** Rounds that the ring holds, as a power of two; a round has a record of each counter. */
  readonly logSamples: number
  /** Ticks between two rounds, as a power of two. */
  readonly logPeriod: number
  /** Sampling ends when the ring is full. */
  readonly single: boolean
  /** New rounds take the place of the oldest. */
  readonly repetitive: boolean
  /** All counters at the same instant. */
  readonly sync: boolean
  /** The ring is emptied when this is set. */
  readonly clear: boolean
  /** No sampling by itself: each query takes one round. */
  readonly onDemand: boolean
  readonly enable: boolean
}

/** Nothing is sampled, and the ring is empty. */
export const stopped: DiagnosticParameters = {
  counters: [],
  logSamples: 0,
  logPeriod: 0,
  single: false,
  repetitive: false,
  sync: false,
  clear: true,
  onDemand: false,
  enable: false,
}

/** @throws Unsupported with the reason when the device has no diagnostic counters */
export async function readDiagnosticCapabilities(device: Device): Promise<DiagnosticCapabilities> {
  const { catalogue, codec } = device
  const { values: general } = await queryCapabilities(device, catalogue.capability('GENERAL'), 'current')
  if (general.debug !== 1)
    throw new Unsupported(
      'this device has no diagnostic counters: it has no debug capability (general capability debug)',
    )
  const count = Number(general.num_of_diagnostic_counters ?? 0)
  if (count === 0)
    throw new Unsupported('this device has no diagnostic counters (general capability num_of_diagnostic_counters is 0)')
  const { bytes } = await queryCapabilities(device, catalogue.capability('DEBUG'), 'current')
  const debug = codec.decode('debug_cap', bytes)
  // An entry without an id is a place in the list that this device has no counter for.
  const list = (debug.diagnostic_counter as readonly Struct[]).slice(0, Math.min(count, MOST_COUNTERS))
  const counters = list
    .map(({ counter_id: id, sync }) => ({ id: Number(id), sync: sync === 1 }))
    .filter(({ id }) => id !== 0)
  return {
    counters,
    single: debug.single === 1,
    repetitive: debug.repetitive === 1,
    logMaxSamples: Number(debug.log_max_samples),
    logMinSamplePeriod: Number(debug.log_min_sample_period),
    frequencyKhz: Number(general.device_frequency_khz ?? 0),
  }
}

/** The inbox of SET_DIAGNOSTIC_PARAMS; all that is not a parameter is zero. */
export function diagnosticInbox({ catalogue, codec }: Device, parameters: DiagnosticParameters): Uint8Array {
  return encodeInbox(codec, catalogue.command('SET_DIAGNOSTIC_PARAMS'), {
    diagnostic_params_context: {
      num_of_counters: parameters.counters.length,
      log_num_of_samples: parameters.logSamples,
      single: Number(parameters.single),
      repetitive: Number(parameters.repetitive),
      sync: Number(parameters.sync),
      clear: Number(parameters.clear),
      on_demand: Number(parameters.onDemand),
      enable: Number(parameters.enable),
      log_sample_period: parameters.logPeriod,
      counter: parameters.counters.map((id) => ({ counter_id: id })),
    },
  })
}

/**
 * Sets what is sampled, for the whole device. Needs fwctl scope 2, which taints the kernel.
 * @param options.cleanup goes on after a signal or a timeout
 * @throws UsageError without leave to taint; FirmwareError
 */
export async function setDiagnosticParameters(
  device: Device,
  parameters: DiagnosticParameters,
  options: { readonly cleanup?: boolean } = {},
): Promise<void> {
  const command = device.catalogue.command('SET_DIAGNOSTIC_PARAMS')
  await device.run(command, diagnosticInbox(device, parameters), options)
}

/** Ends the sampling and empties the ring. @throws UsageError, FirmwareError */
export function stopDiagnosticCounters(device: Device, options: { readonly cleanup?: boolean } = {}): Promise<void> {
  return setDiagnosticParameters(device, stopped, options)
}

/**
 * What is set now, by whomever.
 * @param options.cleanup goes on after a signal or a timeout
 * @throws FirmwareError; MalformedData for more counters than there can be
 */
export async function queryDiagnosticParameters(
  device: Device,
  options: { readonly cleanup?: boolean } = {},
): Promise<DiagnosticParameters> {
  const outboxLength = CONTEXT_HEAD + 4 * MOST_COUNTERS
  const { values } = await device.command('QUERY_DIAGNOSTIC_PARAMS', {}, { ...options, outboxLength })
  const context = values.diagnostic_params_context as Struct
  const list = (context.counter ?? []) as readonly Struct[]
  const count = Number(context.num_of_counters)
  if (count > list.length)
    throw new MalformedData('num_of_counters', `is ${count}: a device has ${MOST_COUNTERS} counters at most`)
  return {
    counters: list.slice(0, count).map((entry) => Number(entry.counter_id)),
    logSamples: Number(context.log_num_of_samples),
    logPeriod: Number(context.log_sample_period),
    single: context.single === 1,
    repetitive: context.repetitive === 1,
    sync: context.sync === 1,
    clear: context.clear === 1,
    onDemand: context.on_demand === 1,
    enable: context.enable === 1,
  }
}

/** Whether the same is sampled in the same way; clear is of the moment. */
export function sameSampling(one: DiagnosticParameters, other: DiagnosticParameters): boolean {
  const key = (parameters: DiagnosticParameters): string =>
    JSON.stringify(Object.entries({ ...parameters, clear: false }).sort(([a], [b]) => a.localeCompare(b)))
  return key(one) === key(other)
}

/** The largest ring that so many counters can have, as a power of two of rounds. */
export function largestLogSamples({ logMaxSamples }: DiagnosticCapabilities, counters: number): number {
  return Math.min(MOST_LOG_SAMPLES, logMaxSamples - Math.ceil(Math.log2(Math.max(1, counters))))
}

/**
 * The longest period of 2^n ticks that is not longer than a time.
 * @param milliseconds more than 0
 * @throws UsageError when the device cannot sample so fast, or does not say how long a tick is
 */
export function logPeriodOf(
  { frequencyKhz, logMinSamplePeriod }: DiagnosticCapabilities,
  milliseconds: number,
): number {
  if (frequencyKhz === 0)
    throw new UsageError('the device does not tell its frequency: give the period in ticks, with --log-period')
  const log = Math.floor(Math.log2(milliseconds * frequencyKhz))
  if (log >= logMinSamplePeriod) return Math.min(log, 255)
  const least = periodNanoseconds(frequencyKhz, logMinSamplePeriod)
  throw new UsageError(`a period of ${milliseconds} ms is shorter than the shortest of this device, ${least} ns`)
}

/** A period of 2^log ticks, in nanoseconds, rounded down; undefined where the device does not tell its frequency. */
export function periodNanoseconds(frequencyKhz: number, log: number): bigint | undefined {
  return ticksToNanoseconds(1n << BigInt(log), frequencyKhz)
}

/** Exact but for the last nanosecond, which is rounded down. */
export function ticksToNanoseconds(ticks: bigint, frequencyKhz: number): bigint | undefined {
  return frequencyKhz === 0 ? undefined : (ticks * 1_000_000n) / BigInt(frequencyKhz)
}

/**
 * Whether a device can do what is wanted, before it is asked.
 * @throws UsageError with the reason
 */
export function checkDiagnosticParameters(capabilities: DiagnosticCapabilities, wanted: DiagnosticParameters): void {
  checkCounters(capabilities, wanted)
  const { counters, logSamples, logPeriod, single, repetitive, onDemand } = wanted
  const { logMaxSamples, logMinSamplePeriod } = capabilities
  if (single && repetitive) throw new UsageError('single and repetitive exclude each other')
  if (onDemand && repetitive) throw new UsageError('on demand and repetitive exclude each other')
  if (!single && !repetitive && !onDemand) throw new UsageError('it is single, repetitive or on demand')
  if (single && !capabilities.single)
    throw new UsageError('this device cannot sample once until the ring is full (single)')
  if (repetitive && !capabilities.repetitive) throw new UsageError('this device cannot sample for ever (repetitive)')
  if (logPeriod < logMinSamplePeriod || logPeriod > 255)
    throw new UsageError(`a period of 2^${logPeriod} ticks: this device takes 2^${logMinSamplePeriod} or more`)
  if (logSamples < 0 || logSamples > largestLogSamples(capabilities, counters.length))
    throw new UsageError(
      `${counters.length} counter${counters.length === 1 ? '' : 's'} in a ring of 2^${logSamples} samples: the ring of this device has room for 2^${logMaxSamples} records, so 2^${largestLogSamples(capabilities, counters.length)} samples of them`,
    )
}

function checkCounters(capabilities: DiagnosticCapabilities, { counters, sync }: DiagnosticParameters): void {
  const known = new Map(capabilities.counters.map((counter) => [counter.id, counter.sync]))
  if (counters.length === 0) throw new UsageError('no counters are named', 'all takes all of them')
  const unknown = counters.filter((id) => !known.has(id))
  if (unknown.length > 0)
    throw new UsageError(
      `${list(unknown)}: this device has no such diagnostic counter`,
      'mlx5ctl diagcnt cap DEVICE lists those it has',
    )
  const twice = counters.filter((id, index) => counters.indexOf(id) !== index)
  if (twice.length > 0) throw new UsageError(`${list(twice)} stands there twice`)
  const alone = counters.filter((id) => known.get(id) !== true)
  if (sync && alone.length > 0)
    throw new UsageError(`${list(alone)} cannot be sampled at the same instant as others (sync)`)
  if (2 ** capabilities.logMaxSamples < counters.length)
    throw new UsageError(
      `${counters.length} counters: the ring of this device has room for 2^${capabilities.logMaxSamples} records`,
    )
}

export const counterName = (id: number): string => `0x${id.toString(16).padStart(4, '0')}`
const list = (ids: readonly number[]): string => ids.map(counterName).join(', ')
