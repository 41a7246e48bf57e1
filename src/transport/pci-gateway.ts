import { readSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DeliveryError } from './contract'
import { lockdownState } from './lockdown'

/** Spaces behind the gateway (facts: PCI access path, B.3). */
export const space = { ICMD_EXT: 0x1, CR: 0x2, ICMD: 0x3, SCAN: 0x7, SEMAPHORE: 0xa } as const

const CAPABILITY_POINTER = 0x34
const VENDOR_SPECIFIC = 0x09
/** Type of the capability: the functional gateway. */
const FUNCTIONAL = 0
/** Longest chain of capabilities that fits into 256 bytes. */
const MAX_CAPABILITIES = 48

/** Registers of the capability, little-endian dwords. */
const register = { CONTROL: 0x4, COUNTER: 0x8, SEMAPHORE: 0xc, ADDRESS: 0x10, DATA: 0x14 } as const
const STATUS = 29
const SIZE_VALID = 1 << 28
const FLAG = 0x80000000
const ADDRESS_MASK = 0x3fffffff

/** What the bus gives for a device that is gone. */
const GONE = 0xffffffff

/** Tries to take the semaphore, a millisecond apart; and polls of the flag, each one access to config space. */
const LOCK_TRIES = 2048
const FLAG_POLLS = 2048

/** Where the gateway lies in config space; undefined when the function has none. */
export function findGateway(fd: number): number | undefined {
  const byte = (at: number): number => {
    const bytes = new Uint8Array(1)
    return readSync(fd, bytes, 0, 1, at) === 1 ? (bytes[0] ?? 0) : 0
  }
  let at = byte(CAPABILITY_POINTER) & 0xfc
  for (let seen = 0; at !== 0 && seen < MAX_CAPABILITIES; seen++) {
    if (byte(at) === VENDOR_SPECIFIC && byte(at + 3) === FUNCTIONAL) return at
    at = byte(at + 1) & 0xfc
  }
  return undefined
}

/** What can be done while the gateway is owned. */
export interface OwnedGateway {
  /** False when the device does not offer the space. */
  select(space: number): boolean
  /** @throws DeliveryError when the device does not offer the space */
  enter(space: number): void
  read(address: number): number
  /** In the space of scans: the word, and where the device leads next. */
  readAndNext(address: number): { readonly value: number; readonly next: number }
  write(address: number, value: number): void
  /** What the selected space says is its size, in bytes; 0 when it does not say. */
  size(): number
}

/**
 * The gateway of the vendor-specific capability. All that happens while its semaphore is owned happens in one turn of the event
 * loop, with synchronous accesses: no signal and no other call comes in between, and the semaphore is given back on every
 * path. Nothing else in config space is written.
 */
export class PciGateway {
  private readonly answer = Buffer.alloc(8)

  constructor(
    private readonly fd: number,
    private readonly at: number,
    private readonly node: string,
    private readonly sysfs: string | undefined,
  ) {}

  /**
   * Waits for the semaphore, then runs `work` with the gateway owned.
   * @throws DeliveryError: EBUSY when the semaphore stays held, EPERM under lockdown, ETIMEDOUT when the gateway is stuck
   */
  async own<T>(work: (gateway: OwnedGateway) => T): Promise<T> {
    let holder = 0
    for (let attempt = 0; attempt < LOCK_TRIES; attempt++) {
      holder = this.get(register.SEMAPHORE)
      if (holder === GONE) throw accessError({ code: 'ENODEV' }, this.node, this.sysfs)
      if (holder === 0 && this.take()) return this.run(work)
      await sleep(1)
    }
    throw new DeliveryError(
      `${this.node}: EBUSY: the semaphore of the PCI gateway is held (ticket 0x${holder.toString(16)}) and was not given back in 2 s`,
      'EBUSY',
      { hint: `another tool uses the device; when none is running, one was killed: --clear-semaphore takes it away` },
    )
  }

  /** Gives back the semaphore of somebody else, who is gone. */
  clear(): void {
    this.put(register.SEMAPHORE, 0)
  }

  private take(): boolean {
    const ticket = this.get(register.COUNTER)
    this.put(register.SEMAPHORE, ticket)
    return this.get(register.SEMAPHORE) === ticket
  }

