import { counterName, ticksToNanoseconds } from '../../device/diagnostic-counters'
import type { DiagnosticGap, DiagnosticItem, DiagnosticRound } from '../../device/diagnostic-stream'
import { TRACE_END, traceHead, traceLine } from '../../render/trace-events'
import type { DeviceIdentity } from '../../transport/contract'
import type { Context } from '../types'
import { gapData, recordLine } from './view'

/** Writes a stream in one format, batch by batch. */
export interface StreamWriter {
  begin(): Promise<void>
  write(items: readonly DiagnosticItem[]): Promise<void>
  end(): Promise<void>
}

export function streamWriter(
  context: Context,
  device: DeviceIdentity,
  counters: readonly number[],
  frequencyKhz: number,
): StreamWriter {
  const { format, raw } = context.options
  const nanoseconds = (ticks: bigint): bigint | undefined => ticksToNanoseconds(ticks, frequencyKhz)
  if (raw) return bytesWriter(context)
  if (format === 'json') return { begin: nothing, write: nothing, end: nothing }
  if (format === 'ndjson') return recordWriter(context, device, counters, nanoseconds)
  if (format === 'csv') return csvWriter(context, counters, nanoseconds)
  if (format === 'trace') return traceWriter(context, device, counters, nanoseconds)
  return textWriter(context, (item) => (item.kind === 'lost' ? '' : recordLines(item, counters)))
}

const nothing = async (): Promise<void> => undefined

type Nanoseconds = (ticks: bigint) => bigint | undefined

/** Records of 16 bytes, as the device gives them. */
function bytesWriter(context: Context): StreamWriter {
  const write = async (items: readonly DiagnosticItem[]): Promise<void> => {
    for (const item of items) if (item.kind === 'sample') await context.write(item.records)
  }
  return { begin: nothing, write, end: nothing }
}

/** One text for each item; a batch is written at once. */
function textWriter(
  context: Context,
  text: (item: DiagnosticItem) => string,
  { head = '', tail = '' }: { readonly head?: string; readonly tail?: string } = {},
): StreamWriter {
  return {
    begin: () => (head === '' ? nothing() : context.write(head)),
    write: async (items) => {
      const all = items.map(text).join('')
      if (all !== '') await context.write(all)
    },
    end: () => (tail === '' ? nothing() : context.write(tail)),
  }
}

function recordLines({ sample, ticks, values }: DiagnosticRound, counters: readonly number[]): string {
  let lines = ''
  for (const [index, counter] of counters.entries()) {
    const value = values[index]
    if (value !== undefined) lines += recordLine(counter, sample, ticks, value)
  }
  return lines
}

/** A record for each round, with the values by counter; and one for each gap. */
function recordWriter(
  context: Context,
  device: DeviceIdentity,
  counters: readonly number[],
  nanoseconds: Nanoseconds,
): StreamWriter {
  const names = counters.map(counterName)
  const record = (item: DiagnosticItem): Record<string, unknown> => {
    if (item.kind === 'lost') return { type: 'lost', ...gapData(item) }
    const values = Object.fromEntries(names.map((name, index) => [name, item.values[index]?.toString() ?? null]))
    const { sample, ticks } = item
    return { type: 'sample', sample: String(sample), ticks, nanoseconds: nanoseconds(ticks) ?? null, values }
  }
  const write = async (items: readonly DiagnosticItem[]): Promise<void> => {
    for (const item of items) await context.writeRecord(device, record(item))
  }
  return { begin: nothing, write, end: nothing }
}

/** A row for each round, with a column for each counter; "lost" has the rounds that are missing before it (RFC 4180). */
function csvWriter(context: Context, counters: readonly number[], nanoseconds: Nanoseconds): StreamWriter {
  let lost = 0
  const row = (item: DiagnosticItem): string => {
    if (item.kind === 'lost') {
      lost = item.rounds
      return ''
    }
    const { sample, ticks, values } = item
    const cells = [sample, ticks, nanoseconds(ticks) ?? '', lost, ...values.map((value) => value ?? '')]
    lost = 0
    return `${cells.join(',')}\r\n`
  }
  const head = ['sample', 'ticks', 'nanoseconds', 'lost', ...counters.map(counterName)].join(',')
  return textWriter(context, row, { head: `${head}\r\n` })
}

const PROCESS = 1
const THREAD = 0

/** A track for each counter, and an event where rounds were lost. Times are those of the device's clock. */
function traceWriter(
  context: Context,
  device: DeviceIdentity,
  counters: readonly number[],
  nanoseconds: Nanoseconds,
): StreamWriter {
  const names = counters.map(counterName)
  const microseconds = (ticks: bigint): number => Number(nanoseconds(ticks) ?? 0n) / 1000
  const lostEvent = ({ rounds, from, after, before }: DiagnosticGap): string =>
    traceLine({
      name: 'samples lost',
      cat: 'diagnostic counters',
      ph: 'i',
      s: 't',
      ts: microseconds(from),
      pid: PROCESS,
      tid: THREAD,
      args: { rounds, after, before },
    })
  const events = (item: DiagnosticItem): string => {
    if (item.kind === 'lost') return lostEvent(item)
    const ts = microseconds(item.ticks)
    return names
      .flatMap((name, index) => {
        const value = item.values[index]
        if (value === undefined) return []
        return [traceLine({ name, ph: 'C', ts, pid: PROCESS, tid: THREAD, args: { value: Number(value) } })]
      })
      .join('')
  }
  const head = traceHead({
    pid: PROCESS,
    process: device.node,
    threads: [[THREAD, 'diagnostic counters']],
  })
  return textWriter(context, events, { head, tail: TRACE_END })
}
