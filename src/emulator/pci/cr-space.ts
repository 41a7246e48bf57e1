import type { Firmware } from '../firmware/firmware'
import type { AddressSpace } from './gateway'

/** Hardware id in bits 0 to 15, revision in bits 16 to 23. */
const HARDWARE_ID = 0xf0014

/** Registers of the device itself: its hardware id; all else reads as what was written, else 0. */
export class CrSpace implements AddressSpace {
  private readonly written = new Map<number, number>()

  constructor(private readonly firmware: Firmware) {}

  read(address: number): number {
    if (address === HARDWARE_ID) return this.firmware.hardwareId | (this.firmware.profile.identity.revision << 16)
    return this.written.get(address) ?? 0
  }

  write(address: number, value: number): void {
    if (address !== HARDWARE_ID) this.written.set(address, value)
  }
}
