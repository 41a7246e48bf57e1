import { setTimeout as sleep } from 'node:timers/promises'
import type { Device } from '../../device/device'
import {
  counterName,
  periodNanoseconds,
  queryDiagnosticParameters,
  readDiagnosticCapabilities,
  sameSampling,
  setDiagnosticParameters,
  ticksToNanoseconds,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../device/diagnostic-counters'
import { DiagnosticRing, isEmpty, RECORD, recordAt } from '../../device/diagnostic-ring'
import { UsageError } from '../../device/errors'
import { columns } from '../../render/columns'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { counterIds, samplingRequest, type Asked } from './request'
import { dryRun, parameterData, timeText } from './view'

/** Milliseconds in which two rounds should come, to be measured. */
const MEASURE = 200
const STEP = 5
/** Rounds that are looked at. */
const LOOKED_AT = 4
const LARGEST_RING = 16

/** Sets what the device samples, and says what it made of it. Goes on after the command has ended. */
export function setSampling(context: Context, name: string, words: readonly string[]): Promise<Result> {
  if (words.length === 0) throw new UsageError('diagcnt set takes ids of counters, or all')
  return withDevice(context, name, async (device) => {
    const capabilities = await readDiagnosticCapabilities(device)
    const counters = counterIds(words, capabilities)
    const { parameters, asked } = samplingRequest(context, capabilities, counters, flags(context), LARGEST_RING)
    if (context.options.dryRun) return dryRun(device, parameters)
    await setDiagnosticParameters(device, parameters)
    const given = await queryDiagnosticParameters(device)
    const measured = await measuredPeriod(device, capabilities, given)
    return outcome(device, capabilities, { asked, parameters, given, measured })
  })
}

function flags({ own }: Context): Pick<DiagnosticParameters, 'single' | 'repetitive' | 'onDemand' | 'clear' | 'sync'> {
  const onDemand = own.onDemand === true
  const single = own.single === true
  // What nobody said: sampling that goes on.
  const repetitive = own.repetitive === true || (!single && !onDemand)
  return { single, repetitive, onDemand, clear: own.clear === true, sync: own.sync === true }
}

interface Outcome {
  readonly asked: Asked
  readonly parameters: DiagnosticParameters
  /** As the device says. */
  readonly given: DiagnosticParameters
  /** Nanoseconds, from time stamps. */
  readonly measured: bigint | undefined
}

function outcome(
  device: Device,
  { frequencyKhz }: DiagnosticCapabilities,
  { asked, parameters, given, measured }: Outcome,
): Result {
  const isSame = sameSampling(parameters, given)
  const wanted = parameterData(parameters, frequencyKhz)
  const data = {
    asked,
    wanted,
    parameters: parameterData(given, frequencyKhz),
    measuredPeriodNanoseconds: measured?.toString() ?? null,
  }
  return {
    device: device.identity,
    data,
    text: () => parameterText(asked, given, frequencyKhz, measured),
    warnings: isSame ? [] : ['the device has made something else of the parameters: see what it says that it samples'],
    partial: !isSame,
  }
}

/** What was asked for and what the device gives. */
export function parameterText(
  asked: Asked,
  given: DiagnosticParameters,
  frequencyKhz: number,
  measured: bigint | undefined,
): string {
  const { counters, logSamples, logPeriod, single, repetitive, onDemand, sync, clear } = given
  const modes = { single, repetitive, 'on demand': onDemand, sync, clear }
  const wanted = asked.periodNanoseconds === null ? undefined : BigInt(asked.periodNanoseconds)
  return columns([
    ['counters:', `${counters.length}: ${counters.map(counterName).join(', ')}`],
    [
      'mode:',
      Object.entries(modes)
        .flatMap(([name, isSet]) => (isSet ? [name] : []))
        .join(', '),
    ],
    [
      'ring:',
      `${asked.samples === null ? '' : `${asked.samples} samples asked, `}${2 ** logSamples} (2^${logSamples}) set`,
    ],
    [
      'period:',
      [
        ...(wanted === undefined ? [] : [`${timeText(wanted)} asked`]),
        `${timeText(periodNanoseconds(frequencyKhz, logPeriod))} (2^${logPeriod} ticks) set`,
        measured === undefined ? 'not measured' : `${timeText(measured)} measured`,
      ].join(', '),
    ],
    ['frequency:', `${frequencyKhz} kHz`],
  ])
}

/** The time between two rounds that follow one another, when such come soon; firmware may be far slower than it was asked to be. */
async function measuredPeriod(
  device: Device,
  { frequencyKhz }: DiagnosticCapabilities,
  { counters, logSamples, onDemand }: DiagnosticParameters,
): Promise<bigint | undefined> {
  if (onDemand || counters.length === 0 || logSamples === 0) return undefined
  const ring = new DiagnosticRing(device, counters.length)
  const rounds = Math.min(LOOKED_AT, 2 ** logSamples)
  for (let passed = 0; passed < MEASURE; passed += STEP) {
    await sleep(STEP)
    const bytes = await ring.read(0, rounds)
    for (let round = 1; round < rounds; round++) {
      const [one, two] = [(round - 1) * counters.length * RECORD, round * counters.length * RECORD]
      if (isEmpty(bytes, one) || isEmpty(bytes, two)) continue
      const [before, after] = [recordAt(bytes, one), recordAt(bytes, two)]
      if (((after.sampleId - before.sampleId) & 0xffff) !== 1) continue
      return ticksToNanoseconds(BigInt((after.timeStamp - before.timeStamp) >>> 0), frequencyKhz)
    }
  }
  return undefined
}
