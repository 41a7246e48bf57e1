import { Device, type DeviceOptions } from '../../src/device/device'
import type { Transport } from '../../src/transport/contract'
import { catalogue, codec } from './scripted-device'

const ACCESS_REG = 0x805

/** One access to a register, as it goes over the wire. */
export interface Access {
  readonly id: number
  readonly write: boolean
  readonly image: Buffer
}

/** What a script gives back: the image of the answer, the status of a refusal, or an error that the delivery fails with. */
export type ScriptedAnswer = Buffer | number | Error

/**
 * A device of access registers that answers as a test says, and remembers what it was asked: no layout of ours comes in between.
 */
export function scriptedRegisters(
  answer: (access: Access, count: number) => ScriptedAnswer,
  options: DeviceOptions = {},
): { device: Device; accesses: Access[] } {
  const accesses: Access[] = []
  const transport: Transport = {
    device: { transport: 'emu', node: 'scripted', rdma: [], net: [] },
    identify: async () => ({ uapi: 'scripted' }),
    execute: async ({ inbox, outboxLength }) => {
      const request = Buffer.from(inbox)
      if (request.readUInt16BE(0) !== ACCESS_REG) throw new Error('only registers are scripted')
      const access = { id: request.readUInt16BE(10), write: request.readUInt16BE(6) === 0, image: request.subarray(16) }
      accesses.push(access)
      const given = answer(access, accesses.length)
      if (given instanceof Error) throw given
      const outbox = Buffer.alloc(outboxLength)
      if (typeof given === 'number') outbox[0] = given
      else given.copy(outbox, 16)
      return outbox
    },
    close: async () => undefined,
  }
  return { device: new Device(transport, catalogue, codec, options), accesses }
}
