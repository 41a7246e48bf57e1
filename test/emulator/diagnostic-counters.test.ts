import path from 'node:path'
import { Faults } from '../../src/emulator/faults'
import { Firmware } from '../../src/emulator/firmware/firmware'
import { loadProfile } from '../../src/emulator/profile'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import { ValueError } from '../../src/prm/errors'

const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
const codec = new Codec(catalogue)

/** A device whose time the test tells, in nanoseconds; its frequency is 1 GHz, so these are ticks. */
function make(fault = ''): { run: (hex: string, outLength?: number) => Buffer; after: (nanoseconds: number) => void } {
  let time = 0n
  const { losses } = new Faults(fault)
  const firmware = new Firmware(loadProfile('connectx6dx'), catalogue, codec, { now: () => time, losses })
  return {
    run: (hex, outLength = 16) =>
      Buffer.from(firmware.execute(Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex')), outLength)),
    after: (nanoseconds) => void (time += BigInt(nanoseconds)),
  }
}

/** Flags: 80 single, 40 repetitive, 20 sync, 10 clear, 08 on demand, 04 enable. */
const set = (flags: string, log: string, period: string, ...ids: string[]): string =>
  `08200000 00000000 ${ids.length.toString(16).padStart(4, '0')}00${log} ${flags}0000${period} ${'00'.repeat(16)} ${ids.map((id) => `0000${id}`).join('')}`
const query = (records: number, slot: number): string =>
  `08210000 00000000 ${records.toString(16).padStart(4, '0')}${slot.toString(16).padStart(4, '0')} 00000000`
const status = (outbox: Buffer): number => outbox.readUInt8(0)
/** Counter, sample id and time of each record; the period is 93,246 ticks, the fastest that this device does. */
const records = (outbox: Buffer): (readonly [number, number, number])[] =>
  Array.from({ length: (outbox.length - 16) / 16 }, (_, index) => {
    const at = 16 + index * 16
    return [outbox.readUInt16BE(at), outbox.readUInt16BE(at + 2), outbox.readUInt32BE(at + 4) / 93_246] as const
  })
const none = [0, 0, 0]

test('repetitive: slots in order, the newest in place of the oldest', () => {
  const { run, after } = make()
  expect(status(run(set('54', '02', '00', '0401', '2006')))).toBe(0)
  expect(records(run(query(4, 0), 80))).toEqual([none, none, none, none])
  after(3 * 93_246)
  expect(records(run(query(8, 0), 144))).toEqual([
    ...[1, 2, 3].flatMap((id) => [
      [0x0401, id, id],
      [0x2006, id, id],
    ]),
    none,
    none,
  ])
  after(2 * 93_246)
  // Six records from slot 3 on: the ring ends there.
  expect(records(run(query(6, 3), 112))).toEqual([[0x0401, 4, 4], [0x2006, 4, 4], none, none, none, none])
  expect(records(run(query(2, 0), 48))).toEqual([
    [0x0401, 5, 5],
    [0x2006, 5, 5],
  ])
  after(93_246 * 70_000)
  expect(records(run(query(1, 0), 32))[0]?.[1]).toBe((70_005 % 65_536) - ((70_005 - 1) % 4))
})

test('single: ends when the ring is full; a longer period is kept; values grow, some beyond 32 bits', () => {
  const { run, after } = make()
  run(set('94', '02', '14', '0401', '0402', '0403'))
  after(100 * 2 ** 20)
  const outbox = run(query(12, 0), 16 + 12 * 16)
  expect(records(outbox).map(([, id]) => id)).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
  expect(outbox.readUInt32BE(20)).toBe(2 ** 20)
  const values = (counter: number): bigint[] =>
    [0, 1, 2, 3].map((round) => outbox.readBigUInt64BE(16 + round * 48 + counter * 16 + 8))
  for (const counter of [0, 1, 2])
    expect(values(counter).every((value, index, all) => index === 0 || value >= (all[index - 1] ?? 0n))).toBe(true)
  expect([0, 1, 2].some((counter) => (values(counter)[0] ?? 0n) > 2n ** 32n)).toBe(true)
})

test('on demand: each query takes one; disabled and cleared there is nothing; parameters come back', () => {
  const { run, after } = make()
  run(set('1c', '04', '0a', '0401'))
  after(1_000_000)
  expect(records(run(query(1, 0), 32))[0]?.[1]).toBe(1)
  expect(records(run(query(1, 0), 32))[0]?.[1]).toBe(2)
  expect(run('08190000 00000000 00000000 00000000', 36).toString('hex')).toBe(
    `0000000000000000${'00010004'}${'1c00000a'}${'00'.repeat(16)}00000401`,
  )
  expect(status(run('08190000 00000000 00000000 00000000', 32))).toBe(0x51)
  // Without enable the ring stays; with clear it is gone.
  expect(status(run(set('00', '00', '00')))).toBe(0)
  expect(status(run(query(1, 0), 32))).toBe(0)
  expect(status(run(set('10', '00', '00')))).toBe(0)
  expect(status(run(query(1, 0), 32))).toBe(0x09)
})

test.each([
  ['an unknown counter', set('54', '02', '00', '0999'), 0x03],
  ['one twice', set('54', '02', '00', '0401', '0401'), 0x03],
  ['none', set('54', '02', '00'), 0x03],
  ['single and repetitive', set('d4', '02', '00', '0401'), 0x03],
  ['no mode', set('14', '02', '00', '0401'), 0x03],
  ['a ring that is too large', set('54', '0e', '00', '0401', '0402'), 0x08],
  ['a list that is not there', '08200000 00000000 00040002 54000000', 0x50],
  ['an op_mod', set('54', '02', '00', '0401').replace('08200000 00000000', '08200000 00000001'), 0x03],
])('%s is refused', (_, inbox, expected) => {
  expect(status(make().run(inbox))).toBe(expected)
})

test('queries that are refused: a slot behind the ring, an outbox too short', () => {
  const { run } = make()
  run(set('54', '02', '00', '0401'))
  expect(status(run(query(1, 4), 32))).toBe(0x0a)
  expect(status(run(query(2, 0), 32))).toBe(0x51)
})

test('rounds that are lost on request', () => {
  const { run, after } = make('lose=3@3,lose=1@9')
  run(set('54', '04', '00', '0401'))
  after(10 * 93_246)
  expect(records(run(query(8, 0), 144)).map(([, id, time]) => [id, time])).toEqual([
    ...[1, 2, 6, 7, 8, 10].map((id) => [id, id]),
    [0, 0],
    [0, 0],
  ])
  for (const wrong of ['lose=3', 'lose=0@3', 'lose=3@0', 'lose=x@1'])
    expect(() => new Faults(wrong)).toThrow(ValueError)
})
