import { Firmware } from '../../src/emulator/firmware/firmware'
import type { HostMemory } from '../../src/emulator/firmware/objects'
import { kernelText } from '../../src/emulator/kernel-trace'
import { loadProfile } from '../../src/emulator/profile'
import { catalogue, codec } from '../support/scripted-device'

const [CAP, CONF, STDB, CTRL] = [0x9040, 0x9041, 0x9042, 0x9043]
const [BAD_PARAM, BAD_RES, BAD_RES_STATE, BAD_INDEX] = [3, 5, 9, 0xa]
const HEADER = 16
const PAGE = 4096

type Options = ConstructorParameters<typeof Firmware>[3]

/** ACCESS_REG by hand: op_mod 1 reads, 0 writes (facts: dumps, B.4). */
function access(
  firmware: Firmware,
  uid: number,
  id: number,
  method: 'read' | 'write',
  words: readonly number[],
  length = 132,
): Buffer {
  const inbox = Buffer.alloc(HEADER + Math.max(length, words.length * 4))
  inbox.writeUInt16BE(0x805, 0)
  inbox.writeUInt16BE(uid, 2)
  inbox.writeUInt16BE(method === 'read' ? 1 : 0, 6)
  inbox.writeUInt16BE(id, 10)
  for (const [index, word] of words.entries()) inbox.writeUInt32BE(word >>> 0, HEADER + index * 4)
  return Buffer.from(firmware.execute(inbox, inbox.length))
}

function make(options: Options = { frozen: true }): {
  firmware: Firmware
  memory: Buffer
  mkeyOf: (uid: number, bytes: number) => number
} {
  const firmware = new Firmware(loadProfile('connectx6dx'), catalogue, codec, options)
  const memory = Buffer.alloc(64 * PAGE)
  const host: HostMemory = {
    read: () => new Uint8Array(0),
    write: (at, bytes) => memory.set(bytes, Number(at) - 0x10000),
  }
  const mkeyOf = (uid: number, bytes: number): number => {
    const umem = firmware.createUmem(uid, host, 0x10000n, bytes)
    const pd = firmware.objects.create(uid, 'pd')
    return firmware.objects.createMkey(uid, { pd, umem, start: 0x7000n, length: BigInt(bytes) }) << 8
  }
  return { firmware, memory, mkeyOf }
}

const ownerBit = (answer: Buffer): number => answer.readUInt32BE(HEADER) >>> 31
const statusBits = (answer: Buffer): number => answer.readUInt32BE(HEADER) >>> 30

