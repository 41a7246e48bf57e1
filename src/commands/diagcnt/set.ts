import type { Device } from '../../device/device'
import {
  counterName,
  periodNanoseconds,
  queryDiagnosticParameters,
  readDiagnosticCapabilities,
  sameSampling,
  setDiagnosticParameters,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../device/diagnostic-counters'
import { measurePeriod } from '../../device/diagnostic-period'
import { FirmwareError, UsageError, withHint } from '../../device/errors'
import { columns } from '../../render/columns'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { counterIds, samplingRequest, type Asked } from './request'
import { dryRun, parameterData, timeText } from './view'

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
    try {
      const given = await queryDiagnosticParameters(device)
      const measured = await measure(device, capabilities, given)
      return outcome(device, capabilities, { asked, parameters, given, measured })
    } catch (error) {
      throw withHint(error as Error, 'the parameters were set: mlx5ctl diagcnt stop DEVICE ends the sampling')
    }
  })
}

/** Nanoseconds; undefined where no samples came soon; or why the ring could not be read: the sampling is set all the same. */
function measure(
  device: Device,
  capabilities: DiagnosticCapabilities,
  given: DiagnosticParameters,
): Promise<bigint | undefined | FirmwareError> {
  return measurePeriod(device, capabilities, given).catch((error: unknown) => {
    if (error instanceof FirmwareError) return error
    throw error
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
  readonly measured: bigint | undefined | FirmwareError
}

function outcome(
  device: Device,
  { frequencyKhz }: DiagnosticCapabilities,
  { asked, parameters, given, measured: found }: Outcome,
): Result {
  const differs = differenceOf(parameters, given)
  const measured = found instanceof FirmwareError ? undefined : found
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
    warnings: [
      ...differs,
      ...(found instanceof FirmwareError ? [`the period could not be measured: ${found.message}`] : []),
    ],
    partial: differs.length > 0,
  }
}

/** A warning where the device samples something else than it was asked to. */
export function differenceOf(wanted: DiagnosticParameters, given: DiagnosticParameters): string[] {
  if (sameSampling(wanted, given)) return []
  return ['the device has made something else of the parameters: see what it says that it samples']
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
