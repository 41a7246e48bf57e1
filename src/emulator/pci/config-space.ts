import { Errno } from '../caller'
import type { Machine } from '../machine'
import { Gateway } from './gateway'

const SIZE = 4096
/** What the kernel shows to users without CAP_SYS_ADMIN. */
const PUBLIC_SIZE = 64

/** Capability pointers and their places, as ConnectX-6 Dx and -7 have them. */
const capability = { powerManagement: 0x40, vpd: 0x48, express: 0x60, msix: 0x9c, vendorSpecific: 0xc0 } as const
const POINTER = 0x34
const STATUS_HAS_LIST = 0x0010

/**
 * The config space of an emulated function: a header with its chain of capabilities, and behind the vendor-specific one the
 * gateway into the device. All but the gateway is read-only.
 */
export class ConfigSpace {
  private readonly bytes: Buffer
  readonly gateway: Gateway

  constructor(private readonly machine: Machine) {
    this.bytes = header(machine)
    this.gateway = new Gateway(machine)
  }

  /** @param privileged whether the reader has CAP_SYS_ADMIN */
  read(offset: number, length: number, privileged: boolean): Uint8Array {
    const end = Math.min(offset + length, privileged ? SIZE : PUBLIC_SIZE)
    if (offset >= end) return new Uint8Array(0)
    if (this.machine.faults.unplugged) return new Uint8Array(end - offset).fill(0xff)
    const result = Buffer.from(this.bytes.subarray(offset, end))
    if (!privileged) return result
    // The kernel reads aligned dwords, one after the other.
    for (let at = 0; at + 4 <= result.length; at += 4) {
      const register = this.gatewayRegister(offset + at, 4)
      if (register !== undefined) result.writeUInt32LE(this.gateway.read(register), at)
    }
    return result
  }

  /** @throws Errno EPERM, as under kernel lockdown; ENODEV when the device is gone */
  write(offset: number, data: Uint8Array): void {
    const { faults } = this.machine
    if (faults.eperm) throw new Errno('EPERM')
    if (faults.unplugged) throw new Errno('ENODEV')
    const register = this.gatewayRegister(offset, data.length)
    if (register !== undefined) this.gateway.write(register, Buffer.from(data).readUInt32LE())
  }

  /** Offset in the vendor-specific capability of an access that meets one of its registers. */
  private gatewayRegister(offset: number, length: number): number | undefined {
    const register = offset - capability.vendorSpecific
    return length === 4 && register >= 4 && register < 0x18 && register % 4 === 0 ? register : undefined
  }
}

function header({ firmware, faults }: Machine): Buffer {
  const { identity } = firmware.profile
  const config = Buffer.alloc(SIZE)
  config.writeUInt16LE(0x15b3, 0)
  config.writeUInt16LE(faults.livefish ? firmware.hardwareId : identity.deviceId, 2)
  config.writeUInt16LE(0x0406, 4)
  config.writeUInt16LE(STATUS_HAS_LIST, 6)
  config.writeUInt8(identity.revision, 8)
  config.writeUInt8(0x02, 11)
  config.writeUInt32LE(0xf000000c, 0x10)
  config.writeUInt16LE(identity.subsystemVendor, 0x2c)
  config.writeUInt16LE(identity.subsystemDevice, 0x2e)
  config.writeUInt8(capability.express, POINTER)
  const chain: readonly (readonly [at: number, id: number, next: number])[] = [
    [capability.express, 0x10, capability.vpd],
    [capability.vpd, 0x03, capability.msix],
    [capability.msix, 0x11, capability.vendorSpecific],
    [capability.vendorSpecific, 0x09, capability.powerManagement],
    [capability.powerManagement, 0x01, 0],
  ]
  for (const [at, id, next] of chain) {
    config.writeUInt8(id, at)
    config.writeUInt8(next, at + 1)
  }
  config.writeUInt16LE(0x0002, capability.express + 2)
  config.writeUInt16LE(0x003f, capability.msix + 2)
  // Length 0x18, type 0: the functional gateway.
  config.writeUInt16LE(0x0018, capability.vendorSpecific + 2)
  return config
}