describe('the emulated tracer', () => {
  test('has one owner at a time; it goes with the context that took it', () => {
    const { firmware } = make()
    const [first, second] = [firmware.createContext(), firmware.createContext()]
    expect(ownerBit(access(firmware, first, CAP, 'read', [0]))).toBe(0)
    expect(ownerBit(access(firmware, first, CAP, 'write', [0x8000_0000]))).toBe(1)
    expect(ownerBit(access(firmware, second, CAP, 'write', [0x8000_0000]))).toBe(0)
    expect(access(firmware, second, CTRL, 'write', [1])[0]).toBe(BAD_RES_STATE)
    access(firmware, second, CAP, 'write', [0])
    expect(ownerBit(access(firmware, first, CAP, 'read', [0]))).toBe(1)
    firmware.destroyContext(first)
    expect(firmware.tracer.owned).toBe(0)
    expect(ownerBit(access(firmware, second, CAP, 'write', [0x8000_0000]))).toBe(1)
    access(firmware, second, CAP, 'write', [0])
    expect(firmware.tracer.owned).toBe(0)
  })

  test('with traced, mlx5_core has it and traces', () => {
    const { firmware } = make({ frozen: true, traced: true })
    const uid = firmware.createContext()
    expect(ownerBit(access(firmware, uid, CAP, 'write', [0x8000_0000]))).toBe(0)
    expect(statusBits(access(firmware, uid, CTRL, 'read', [0]))).toBe(1)
    expect(access(firmware, uid, CONF, 'write', [1])[0]).toBe(BAD_RES_STATE)
  })

  test('gives its strings in units of 64 bytes, within the section, by reading and by writing', () => {
    const { firmware } = make()
    const cap = access(firmware, 0, CAP, 'read', [0])
    const sections = cap.readUInt32BE(HEADER) & 0xf
    const size = cap.readUInt32BE(HEADER + 0x14) & 0xffffff
    expect([sections, cap.readUInt32BE(HEADER + 0x10), size % 64]).toEqual([2, 0x2000_0000, 0])
    const read = (index: number, length: number, offset: number, method: 'read' | 'write' = 'read'): Buffer =>
      access(firmware, 0, STDB, method, [index * 2 ** 28 + length, offset], 8 + length)
    const text = (answer: Buffer): string => answer.subarray(HEADER + 8, HEADER + 40).toString('latin1')
    expect(text(read(0, 256, 0))).toBe('strings of the emulated firmware')
    expect(read(0, 64, 64, 'write').subarray(HEADER + 8)).toEqual(read(0, 128, 0).subarray(HEADER + 8 + 64))
    expect(read(1, 64, 0)[0]).toBe(0)
    expect(read(2, 64, 0)[0]).toBe(BAD_INDEX)
    expect([read(0, 60, 0)[0], read(0, 64, 4)[0], read(0, 64, size)[0]]).toEqual([BAD_PARAM, BAD_PARAM, BAD_PARAM])
    expect(read(0, 64, size - 64)[0]).toBe(0)
  })

  test('checks what it is told before it traces', () => {
    const { firmware, mkeyOf } = make()
    const uid = firmware.createContext()
    const mkey = mkeyOf(uid, 4 * PAGE)
    access(firmware, uid, CAP, 'write', [0x8000_0000])
    const on = [0x4000_0001]
    expect(access(firmware, uid, CTRL, 'write', on)[0]).toBe(BAD_PARAM)
    expect(access(firmware, uid, CONF, 'write', [2, 2, mkey])[0]).toBe(BAD_PARAM)
    expect(access(firmware, uid, CONF, 'write', [1, 11, mkey])[0]).toBe(BAD_PARAM)
    expect(access(firmware, uid, CONF, 'write', [1, 3, mkey])[0]).toBe(BAD_PARAM)
    expect(access(firmware, uid, CONF, 'write', [1, 2, mkey + 0x100])[0]).toBe(BAD_RES)
    expect(access(firmware, uid, CONF, 'write', [1, 2, mkey])[0]).toBe(0)
    expect(access(firmware, uid, CTRL, 'write', [0x8000_0001])[0]).toBe(BAD_PARAM)
    // Without the bit of modify_field_select nothing changes.
    expect(statusBits(access(firmware, uid, CTRL, 'write', [0x4000_0000]))).toBe(0)
    expect(statusBits(access(firmware, uid, CTRL, 'write', on))).toBe(1)
    expect(statusBits(access(firmware, uid, CTRL, 'write', [1]))).toBe(0)
  })

  test('writes blocks that end with a timestamp, round and round, into its ring and nowhere else', () => {
    let now = 0n
    const { firmware, memory, mkeyOf } = make()
    Object.assign(firmware.clock, { options: { now: () => now } })
    const uid = firmware.createContext()
    const mkey = mkeyOf(uid, 2 * PAGE)
    access(firmware, uid, CAP, 'write', [0x8000_0000])
    access(firmware, uid, CONF, 'write', [1, 0, mkey])
    access(firmware, uid, CTRL, 'write', [0x4000_0001])
    const times = (): bigint[] =>
      Array.from({ length: 16 }, (_, block) => {
        const at = block * 256 + 248
        expect([block, memory[at + 1]]).toEqual([block, 0xff])
        const head = BigInt(memory.readUInt32BE(at))
        return ((head & 0x1fffn) << 40n) | (BigInt(memory.readUInt32BE(at + 4)) << 8n) | (head >> 24n)
      })
    for (const seconds of [1, 2]) {
      now = BigInt(seconds) * 1_000_000_000n
      access(firmware, uid, CTRL, 'read', [0])
      const all = times()
      // One place where it goes back: between the newest and the oldest.
      const back = all.filter((time, index) => time < (all[(index + 15) % 16] ?? 0n))
      expect(back).toHaveLength(1)
      expect(Number(all.reduce((most, time) => (time > most ? time : most)))).toBeGreaterThan((seconds - 0.1) * 1e9)
    }
    expect(memory.subarray(PAGE).every((byte) => byte === 0)).toBe(true)
  })

  test('stops when its memory key is gone', () => {
    const { firmware, mkeyOf } = make({})
    const uid = firmware.createContext()
    const mkey = mkeyOf(uid, PAGE)
    access(firmware, uid, CAP, 'write', [0x8000_0000])
    access(firmware, uid, CONF, 'write', [1, 0, mkey])
    firmware.objects.destroyMkey(uid, mkey >>> 8)
    expect(access(firmware, uid, CTRL, 'write', [0x4000_0001])[0]).toBe(BAD_RES)
  })
})

test('the printf of the emulated kernel', () => {
  expect(kernelText('%d %u %x %X %c %i%%', [0xffff_fffe, 7, 0xab, 0xab, 65, 5])).toBe('-2 7 ab AB A 5%')
  expect(kernelText('%#x|%#08x|%5d|%05d|%.3d', [0, 0xab, 5, 0xffff_fffb, 7])).toBe('0x0|0x0000ab|    5|-0005|007')
  // Both halves of a 64-bit number, one after the other.
  expect(kernelText('%llx', [1, 2])).toBe('12')
  expect(kernelText('a %s', [])).toBe('BAD_FORMAT: a %s')
})
