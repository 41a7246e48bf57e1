import { builtInCatalogueFile, openCatalogue } from '../prm/catalogue'
import { Codec } from '../prm/codec'
import {
  checkCrAddress,
  type CrSpace,
  CrSpaceError,
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  type MemoryProvider,
  type RegisteredMemory,
  type ScannedWords,
  type Transport,
  type UserContext,
} from '../transport/contract'
import { Faults } from './faults'
import { Firmware } from './firmware/firmware'
import type { HostMemory } from './firmware/objects'
import { runCommand } from './machine'
import { loadProfile } from './profile'

const PAGE = 4096
const HEADER = 16
const LIMIT = 0x200000

/** Opens an emulated device in this process: no nodes, no privileges, no addon. */
export async function openEmulated(
  name: string,
  options: { readonly stateFile?: string | undefined; readonly fault?: string | undefined } = {},
): Promise<Transport> {
  const faults = new Faults(options.fault)
  // What a user imported is for the tool: the device is what the profile was written for.
  const catalogue = openCatalogue([builtInCatalogueFile()])
  const firmware = new Firmware(loadProfile(name), catalogue, new Codec(catalogue), faults)
  if (options.stateFile !== undefined) (await import('./state')).keepState(firmware, options.stateFile)
  return new EmulatedTransport(firmware, faults, () => catalogue.close())
}

class EmulatedTransport implements Transport {
  readonly device: DeviceIdentity
  readonly memory: MemoryProvider = { register: (length) => this.run(() => Promise.resolve(this.register(length))) }
  readonly crSpace: CrSpace = {
    read: (address, dwords) => this.run(async () => this.readCrSpace(address, dwords)),
    scan: {
      size: () => this.run(async () => this.firmware.crSpace.end()),
      read: (from, most) => this.run(async () => this.scanCrSpace(from, most)),
    },
  }
  private readonly uid: number
  private readonly memories = new Set<RegisteredMemory>()
  private last: Promise<unknown> = Promise.resolve()
  private closed: Promise<void> | undefined
  private nextAddress = 0x7f00_0000_0000n

  constructor(
    readonly firmware: Firmware,
    readonly faults: Faults,
    private readonly finish: () => void,
  ) {
    const { name, identity } = firmware.profile
    this.device = {
      transport: 'emu',
      node: `emu:${name}`,
      pci: '0000:03:00.0',
      rdma: ['mlx5_0'],
      net: ['enp3s0f0np0'],
      driver: 'mlx5_core',
      vendorId: 0x15b3,
      deviceId: identity.deviceId,
    }
    this.uid = firmware.createContext()
  }

  identify(): Promise<UserContext> {
    const { uctxCap } = this.firmware.profile.identity
    // 0x1d: the OR of 13, 17 and 21, the numbers of the capabilities that root has.
    const context = { uid: this.uid, uctxCap, devUctxCap: uctxCap, userCap: 0x1d, uapi: 'emulator' }
    return this.run(() => Promise.resolve(context))
  }

  execute({ inbox, outboxLength }: ExecuteRequest): Promise<Uint8Array> {
    return this.run(async () => {
      if (inbox.length < HEADER || !(outboxLength >= HEADER))
        throw new RangeError('inbox and outbox have at least 16 bytes')
      if (inbox.length > LIMIT || outboxLength > LIMIT)
        throw emulatedError('EMSGSIZE', 'the mailbox is longer than 2 MiB')
      if (this.faults.eperm) throw emulatedError('EPERM', 'a fault that was asked for')
      const { outbox, errno } = await runCommand(this, this.uid, inbox.slice(), outboxLength)
      if (this.faults.unplugged) throw emulatedError('ENODEV', 'the device is gone (a fault that was asked for)')
      if (errno !== undefined) throw emulatedError(errno, 'a fault that was asked for')
      return outbox
    })
  }

  close(): Promise<void> {
    this.closed ??= this.last.then(async () => {
      for (const memory of [...this.memories]) await memory.release()
      this.firmware.destroyContext(this.uid)
      this.finish()
    })
    return this.closed
  }

  private readCrSpace(address: number, dwords: number): Uint32Array {
    checkCrAddress(address, dwords)
    const words = new Uint32Array(dwords)
    for (let index = 0; index < dwords; index++) {
      this.checkCrSpace(address + index * 4, words.subarray(0, index))
      words[index] = this.firmware.crSpace.read(address + index * 4)
    }
    return words
  }

  private scanCrSpace(from: number, most: number): ScannedWords {
    const { crSpace } = this.firmware
    const pairs: number[] = []
    let at = crSpace.nextReadable(from)
    for (; at !== undefined && pairs.length < most * 2; at = crSpace.nextReadable(at + 4)) {
      this.checkCrSpace(at, Uint32Array.from(pairs))
      pairs.push(at, crSpace.read(at))
    }
    return { pairs: Uint32Array.from(pairs), next: at }
  }

  /** @throws CrSpaceError */
  private checkCrSpace(address: number, before: Uint32Array): void {
    const { faults } = this
    if (faults.answersAt(address) && !faults.unplugged && !faults.eperm) return
    const errno = faults.eperm ? 'EPERM' : faults.unplugged ? 'ENODEV' : 'ETIMEDOUT'
    throw new CrSpaceError(emulatedError(errno, 'a fault that was asked for'), address, before)
  }

  private register(length: number): RegisteredMemory {
    if (!Number.isSafeInteger(length) || length < 1) throw new RangeError('at least 1 byte of memory is needed')
    if (this.faults.unplugged) throw emulatedError('ENODEV', 'the device is gone (a fault that was asked for)')
    const address = this.nextAddress
    let bytes = new Uint8Array(Math.ceil(length / PAGE) * PAGE)
    this.nextAddress += BigInt(bytes.length + PAGE)
    const host: HostMemory = {
      read: (from, count) => bytes.slice(Number(from - address), Number(from - address) + count),
      write: (to, data) => bytes.set(data, Number(to - address)),
    }
    const id = this.firmware.createUmem(this.uid, host, address, bytes.length)
    const memories = this.memories
    const firmware = this.firmware
    const { uid } = this
    let released = false
    const memory: RegisteredMemory = {
      id,
      address,
      get bytes() {
        return bytes
      },
      release: async () => {
        if (released) return
        released = true
        memories.delete(memory)
        firmware.destroyUmem(uid, id)
        bytes = new Uint8Array(0)
      },
    }
    memories.add(memory)
    return memory
  }

  /** One at a time, in order, until closed. */
  private run<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed !== undefined) return Promise.reject(emulatedError('EBADF', 'the device is closed'))
    const result = this.last.then(work)
    this.last = result.catch(() => undefined)
    return result
  }
}

function emulatedError(errno: string, why: string): DeliveryError {
  const kind = errno === 'EPERM' || errno === 'EACCES' ? 'permission' : 'delivery'
  return new DeliveryError(`the command: ${errno}: ${why}`, errno, { kind })
}
