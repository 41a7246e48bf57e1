import {
  checkDiagnosticParameters,
  largestLogSamples,
  logPeriodOf,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../device/diagnostic-counters'
import { UsageError } from '../../device/errors'
import { parseInteger } from '../../prm/value-text'
import { parseDuration } from '../durations'
import type { Context } from '../types'

/** What was asked for, in words of the user. */
export interface Asked {
  readonly samples: number | null
  readonly periodNanoseconds: string | null
}

export interface SamplingRequest {
  readonly parameters: DiagnosticParameters
  readonly asked: Asked
}

/** Ids as people write them: decimal, 0x, lists with commas; all is every counter of the device. @throws UsageError */
export function counterIds(words: readonly string[], { counters }: DiagnosticCapabilities): number[] {
  const parts = words.flatMap((word) => word.split(',')).filter((part) => part !== '')
  if (parts.includes('all')) {
    if (parts.length > 1) throw new UsageError('all stands alone: it is every counter')
    return counters.map(({ id }) => id)
  }
  return parts.map((part) => {
    const id = parseInteger(part)
    if (id === undefined || id > 0xffffn)
      throw new UsageError(`${part} is no id of a counter: a number up to 0xffff, decimal or 0x, or all`)
    return Number(id)
  })
}

/**
 * The parameters that the options and ids describe, checked against what the device can do.
 * @param most largest ring, as a power of two of rounds
 * @throws UsageError
 */
export function samplingRequest(
  { own }: Context,
  capabilities: DiagnosticCapabilities,
  counters: readonly number[],
  flags: Pick<DiagnosticParameters, 'single' | 'repetitive' | 'onDemand' | 'clear' | 'sync'>,
  most: number,
): SamplingRequest {
  if (own.samples !== undefined && own.logSamples !== undefined)
    throw new UsageError('--samples and --log-samples exclude each other')
  if (own.period !== undefined && own.logPeriod !== undefined)
    throw new UsageError('--period and --log-period exclude each other')
  const samples = own.samples === undefined ? null : wholeNumber(own.samples, '--samples', 1)
  const period = own.period === undefined ? null : parseDuration(own.period, '--period')
  const fitting = Math.max(0, Math.min(most, largestLogSamples(capabilities, counters.length)))
  const logSamples =
    samples !== null
      ? Math.ceil(Math.log2(samples))
      : own.logSamples === undefined
        ? fitting
        : wholeNumber(own.logSamples, '--log-samples', 0, 255)
  const logPeriod =
    period !== null
      ? logPeriodOf(capabilities, period)
      : own.logPeriod === undefined
        ? capabilities.logMinSamplePeriod
        : wholeNumber(own.logPeriod, '--log-period', 0, 255)
  const parameters = { counters, logSamples, logPeriod, ...flags, enable: true }
  checkDiagnosticParameters(capabilities, parameters)
  if (logSamples > most) throw new UsageError(`a ring of 2^${logSamples} samples: 2^${most} at most are of use here`)
  return {
    parameters,
    asked: { samples, periodNanoseconds: period === null ? null : String(Math.round(period * 1e6)) },
  }
}

/** @throws UsageError */
export function wholeNumber(text: unknown, option: string, least: number, most = 2 ** 32): number {
  const value = parseInteger(String(text))
  if (value !== undefined && value >= BigInt(least) && value <= BigInt(most)) return Number(value)
  throw new UsageError(`${option} ${String(text)}: it is a number from ${least} to ${most}`)
}
