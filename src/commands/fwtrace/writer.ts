import { Unsupported, UsageError } from '../../device/errors'
import type { TraceCounts, TraceMessage } from '../../prm/firmware-trace/decoder'
import { clockText, nanosecondsOf } from '../../prm/firmware-trace/ticks'
import { threadLine, traceHead, TRACE_END, traceLine } from '../../render/trace-events'
import type { DeviceIdentity } from '../../transport/contract'
import type { Context, Result } from '../types'
import type { TraceOptions } from './options'

/** Messages that one JSON document holds. */
const MOST_IN_JSON = 1_000_000
const PROCESS = 1

export interface Origin {
  readonly source: 'registers' | 'kernel' | 'file'
  readonly device?: DeviceIdentity | undefined
  /** Kilohertz of the clock of timestamps, where it is known. */
  readonly frequency: number | undefined
}

/** What was lost on the way. */
interface Losses {
  overwrittenBlocks: number
  /** undefined: the kernel lost some, and does not tell how many. */
  lostByKernel: number | undefined
}

/** Writes messages as they come, in the format that was asked for. Of JSON they are one document. */
export class TraceWriter {
  private readonly kept: unknown[] = []
  private readonly threads = new Set<number>()
  private readonly losses: Losses = { overwrittenBlocks: 0, lostByKernel: 0 }
  private shown = 0
  private flagged = 0
  private begun = false
  private lastTime = 0

  constructor(
    private readonly context: Context,
    private readonly origin: Origin,
    private readonly options: Pick<TraceOptions, 'isWanted' | 'realTime'>,
  ) {
    const { format } = context.options
    if ((options.realTime || format === 'trace') && origin.frequency === undefined)
      throw new Unsupported(
        `${options.realTime ? '--real-time' : '--format trace'} needs the frequency of the device's clock, which is not known here`,
        'the mlx5ctl and fwctl drivers tell it; a PCI door and a file that was saved over one do not',
      )
  }

  /** The ring itself. */
  async raw(blocks: Uint8Array): Promise<void> {
    await this.context.write(blocks)
  }

  async messages(messages: readonly TraceMessage[]): Promise<void> {
    const { context } = this
    const wanted = messages.filter(this.options.isWanted)
    this.shown += wanted.length
    for (const { lost } of wanted) if (lost) this.flagged++
    const { format } = context.options
    if (format === 'json') this.keep(wanted)
    else if (format === 'ndjson')
      for (const message of wanted)
        await context.writeRecord(this.origin.device, { type: 'message', ...this.data(message) })
    else if (format === 'trace') await this.traceEvents(wanted)
    else await context.write(wanted.map((message) => `${this.line(message)}\n`).join(''))
  }

  /** Blocks were overwritten before they were read. */
  async overwritten(blocks: number): Promise<void> {
    this.losses.overwrittenBlocks += blocks
    if (this.context.options.format === 'ndjson')
      await this.context.writeRecord(this.origin.device, { type: 'gap', overwrittenBlocks: blocks })
  }

  async lostByKernel(events: number | undefined): Promise<void> {
    const { losses } = this
    losses.lostByKernel =
      events === undefined || losses.lostByKernel === undefined ? undefined : losses.lostByKernel + events
    if (this.context.options.format === 'ndjson')
      await this.context.writeRecord(this.origin.device, { type: 'gap', lostByKernel: events ?? null })
  }

  /** @param counts of the decoder; undefined where the kernel decoded */
  async result(
    counts: TraceCounts | undefined,
    end: { readonly endedBy?: string | undefined; readonly failure?: Error | undefined; readonly more?: string[] },
  ): Promise<Result> {
    const { format, raw } = this.context.options
    if (format === 'trace') await this.begin()
    const { losses, origin } = this
    const summary = {
      messages: this.shown,
      events: counts?.events ?? null,
      incomplete: counts?.incomplete ?? null,
      unknownEvents: counts?.unknownEvents ?? null,
      untimed: counts?.untimed ?? null,
      lostFlags: counts?.lostFlags ?? this.flagged,
      overwrittenBlocks: losses.overwrittenBlocks,
      lostByKernel: losses.lostByKernel ?? null,
    }
    const warnings = [...this.warnings(counts), ...(end.more ?? [])]
    return {
      device: origin.device,
      data: { source: origin.source, frequencyKilohertz: origin.frequency ?? null, messages: this.kept, summary },
      records: [{ type: 'summary', source: origin.source, ...summary }],
      text: () => (format === 'trace' ? TRACE_END : ''),
      ...(raw ? { raw: () => new Uint8Array(0) } : {}),
      warnings,
      partial: losses.overwrittenBlocks > 0 || losses.lostByKernel !== 0,
      endedBy: end.endedBy,
      failure: end.failure,
    }
  }

