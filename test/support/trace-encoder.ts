import type { Random } from './random'

/**
 * Writes firmware traces for tests, from the layouts of facts: dumps, D.3. Nothing of the decoder is used here.
 *   string event: [31] lost, [30:24] 7 low bits of the time, [23:16] event id, [15:3] message number, [2:0] 0 or the number of the
 *   parameter; second dword: address of the string, or the parameter
 *   timestamp event: [31:24] time 7:0, [23:16] 0xff, [15:13] urts, [12:0] time 52:40; second dword: time 39:8
 */
export const TIMES = 1n << 53n

export interface Sent {
  readonly time: bigint
  readonly lost: boolean
  readonly eventId: number
  readonly text: string
}

export function stringEvent(
  { lost = 0, time, id, number, part = 0 }: { lost?: number; time: bigint; id: number; number: number; part?: number },
  value: number,
): Buffer {
  const event = Buffer.alloc(8)
  const head =
    (BigInt(lost) << 31n) | ((time & 0x7fn) << 24n) | (BigInt(id) << 16n) | (BigInt(number) << 3n) | BigInt(part)
  event.writeUInt32BE(Number(head), 0)
  event.writeUInt32BE(value >>> 0, 4)
  return event
}

export function timestampEvent(time: bigint, urts = 0): Buffer {
  const event = Buffer.alloc(8)
  const head = ((time & 0xffn) << 24n) | (0xffn << 16n) | (BigInt(urts) << 13n) | ((time >> 40n) & 0x1fffn)
  event.writeUInt32BE(Number(head), 0)
  event.writeUInt32BE(Number((time >> 8n) & 0xffff_ffffn), 4)
  return event
}

/** Puts events into blocks of 32, the last of which is a timestamp. */
export class BlockWriter {
  readonly blocks: Buffer[] = []
  private events: Buffer[] = []

  /** @param now the latest time that any event had, for the timestamp at the end of a block */
  add(event: Buffer, now: bigint): void {
    this.events.push(event)
    if (this.events.length === 31) this.close(now)
  }

  /** Ends the block that was begun; what is left of it is empty. */
  close(now: bigint): void {
    if (this.events.length === 0) return
    while (this.events.length < 31) this.events.push(Buffer.alloc(8))
    this.blocks.push(Buffer.concat([...this.events, timestampEvent((now + 1n) % TIMES)]))
    this.events = []
  }
}

/** A string with conversions, and what it says with some parameters. */
export interface Template {
  readonly string: string
  readonly parameters: number
  readonly text: (values: readonly number[]) => string
}

export const templates: readonly Template[] = [
  { string: 'no parameters at all', parameters: 0, text: () => 'no parameters at all' },
  { string: '100%% sure', parameters: 0, text: () => '100% sure' },
  { string: 'one %d', parameters: 1, text: ([a = 0]) => `one ${BigInt.asIntN(32, BigInt(a))}` },
  { string: '%u and %x', parameters: 2, text: ([a = 0, b = 0]) => `${a} and ${b.toString(16)}` },
  {
    string: 'X=%08X i=%i',
    parameters: 2,
    text: ([a = 0, b = 0]) => `X=${a.toString(16).toUpperCase().padStart(8, '0')} i=${BigInt.asIntN(32, BigInt(b))}`,
  },
  {
    string: 'seven %x %x %x %x %x %x %x',
    parameters: 7,
    text: (all) => `seven ${all.map((value) => value.toString(16)).join(' ')}`,
  },
  {
    string: 'address 0x%llx of %u',
    parameters: 3,
    text: ([high = 0, low = 0, c = 0]) =>
      `address 0x${((BigInt(high) << 32n) | BigInt(low)).toString(16).padStart(high === 0 ? low.toString(16).length + 1 : 0, '0')} of ${c}`,
  },
]

export const BASE = 0x0100_0000

/** The strings of the templates, the first one at the base itself. */
export function templateSection(): { base: number; bytes: Buffer; addresses: readonly number[] } {
  let at = BASE
  const addresses = templates.map(({ string }) => {
    const address = at
    at += string.length + 1
    return address
  })
  const bytes = Buffer.concat([Buffer.from(templates.map(({ string }) => `${string}\0`).join(''), 'latin1')], 320)
  return { base: BASE, bytes, addresses }
}

/** A random stream of messages that are woven into one another, over blocks. */
export function randomStream(
  random: Random,
  { messages, start, firstId = 4, ids = 9 }: { messages: number; start: bigint; firstId?: number; ids?: number },
): { blocks: Buffer[]; sent: Sent[] } {
  const { addresses } = templateSection()
  const writer = new BlockWriter()
  const sent: Sent[] = []
  let number = random.below(8192)
  let window = start / 128n
  for (let done = 0; done < messages;) {
    // Messages of one window of 128 ticks, whose events come in any order among one another.
    const group = Array.from({ length: 1 + random.below(4) }, (_, index) => {
      const which = random.below(templates.length)
      const template = templates[which] ?? templates[0]
      if (template === undefined) throw new RangeError('no templates')
      const values = Array.from({ length: template.parameters }, () =>
        random.one([random.below(2 ** 32), random.below(300), 0xffff_ffff, 0]),
      )
      const time = (window * 128n + BigInt(random.below(128))) % TIMES
      const lost = random.below(10) === 0 ? 1 : 0
      const id = firstId + random.below(ids)
      const common = { time, id, number: (number + index) % 8192 }
      const events = [
        stringEvent({ ...common, lost }, addresses[which] ?? 0),
        ...values.map((value, at) => stringEvent({ ...common, part: at + 1 }, value)),
      ]
      return { events, result: { time, lost: lost === 1, eventId: id, text: template.text(values) } }
    })
    number += group.length
    let latest = -1n
    while (group.length > 0) {
      const index = random.below(group.length)
      const one = group[index]
      const event = one?.events.shift()
      if (one === undefined || event === undefined) throw new RangeError('an empty message')
      if (latest < one.result.time) latest = one.result.time
      if (one.events.length === 0) {
        sent.push(one.result)
        group.splice(index, 1)
        done++
      }
      writer.add(event, latest)
    }
    writer.add(timestampEvent((latest + 1n) % TIMES), latest)
    window = (window + BigInt(1 + random.below(random.one([1, 3, 100_000])))) % (TIMES / 128n)
    if (done >= messages) writer.close(latest)
  }
  return { blocks: writer.blocks, sent }
}
