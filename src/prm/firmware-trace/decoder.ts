import { compileFormat, LONGEST_MESSAGE, type TraceFormat } from './format'
import type { StringsDatabase } from './strings'

/** One message of the firmware. */
export interface TraceMessage {
  /** Ticks of the device's clock, 53 bits: exact in a number. Undefined where no reliable timestamp followed. */
  readonly timestamp: number | undefined
  /** Firmware says that it lost events before this one. */
  readonly lost: boolean
  readonly eventId: number
  /** One line. */
  readonly text: string
  /** raw: the bytes of an event that belongs to no known string; bad-format: a string whose format is none that is known. */
  readonly kind: 'message' | 'raw' | 'bad-format'
}

/** What became of the events so far. */
export interface TraceCounts {
  /** Events, without those of empty slots. */
  readonly events: number
  readonly messages: number
  readonly raw: number
  readonly badFormats: number
  /** Messages of which some parameters never came. */
  readonly incomplete: number
  /** Events of other kinds. */
  readonly unknownEvents: number
  /** Events, of whatever kind, that say that others before them were lost. */
  readonly lostFlags: number
  /** Messages without a timestamp. */
  readonly untimed: number
}

const EVENT = 8
const TIMESTAMP_EVENT = 0xff
/** Times have 53 bits, of which events have the 7 low ones (facts: dumps, D.3; no header of the catalogue has these layouts). */
const TIME_MODULUS = 2 ** 53
const TIME_LOW = 128

/** Messages that wait for their parameters, and for a timestamp; strings that are kept understood. */
const MOST_PENDING = 1024
const MOST_READY = 8192
const MOST_FORMATS = 8192

interface Known {
  readonly format: TraceFormat | undefined
  readonly text: string
}

interface Pending {
  readonly key: number
  readonly format: TraceFormat
  readonly eventId: number
  readonly lost: boolean
  readonly low: number
  readonly values: number[]
  /** A bit for each parameter that is missing. */
  missing: number
}

/** A message whose time is not known yet. */
type Ready = { -readonly [Member in keyof TraceMessage]: TraceMessage[Member] }

/**
 * Makes messages of the events of a trace, block by block, in the order in which they were written (facts: dumps, D.3, D.4). A
 * message may go across blocks. Whatever the bytes are, it neither throws nor grows.
 * @example
 * const decoder = new TraceDecoder(strings)
 * for (const { timestamp, text } of decoder.push(block)) console.log(timestamp, text)
 */
export class TraceDecoder {
  private readonly known = new Map<number, Known | null>()
  /** The message that began last, while it is not complete, stands apart: its parameters follow as a rule. */
  private current: Pending | undefined
  private readonly pending = new Map<number, Pending>()
  private ready: Ready[] = []
  /** Of each of them, the 7 low bits of its time. */
  private lows: number[] = []
  private readonly first: number
  private readonly count: number
  private readonly unreliableBit: number
  private readonly total = {
    events: 0,
    messages: 0,
    raw: 0,
    badFormats: 0,
    incomplete: 0,
    unknownEvents: 0,
    lostFlags: 0,
    untimed: 0,
  }

  constructor(private readonly strings: StringsDatabase) {
    const { version, firstString, stringCount } = strings.parameters
    this.first = firstString
    this.count = stringCount
    this.unreliableBit = version === 0 ? 1 << 15 : 1 << 13
  }

  get counts(): TraceCounts {
    return { ...this.total }
  }

