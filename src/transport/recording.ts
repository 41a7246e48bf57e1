import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import {
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  OpenError,
  type Transport,
  type UserContext,
} from './contract'

/**
 * A recording is text: a header line, then one line of JSON for each exchange, written when it happens.
 *
 *   {"mlx5ctl-recording":1,"device":{...},"context":{...}}
 *   {"in":"<hex>","scope":0,"outLength":272,"out":"<hex>","us":85}
 *   {"in":"<hex>","scope":1,"outLength":16,"errno":"EBADMSG","message":"...","kind":"delivery"}
 */
const VERSION = 1

interface Header {
  readonly 'mlx5ctl-recording': number
  readonly device: DeviceIdentity
  readonly context: UserContext
}

interface Exchange {
  readonly in: string
  readonly scope: number | null
  readonly outLength: number
  readonly out?: string
  readonly errno?: string
  readonly message?: string
  readonly kind?: DeliveryError['kind']
  readonly hint?: string
  readonly us?: number
}

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
  const line = (record: Header | Exchange): void => {
    if (!closed) writeSync(fd, `${JSON.stringify(record)}\n`)
  }
  line({ 'mlx5ctl-recording': VERSION, device: transport.device, context: await transport.identify() })
  const recording: Transport = {
    device: transport.device,
    identify: () => transport.identify(),
    execute: async (request) => {
      const start = performance.now()
      const base = { in: hex(request.inbox), scope: request.scope, outLength: request.outboxLength }
      const time = (): { us: number } => ({ us: Math.round((performance.now() - start) * 1000) })
      try {
        const outbox = await transport.execute(request)
        line({ ...base, out: hex(outbox), ...time() })
        return outbox
      } catch (error) {
        if (error instanceof DeliveryError) line({ ...base, ...failure(error), ...time() })
        throw error
      }
    },
    close: async () => {
      await transport.close()
      if (!closed) closeSync(fd)
      closed = true
    },
    ...(transport.memory === undefined ? {} : { memory: transport.memory }),
    ...(transport.registers === undefined ? {} : { registers: transport.registers }),
    ...(transport.crSpace === undefined ? {} : { crSpace: transport.crSpace }),
  }
  return recording
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
  private closed = false
  private readonly used = new Set<Exchange>()

  constructor(
    private readonly file: string,
    private readonly header: Header,
    private readonly exchanges: readonly Exchange[],
  ) {
    this.device = { ...header.device, transport: 'replay', node: `replay:${file}` }
  }

  async identify(): Promise<UserContext> {
    this.checkOpen()
    return this.header.context
  }

  async execute({ inbox, outboxLength }: ExecuteRequest): Promise<Uint8Array> {
    this.checkOpen()
    if (inbox.length < 16 || !(outboxLength >= 16)) throw new RangeError('inbox and outbox have at least 16 bytes')
    const wanted = hex(inbox)
    const same = this.exchanges.filter((one) => one.in === wanted && one.outLength === outboxLength)
    const exchange = same.find((one) => !this.used.has(one)) ?? same.at(-1)
    if (exchange === undefined)
      throw new RecordingError(
        `${this.file} has no command 0x${wanted.slice(0, 4)} with this inbox and an outbox of ${outboxLength} bytes`,
        'record the same command line again with --record',
      )
    this.used.add(exchange)
    if (exchange.out !== undefined) return Uint8Array.from(Buffer.from(exchange.out, 'hex'))
    throw new DeliveryError(exchange.message ?? 'the command failed', exchange.errno ?? 'EIO', {
      kind: exchange.kind ?? 'delivery',
      hint: exchange.hint,
    })
  }

  async close(): Promise<void> {
    this.closed = true
  }

  private checkOpen(): void {
    if (this.closed) throw new DeliveryError('the device is closed', 'EBADF')
  }
}

function failure(error: DeliveryError): Partial<Exchange> {
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
  if (
    !Array.isArray(device?.rdma) ||
    !Array.isArray(device.net) ||
    typeof context?.uid !== 'number' ||
    typeof context.uctxCap !== 'number'
  )
    throw new RecordingError(`${file}:1: the recording names no device`)
  return raw as unknown as Header
}

function parseExchange(line: string, where: string): Exchange {
  const raw = parseLine(line, where) as Partial<Exchange>
  const { in: inbox, out, outLength, errno } = raw
  const isHex = (text: unknown): text is string => typeof text === 'string' && /^(?:[0-9a-f]{2}){16,}$/.test(text)
  const answered = isHex(out) && out.length === (outLength ?? 0) * 2
  if (!isHex(inbox) || typeof outLength !== 'number' || !(answered || typeof errno === 'string'))
    throw new RecordingError(`${where}: is no exchange of a recording`)
  return raw as Exchange
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
