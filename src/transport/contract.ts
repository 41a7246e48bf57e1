/**
 * What every transport promises. One conformance suite (test/transport/conformance.ts) checks these sentences over every
 * transport. A transport moves bytes; it knows no layout but the first two dwords of a mailbox.
 */

/** fwctl scope; transports without scopes ignore it. */
export type Scope = 0 | 1 | 2 | 3

export type TransportKind = 'mlx5ctl' | 'fwctl' | 'pci' | 'emu' | 'replay'

export interface DeviceIdentity {
  readonly transport: TransportKind
  /** What the user can type to get this device again: /dev/fwctl/fwctl0, emu:connectx6dx, replay:FILE. */
  readonly node: string
  /** 0000:03:00.0 */
  readonly pci?: string
  /** Auxiliary device: mlx5_core.ctl.0 */
  readonly auxiliary?: string
  readonly rdma: readonly string[]
  readonly net: readonly string[]
  readonly driver?: string
  /** PCI vendor and device id, where sysfs has them. */
  readonly vendorId?: number
  readonly deviceId?: number
}

/** The user context that the device gave this handle. Absent members: this driver does not tell, or there is none. */
export interface UserContext {
  readonly uid?: number
  /** Capability bits granted: 0x1 RAW_TX, 0x2 INTERNAL_DEVICE_RESOURCES, 0x4 TOOLS_RESOURCES. */
  readonly uctxCap?: number
  readonly devUctxCap?: number
  /** An OR of capability numbers (not a mask); shown raw. */
  readonly userCap?: number
  /** Driver interface: "mlx5ctl V4", "fwctl", ... */
  readonly uapi: string
}

export interface ExecuteRequest {
  /** At least 16 bytes, big-endian, uid zero. Not modified, and not referenced after the promise settles. */
  readonly inbox: Uint8Array
  /** Bytes of outbox to ask for; at least 16. */
  readonly outboxLength: number
  /** Lowest scope that the command needs; null where mainline fwctl never allows it. */
  readonly scope: Scope | null
}

/** Page-aligned memory that the device can write to, for as long as it is registered. */
export interface RegisteredMemory {
  readonly id: number
  /** User virtual address, page aligned. */
  readonly address: bigint
  readonly bytes: Uint8Array
  /** Ends the registration, then frees the memory; afterwards `bytes` has length 0. Idempotent. */
  release(): Promise<void>
}

export interface MemoryProvider {
  /** `length` in bytes, at least 1, rounded up to pages. */
  register(length: number): Promise<RegisteredMemory>
}

/** What firmware answers to an access register. */
export interface RegisterReply {
  /** Status of the operation TLV, 0 when all is well. */
  readonly status: number
  /** 0 where the device tells none. */
  readonly syndrome: number
  /** As long as what was sent. */
  readonly bytes: Uint8Array
}

/** Access registers where there is no command mailbox. */
export interface RegisterAccess {
  /** Longest register, in bytes. */
  readonly limit: number
  access(id: number, method: 'read' | 'write', bytes: Uint8Array): Promise<RegisterReply>
}

export interface CrSpace {
  /**
   * Reads `dwords` 32-bit words from a byte address, a multiple of 4; all of them lie below 2^30.
   * @throws CrSpaceError at the word that cannot be read; RangeError for another address
   */
  read(address: number, dwords: number): Promise<Uint32Array>
  /** Absent where the device does not lead from word to word. */
  readonly scan?: CrSpaceScan
}

/** CR space without knowing what is there: each word that is read tells where the next one lies. */
export interface CrSpaceScan {
  /** Bytes of the space; 0 where the device does not tell. */
  size(): Promise<number>
  /** Up to `most` words, from the first at or behind `from`. @throws CrSpaceError */
  read(from: number, most: number): Promise<ScannedWords>
}

export interface ScannedWords {
  /** Address, value, address, value, ... */
  readonly pairs: Uint32Array
  /** Where to go on; undefined when that was all. */
  readonly next: number | undefined
}

/**
 * Guarantees:
 * - `execute` resolves with exactly `outboxLength` bytes, whatever the status byte says; the bytes are the caller's.
 * - It rejects with a DeliveryError when the command was not delivered or not answered, never because of a firmware status.
 * - Calls may overlap; they are served one at a time, in order.
 * - Inbox and outbox lengths below 16 bytes are refused with a RangeError before anything is sent.
 * - `close` waits for what is pending, releases every registered memory, and is idempotent. After it, calls reject with a
 *   DeliveryError of errno EBADF.
 * - A member that a transport lacks is absent.
 */
export interface Transport {
  readonly device: DeviceIdentity
  identify(): Promise<UserContext>
  execute(request: ExecuteRequest): Promise<Uint8Array>
  readonly memory?: MemoryProvider
  readonly registers?: RegisterAccess
  readonly crSpace?: CrSpace
  close(): Promise<void>
}

/** The kernel did not deliver the command, or the device did not answer. `kind` decides the exit code. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  /** 'permission' where root, a capability or kernel lockdown is the reason (exit 4), else 'delivery' (exit 5). */
  readonly kind: 'delivery' | 'permission' | 'unsupported'
  /** Symbolic errno: EBADMSG */
  readonly errno: string
  readonly hint: string | undefined
  constructor(
    message: string,
    errno: string,
    options: { kind?: DeliveryError['kind']; hint?: string | undefined } = {},
  ) {
    super(message)
    this.errno = errno
    this.kind = options.kind ?? 'delivery'
    this.hint = options.hint
  }
}

/** @throws RangeError */
export function checkCrAddress(address: number, dwords: number): void {
  if (Number.isSafeInteger(address) && address >= 0 && address % 4 === 0 && address + dwords * 4 <= 2 ** 30) return
  throw new RangeError('CR-space addresses are multiples of 4 below 2^30')
}

/** A word of CR space cannot be read. */
export class CrSpaceError extends DeliveryError {
  constructor(
    readonly reason: DeliveryError,
    readonly address: number,
    /** What this call had read before: words, or the pairs of a scan. */
    readonly before: Uint32Array,
  ) {
    super(`CR space 0x${address.toString(16).padStart(8, '0')} cannot be read: ${reason.message}`, reason.errno, reason)
  }
}

/** No such device, or it cannot be opened. */
export class OpenError extends Error {
  override readonly name = 'OpenError'
  /** 'not-found' and 'open' exit with 3, 'permission' with 4. */
  readonly kind: 'not-found' | 'open' | 'permission'
  readonly errno: string | undefined
  readonly hint: string | undefined
  constructor(
    message: string,
    kind: OpenError['kind'],
    options: { errno?: string | undefined; hint?: string | undefined } = {},
  ) {
    super(message)
    this.kind = kind
    this.errno = options.errno
    this.hint = options.hint
  }
}
