import { setTimeout as sleep } from 'node:timers/promises'
import {
  changesOf,
  CounterReader,
  type CounterChange,
  type CounterReading,
  type CounterScope,
  type CountersRead,
  type RefusedCounters,
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
  /** Since it was read before. */
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
  const first = await reader.read()
  if (first.failure !== undefined) throw first.failure
  const shown = new Turns(context, device, byName, first)
  let next = performance.now() + interval
  let failure: Error | undefined
  for (let turn = 1; turn <= count && failure === undefined; turn++) {
    if (!(await waitUntil(next, signal))) break
    // A turn that took longer than the interval is not made up for.
    next = Math.max(next + interval, performance.now())
    const now = await reader.read()
    failure = now.failure
    if (failure === undefined) await shown.show(turn, now)
  }
  const endedBy = signal.aborted || failure instanceof Interrupted ? String(signal.reason) : undefined
  return {
    device: device.identity,
    data: { clock: CLOCK, turns: shown.turns, refused: shown.refused.map(refusedData) },
    records: [],
    text: () => '',
    partial: endedBy !== undefined || shown.isPartial,
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
  /** Something was refused that was asked for by name, or that the device gave before. */
  isPartial = false
  /** The last reading of each instance: a turn in which it was refused leaves no hole behind. */
  private readonly latest = new Map<string, CounterReading>()
  /** The first refusal of each instance. */
  private readonly told = new Map<string, RefusedCounters>()
  private at = performance.now()

  constructor(
    private readonly context: Context,
    private readonly device: Device,
    private readonly byName: boolean,
    first: CountersRead,
  ) {
    this.take(first)
    this.tell(first.refused, byName)
    this.isPartial = byName && first.refused.length > 0
  }

  get refused(): RefusedCounters[] {
    return [...this.told.values()]
  }

  async show(turn: number, now: CountersRead): Promise<void> {
    const before = this.at
    this.at = performance.now()
    const changed = now.readings.flatMap((reading) => changedSince(this.latest.get(heading(reading)), reading))
    const missing = now.refused.filter((one) => this.byName || this.latest.has(heading(one)))
    this.take(now)
    this.tell(missing, true)
    this.isPartial ||= missing.length > 0
    const { context, device } = this
    const { format } = context.options
    if (format === 'ndjson')
      for (const record of [...changed.map(turnData), ...missing.map(refusedData)])
        await context.writeRecord(device.identity, { turn, ...record })
    else if (format === 'json')
      this.turns.push({ turn, groups: changed.map(turnData), refused: missing.map(refusedData) })
    else await context.write(this.text(turnText(turn, (this.at - before) / 1000, changed, missing)))
  }

  private take({ readings }: CountersRead): void {
    for (const reading of readings) this.latest.set(heading(reading), reading)
  }

  /** Says what was refused, once of each instance. */
  private tell(refused: readonly RefusedCounters[], withReasons: boolean): void {
    const fresh = refused.filter((one) => !this.told.has(heading(one)))
    for (const one of fresh) this.told.set(heading(one), one)
    for (const warning of refusalWarnings(fresh, withReasons)) this.context.note(`warning: ${warning}`)
  }

  /** On a terminal each turn takes the place of the one before. */
  private text(table: string): string {
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

function changedSince(before: CounterReading | undefined, reading: CounterReading): Turn[] {
  if (before === undefined) return []
  const seconds = (reading.at - before.at) / 1000
  const changes = changesOf(before, reading, seconds).filter(({ delta, reset }) => reset || Number(delta) !== 0)
  return [{ reading, seconds, changes }]
}

function turnData({ reading: { group, labels }, seconds, changes }: Turn): Record<string, unknown> {
  return { seconds, group: group.name, labels, values: changes }
}

/** Counters that changed, and what was refused; those that were cleared meanwhile say so. */
function turnText(turn: number, seconds: number, turns: readonly Turn[], missing: readonly RefusedCounters[]): string {
  const changed = turns.filter(({ changes }) => changes.length > 0)
  const refused = missing.length === 0 ? '' : `; refused: ${missing.map(heading).join(', ')}`
  const title = `turn ${turn}, after ${seconds.toFixed(3)} s${refused}`
  if (turns.length === 0) return refused === '' ? `${title}: nothing to compare with\n` : `${title}\n`
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
