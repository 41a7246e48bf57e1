import type { Codec } from '../../prm/codec'
import type { ModuleProfile } from '../profile'

/** Bytes of lower memory; a page has as many. */
const HALF = 128
const MANAGEMENT_ADDRESS = 0x50

/** Answers of MCIA in its status field. */
const moduleStatus = { GOOD: 0, NO_EEPROM: 1, I2C_ERROR: 9 } as const

/**
 * The memory of a plugged QSFP module as SFF-8636 lays it out: identity and monitors in lower memory, vendor in page 0.
 * MCIA reads windows of it.
 */
export class ModuleMemory {
  private readonly pages = new Map<number, Uint8Array>()

  constructor(module: ModuleProfile | undefined) {
    if (module !== undefined) this.fill(module)
  }

  /** Fills data and status of an MCIA image whose index fields say what is read. */
  answer(codec: Codec, layout: string, image: Uint8Array): void {
    const field = (name: string): number => Number(codec.get(layout, image, name))
    const size = Math.min(field('size'), HALF)
    const status = this.status(field('module'), field('i2c_device_address'), field('page_number'))
    codec.set(layout, image, 'status', status)
    const { offset } = codec.resolve(layout, 'dword[0]')
    const data = new Uint8Array(HALF)
    if (status === moduleStatus.GOOD)
      for (let index = 0; index < size; index++)
        data[index] = this.byte(field('page_number'), field('device_address') + index)
    image.set(data, offset / 8)
  }

  private status(module: number, address: number, page: number): number {
    if (module > 1 || this.pages.size === 0) return moduleStatus.NO_EEPROM
    return address === MANAGEMENT_ADDRESS && this.pages.has(page) ? moduleStatus.GOOD : moduleStatus.I2C_ERROR
  }

  private byte(page: number, address: number): number {
    return this.pages.get(address < HALF ? 0 : page)?.[address] ?? 0
  }

  private fill(module: ModuleProfile): void {
    const memory = Buffer.alloc(HALF * 2)
    const text = (at: number, length: number, value: string): void =>
      void memory.write(value.padEnd(length).slice(0, length), at, 'latin1')
    memory.writeUInt8(module.identifier, 0)
    memory.writeUInt8(module.revision, 1)
    memory.writeInt16BE(Math.round(module.temperatureCelsius * 256), 22)
    memory.writeUInt16BE(Math.round(module.voltage * 10000), 26)
    module.rxPowerMilliwatt.forEach((power, lane) => memory.writeUInt16BE(Math.round(power * 10000), 34 + lane * 2))
    memory.writeUInt8(module.identifier, 128)
    memory.writeUInt8(module.connector, 130)
    memory.writeUInt8(module.lengthMetres, 146)
    text(148, 16, module.vendorName)
    text(168, 16, module.partNumber)
    text(184, 2, module.hardwareRevision)
    text(196, 16, module.serialNumber)
    text(212, 8, module.dateCode)
    memory.writeUInt8(sum(memory.subarray(128, 191)), 191)
    memory.writeUInt8(sum(memory.subarray(192, 223)), 223)
    this.pages.set(0, memory)
  }
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0)
