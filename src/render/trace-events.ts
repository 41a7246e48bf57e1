/**
 * The trace-event format of Chrome, in its object form, as a stream: Perfetto and chrome://tracing open it. Times are
 * microseconds, with a fraction for nanoseconds.
 */
export type TraceEvent = InstantEvent | CounterEvent

interface Common {
  readonly name: string
  /** Microseconds. */
  readonly ts: number
  /** The device, and what of it: both are numbers that `names` can name. */
  readonly pid: number
  readonly tid: number
  readonly args: Readonly<Record<string, unknown>>
}

/** Something that happened; s: whose it is, a thread's. */
export interface InstantEvent extends Common {
  readonly ph: 'i'
  readonly s: 't'
  readonly cat: string
}

/** Values from then on: each member of args is a track. */
export interface CounterEvent extends Common {
  readonly ph: 'C'
}

export interface TraceNames {
  readonly pid: number
  /** What is shown for the process: the device. */
  readonly process: string
  /** What is shown for its threads. */
  readonly threads: readonly (readonly [tid: number, name: string])[]
}

/** What comes first: the names, as metadata events. */
export function traceHead({ pid, process, threads }: TraceNames): string {
  const metadata = [
    { name: 'process_name', ph: 'M', ts: 0, pid, tid: 0, args: { name: process } },
    ...threads.map(([tid, name]) => ({ name: 'thread_name', ph: 'M', ts: 0, pid, tid, args: { name } })),
  ]
  return `{"displayTimeUnit":"ns","traceEvents":[\n${metadata.map((event) => JSON.stringify(event)).join(',\n')}`
}

/** Each event is a line that continues the list. */
export function traceLine(event: TraceEvent): string {
  return `,\n${JSON.stringify(event)}`
}

/** The name of a thread that was not known when the file began. */
export function threadLine(pid: number, tid: number, name: string): string {
  return `,\n${JSON.stringify({ name: 'thread_name', ph: 'M', ts: 0, pid, tid, args: { name } })}`
}

export const TRACE_END = '\n]}\n'
