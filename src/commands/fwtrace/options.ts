import { UsageError } from '../../device/errors'
import type { TraceMessage } from '../../prm/firmware-trace/decoder'
import { parseDuration } from '../durations'
import { parseSize } from '../sizes'
import type { Context } from '../types'
import { numberRange } from '../number-range'

export type Source = 'auto' | 'registers' | 'kernel'

/** What the options of fwtrace say. */
export interface TraceOptions {
  readonly source: Source
  readonly follow: boolean
  /** Milliseconds. */
  readonly duration: number | undefined
  /** Bytes of the ring. */
  readonly size: number | undefined
  readonly realTime: boolean
  readonly isWanted: (message: TraceMessage) => boolean
}

const LEAST_RING = 4096

/** @throws UsageError */
export function traceOptions({ own, options }: Context): TraceOptions {
  const source = own.source ?? 'auto'
  if (source !== 'auto' && source !== 'registers' && source !== 'kernel')
    throw new UsageError(`--source ${source as string}: it is auto, registers or kernel`)
  if (options.raw && source === 'kernel')
    throw new UsageError('--raw is the ring of the registers: the kernel gives none')
  if (options.raw && (own.events !== undefined || own.match !== undefined || own.realTime !== undefined))
    throw new UsageError('--raw is the ring as it is: it has no --events, --match or --real-time')
  if (source === 'kernel' && own.size !== undefined) throw new UsageError('--size is of the ring of the registers')
  const ids = own.events === undefined ? undefined : idSet(own.events as string)
  const text = own.match as string | undefined
  return {
    source,
    follow: own.follow === true,
    duration: own.duration === undefined ? undefined : parseDuration(own.duration, '--duration'),
    size: own.size === undefined ? undefined : parseSize(own.size, '--size', LEAST_RING),
    realTime: own.realTime === true,
    isWanted: (message) => ids?.has(message.eventId) !== false && (text === undefined || message.text.includes(text)),
  }
}

/** 5, 0x20..0x2b, 1,2,3 */
function idSet(list: string): ReadonlySet<number> {
  const ids = new Set<number>()
  for (const part of list.split(',')) {
    const range = numberRange(part)
    if (range === undefined || range.last > 255)
      throw new UsageError(`--events ${part}: ids of events are 0 to 255, as 0x20, 32..40 or 1,2,3`)
    for (let id = range.first; id <= range.last; id++) ids.add(id)
  }
  return ids
}
