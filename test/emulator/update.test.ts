import { Firmware } from '../../src/emulator/firmware/firmware'
import { loadProfile } from '../../src/emulator/profile'
import { catalogue, codec } from '../support/scripted-device'

/** The handle of updates (MCC) of an emulated device; bytes by the offsets of facts: firmware manager, C.5. */

const MCC = 0x9062
const [IDLE, LOCKED] = [0, 1]

test('a handle that nobody uses for a minute is free; each use begins a new minute', () => {
  let seconds = 0
  const now = (): bigint => BigInt(seconds) * 1_000_000_000n
  const firmware = new Firmware(loadProfile('connectx7'), catalogue, codec, { now })
  const mcc = (method: 'read' | 'write', handle: number, instruction = 0): { handle: number; state: number } => {
    const image = Buffer.alloc(0x20)
    image[3] = instruction
    image.writeUInt32BE(handle, 8)
    const answer = Buffer.from(firmware.accessRegister(MCC, method, image, image.length))
    return { handle: answer.readUInt32BE(8) & 0xffffff, state: (answer[0xf] ?? 0) & 0xf }
  }
  const { handle } = mcc('read', 0)
  expect(mcc('write', handle, 1)).toEqual({ handle, state: LOCKED })
  seconds = 59
  expect(mcc('read', 0)).toEqual({ handle: 0, state: LOCKED })
  expect(mcc('read', handle)).toEqual({ handle, state: LOCKED })
  seconds = 59 + 60
  expect(mcc('read', 0).state).toBe(LOCKED)
  seconds = 59 + 61
  const free = mcc('read', 0)
  expect([free.state, free.handle]).toEqual([IDLE, handle + 1])
  expect(() => mcc('write', handle, 3)).toThrow(/the handle is not yours/)
})
