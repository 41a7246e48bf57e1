import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import type { HostMemory } from './firmware/objects'

/** A system call ends with this errno. */
export class Errno extends Error {
  constructor(readonly errno: string) {
    super(errno)
  }
}

/** Capability numbers of Linux. */
export const Capability = { NET_RAW: 13, SYS_RAWIO: 17, SYS_ADMIN: 21 } as const

/** The process that made a call: its memory, its capabilities, its limits. */
export class Caller implements HostMemory {
  private fd: number | undefined

  constructor(readonly pid: number) {}

  /** @throws Errno EFAULT */
  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    try {
      for (let done = 0; done < length;) {
        const got = readSync(this.memory(), bytes, done, length - done, address + BigInt(done))
        if (got <= 0) throw new Errno('EFAULT')
        done += got
      }
    } catch {
      throw new Errno('EFAULT')
    }
    return bytes
  }

  /** @throws Errno EFAULT */
  write(address: bigint, bytes: Uint8Array): void {
    try {
      // Node takes a write position as a number only: user addresses stay below 2^53.
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.memory(), bytes, done, bytes.length - done, Number(address) + done)
    } catch {
      throw new Errno('EFAULT')
    }
  }

  /** Effective capability. */
  has(capability: number): boolean {
    const mask = BigInt(`0x${this.status('CapEff') ?? '0'}`)
    return ((mask >> BigInt(capability)) & 1n) === 1n
  }

  /** RLIMIT_MEMLOCK in bytes. */
  memlock(): number {
    const line = this.file('limits')?.match(/^Max locked memory\s+(\S+)/m)?.[1]
    return line === undefined || line === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line)
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd)
    this.fd = undefined
  }

  private memory(): number {
    this.fd ??= openSync(`/proc/${this.pid}/mem`, 'r+')
    return this.fd
  }

  private status(key: string): string | undefined {
    return this.file('status')?.match(new RegExp(`^${key}:\\s*(\\S+)`, 'm'))?.[1]
  }

  private file(name: string): string | undefined {
    try {
      return readFileSync(`/proc/${this.pid}/${name}`, 'utf8')
    } catch {
      return undefined
    }
  }
}
