import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import {
  type CrSpace,
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  OpenError,
  type RegisterAccess,
  type RegisterReply,
  type Transport,
  type UserContext,
} from './contract'

/**
 * A recording is text: a header line, then one line of JSON for each exchange, written when it happens.
 *
 *   {"mlx5ctl-recording":1,"device":{...},"context":{...}}
 *   {"in":"<hex>","scope":0,"outLength":272,"out":"<hex>","us":85}
 *   {"in":"<hex>","scope":1,"outLength":16,"errno":"EBADMSG","message":"...","kind":"delivery"}
 *   {"register":36896,"method":"read","in":"<hex>","out":"<hex>","status":0,"syndrome":0,"us":85}
 *   {"cr":983060,"dwords":1,"out":"<hex>","us":3}
 */
const VERSION = 1

interface Header {
  readonly 'mlx5ctl-recording': number
  readonly device: DeviceIdentity
  readonly context: UserContext
}

interface Failure {
  readonly errno?: string
  readonly message?: string
  readonly kind?: DeliveryError['kind']
  readonly hint?: string
  readonly us?: number
}

/** An access register, of a transport that has them. */
interface RegisterExchange extends Failure {
  readonly register: number
  readonly method: 'read' | 'write'
  readonly in: string
  readonly out?: string
  readonly status?: number
  readonly syndrome?: number
}

/** A read of CR space; the words are big-endian. */
interface CrExchange extends Failure {
  readonly cr: number
  readonly dwords: number
  readonly out?: string
}

interface Exchange extends Failure {
  readonly in: string
  readonly scope: number | null
  readonly outLength: number
  readonly out?: string
}

type Line = Exchange | RegisterExchange | CrExchange

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

/** Passes everything through and writes it down. */
export async function recordTransport(transport: Transport, file: string): Promise<Transport> {
  const fd = openSync(file, 'w', 0o600)
  let closed = false
  const line = (record: Header | Line): void => {
    if (!closed) writeSync(fd, `${JSON.stringify(record)}\n`)
  }
  line({ 'mlx5ctl-recording': VERSION, device: transport.device, context: await transport.identify() })
  /** Runs one exchange and writes it down, whether it is answered or fails to be delivered. */
  const passed = async <T, L extends Line>(
    base: L,
    work: () => Promise<T>,
    result: (value: T) => Partial<L>,
  ): Promise<T> => {
    const start = performance.now()
    const time = (): { us: number } => ({ us: Math.round((performance.now() - start) * 1000) })
    try {
      const value = await work()
      line({ ...base, ...result(value), ...time() })
      return value
    } catch (error) {
      if (error instanceof DeliveryError) line({ ...base, ...failure(error), ...time() })
      throw error
    }
  }
  const { registers, crSpace } = transport
  return {
    device: transport.device,
    identify: () => transport.identify(),
    execute: (request) =>
      passed<Uint8Array, Exchange>(
        { in: hex(request.inbox), scope: request.scope, outLength: request.outboxLength },
        () => transport.execute(request),
        (outbox) => ({ out: hex(outbox) }),
      ),
    close: async () => {
      await transport.close()
      if (!closed) closeSync(fd)
      closed = true
    },
    ...(transport.memory === undefined ? {} : { memory: transport.memory }),
    ...(registers === undefined
      ? {}
      : {
          registers: {
            limit: registers.limit,
            access: (id, method, bytes) =>
              passed<RegisterReply, RegisterExchange>(
                { register: id, method, in: hex(bytes) },
                () => registers.access(id, method, bytes),
                ({ status, syndrome, bytes: answer }) => ({ out: hex(answer), status, syndrome }),
              ),
          },
        }),
    ...(crSpace === undefined
      ? {}
      : {
          crSpace: {
            read: (address, dwords) =>
              passed<Uint32Array, CrExchange>(
                { cr: address, dwords },
                () => crSpace.read(address, dwords),
                (words) => ({ out: [...words].map((word) => word.toString(16).padStart(8, '0')).join('') }),
              ),
          },
        }),
  }
}

/** A device that answers what was recorded: the first exchange not yet used with the same inbox. */
export async function openReplay(file: string): Promise<Transport> {
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
  const exchanges = lines.slice(1).map((line, index) => parseExchange(line, `${file}:${index + 2}`))
  return new ReplayTransport(file, header, exchanges)
}

class ReplayTransport implements Transport {
  readonly device: DeviceIdentity
  readonly registers?: RegisterAccess
  readonly crSpace?: CrSpace
  private closed = false
  private readonly used = new Set<Line>()

