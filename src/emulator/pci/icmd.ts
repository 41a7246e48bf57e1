import { Errno } from '../caller'
import type { Fault } from '../faults'
import { Refusal, syndrome } from '../firmware/refusal'
import { registerName, type Machine } from '../machine'
import type { AddressSpace } from './gateway'

/** Addresses in the ICMD space (facts: PCI access path, B.5). */
const CONTROL = 0x0
const MAILBOX_SIZE = 0x1000
const SYNDROME = 0x1008
const MAILBOX = 0x100000
/** Bytes of the mailbox. */
const SIZE = 0x340

const BUSY = 1
const opcodes = { ACCESS_REGISTER: 0x9001, QUERY_CAPABILITIES: 0x8400, GET_FW_INFO: 0x8007 } as const
const icmdStatus = { OK: 0, INVALID_OPCODE: 1, BAD_PARAM: 4 } as const

/** Operation TLV (16 bytes) and the header of the register TLV (4 bytes). */
const OPERATION = 16
const HEADERS = 20
const METHOD_READ = 1
const METHOD_WRITE = 2

/** The mailbox through which tools without a driver reach firmware: access registers, and a few queries. */
export class IcmdMailbox implements AddressSpace {
  private readonly mailbox = Buffer.alloc(SIZE)
  private control = 0
  private syndrome = 0
  /** The semaphore of the mailbox: a process writes its number into it. */
  readonly semaphores: AddressSpace
  private owner = 0

  constructor(private readonly machine: Machine) {
    this.semaphores = {
      read: (address) => (address === 0 ? this.owner : 0),
      write: (address, value) => {
        if (address === 0 && (value === 0 || this.owner === 0)) this.owner = value
      },
    }
  }

  read(address: number): number {
    if (address === CONTROL) return this.control
    if (address === MAILBOX_SIZE) return SIZE
    if (address === SYNDROME) return this.syndrome
    const at = address - MAILBOX
    return at >= 0 && at + 4 <= SIZE ? this.mailbox.readUInt32BE(at) : 0
  }

  write(address: number, value: number): void {
    const at = address - MAILBOX
    if (at >= 0 && at + 4 <= SIZE) this.mailbox.writeUInt32BE(value >>> 0, at)
    if (address !== CONTROL) return
    this.control = value >>> 0
    if ((value & BUSY) !== 0) this.start(value >>> 16)
  }

  /** It stays busy for as long as a fault delays it. */
  private start(opcode: number): void {
    const { faults, log } = this.machine
    if (this.owner === 0) log('icmd-without-semaphore', { opcode })
    const { delay, errno, ...fault } = faults.next()
    if (faults.unplugged) throw new Errno('ENODEV')
    if (errno !== undefined) throw new Errno(errno)
    if (delay === undefined) {
      this.execute(opcode, fault)
      return
    }
    log('delayed', { driver: 'pci', milliseconds: delay })
    setTimeout(() => this.execute(opcode, fault), delay)
  }

  private execute(opcode: number, fault: Fault): void {
    this.syndrome = 0
    const status = fault.status === undefined ? this.run(opcode) : icmdStatus.OK
    if (fault.short === true) this.mailbox.fill(0, HEADERS)
    if (fault.status !== undefined) this.mailbox.writeUInt8(fault.status & 0x7f, 2)
    this.control = ((opcode << 16) | (status << 8)) >>> 0
  }

  private run(opcode: number): number {
    const { firmware } = this.machine
    if (opcode === opcodes.ACCESS_REGISTER) return this.accessRegister()
    if (opcode === opcodes.QUERY_CAPABILITIES) {
      // All access registers are allowed.
      this.mailbox.writeUInt32BE(1 << 29, 0)
      this.mailbox.writeUInt32BE(0, 4)
      return icmdStatus.OK
    }
    if (opcode !== opcodes.GET_FW_INFO) return icmdStatus.INVALID_OPCODE
    const [major = 0, minor = 0, sub = 0] = firmware.flash.version.split('.').map(Number)
    this.mailbox.fill(0, 0, 0x24)
    this.mailbox.writeUInt16BE(major, 0)
    this.mailbox.writeUInt16BE(minor, 4)
    this.mailbox.writeUInt16BE(sub, 6)
    this.mailbox.write(firmware.profile.identity.psid, 0x14, 'latin1')
    return icmdStatus.OK
  }

  /** The register is given back even when its status is bad. */
  private accessRegister(): number {
    const { firmware, log } = this.machine
    const operation = this.mailbox.readUInt32BE(0)
    const header = this.mailbox.readUInt32BE(OPERATION)
    const length = ((header >>> 16) & 0x7ff) * 4 - 4
    if (operation >>> 27 !== 1 || header >>> 27 !== 3 || length < 0 || HEADERS + length > SIZE)
      return icmdStatus.BAD_PARAM
    const id = this.mailbox.readUInt16BE(4)
    const method = this.mailbox.readUInt8(6) & 0x7f
    const { status, bytes, reason } = this.register(id, method, this.mailbox.subarray(HEADERS, HEADERS + length))
    log('register', { driver: 'pci', name: registerName(firmware, id), method, status })
    this.mailbox.set(bytes, HEADERS)
    this.mailbox.writeUInt32BE(((operation & 0xffff80ff) | (status << 8)) >>> 0, 0)
    this.mailbox.writeUInt32BE((this.mailbox.readUInt32BE(4) | 0x8000) >>> 0, 4)
    if (reason !== undefined) this.syndrome = syndrome(id, reason)
    return icmdStatus.OK
  }

  private register(
    id: number,
    method: number,
    image: Uint8Array,
  ): { status: number; bytes: Uint8Array; reason?: string } {
    const BAD_METHOD = 6
    if (method !== METHOD_READ && method !== METHOD_WRITE) return { status: BAD_METHOD, bytes: image, reason: 'method' }
    try {
      const bytes = this.machine.firmware.accessRegister(
        id,
        method === METHOD_READ ? 'read' : 'write',
        image,
        image.length,
      )
      return { status: 0, bytes }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { status: error.registerStatus, bytes: error.image ?? image, reason: error.message }
    }
  }
}