  private warnings(counts: TraceCounts | undefined): string[] {
    const { overwrittenBlocks, lostByKernel } = this.losses
    const lost = counts?.lostFlags ?? this.flagged
    const incomplete = counts?.incomplete ?? 0
    const said: readonly (readonly [boolean, string])[] = [
      [
        overwrittenBlocks > 0,
        `at least ${overwrittenBlocks} blocks of events were overwritten before they were read; a larger --size holds more`,
      ],
      [lost > 0, `firmware lost events, and says so ${lost === 1 ? 'once' : `${lost} times`}`],
      [lostByKernel !== 0, `the kernel lost ${lostByKernel ?? 'some'} messages`],
      [incomplete > 0, `${incomplete} messages did not get all of their parameters, and are left out`],
    ]
    return said.filter(([is]) => is).map(([, text]) => text)
  }

  private keep(messages: readonly TraceMessage[]): void {
    for (const message of messages) this.kept.push(this.data(message))
    if (this.kept.length > MOST_IN_JSON)
      throw new UsageError(
        `more than ${MOST_IN_JSON} messages are too long for one JSON document`,
        'use --format ndjson',
      )
  }

  private data({ timestamp, lost, eventId, kind, text }: TraceMessage): Readonly<Record<string, unknown>> {
    return {
      timestamp: timestamp === undefined ? null : String(timestamp),
      nanoseconds: this.nanoseconds(timestamp)?.toString() ?? null,
      lost,
      eventId,
      kind,
      text,
    }
  }

  /** The line of the kernel's tracepoint, as mstfwtrace prints it (facts: dumps, D.4, D.5). */
  private line({ timestamp, lost, eventId, text }: TraceMessage): string {
    const nanoseconds = this.options.realTime ? this.nanoseconds(timestamp) : undefined
    const time =
      nanoseconds === undefined
        ? timestamp === undefined
          ? '0x?'
          : `0x${timestamp.toString(16)}`
        : clockText(nanoseconds)
    return `[${time}] ${lost ? 1 : 0} [0x${eventId.toString(16)}] ${text}`
  }

  private nanoseconds(timestamp: number | undefined): bigint | undefined {
    const { frequency } = this.origin
    return timestamp === undefined || frequency === undefined ? undefined : nanosecondsOf(timestamp, frequency)
  }

  private async begin(): Promise<void> {
    if (this.begun) return
    this.begun = true
    const { device } = this.origin
    const process = device === undefined ? 'firmware' : `firmware of ${device.pci ?? device.node}`
    await this.context.write(traceHead({ pid: PROCESS, process, threads: [] }))
  }

  private async traceEvents(messages: readonly TraceMessage[]): Promise<void> {
    await this.begin()
    const lines: string[] = []
    for (const { timestamp, lost, eventId, text, kind } of messages) {
      if (!this.threads.has(eventId)) lines.push(threadLine(PROCESS, eventId, `event 0x${eventId.toString(16)}`))
      this.threads.add(eventId)
      const nanoseconds = this.nanoseconds(timestamp)
      if (nanoseconds !== undefined) this.lastTime = Number(nanoseconds) / 1000
      const args = { timestamp: timestamp === undefined ? null : String(timestamp), lost, kind }
      const common = { ph: 'i', s: 't', cat: 'firmware', pid: PROCESS, tid: eventId } as const
      lines.push(traceLine({ ...common, name: text, ts: this.lastTime, args }))
    }
    await this.context.write(lines.join(''))
  }
}