  constructor(
    private readonly file: string,
    private readonly header: Header,
    private readonly exchanges: readonly Line[],
  ) {
    this.device = { ...header.device, transport: 'replay', node: `replay:${file}` }
    if (exchanges.some((one) => 'register' in one))
      this.registers = {
        limit: Number.MAX_SAFE_INTEGER,
        access: async (id, method, bytes) => this.access(id, method, bytes),
      }
    if (exchanges.some((one) => 'cr' in one))
      this.crSpace = { read: async (address, dwords) => this.readCrSpace(address, dwords) }
  }

  async identify(): Promise<UserContext> {
    this.checkOpen()
    return this.header.context
  }

  async execute({ inbox, outboxLength }: ExecuteRequest): Promise<Uint8Array> {
    this.checkOpen()
    if (inbox.length < 16 || !(outboxLength >= 16)) throw new RangeError('inbox and outbox have at least 16 bytes')
    const wanted = hex(inbox)
    const what = `command 0x${wanted.slice(0, 4)} with this inbox and an outbox of ${outboxLength} bytes`
    const { out } = this.answer(
      what,
      (one) => 'outLength' in one && one.in === wanted && one.outLength === outboxLength,
    )
    return bytesOf(out)
  }

  async close(): Promise<void> {
    this.closed = true
  }

  private access(id: number, method: 'read' | 'write', bytes: Uint8Array): RegisterReply {
    const wanted = hex(bytes)
    const found = this.answer(
      `${method} of register 0x${id.toString(16)} with these fields`,
      (one): one is RegisterExchange =>
        'register' in one && one.register === id && one.method === method && one.in === wanted,
    ) as RegisterExchange
    return { status: found.status ?? 0, syndrome: found.syndrome ?? 0, bytes: bytesOf(found.out) }
  }

  private readCrSpace(address: number, dwords: number): Uint32Array {
    const what = `read of ${dwords} words at 0x${address.toString(16)}`
    const { out } = this.answer(what, (one) => 'cr' in one && one.cr === address && one.dwords === dwords)
    const words = Buffer.from(out ?? '', 'hex')
    return Uint32Array.from({ length: dwords }, (_, index) => words.readUInt32BE(index * 4))
  }

  /** The first that fits and was not used yet, else the last that fits. @throws RecordingError, DeliveryError */
  private answer(what: string, fits: (line: Line) => boolean): Line {
    this.checkOpen()
    const same = this.exchanges.filter(fits)
    const exchange = same.find((one) => !this.used.has(one)) ?? same.at(-1)
    if (exchange === undefined)
      throw new RecordingError(`${this.file} has no ${what}`, 'record the same command line again with --record')
    this.used.add(exchange)
    if (exchange.out !== undefined) return exchange
    throw new DeliveryError(exchange.message ?? 'the command failed', exchange.errno ?? 'EIO', {
      kind: exchange.kind ?? 'delivery',
      hint: exchange.hint,
    })
  }

  private checkOpen(): void {
    if (this.closed) throw new DeliveryError('the device is closed', 'EBADF')
  }
}

const bytesOf = (digits: string | undefined): Uint8Array => Uint8Array.from(Buffer.from(digits ?? '', 'hex'))

function failure(error: DeliveryError): Failure {
  const { errno, message, kind, hint } = error
  return { errno, message, kind, ...(hint === undefined ? {} : { hint }) }
}

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

function isLine({ in: sent, out, outLength, errno, register, method, cr, dwords }: Record<string, unknown>): boolean {
  const isHex = (text: unknown): text is string => typeof text === 'string' && /^(?:[0-9a-f]{2})*$/.test(text)
  const failed = typeof errno === 'string'
  if (register !== undefined)
    return (
      Number.isSafeInteger(register) &&
      (method === 'read' || method === 'write') &&
      isHex(sent) &&
      (isHex(out) || failed)
    )
  if (cr !== undefined)
    return (
      Number.isSafeInteger(cr) &&
      Number.isSafeInteger(dwords) &&
      (failed || (isHex(out) && out.length === Number(dwords) * 8))
    )
  const answered = isHex(out) && out.length >= 32 && out.length === Number(outLength) * 2
  return isHex(sent) && sent.length >= 32 && typeof outLength === 'number' && (answered || failed)
}

function parseLine(line: string, where: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Told below, with the line.
  }
  throw new RecordingError(`${where}: is no line of a recording`)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
