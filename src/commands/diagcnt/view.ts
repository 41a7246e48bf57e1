import type { Device } from '../../device/device'
import {
  counterName,
  diagnosticInbox,
  periodNanoseconds,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../device/diagnostic-counters'
import type { DiagnosticGap } from '../../device/diagnostic-tally'
import { hexView } from '../../render/hex'
import { hexString } from '../../render/values'
import type { Result } from '../types'

/** Nanoseconds as people read them. */
export function timeText(nanoseconds: bigint | undefined): string {
  if (nanoseconds === undefined) return 'unknown'
  const number = Number(nanoseconds)
  if (number < 1e3) return `${number} ns`
  if (number < 1e6) return `${number / 1e3} us`
  return number < 1e9 ? `${number / 1e6} ms` : `${number / 1e9} s`
}

export interface CapabilityData {
  readonly single: boolean
  readonly repetitive: boolean
  readonly logMaxSamples: number
  readonly logMinSamplePeriod: number
  readonly minSamplePeriodNanoseconds: string | null
  readonly frequencyKhz: number
  readonly counters: readonly { readonly id: number; readonly name: string; readonly sync: boolean }[]
}

export function capabilityData(capabilities: DiagnosticCapabilities): CapabilityData {
  const { single, repetitive, logMaxSamples, logMinSamplePeriod, frequencyKhz, counters } = capabilities
  return {
    single,
    repetitive,
    logMaxSamples,
    logMinSamplePeriod,
    minSamplePeriodNanoseconds: periodNanoseconds(frequencyKhz, logMinSamplePeriod)?.toString() ?? null,
    frequencyKhz,
    counters: counters.map(({ id, sync }) => ({ id, name: counterName(id), sync })),
  }
}

/** The lines of saeedtx/mlx5ctl. */
export function capabilityText(capabilities: DiagnosticCapabilities): string {
  const { single, repetitive, logMaxSamples, logMinSamplePeriod, frequencyKhz, counters } = capabilities
  return [
    'diag counters:',
    `\tnum_of_diagnostic_counters: ${counters.length}`,
    `\tsingle: ${Number(single)}`,
    `\trepetitive: ${Number(repetitive)}`,
    `\tlog_max_samples: ${logMaxSamples}`,
    `\tlog_min_sample_period: ${logMinSamplePeriod}`,
    `\tdev_freq: ${frequencyKhz} kHz`,
    ...counters.map(({ id, sync }, index) => `\tcounter[${index}]: 0x${id.toString(16)} sync(${Number(sync)})`),
    '',
  ].join('\n')
}

export interface ParameterData extends DiagnosticParameters {
  readonly samples: number
  readonly periodNanoseconds: string | null
}

export function parameterData(parameters: DiagnosticParameters, frequencyKhz: number): ParameterData {
  const { logSamples, logPeriod } = parameters
  return {
    ...parameters,
    samples: 2 ** logSamples,
    periodNanoseconds: periodNanoseconds(frequencyKhz, logPeriod)?.toString() ?? null,
  }
}

/** What would be sent. */
export function dryRun(device: Device, parameters: DiagnosticParameters): Result {
  const inbox = diagnosticInbox(device, parameters)
  const { inbox: layout, scope } = device.catalogue.command('SET_DIAGNOSTIC_PARAMS')
  return {
    device: device.identity,
    data: { dryRun: true, inbox: hexString(inbox), outboxLength: 16, scope },
    text: () => `${hexString(inbox)}\n`,
    hex: () => hexView(inbox, layout === undefined ? [] : device.codec.ranges(layout, inbox)),
    raw: () => inbox,
  }
}

/** A record as saeedtx/mlx5ctl prints it. */
export function recordLine(counter: number, sample: number, time: number | bigint, value: bigint): string {
  return `counter_id: ${counterName(counter)}, sample_id: ${String(sample).padStart(10, '0')}, time_stamp: ${String(time).padStart(10, '0')} counter_value: ${value}\n`
}

export function gapData({ rounds, after, before, from, to, exact }: DiagnosticGap): Record<string, unknown> {
  return {
    rounds,
    after: String(after),
    before: String(before),
    fromTicks: from.toString(),
    toTicks: to.toString(),
    exact,
  }
}