  private run<T>(work: (gateway: OwnedGateway) => T): T {
    try {
      return work({
        select: (wanted) => this.select(wanted),
        enter: (wanted) => {
          if (!this.select(wanted)) throw this.noSpace(wanted)
        },
        read: (address) => this.readWord(address).value,
        readAndNext: (address) => this.readWord(address),
        size: () => ((this.get(register.CONTROL) & SIZE_VALID) === 0 ? 0 : this.get(register.ADDRESS) & ADDRESS_MASK),
        write: (address, value) => this.writeWord(address, value),
      })
    } finally {
      this.put(register.SEMAPHORE, 0)
    }
  }

  private select(wanted: number): boolean {
    const control = this.get(register.CONTROL)
    this.put(register.CONTROL, ((control & 0xffff0000) | wanted) >>> 0)
    const now = this.get(register.CONTROL)
    return (now & 0xffff) === wanted && now >>> STATUS !== 0
  }

  private noSpace(wanted: number): DeliveryError {
    const message = `${this.node}: EOPNOTSUPP: the gateway has no space 0x${wanted.toString(16)}`
    return new DeliveryError(message, 'EOPNOTSUPP', { kind: 'unsupported' })
  }

  /** Address and data lie beside one another, and the kernel reads them in this order: what follows the flag is the answer. */
  private readWord(address: number): { value: number; next: number } {
    this.put(register.ADDRESS, address & ADDRESS_MASK)
    for (let poll = 0; poll < FLAG_POLLS; poll++) {
      this.access(() => readSync(this.fd, this.answer, 0, 8, this.at + register.ADDRESS), 8)
      const flagged = this.answer.readUInt32LE(0)
      if (flagged === GONE) throw accessError({ code: 'ENODEV' }, this.node, this.sysfs)
      if (flagged >>> 31 === 1) return { value: this.answer.readUInt32LE(4), next: flagged & ADDRESS_MASK }
    }
    throw this.silent()
  }

  private writeWord(address: number, value: number): void {
    this.put(register.DATA, value)
    this.put(register.ADDRESS, ((address & ADDRESS_MASK) | FLAG) >>> 0)
    for (let poll = 0; poll < FLAG_POLLS; poll++) if (this.get(register.ADDRESS) >>> 31 === 0) return
    throw this.silent()
  }

  private silent(): DeliveryError {
    return new DeliveryError(`${this.node}: ETIMEDOUT: the PCI gateway does not answer`, 'ETIMEDOUT', {
      hint: 'the device may be in reset or in an error state; see the kernel log',
    })
  }

  private get(at: number): number {
    const bytes = Buffer.alloc(4)
    this.access(() => readSync(this.fd, bytes, 0, 4, this.at + at), 4)
    return bytes.readUInt32LE()
  }

  private put(at: number, value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value >>> 0)
    this.access(() => writeSync(this.fd, bytes, 0, 4, this.at + at), 4)
  }

  private access(work: () => number, length: number): void {
    let done: number
    try {
      done = work()
    } catch (error) {
      throw accessError(error, this.node, this.sysfs)
    }
    if (done !== length) throw new DeliveryError(`${this.node}: EIO: config space ends early`, 'EIO')
  }
}

function accessError(error: unknown, node: string, sysfs: string | undefined): DeliveryError {
  const errno = (error as NodeJS.ErrnoException).code ?? 'EIO'
  if (errno !== 'EPERM' && errno !== 'EACCES')
    return new DeliveryError(`${node}: ${errno}: config space cannot be accessed: the device may be gone`, errno)
  const state = lockdownState(sysfs)
  const locked = state !== undefined && state !== 'none'
  return new DeliveryError(
    `${node}: ${errno}: the kernel refuses writes to config space${locked ? `: it is locked down (${state})` : ''}`,
    errno,
    {
      kind: 'permission',
      hint: `under secure boot and lockdown PCI config space is closed: use the mlx5ctl or the fwctl driver (mlx5ctl list shows the doors)${locked ? '' : '; otherwise run as root, outside of a container'}`,
    },
  )
}
