import { readFileSync } from 'node:fs'
import {
  type CrSpace,
  CrSpaceError,
  type CrSpaceScan,
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  OpenError,
  type MemoryProvider,
  type RegisterAccess,
  type RegisteredMemory,
  type RegisterReply,
  type ScannedWords,
  type Transport,
  type UserContext,
} from './contract'
import {
  hex,
  VERSION,
  type CrExchange,
  type Exchange,
  type Header,
  type Line,
  type MemoryExchange,
  type RegisterExchange,
  type ScanExchange,
  type ScanSizeExchange,
} from './recording'

/** The recording is no recording, or does not hold what is asked for. */
class RecordingError extends Error {
  override readonly name = 'RecordingError'
  readonly kind = 'malformed'
  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message)
  }
}

/** A recording, and how far it was replayed. */
export interface Tape {
  readonly header: Header
  readonly lines: readonly Line[]
  /** Exchanges of one request, in their order, and how many of them were used. */
  readonly exchanges: ReadonlyMap<string, { readonly lines: readonly Line[]; used: number }>
}

/**
 * A device that answers what was recorded: the first exchange not yet used with the same inbox.
 * @param tape that of an opening before, to go on where it ended
 */
export async function openReplay(file: string, tape = readTape(file)): Promise<Transport> {
  return new ReplayTransport(file, tape)
}

/** @throws OpenError, RecordingError */
export function readTape(file: string): Tape {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const kind = code === 'ENOENT' ? 'not-found' : code === 'EACCES' ? 'permission' : 'open'
    throw new OpenError(`the recording ${file} cannot be read: ${(error as Error).message}`, kind, { errno: code })
  }
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  else throw new RecordingError(`${file}:${lines.length}: the recording is truncated`)
  const header = parseHeader(lines[0], file)
  const all = lines.slice(1).map((line, index) => parseExchange(line, `${file}:${index + 2}`))
  const exchanges = new Map<string, { readonly lines: Line[]; used: number }>()
  for (const line of all) {
    const same = exchanges.get(keyOf(line))
    if (same === undefined) exchanges.set(keyOf(line), { lines: [line], used: 0 })
    else same.lines.push(line)
  }
  return { header, lines: all, exchanges }
}

class ReplayTransport implements Transport {
  readonly device: DeviceIdentity
  readonly registers?: RegisterAccess
  readonly crSpace?: CrSpace
  readonly memory?: MemoryProvider
  private closed = false
  private readonly memories = new Map<number, ReplayedMemory>()

  constructor(
    private readonly file: string,
    private readonly tape: Tape,
  ) {
    const { header, lines } = tape
    this.device = { ...header.device, transport: 'replay', node: `replay:${file}` }
    if (lines.some((one) => 'register' in one))
      this.registers = {
        limit: Number.MAX_SAFE_INTEGER,
        access: async (id, method, bytes) => this.access(id, method, bytes),
      }
    if (lines.some((one) => 'memory' in one)) this.memory = { register: async (length) => this.register(length) }
    const scans = lines.some((one) => 'scan' in one)
    if (scans || lines.some((one) => 'cr' in one)) this.crSpace = this.recordedCrSpace(scans)
  }

  async identify(): Promise<UserContext> {
    this.checkOpen()
    return this.tape.header.context
  }

  async execute({ inbox, outboxLength }: ExecuteRequest): Promise<Uint8Array> {
    this.checkOpen()
    if (inbox.length < 16 || !(outboxLength >= 16)) throw new RangeError('inbox and outbox have at least 16 bytes')
    const wanted: Exchange = { in: hex(inbox), outLength: outboxLength, scope: null }
    const what = `command 0x${wanted.in.slice(0, 4)} with this inbox and an outbox of ${outboxLength} bytes`
    const { out, wrote } = this.answer(what, wanted)
    for (const { id, offset, data } of wrote ?? []) this.memories.get(id)?.write(offset, bytesOf(data))
    return bytesOf(out)
  }

