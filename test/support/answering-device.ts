import { Device } from '../../src/device/device'
import type { Transport } from '../../src/transport/contract'
import { catalogue, codec } from './scripted-device'

/** Registers and commands by number, as the facts have them. */
export const ACCESS_REG = 0x805
const QUERY_HCA_CAP = 0x100
const HEADER = 16

/** What firmware says: the body behind the header of the outbox (of a register its image), or a status. */
export type Said = Buffer | number | undefined

/** One command as it arrived, or one register: what of the inbox follows the header is the image. */
export interface Asked {
  readonly opcode: number
  /** Of ACCESS_REG. */
  readonly register: number | undefined
  readonly inbox: Buffer
  readonly image: Buffer
}

/**
 * A device whose answers a test gives, command by command, in bytes: no layout of ours comes in between. What it says nothing about is
 * refused with BAD_PARAM_ERR (0x3); capabilities are all zero unless the test answers them.
 */
export function answeringDevice(answer: (asked: Asked) => Said): { device: Device; asked: Asked[] } {
  const asked: Asked[] = []
  const transport: Transport = {
    device: { transport: 'emu', node: 'answering', rdma: [], net: [] },
    identify: async () => ({ uapi: 'answering' }),
    execute: async (request) => {
      const inbox = Buffer.from(request.inbox)
      const opcode = inbox.readUInt16BE(0)
      const register = opcode === ACCESS_REG ? inbox.readUInt16BE(10) : undefined
      const one: Asked = { opcode, register, inbox, image: inbox.subarray(HEADER) }
      asked.push(one)
      const said = answer(one) ?? (opcode === QUERY_HCA_CAP ? Buffer.alloc(0) : 0x3)
      const outbox = Buffer.alloc(request.outboxLength)
      if (typeof said === 'number') outbox[0] = said
      else said.copy(outbox, HEADER)
      return outbox
    },
    close: async () => undefined,
  }
  return { device: new Device(transport, catalogue, codec), asked }
}