  /**
   * @param bytes whole events, 8 bytes each, as a rule blocks of 256 bytes; they are not kept
   * @returns the messages that are complete and have their time now
   */
  push(bytes: Uint8Array): TraceMessage[] {
    const messages: TraceMessage[] = []
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let at = 0; at + EVENT <= bytes.length; at += EVENT) {
      const head = view.getUint32(at)
      const value = view.getUint32(at + 4)
      const eventId = (head >>> 16) & 0xff
      if (eventId === TIMESTAMP_EVENT) {
        this.total.events++
        if ((head & this.unreliableBit) === 0) this.stamp(head, value, messages)
      } else if (head === 0 && value === 0) continue
      else {
        this.total.events++
        if (head >>> 31 === 1) this.total.lostFlags++
        const isString = eventId >= this.first && eventId < this.first + this.count
        if (!isString) this.total.unknownEvents++
        else if ((head & 7) === 0) this.start(head, value, eventId)
        else this.parameter(head, value, eventId)
        if (this.ready.length > MOST_READY) this.release(messages)
      }
    }
    return messages
  }

  /** Blocks are missing from here on: what waits for its parameters will not get them. */
  gap(): void {
    this.total.incomplete += this.pending.size + (this.current === undefined ? 0 : 1)
    this.pending.clear()
    this.current = undefined
  }

  /** Nothing follows any more: what is complete and waits for a timestamp. */
  finish(): TraceMessage[] {
    const messages: TraceMessage[] = []
    this.release(messages)
    return messages
  }

  private start(head: number, address: number, eventId: number): void {
    const known = this.lookUp(address)
    if (known === undefined) return this.keepRaw(head, address, eventId)
    const lost = head >>> 31 === 1
    const low = (head >>> 24) & 0x7f
    const { format, text } = known
    if (format === undefined) return this.keep(eventId, lost, low, text, 'bad-format')
    const key = (head >>> 3) & 0x1fffff
    if (this.current !== undefined) this.setAside(this.current)
    this.current = undefined
    if (this.pending.size > 0 && this.pending.delete(key)) this.total.incomplete++
    const { parameters } = format
    if (parameters === 0) this.keep(eventId, lost, low, text, 'message')
    else this.current = { key, format, eventId, lost, low, values: [], missing: (1 << parameters) - 1 }
  }

  private parameter(head: number, value: number, eventId: number): void {
    const key = (head >>> 3) & 0x1fffff
    const { current } = this
    const message = current?.key === key ? current : this.pending.get(key)
    const index = (head & 7) - 1
    if (message === undefined || ((message.missing >>> index) & 1) === 0) return this.keepRaw(head, value, eventId)
    message.values[index] = value
    message.missing &= ~(1 << index)
    if (message.missing !== 0) return
    if (message === current) this.current = undefined
    else this.pending.delete(key)
    this.keep(eventId, message.lost, message.low, message.format.render(message.values), 'message')
  }

  private keep(eventId: number, lost: boolean, low: number, text: string, kind: TraceMessage['kind']): void {
    this.ready.push({ timestamp: undefined, lost, eventId, text, kind })
    this.lows.push(low)
  }

  /** Another message begins before this one is complete. */
  private setAside(message: Pending): void {
    this.pending.set(message.key, message)
    if (this.pending.size <= MOST_PENDING) return
    const [oldest] = this.pending.keys()
    if (oldest !== undefined) this.pending.delete(oldest)
    this.total.incomplete++
  }

  /** In the order of the wire. */
  private keepRaw(head: number, value: number, eventId: number): void {
    const text = `0x${head.toString(16).padStart(8, '0')}${value.toString(16).padStart(8, '0')}`
    this.keep(eventId, head >>> 31 === 1, (head >>> 24) & 0x7f, text, 'raw')
  }

  private lookUp(address: number): Known | undefined {
    const found = this.known.get(address)
    if (found !== undefined) return found ?? undefined
    if (this.known.size >= MOST_FORMATS) this.known.clear()
    const text = this.strings.find(address)
    const known = text === undefined ? null : understood(text)
    this.known.set(address, known)
    return known ?? undefined
  }

  /** The events before a timestamp have 7 bits of their time; the others are those of the timestamp. */
  private stamp(head: number, middle: number, messages: TraceMessage[]): void {
    const { ready, lows } = this
    if (ready.length === 0) return
    const time = (head & 0x1fff) * 2 ** 40 + middle * 256 + (head >>> 24)
    const low = time % TIME_LOW
    // At a multiple of 128 the events before it are of the 128 ticks before.
    const base = low > 0 ? time - low : (time > 0 ? time : TIME_MODULUS) - TIME_LOW
    for (const [index, message] of ready.entries()) message.timestamp = base + (lows[index] ?? 0)
    this.tell(messages)
  }

  private release(messages: TraceMessage[]): void {
    this.total.untimed += this.ready.length
    this.tell(messages)
  }

  private tell(messages: TraceMessage[]): void {
    const { ready, total } = this
    for (const message of ready) {
      messages.push(message)
      if (message.kind === 'message') total.messages++
      else if (message.kind === 'raw') total.raw++
      else total.badFormats++
    }
    ready.length = 0
    this.lows.length = 0
  }
}

function understood(string: string): Known {
  const format = compileFormat(string)
  if (format === undefined) return { format, text: `BAD_FORMAT: ${string}`.slice(0, LONGEST_MESSAGE) }
  return { format, text: format.parameters === 0 ? format.render([]) : '' }
}
