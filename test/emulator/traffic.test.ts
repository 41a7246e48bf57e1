import path from 'node:path'
import { Firmware } from '../../src/emulator/firmware/firmware'
import { loadProfile, type Profile } from '../../src/emulator/profile'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'

const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
const codec = new Codec(catalogue)
const ACCESS_REG = 0x805
const PPCNT = 0x5008
const MPCNT = 0x9051
const MTMP = 0x900a
/** Where the counters begin, behind the header of the outbox and the index fields. */
const SET = 24

afterEach(() => void jest.restoreAllMocks())

/** A firmware whose clock a test turns. */
function firmware(profile: Profile = loadProfile('connectx6dx')): {
  at: (seconds: number) => void
  firmware: Firmware
} {
  let now = 0n
  jest.spyOn(process.hrtime, 'bigint').mockImplementation(() => now)
  return {
    firmware: new Firmware(profile, catalogue, codec),
    at: (seconds) => void (now = BigInt(Math.round(seconds * 1e9))),
  }
}

function register(device: Firmware, id: number, words: readonly [number, number], length = 256): Buffer {
  const inbox = Buffer.alloc(16 + length)
  inbox.writeUInt16BE(ACCESS_REG, 0)
  inbox.writeUInt16BE(1, 6)
  inbox.writeUInt16BE(id, 10)
  inbox.writeUInt32BE(words[0], 16)
  inbox.writeUInt32BE(words[1], 20)
  const outbox = Buffer.from(device.execute(inbox, 16 + length))
  expect(outbox[0]).toBe(0)
  return outbox
}

/** Counter `index` of 64 bits of a group of PPCNT (facts: F.4 and appendix 2). */
const port = (device: Firmware, group: number, offset: number, priority = 0): bigint =>
  register(device, PPCNT, [0x10000 + group, priority]).readBigUInt64BE(SET + offset)

function vport(device: Firmware): { packets: bigint; octets: bigint } {
  const inbox = Buffer.alloc(32)
  inbox.writeUInt16BE(0x770, 0)
  const outbox = Buffer.from(device.execute(inbox, 528))
  // Received errors, IB, broadcast, ...: received Ethernet broadcast, unicast and multicast are at 0x70, 0x90 and 0xb0.
  const sum = (more: number): bigint =>
    [0x70, 0x90, 0xb0].reduce((total, offset) => total + outbox.readBigUInt64BE(offset + more), 0n)
  return { packets: sum(0), octets: sum(8) }
}

test('counters grow with the clock, and groups and commands agree', () => {
  const { firmware: device, at } = firmware()
  let before = { packets: 0n, octets: 0n }
  for (const seconds of [0, 0.25, 10, 3600, 86_400 * 365]) {
    at(seconds)
    const packets = port(device, 0, 0x08)
    const octets = port(device, 0, 0x28)
    expect(packets).toBeGreaterThan(before.packets)
    expect(octets).toBeGreaterThan(before.octets)
    before = { packets, octets }
    // IEEE 802.3, RFC 2863 (unicast, multicast, broadcast), RFC 2819, the first priority, and the vport.
    const interfaces = [0x08, 0x48, 0x50].reduce((sum, offset) => sum + port(device, 1, offset), 0n)
    expect([port(device, 1, 0), interfaces]).toEqual([octets, packets])
    expect([port(device, 2, 0x08), port(device, 2, 0x10)]).toEqual([octets, packets])
    expect([port(device, 0x10, 0), port(device, 0x10, 0x20)]).toEqual([octets, packets])
    expect(port(device, 0x10, 0, 1)).toBe(0n)
    expect(vport(device)).toEqual({ packets, octets })
    // Frames by size are all frames.
    const sizes = Array.from({ length: 10 }, (_, index) => port(device, 2, 0x58 + index * 8))
    expect(sizes.reduce((sum, count) => sum + count, 0n)).toBe(packets)
    // Mean sizes are those of Ethernet.
    expect(Number(octets) / Number(packets)).toBeGreaterThan(64)
    expect(Number(octets) / Number(packets)).toBeLessThan(1518)
  }
})

test('the rate is what the profile says', () => {
  const { firmware: device, at } = firmware()
  const { traffic } = loadProfile('connectx6dx')
  at(0)
  const before = port(device, 0, 0x08)
  at(8)
  const perSecond = ['unicast', 'multicast', 'broadcast'] as const
  const expected = perSecond.reduce((sum, kind) => sum + (traffic?.received[kind].perSecond ?? 0), 0)
  expect(Number(port(device, 0, 0x08) - before) / 8).toBe(expected)
})

test('the error correction counts every block once', () => {
  const { firmware: device, at } = firmware()
  for (const seconds of [0, 100, 1e6]) {
    at(seconds)
    // Physical layer: corrected and error-free blocks, corrected symbols; the bins of the histogram.
    const [corrected, clean, symbols] = [port(device, 0x12, 0x78), port(device, 0x12, 0x88), port(device, 0x12, 0x98)]
    const bins = [0, 1, 2].map((bin) => port(device, 0x23, bin * 8))
    expect(bins[0]).toBe(clean)
    expect((bins[1] ?? 0n) + (bins[2] ?? 0n)).toBe(corrected)
    expect((bins[1] ?? 0n) + 2n * (bins[2] ?? 0n)).toBe(symbols)
    expect(bins.every((count) => count >= 0n)).toBe(true)
    expect(port(device, 0x16, 0x08)).toBe((clean + corrected) * 5280n)
  }
})

test('a counter of 32 bits wraps', () => {
  const { firmware: device, at } = firmware()
  // Dwords sent to the host in 32 bits, and those of its writes in 64: all that is sent here is written.
  for (const seconds of [0, 60, 600, 60_000]) {
    at(seconds)
    const image = register(device, MPCNT, [4, 0])
    expect(image.readUInt32BE(SET)).toBe(Number(image.readBigUInt64BE(SET + 0x1c) & 0xffffffffn))
  }
})

test('temperatures wander a little, and never above their maximum', () => {
  const { firmware: device, at } = firmware()
  for (const sensor of [0, 64]) {
    const seen = Array.from({ length: 200 }, (_, second) => {
      at(second)
      const image = register(device, MTMP, [sensor, 0], 32)
      expect(image.readInt16BE(22)).toBeLessThanOrEqual(image.readInt16BE(26))
      return image.readInt16BE(22)
    })
    expect(new Set(seen).size).toBeGreaterThan(4)
    expect(Math.max(...seen) - Math.min(...seen)).toBeLessThan(8 * 5)
  }
})

test('a clock that stands still: nothing grows; a profile without traffic has none', () => {
  const frozen = new Firmware(loadProfile('connectx6dx'), catalogue, codec, { frozen: true })
  const before = register(frozen, PPCNT, [0x10000, 0])
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
  expect(register(frozen, PPCNT, [0x10000, 0])).toEqual(before)
  const { traffic, ...quiet } = loadProfile('connectx6dx')
  expect(traffic).toBeDefined()
  expect(port(firmware(quiet).firmware, 0, 0x08)).toBe(0n)
})

test('what a state file says of all instances stays as it is', () => {
  const { firmware: device, at } = firmware()
  device.registers.restore({ 'PPCNT/*': 'a5'.repeat(256) })
  at(1000)
  expect(port(device, 0, 0x08)).toBe(0xa5a5_a5a5_a5a5_a5a5n)
})