  async close(): Promise<void> {
    for (const memory of this.memories.values()) await memory.release()
    this.closed = true
  }

  private register(length: number): RegisteredMemory {
    const { id = 0, address = '0' } = this.answer<MemoryExchange>(`memory of ${length} bytes`, { memory: length })
    const memory = new ReplayedMemory(id, BigInt(address), length)
    this.memories.set(id, memory)
    return memory
  }

  private access(id: number, method: 'read' | 'write', bytes: Uint8Array): RegisterReply {
    const wanted: RegisterExchange = { register: id, method, in: hex(bytes) }
    const found = this.answer(`${method} of register 0x${id.toString(16)} with these fields`, wanted)
    return { status: found.status ?? 0, syndrome: found.syndrome ?? 0, bytes: bytesOf(found.out) }
  }

  private recordedCrSpace(scans: boolean): CrSpace {
    const scan: CrSpaceScan = {
      size: async () => this.answer<ScanSizeExchange>('size of a scan', { scanSize: 0 }).scanSize,
      read: async (from, most) => this.scan(from, most),
    }
    return {
      read: async (address, dwords) =>
        this.words<CrExchange>(`read of ${dwords} words at 0x${address.toString(16)}`, { cr: address, dwords }).words,
      ...(scans ? { scan } : {}),
    }
  }

  private scan(from: number, most: number): ScannedWords {
    const wanted: ScanExchange = { scan: from, most }
    const { words, exchange } = this.words(`scan of ${most} words from 0x${from.toString(16)}`, wanted)
    return { pairs: words, next: exchange.next }
  }

  /** Words of CR space; of a read that failed, the error has them. */
  private words<L extends CrExchange | ScanExchange>(what: string, wanted: L): { words: Uint32Array; exchange: L } {
    const exchange = this.exchange(what, wanted)
    const bytes = Buffer.from(exchange.out ?? '', 'hex')
    const words = Uint32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32BE(index * 4))
    if (exchange.errno === undefined) return { words, exchange }
    const failed = deliveryError(exchange)
    throw exchange.at === undefined ? failed : new CrSpaceError(failed, exchange.at, words)
  }

  /** The first that fits and was not used yet, else the last that fits. @throws RecordingError */
  private exchange<L extends Line>(what: string, wanted: L): L {
    this.checkOpen()
    const same = this.tape.exchanges.get(keyOf(wanted))
    if (same === undefined)
      throw new RecordingError(`${this.file} has no ${what}`, 'record the same command line again with --record')
    const found = same.lines[Math.min(same.used++, same.lines.length - 1)]
    return found as L
  }

  /** An exchange that was answered. @throws RecordingError, DeliveryError */
  private answer<L extends Line>(what: string, wanted: L): L {
    const exchange = this.exchange(what, wanted)
    if (exchange.errno !== undefined) throw deliveryError(exchange)
    return exchange
  }

  private checkOpen(): void {
    if (this.closed) throw new DeliveryError('the device is closed', 'EBADF')
  }
}

const PAGE = 4096

/** Memory at the address that it had, for the inboxes that name it; what was written then is written again. */
class ReplayedMemory implements RegisteredMemory {
  bytes: Uint8Array

  constructor(
    readonly id: number,
    readonly address: bigint,
    length: number,
  ) {
    this.bytes = new Uint8Array(Math.ceil(length / PAGE) * PAGE)
  }

  /** @throws RecordingError */
  write(offset: number, data: Uint8Array): void {
    if (offset + data.length > this.bytes.length)
      throw new RecordingError('the recording writes past the end of its memory')
    this.bytes.set(data, offset)
  }

  async release(): Promise<void> {
    this.bytes = new Uint8Array(0)
  }
}

