import type { CrSpace } from '../firmware/cr-space'
import type { Machine } from '../machine'
import { IcmdMailbox } from './icmd'

/** Registers of the vendor-specific capability, by their offsets in it (facts: PCI access path, B.3). */
const register = { CONTROL: 0x4, COUNTER: 0x8, SEMAPHORE: 0xc, ADDRESS: 0x10, DATA: 0x14 } as const

export const space = { ICMD_EXT: 0x1, CR: 0x2, ICMD: 0x3, SCAN: 0x7, SEMAPHORE: 0xa } as const

const SUPPORTED = 1 << 29
const SIZE_VALID = 1 << 28
const FLAG = 0x80000000
const ADDRESS_MASK = 0x3fffffff

/** The 32-bit words of a space. */
export interface AddressSpace {
  read(address: number): number
  write(address: number, value: number): void
  /** Bytes, of a space that tells. */
  size?(): number
  /** Where the next word to read lies, in a space that leads from word to word. */
  next?(address: number): number
}

/**
 * The gateway into the device: a semaphore that is taken with a ticket, a space, an address and a word of data. A word that
 * is read without the semaphore is a mistake of the reader, and goes into the log.
 */
export class Gateway {
  private counter = 0
  private semaphore = 0
  private control = 0
  private address = 0
  private data = 0
  private readonly spaces: ReadonlyMap<number, AddressSpace>

  constructor(private readonly machine: Machine) {
    const icmd = new IcmdMailbox(machine)
    const spaces: [number, AddressSpace][] = [
      [space.ICMD_EXT, { read: () => 0, write: () => undefined }],
      [space.CR, machine.firmware.crSpace],
      [space.SCAN, scanOf(machine.firmware.crSpace)],
      [space.SEMAPHORE, icmd.semaphores],
    ]
    if (!machine.faults.livefish) spaces.push([space.ICMD, icmd])
    this.spaces = new Map(spaces)
    if (machine.faults.held) this.semaphore = 0x7fffffff
  }

  read(at: number): number {
    switch (at) {
      case register.CONTROL:
        return this.controlWord()
      case register.COUNTER:
        return ++this.counter
      case register.SEMAPHORE:
        return this.semaphore
      case register.ADDRESS:
        return this.address
      default:
        return this.data
    }
  }

  write(at: number, value: number): void {
    if (at === register.SEMAPHORE) {
      // Only one that is free can be taken; anybody can give it back.
      if (value === 0 || this.semaphore === 0) this.semaphore = value
      return
    }
    if (this.semaphore === 0) this.machine.log('pci-without-semaphore', { register: at, value })
    if (at === register.CONTROL) this.selectSpace(value & 0xffff)
    if (at === register.DATA) this.data = value
    if (at === register.ADDRESS) this.run(value)
  }

  /** The flag is 1 for a write, and 0 when it is done; the other way round for a read. */
  private run(value: number): void {
    this.address = value
    const target = this.spaces.get(this.control)
    const address = value & ADDRESS_MASK
    if (!this.answers(address)) return
    if (value >>> 31 === 1) {
      target?.write(address, this.data)
      this.address = address
    } else {
      this.data = (target?.read(address) ?? 0xbadacce5) >>> 0
      this.address = ((target?.next?.(address) ?? address) | FLAG) >>> 0
    }
  }

  private answers(address: number): boolean {
    const { faults } = this.machine
    const isCrSpace = this.control === space.CR || this.control === space.SCAN
    return isCrSpace ? faults.answersAt(address) : !faults.stuck
  }

  private controlWord(): number {
    const target = this.spaces.get(this.control)
    if (target === undefined) return this.control
    return (this.control | SUPPORTED | (target.size === undefined ? 0 : SIZE_VALID)) >>> 0
  }

  /** A space that knows its size shows it where the address is. */
  private selectSpace(wanted: number): void {
    this.control = wanted
    this.address = this.spaces.get(wanted)?.size?.() ?? this.address
  }
}

/** CR space read from one word to the next that is there; past the last comes its size. */
function scanOf(crSpace: CrSpace): AddressSpace {
  const there = (address: number): boolean => crSpace.nextReadable(address) === address
  return {
    read: (address) => (there(address) ? crSpace.read(address) : 0xbadacce5),
    write: () => undefined,
    size: () => crSpace.end(),
    next: (address) => crSpace.nextReadable(address + 4) ?? crSpace.end(),
  }
}
