import { Device } from '../../src/device/device'
import type { HostClock } from '../../src/device/diagnostic-stream'
import { DeliveryError, type Transport } from '../../src/transport/contract'
import { catalogue, codec } from './scripted-device'

/** What a round of the simulated device is: its number, its time in ticks, and what a counter has then. */
export interface TrueRound {
  readonly id: number
  readonly ticks: number
}

export interface SamplingOptions {
  readonly frequencyKhz?: number
  readonly logMaxSamples?: number
  readonly logMinPeriod?: number
  readonly counters?: readonly (readonly [id: number, sync: boolean])[]
  /** Nanoseconds between two rounds, however short a period is asked for. */
  readonly fastest?: number
  /** Number of the first round, and ticks at the beginning. */
  readonly firstId?: number
  readonly firstTicks?: number
  /** Rounds that the device does not take: their numbers are left out. */
  readonly loses?: (id: number) => boolean
  /** Nanoseconds that a round comes late. */
  readonly jitter?: (id: number) => number
  /** Changes the answer to QUERY_DIAGNOSTIC_COUNTERS. */
  readonly spoil?: (outbox: Buffer, slot: number, device: SamplingDevice) => void
  /** What sample_index means: a slot, or a place counted from the oldest round. */
  readonly index?: 'slot' | 'oldest'
  /** What num_of_samples counts, and whether too many are refused. */
  readonly unit?: 'records' | 'rounds'
  /** Bytes of outbox beyond which it refuses. */
  readonly longestOutbox?: number
  readonly debug?: number
  readonly count?: number
  /** Samples in the ring at least, as a power of two, whatever is asked for. */
  readonly leastLogSamples?: number
  /** Keeps what the ring holds, unless it is set with clear. */
  readonly keeps?: boolean
  /** Milliseconds that a command takes. */
  readonly commandTime?: number
}

/**
 * A device with diagnostic counters that a test simulates in its own time, written from facts: dumps, E (offsets in bytes and
 * bits of the mailboxes). It and the tool share nothing but these.
 */
export class SamplingDevice implements HostClock {
  /** Nanoseconds of both clocks. */
  time = 5_000_000_000n
  /** SET_DIAGNOSTIC_PARAMS as they came, and lengths of all outboxes. */
  readonly sets: Buffer[] = []
  readonly commands: { opcode: number; inbox: Buffer; outboxLength: number }[] = []
  /** Every round that was taken. */
  taken: TrueRound[] = []
  readonly device: Device
  failing: (opcode: number, count: number) => 'ok' | 'lost' | 'gone' = () => 'ok'
  /** The context of 24 bytes and the list, as it was set. */
  context: Buffer = Buffer.alloc(24)
  private started = 0n
  private rounds = 0
  /** By slot. */
  private ring: (TrueRound | undefined)[] = []

  constructor(readonly options: SamplingOptions = {}) {
    const transport: Transport = {
      device: { transport: 'emu', node: 'sampling', rdma: [], net: [] },
      identify: async () => ({ uapi: 'sampling' }),
      execute: async ({ inbox, outboxLength }) => this.execute(Buffer.from(inbox), outboxLength),
      close: async () => undefined,
    }
    this.device = new Device(transport, catalogue, codec, {})
  }

  now(): number {
    return Number(this.time) / 1e6
  }

  async sleep(milliseconds: number): Promise<void> {
    this.time += BigInt(Math.round(milliseconds * 1e6))
  }

  get frequency(): bigint {
    return BigInt(this.options.frequencyKhz ?? 1_000_000)
  }

  get counters(): number[] {
    return Array.from({ length: this.context.readUInt16BE(0) }, (_, index) =>
      this.context.readUInt16BE(24 + 4 * index + 2),
    )
  }

  get slots(): number {
    return 2 ** this.context.readUInt8(3)
  }

  /** Value of a counter at a time, of more than 32 bits; the low 32 bits of the time are enough to tell it. */
  static value(counter: number, ticks: bigint): bigint {
    return (BigInt(counter) << 40n) + (ticks % 2n ** 32n) * 3n
  }

  private execute(inbox: Buffer, outboxLength: number): Buffer {
    const opcode = inbox.readUInt16BE(0)
    this.commands.push({ opcode, inbox, outboxLength })
    const outbox = Buffer.alloc(outboxLength)
    const fate = this.failing(opcode, this.commands.length)
    if (fate === 'gone') throw new DeliveryError('gone', 'ENODEV')
    this.time += BigInt(Math.round((this.options.commandTime ?? 0.2) * 1e6))
    this.sample()
    const status = this.answer(opcode, inbox, outbox)
    if (fate === 'lost') throw new DeliveryError('not answered', 'ETIMEDOUT')
    if (status === 0) return outbox
    const refused = Buffer.alloc(outboxLength)
    refused.writeUInt8(status, 0)
    refused.writeUInt32BE(0x123456, 4)
    return refused
  }