/** What was asked, and not what was answered: the same for an exchange and for what looks for it. */
function keyOf(line: Line): string {
  if ('register' in line) return `register ${line.register} ${line.method} ${line.in}`
  if ('cr' in line) return `cr ${line.cr} ${line.dwords}`
  if ('scanSize' in line) return 'scan size'
  if ('memory' in line) return `memory ${line.memory}`
  if ('scan' in line) return `scan ${line.scan} ${line.most}`
  return `command ${line.outLength} ${line.in}`
}

function deliveryError({ message, errno, kind, hint }: Line): DeliveryError {
  return new DeliveryError(message ?? 'the command failed', errno ?? 'EIO', { kind: kind ?? 'delivery', hint })
}

const bytesOf = (digits: string | undefined): Uint8Array => Uint8Array.from(Buffer.from(digits ?? '', 'hex'))

function parseHeader(line: string | undefined, file: string): Header {
  const raw = parseLine(line ?? '', `${file}:1`)
  const version = raw['mlx5ctl-recording']
  if (typeof version !== 'number') throw new RecordingError(`${file} is no recording`)
  if (version !== VERSION)
    throw new RecordingError(`${file} is a recording of version ${version}; this tool reads ${VERSION}`)
  const { device, context } = raw as Partial<Header>
  if (!Array.isArray(device?.rdma) || !Array.isArray(device.net) || typeof context?.uapi !== 'string')
    throw new RecordingError(`${file}:1: the recording names no device`)
  return raw as unknown as Header
}

function parseExchange(line: string, where: string): Line {
  const raw = parseLine(line, where)
  if (!isLine(raw)) throw new RecordingError(`${where}: is no exchange of a recording`)
  return raw as unknown as Line
}

function isLine(raw: Record<string, unknown>): boolean {
  const { in: sent, out, outLength, errno, register, method, cr, dwords, scan, most, next, at, scanSize } = raw
  const isHex = (text: unknown): text is string => typeof text === 'string' && /^(?:[0-9a-f]{2})*$/.test(text)
  const isWords = (text: unknown, count: number): boolean => isHex(text) && text.length === count * 8
  const failed = typeof errno === 'string'
  const integers = (...values: unknown[]): boolean => values.every((value) => Number.isSafeInteger(value))
  const optional = (value: unknown): boolean => value === undefined || Number.isSafeInteger(value)
  if (register !== undefined)
    return integers(register) && (method === 'read' || method === 'write') && isHex(sent) && (isHex(out) || failed)
  if (cr !== undefined)
    return integers(cr, dwords) && optional(at) && (failed ? partWords(out) : isWords(out, Number(dwords)))
  if (scan !== undefined)
    return integers(scan, most) && optional(next) && optional(at) && (failed || isHex(out)) && partWords(out)
  if (scanSize !== undefined) return integers(scanSize)
  if (raw.memory !== undefined)
    return (
      integers(raw.memory) &&
      Number(raw.memory) > 0 &&
      Number(raw.memory) <= MOST_MEMORY &&
      (failed || (integers(raw.id) && /^0x[0-9a-f]{1,16}$/.test(String(raw.address))))
    )
  if (raw.wrote !== undefined && !(Array.isArray(raw.wrote) && raw.wrote.every(isChange))) return false
  const answered = isHex(out) && out.length >= 32 && out.length === Number(outLength) * 2
  return isHex(sent) && sent.length >= 32 && typeof outLength === 'number' && (answered || failed)
}

/** No recording has more: the tool registers at most 1 GiB. */
const MOST_MEMORY = 2 ** 30

function isChange(value: unknown): boolean {
  const { id, offset, data } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  return (
    Number.isSafeInteger(id) &&
    Number.isSafeInteger(offset) &&
    Number(offset) >= 0 &&
    typeof data === 'string' &&
    /^(?:[0-9a-f]{2})*$/.test(data)
  )
}

/** Words that are there, as many as they may be. */
const partWords = (out: unknown): boolean =>
  out === undefined || (typeof out === 'string' && /^(?:[0-9a-f]{8})*$/.test(out))

function parseLine(line: string, where: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Told below, with the line.
  }
  throw new RecordingError(`${where}: is no line of a recording`)
}
