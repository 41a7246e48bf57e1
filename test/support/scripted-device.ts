import path from 'node:path'
import { Device, type DeviceOptions } from '../../src/device/device'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import type { MemoryProvider, Transport } from '../../src/transport/contract'

export const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
export const codec = new Codec(catalogue)

/** Opcodes of the PRM that take and give back what registered memory needs. */
const ALLOC_PD = 0x800
const CREATE_MKEY = 0x200
const ACCESS_REG = 0x805

/**
 * A device that answers access registers as a test says, to see what the tool makes of it. The test is given the image of the
 * register and the memory that is registered, and gives back the image of the answer: no layout of ours comes in between.
 */
export function scriptedDevice(
  answer: (image: Buffer, memory: Buffer | undefined, count: number) => Buffer,
  { withMemory = false, ...options }: DeviceOptions & { readonly withMemory?: boolean } = {},
): { device: Device; opcodes: number[]; registered: () => number } {
  const opcodes: number[] = []
  let memory: Buffer | undefined
  let count = 0
  const provider: MemoryProvider = {
    register: async (length) => {
      const bytes = Buffer.alloc(Math.ceil(length / 4096) * 4096)
      memory = bytes
      return {
        id: 7,
        address: 0x7f0000000000n,
        bytes,
        release: async () => {
          memory = undefined
        },
      }
    },
  }
  const transport: Transport = {
    device: { transport: 'emu', node: 'scripted', rdma: [], net: [] },
    identify: async () => ({ uapi: 'scripted' }),
    execute: async ({ inbox, outboxLength }) => {
      const opcode = Buffer.from(inbox).readUInt16BE(0)
      opcodes.push(opcode)
      const outbox = Buffer.alloc(outboxLength)
      if (opcode === ALLOC_PD || opcode === CREATE_MKEY) outbox.writeUInt32BE(0x11, 8)
      if (opcode === ACCESS_REG) answer(Buffer.from(inbox.subarray(16)), memory, ++count).copy(outbox, 16)
      return outbox
    },
    ...(withMemory ? { memory: provider } : {}),
    close: async () => undefined,
  }
  return {
    device: new Device(transport, catalogue, codec, options),
    opcodes,
    registered: () => (memory === undefined ? 0 : 1),
  }
}
