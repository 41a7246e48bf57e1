import type { Device } from '../../device/device'
import {
  readDiagnosticCapabilities,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../device/diagnostic-counters'
import { withDiagnosticSampling, type DiagnosticSampling, type PutBack } from '../../device/diagnostic-sampling'
import {
  DiagnosticStream,
  MOST_STREAM_LOG_SAMPLES,
  type DiagnosticGap,
  type DiagnosticStreamSummary,
} from '../../device/diagnostic-stream'
import { UsageError } from '../../device/errors'
import { parseDuration } from '../durations'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { counterIds, samplingRequest, wholeNumber, type Asked } from './request'
import { differenceOf, parameterText } from './set'
import { streamWriter } from './stream-writer'
import { dryRun, gapData, parameterData, timeText } from './view'

/** Gaps that are told as they come; the rest is counted. */
const TOLD_GAPS = 10

/** Samples until a time, a count or a signal, and puts back what was set before. */
export function streamSamples(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const { own, options } = context
  const duration = own.duration === undefined ? undefined : parseDuration(own.duration, '--duration')
  const count = own.count === undefined ? undefined : wholeNumber(own.count, '--count', 1)
  return withDevice(context, name, async (device) => {
    const capabilities = await readDiagnosticCapabilities(device)
    if (options.format === 'trace' && capabilities.frequencyKhz === 0)
      throw new UsageError('the device does not tell its frequency: a trace has times, and there are only ticks')
    const { parameters, asked } = request(context, capabilities, words)
    if (options.dryRun) return dryRun(device, parameters)
    let put: PutBack = 'left'
    const done = await withDiagnosticSampling(
      device,
      parameters,
      async (sampling) => {
        announce(context, sampling)
        let isTold = false
        const stream = new DiagnosticStream(device, capabilities, sampling.given, {
          duration,
          count,
          signal: context.signal,
          silent: (milliseconds) => {
            if (!isTold) context.note(`no samples for ${Math.round(milliseconds)} ms: going on to wait for them`)
            isTold = true
          },
        })
        await pump(context, device, stream, sampling.given, capabilities)
        return { sampling, summary: stream.summary() }
      },
      (what) => {
        put = what
        tellPutBack(context, what)
      },
    )
    return outcome(context, device, capabilities, { ...done, parameters, asked, put })
  })
}

function request(
  context: Context,
  capabilities: DiagnosticCapabilities,
  words: readonly string[],
): { parameters: DiagnosticParameters; asked: Asked } {
  const counters = counterIds(words.length === 0 ? ['all'] : words, capabilities)
  const together = capabilities.counters.filter(({ sync }) => sync).map(({ id }) => id)
  const sync = context.own.sync === true || counters.every((id) => together.includes(id))
  const flags = { single: false, repetitive: true, onDemand: false, clear: true, sync }
  return samplingRequest(context, capabilities, counters, flags, MOST_STREAM_LOG_SAMPLES)
}

function announce(context: Context, { before }: DiagnosticSampling): void {
  if (before.enable)
    context.note(
      `${before.counters.length} diagnostic counters were sampled already; that is put back in the end, without the samples it had`,
    )
}

function tellPutBack(context: Context, what: PutBack): void {
  if (what instanceof Error) context.note(`warning: what was set before could not be put back: ${what.message}`)
  if (what === 'left')
    context.note('warning: somebody else has set other parameters meanwhile; they are left as they are')
}

/** Writes batch after batch: while the reader is slow, nothing is read from the device either, so nothing heaps up. */
async function pump(
  context: Context,
  device: Device,
  stream: DiagnosticStream,
  { counters }: DiagnosticParameters,
  { frequencyKhz }: DiagnosticCapabilities,
): Promise<void> {
  const writer = streamWriter(context, device.identity, counters, frequencyKhz)
  await writer.begin()
  let told = 0
  for await (const items of stream.batches()) {
    await writer.write(items)
    for (const item of items) if (item.kind === 'lost' && told++ < TOLD_GAPS) context.note(gapText(item, frequencyKhz))
  }
  if (told > TOLD_GAPS) context.note(`and ${told - TOLD_GAPS} more gaps`)
  await writer.end()
}

function gapText({ rounds, after, before, from, to, exact }: DiagnosticGap, frequencyKhz: number): string {
  const time = frequencyKhz === 0 ? `${to - from} ticks` : timeText(((to - from) * 1_000_000n) / BigInt(frequencyKhz))
  const about = exact ? '' : ' (as the clock of this host has it: more than 2^32 ticks passed)'
  return `${rounds} samples lost between sample ${after} and ${before}, ${time} apart${about}`
}

interface Done {
  readonly sampling: DiagnosticSampling
  readonly summary: DiagnosticStreamSummary
  /** What the device was asked for. */
  readonly parameters: DiagnosticParameters
  readonly asked: Asked
  readonly put: PutBack
}

function outcome(
  context: Context,
  device: Device,
  { frequencyKhz }: DiagnosticCapabilities,
  { sampling: { given }, summary, parameters, asked, put }: Done,
): Result {
  const { lostRounds, lostRecords, gaps, periodNanoseconds, silence } = summary
  const differs = differenceOf(parameters, given)
  const { signal } = context
  const endedBy = signal.aborted ? String(signal.reason) : undefined
  const data = {
    asked,
    parameters: parameterData(given, frequencyKhz),
    ...summaryData(summary),
    putBack: put instanceof Error ? 'failed' : put,
    endedBy: endedBy ?? null,
  }
  const { length } = given.counters
  const period = parameterText(asked, given, frequencyKhz, periodNanoseconds).split('\n').find(isPeriod) ?? ''
  context.note(
    `${summary.rounds} samples of ${length} counter${length === 1 ? '' : 's'}, ${summary.records} records; ${lostRounds} samples lost, ${summary.repeated} repeated`,
  )
  context.note(period.replace(/ +/g, ' '))
  return {
    device: device.identity,
    data,
    records: [{ type: 'summary', ...data }],
    text: () => '',
    raw: () => new Uint8Array(0),
    warnings: [
      ...differs,
      ...(silence > 0 ? [`the device took no samples for the last ${silence} ms`] : []),
      ...(lostRecords > 0 ? [`${lostRecords} records of ${lostRounds} samples were lost, in ${gaps} gaps`] : []),
      ...(summary.foreign > 0 ? [`${summary.foreign} records were of counters that were not asked for`] : []),
      ...(summary.reading === 'whole'
        ? ['sample_index is no slot on this device: the whole ring was read each time']
        : []),
    ],
    partial: lostRecords > 0 || silence > 0 || differs.length > 0 || put instanceof Error,
    endedBy,
  }
}

const isPeriod = (line: string): boolean => line.startsWith('period:')

function summaryData(summary: DiagnosticStreamSummary): Record<string, unknown> {
  const { first, last, periodNanoseconds, firstGaps, silence, ...counts } = summary
  const placed = (at: typeof first): unknown =>
    at === undefined ? null : { sample: String(at.sample), ticks: at.ticks.toString() }
  return {
    ...counts,
    first: placed(first),
    last: placed(last),
    measuredPeriodNanoseconds: periodNanoseconds?.toString() ?? null,
    firstGaps: firstGaps.map(gapData),
    silenceMilliseconds: silence,
  }
}