  private answer(opcode: number, inbox: Buffer, outbox: Buffer): number {
    if (opcode === 0x100) return this.capability(inbox.readUInt16BE(6), outbox)
    if (opcode === 0x820) return this.set(inbox)
    if (opcode === 0x819) {
      if (outbox.length < 8 + this.context.length) return 0x51
      this.context.copy(outbox, 8)
      return 0
    }
    return opcode === 0x821 ? this.records(inbox, outbox) : 0x02
  }

  private capability(opMod: number, outbox: Buffer): number {
    const { counters = defaultCounters, debug = 1, logMaxSamples = 14, logMinPeriod = 0 } = this.options
    if (opMod === 0x01) {
      outbox.writeUInt32BE(debug << 28, 16 + 0x30)
      outbox.writeUInt16BE(this.options.count ?? counters.length, 16 + 0x50)
      outbox.writeUInt32BE(Number(this.frequency), 16 + 0x9c)
      return 0
    }
    if (opMod !== 0x1b) return 0x03
    outbox.writeUInt8(logMaxSamples, 16 + 3)
    outbox.writeUInt8(0xc0, 16 + 4)
    outbox.writeUInt8(logMinPeriod, 16 + 7)
    for (const [index, [id, sync]] of counters.entries())
      outbox.writeUInt32BE((sync ? 2 ** 31 : 0) + id, 16 + 64 + 4 * index)
    return 0
  }

  private set(inbox: Buffer): number {
    this.sets.push(inbox)
    this.context = Buffer.from(inbox.subarray(8))
    this.context.writeUInt8(Math.max(this.options.leastLogSamples ?? 0, this.context.readUInt8(3)), 3)
    const { ring } = this
    this.restart()
    if (this.options.keeps === true && (this.context.readUInt8(4) & 0x10) === 0)
      for (const [slot, round] of ring.entries()) if (slot < this.slots) this.ring[slot] = round
    return 0
  }

  /** Somebody else sets other parameters. */
  usurp(context: Buffer): void {
    this.context = context
    this.restart()
  }

  private restart(): void {
    this.started = this.time
    this.rounds = 0
    this.ring = new Array<TrueRound | undefined>(this.slots).fill(undefined)
    this.taken = []
  }

  private get isSampling(): boolean {
    return (this.context.readUInt8(4) & 0x04) !== 0
  }

  /** Takes all rounds that are due. */
  private sample(): void {
    if (!this.isSampling) return
    const { fastest = 93_246, firstId = 1, firstTicks = 0, loses = () => false, jitter = () => 0 } = this.options
    const asked = 2 ** this.context.readUInt8(7) * (1e6 / Number(this.frequency))
    const period = Math.max(fastest, asked)
    const now = Number(this.time - this.started)
    const perNanosecond = Number(this.frequency) / 1e6
    for (;;) {
      const due = Math.round(period * (this.rounds + 1))
      if (due > now) return
      const id = firstId + this.rounds++
      if (loses(id)) continue
      const round = { id, ticks: firstTicks + Math.floor((due + jitter(id)) * perNanosecond) }
      this.ring[this.taken.length % this.slots] = round
      this.taken.push(round)
    }
  }

  private records(inbox: Buffer, outbox: Buffer): number {
    const { unit = 'records', index = 'slot', longestOutbox = 2 ** 21, spoil } = this.options
    const { counters, slots } = this
    const [wanted, first] = [inbox.readUInt16BE(8), inbox.readUInt16BE(10)]
    if (outbox.length > longestOutbox) return 0x51
    if (unit === 'rounds' && wanted > slots) return 0x03
    if (first >= slots) return 0x0a
    const records = unit === 'rounds' ? wanted * counters.length : wanted
    const oldest = index === 'slot' ? 0 : Math.max(0, this.taken.length - slots)
    for (let record = 0; record < records && 16 + (record + 1) * 16 <= outbox.length; record++) {
      const slot = first + Math.floor(record / counters.length)
      const round = this.ring[(oldest + slot) % slots]
      if (slot >= slots || round === undefined) continue
      const counter = counters[record % counters.length] ?? 0
      writeRecord(outbox, 16 + record * 16, counter, round.id, round.ticks)
    }
    spoil?.(outbox, first, this)
    return 0
  }
}

export const defaultCounters: readonly (readonly [number, boolean])[] = [
  [0x0401, true],
  [0x2006, true],
  [0x040b, false],
]

/** Counter and sample id, time, high and low half of the value; big-endian. */
export function writeRecord(bytes: Buffer, at: number, counter: number, id: number, ticks: number): void {
  const low = ticks % 2 ** 32
  bytes.writeUInt16BE(counter, at)
  bytes.writeUInt16BE(id % 65_536, at + 2)
  bytes.writeUInt32BE(low, at + 4)
  // The value: counter * 2^40, and three times the low half of the time.
  bytes.writeUInt32BE(counter * 256 + Math.floor((low * 3) / 2 ** 32), at + 8)
  bytes.writeUInt32BE((low * 3) % 2 ** 32, at + 12)
}
