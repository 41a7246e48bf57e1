import { closeSync, openSync, writeSync } from 'node:fs'
import {
  type CrSpace,
  CrSpaceError,
  DeliveryError,
  type DeviceIdentity,
  type MemoryProvider,
  type RegisteredMemory,
  type RegisterReply,
  type ScannedWords,
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
 *   {"cr":131072,"dwords":256,"out":"<hex>","at":131080,"errno":"EIO","message":"...","kind":"delivery"}
 *   {"memory":2097152,"id":5,"address":"0x7f0000000000","us":40}
 *   {"in":"<hex>","scope":1,"outLength":80,"out":"<hex>","wrote":[{"id":5,"offset":0,"data":"<hex>"}],"us":900}
 *   {"scanSize":5245960,"us":2}
 *   {"scan":0,"most":4096,"out":"<hex>","next":65536,"us":900}
 *
 * What a command changed in registered memory stands beside its outbox. Words of CR space are big-endian. A read of it that failed has the words before the one that failed, and its address.
 */
export const VERSION = 1

export interface Header {
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
export interface RegisterExchange extends Failure {
  readonly register: number
  readonly method: 'read' | 'write'
  readonly in: string
  readonly out?: string
  readonly status?: number
  readonly syndrome?: number
}

export interface CrExchange extends Failure {
  readonly cr: number
  readonly dwords: number
  readonly out?: string
  /** Address of the word that could not be read. */
  readonly at?: number
}

export interface ScanExchange extends Failure {
  readonly scan: number
  readonly most: number
  readonly out?: string
  readonly next?: number
  readonly at?: number
}

export interface ScanSizeExchange extends Failure {
  readonly scanSize: number
}

/** Memory was registered; `memory` is its length in bytes as it was asked for. */
export interface MemoryExchange extends Failure {
  readonly memory: number
  readonly id?: number
  readonly address?: string
}

/** What the device wrote into registered memory. */
export interface MemoryChange {
  readonly id: number
  readonly offset: number
  readonly data: string
}

export interface Exchange extends Failure {
  readonly in: string
  readonly scope: number | null
  readonly outLength: number
  readonly out?: string
  readonly wrote?: readonly MemoryChange[]
}

export type Line = Exchange | RegisterExchange | CrExchange | ScanExchange | ScanSizeExchange | MemoryExchange

/** The recording is not whole. */
class RecordingFailed extends Error {
  readonly kind = 'open'
  constructor(file: string, cause: Error) {
    super(`the recording ${file} is not whole: ${cause.message}`)
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
}

/**
 * Passes everything through and writes it down.
 * @param goesOn behind what the file has: the same device was opened, and recorded, before
 */
export async function recordTransport(transport: Transport, file: string, goesOn = false): Promise<Transport> {
  const fd = openSync(file, goesOn ? 'a' : 'w', 0o600)
  let closed = false
  /** What keeps the recording from being written. The device is used all the same, and it is told in the end. */
  let trouble: Error | undefined
  const line = (record: Header | Line): void => {
    if (closed || trouble !== undefined) return
    try {
      writeWhole(fd, Buffer.from(`${JSON.stringify(record)}\n`))
    } catch (error) {
      trouble = new RecordingFailed(file, error as Error)
    }
  }
  const context = await transport.identify()
  if (!goesOn) line({ 'mlx5ctl-recording': VERSION, device: transport.device, context })
  /** Runs one exchange and writes it down, whether it is answered or fails to be delivered. */
  const passed: Passed = async (base, work, result) => {
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
  const { registers, crSpace, memory } = transport
  const watched = new Set<WatchedMemory>()
  return {
    device: transport.device,
    identify: () => transport.identify(),
    execute: (request) =>
      passed<Uint8Array, Exchange>(
        { in: hex(request.inbox), scope: request.scope, outLength: request.outboxLength },
        () => transport.execute(request),
        (outbox) => {
          const wrote = [...watched].flatMap((one) => one.changes())
          return { out: hex(outbox), ...(wrote.length === 0 ? {} : { wrote }) }
        },
      ),
    close: async () => {
      await transport.close()
      if (closed) return
      closed = true
      closeSync(fd)
      if (trouble !== undefined) throw trouble
    },
    ...(memory === undefined ? {} : { memory: recordedMemory(memory, passed, watched) }),
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
    ...(crSpace === undefined ? {} : { crSpace: recordedCrSpace(crSpace, passed) }),
  }
}

type Passed = <T, L extends Line>(base: L, work: () => Promise<T>, result: (value: T) => Partial<L>) => Promise<T>

/** Memory whose changes are looked for after each command. */
class WatchedMemory {
  private before: Buffer

  constructor(private readonly memory: RegisteredMemory) {
    this.before = Buffer.from(memory.bytes)
  }

  /** From the first to the last byte that is another than before. */
  changes(): MemoryChange[] {
    const { id, bytes } = this.memory
    if (bytes.length !== this.before.length || this.before.equals(bytes)) return []
    let [first, last] = [0, bytes.length - 1]
    while (bytes[first] === this.before[first]) first++
    while (bytes[last] === this.before[last]) last--
    this.before = Buffer.from(bytes)
    return [{ id, offset: first, data: hex(bytes.subarray(first, last + 1)) }]
  }
}

function recordedMemory(provider: MemoryProvider, passed: Passed, watched: Set<WatchedMemory>): MemoryProvider {
  return {
    register: async (length) => {
      const memory = await passed<RegisteredMemory, MemoryExchange>(
        { memory: length },
        () => provider.register(length),
        ({ id, address }) => ({ id, address: `0x${address.toString(16)}` }),
      )
      const one = new WatchedMemory(memory)
      watched.add(one)
      return {
        id: memory.id,
        address: memory.address,
        get bytes() {
          return memory.bytes
        },
        release: () => {
          watched.delete(one)
          return memory.release()
        },
      }
    },
  }
}

function recordedCrSpace(crSpace: CrSpace, passed: Passed): CrSpace {
  const { scan } = crSpace
  return {
    read: (address, dwords) =>
      passed<Uint32Array, CrExchange>(
        { cr: address, dwords },
        () => crSpace.read(address, dwords),
        (words) => ({ out: wordsHex(words) }),
      ),
    ...(scan === undefined
      ? {}
      : {
          scan: {
            size: () =>
              passed<number, ScanSizeExchange>(
                { scanSize: 0 },
                () => scan.size(),
                (scanSize) => ({ scanSize }),
              ),
            read: (from, most) =>
              passed<ScannedWords, ScanExchange>(
                { scan: from, most },
                () => scan.read(from, most),
                ({ pairs, next }) => ({ out: wordsHex(pairs), ...(next === undefined ? {} : { next }) }),
              ),
          },
        }),
  }
}

function failure(error: DeliveryError): Failure & { at?: number; out?: string } {
  const { errno, message, kind, hint } = error instanceof CrSpaceError ? error.reason : error
  const where = error instanceof CrSpaceError ? { at: error.address, out: wordsHex(error.before) } : {}
  return { ...where, errno, message, kind, ...(hint === undefined ? {} : { hint }) }
}

function wordsHex(words: Uint32Array): string {
  return Buffer.from(Uint32Array.from(words).buffer).swap32().toString('hex')
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
