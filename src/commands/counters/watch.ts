import { setTimeout as sleep } from 'node:timers/promises'
import {
  changesOf,
  CounterReader,
  type CounterChange,
  type CounterReading,
  type CounterScope,
  type CountersRead,
  type WantedGroup,
} from '../../device/counters'
import type { Device } from '../../device/device'
import { Interrupted, UsageError } from '../../device/errors'
import { parseDuration } from '../durations'
import type { Context, Result } from '../types'
import { heading, refusalWarnings, refusedData } from './view'

/** Milliseconds between two turns, where nothing else was asked for. */
const INTERVAL = 1000
/** Times are of this clock: the device's own is not asked for it. */
const CLOCK = 'host monotonic'

export interface WatchOptions {
  /** Groups were asked for by name: one that is refused makes the result partial. */
  readonly byName: boolean
  /** Milliseconds. */
  readonly interval: number
  /** Turns after which it ends. */
  readonly count: number
}

/** @returns undefined where nobody wants to watch @throws UsageError */
export function watchOptions({ own, options }: Context, byName: boolean): WatchOptions | undefined {
  const { watch, interval, count } = own
  if (watch !== true && interval === undefined && count === undefined) return undefined
  if (options.format === 'prometheus')
    throw new UsageError('--watch has no --format prometheus: Prometheus makes rates of counters itself')
  if (options.format === 'json' && count === undefined)
    throw new UsageError('--watch with JSON needs --count N', '--format ndjson writes one record a turn and group')
  const turns = count === undefined ? Number.POSITIVE_INFINITY : Number(count)
  if (!(turns >= 1) || (Number.isFinite(turns) && !Number.isSafeInteger(turns)))
    throw new UsageError(`--count ${String(count)}: it is a number of turns, at least 1`)
  return { byName, interval: interval === undefined ? INTERVAL : parseDuration(interval, '--interval'), count: turns }
}

/** One instance of a group in one turn. */
interface Turn {
  readonly reading: CounterReading
  /** Since the turn before. */
  readonly seconds: number
  /** Those that changed. */
  readonly changes: readonly CounterChange[]
}

/**
 * Reads again and again, and tells of counters that changed: value, by how much, and how much a second. A signal or --count ends it.
 */
export async function watch(
  context: Context,
  device: Device,
  wanted: readonly WantedGroup[],
  scope: CounterScope,
  { byName, interval, count }: WatchOptions,
): Promise<Result> {
  const { signal } = context
  const reader = new CounterReader(device, wanted, scope)
  const shown = new Turns(context, device)
  let before = await reader.read()
  if (before.failure !== undefined) throw before.failure
  const { refused } = before
  for (const warning of refusalWarnings(refused, byName)) context.note(`warning: ${warning}`)
  let next = performance.now() + interval
  let failure: Error | undefined
  for (let turn = 1; turn <= count && failure === undefined; turn++) {
    if (!(await waitUntil(next, signal))) break
    // A turn that took longer than the interval is not made up for.
    next = Math.max(next + interval, performance.now())
    const now = await reader.read()
    failure = now.failure
    if (failure === undefined) await shown.show(turn, before, now)
    before = now
  }
  const endedBy = signal.aborted || failure instanceof Interrupted ? String(signal.reason) : undefined
  return {
    device: device.identity,
    data: { clock: CLOCK, turns: shown.turns, refused: refused.map(refusedData) },
    records: [],
    text: () => '',
    partial: endedBy !== undefined || (byName && refused.length > 0),
    ...(endedBy === undefined ? { failure } : { endedBy }),
  }
}

/** Whether the time came; a signal is another end. */
async function waitUntil(time: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(Math.max(0, time - performance.now()), undefined, { signal })
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}

/** Writes each turn as it comes; only one JSON document keeps them. */
class Turns {
  readonly turns: Record<string, unknown>[] = []

  constructor(
    private readonly context: Context,
    private readonly device: Device,
  ) {}

  async show(turn: number, before: CountersRead, now: CountersRead): Promise<void> {
    const turns = turnsOf(before, now)
    const { context, device } = this
    const { format } = context.options
    if (format === 'ndjson')
      for (const one of turns) await context.writeRecord(device.identity, { turn, ...turnData(one) })
    else if (format === 'json') this.turns.push({ turn, groups: turns.map(turnData) })
    else await context.write(this.text(turn, turns))
  }

  /** On a terminal each turn takes the place of the one before. */
  private text(turn: number, turns: readonly Turn[]): string {
    const table = turnText(turn, turns)
    const { width, options } = this.context
    if (width === 0 || options.output !== undefined) return `${table}\n`
    const rows = process.stdout.rows ?? 0
    const lines = table.split('\n')
    const room = rows - 2
    const cut =
      rows > 3 && lines.length > room ? [...lines.slice(0, room - 1), `... ${lines.length - room} more`] : lines
    return `${CLEAR}${cut.map((line) => line.slice(0, width)).join('\n')}\n`
  }
}

/** Cursor to the first column of the first line; what stands behind it goes. */
const CLEAR = '\u001b[H\u001b[J'

function turnsOf(before: CountersRead, now: CountersRead): Turn[] {
  const earlier = new Map(before.readings.map((reading) => [heading(reading), reading]))
  return now.readings.flatMap((reading): Turn[] => {
    const then = earlier.get(heading(reading))
    if (then === undefined) return []
    const seconds = (reading.at - then.at) / 1000
    const changes = changesOf(then, reading, seconds).filter(({ delta, reset }) => reset || Number(delta) !== 0)
    return [{ reading, seconds, changes }]
  })
}

function turnData({ reading: { group, labels }, seconds, changes }: Turn): Record<string, unknown> {
  return { seconds, group: group.name, labels, values: changes }
}

/** Counters that changed; those that were cleared meanwhile say so. */
function turnText(turn: number, turns: readonly Turn[]): string {
  const changed = turns.filter(({ changes }) => changes.length > 0)
  const seconds = turns[0]?.seconds ?? 0
  const title = `turn ${turn}, after ${seconds.toFixed(3)} s`
  if (changed.length === 0) return `${title}: no counter changed\n`
  const rows = changed.flatMap(({ reading, changes }) =>
    changes.map(({ name, value, delta, rate, reset }) => [
      String(value),
      reset ? 'cleared' : `+${String(delta)}`,
      rate === null ? '-' : rateText(rate),
      `${heading(reading)}.${name}`,
    ]),
  )
  return `${title}\n${rightAligned([['VALUE', 'CHANGE', 'PER SECOND', 'COUNTER'], ...rows])}`
}

/** Three digits are enough of what is small; what is large has none behind the point. */
const rateText = (rate: number): string => (rate >= 1000 ? rate.toFixed(0) : rate.toPrecision(3))

/** Numbers, and last the name: what is cut off a narrow terminal is never the end of a number. */
function rightAligned(rows: readonly (readonly string[])[]): string {
  const last = (rows[0]?.length ?? 1) - 1
  const widths = [...Array(last).keys()].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const pad = (cell: string, column: number): string => (column === last ? cell : cell.padStart(widths[column] ?? 0))
  return rows.map((row) => `${row.map(pad).join('  ')}\n`).join('')
}
