import {
  checkedRequest,
  dumpResource,
  readMenu,
  withResourceDumper,
  type ResourceDumpOptions,
} from '../../src/device/resource-dump'
import { MalformedData } from '../../src/prm/errors'
import type { MenuRecord } from '../../src/prm/resource-segments'
import { scriptedDevice } from '../support/scripted-device'

/** Offsets in the register, in bytes (facts: dumps, C.1). */
const at = { OPAQUE: 0x1c, SIZE: 0x24, DATA: 0x30 }
const request = { type: 0x1000, index1: 5, index2: 0, num1: 0, num2: 0 }

interface Reply {
  readonly more?: boolean
  readonly seq?: number
  readonly size?: number
  readonly data?: Buffer
  readonly opaque?: number
}

/** The image of the register as a device answers it. */
function reply(image: Buffer, { more = false, seq, size, data = Buffer.alloc(0), opaque = 0 }: Reply): Buffer {
  const answer = Buffer.from(image)
  const sent = image.readUInt32BE(0)
  const number = seq ?? (((sent >>> 16) & 0xf) + 1) & 0xf
  answer.writeUInt32BE(((more ? 0x80000000 : 0) | (sent & 0x4000ffff) | (number << 16)) >>> 0, 0)
  answer.writeUInt32BE(size ?? data.length, at.SIZE)
  answer.writeUInt32BE(opaque, at.OPAQUE)
  data.copy(answer, at.DATA)
  return answer
}

const words = (...numbers: number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer).swap32()

async function collect(
  script: Parameters<typeof scriptedDevice>[0],
  options: ResourceDumpOptions = {},
  device: Parameters<typeof scriptedDevice>[1] = {},
): Promise<{ bytes: Buffer; commands: number; opcodes: number[]; error: unknown; registered: number }> {
  const parts: Buffer[] = []
  const scripted = scriptedDevice(script, device)
  let commands = 0
  let error: unknown
  try {
    const summary = await withResourceDumper(scripted.device, options, (dumper) =>
      dumpResource(scripted.device, dumper, request, options, (piece) => void parts.push(Buffer.from(piece))),
    )
    commands = summary.commands
  } catch (failed) {
    error = failed
  }
  return { bytes: Buffer.concat(parts), commands, opcodes: scripted.opcodes, error, registered: scripted.registered() }
}

test('what a device says is sent back to it: sequence, opaque, indices', async () => {
  const seen: number[][] = []
  const { bytes, commands } = await collect((image, _, count) => {
    seen.push([image.readUInt32BE(0), image.readUInt32BE(8), image.readUInt32BE(at.OPAQUE)])
    return reply(image, { more: count < 3, data: words(count, count), opaque: count * 16 })
  })
  expect(commands).toBe(3)
  expect(bytes.equals(words(1, 1, 2, 2, 3, 3))).toBe(true)
  // more_dump and inline_dump are bits 31 and 30, seq_num bits 19 to 16, the type is kept.
  expect(seen).toEqual([
    [0x40001000, 5, 0],
    [0xc0011000, 5, 16],
    [0xc0021000, 5, 32],
  ])
})

test('the sequence number wraps after 15; firmware that does not count is taken', async () => {
  const wrapped = await collect((image, _, count) => reply(image, { more: count < 40, data: words(count) }))
  expect([wrapped.error, wrapped.commands]).toEqual([undefined, 40])
  const uncounted = await collect((image, _, count) => reply(image, { more: count < 40, seq: 0, data: words(count) }))
  expect([uncounted.error, uncounted.commands]).toEqual([undefined, 40])
})

test('through memory: key, size and address are sent, and what is written is taken from there', async () => {
  const { bytes, opcodes, registered } = await collect(
    (image, memory, count) => {
      // mkey index 0x11 and a low byte of 0; the size that was registered; its address.
      expect([image.readUInt32BE(0x20), image.readUInt32BE(0x24)]).toEqual([0x1100, 8192])
      expect(image.readBigUInt64BE(0x28)).toBe(0x7f0000000000n)
      words(count, 9).copy(memory ?? Buffer.alloc(0))
      return reply(image, { more: count < 2, size: 8 })
    },
    { size: 8192 },
    { withMemory: true },
  )
  expect(bytes.equals(words(1, 9, 2, 9))).toBe(true)
  expect(opcodes).toEqual([0x800, 0x200, 0x805, 0x805, 0x202, 0x801])
  expect(registered).toBe(0)
})

test.each<[string, (image: Buffer, count: number) => Buffer, RegExp, number]>([
  ['endless, without data', (image) => reply(image, { more: true }), /more_dump for ever, after 0 bytes/, 0],
  [
    'endless, with data',
    (image) => reply(image, { more: true, data: words(1) }),
    /more_dump for ever, after 4100 bytes/,
    4100,
  ],
  ['a wrong number', (image) => reply(image, { seq: 5 }), /sequence number 5; 1 was expected/, 0],
  [
    'a number that stays',
    (image, count) => reply(image, { more: true, seq: Math.min(count, 2), data: words(1) }),
    /sequence number 2; 3 was expected/,
    8,
  ],
  [
    'a number that starts again',
    (image, count) => reply(image, { more: true, seq: count === 4 ? 0 : count, data: words(1) }),
    /sequence number 0; 4 was expected/,
    12,
  ],
  ['more than the register holds', (image) => reply(image, { size: 212 }), /wrote 212 bytes into 208/, 0],
  ['4 GiB', (image) => reply(image, { size: 0xfffffffc }), /wrote 4294967292 bytes/, 0],
  ['a part of a dword', (image) => reply(image, { size: 7 }), /wrote 7 bytes/, 0],
])('a device that answers %s: a clear error, and what was read is there', async (_, script, message, kept) => {
  const { error, bytes } = await collect((image, __, count) => script(image, count), { most: 4096 })
  expect(error).toBeInstanceOf(MalformedData)
  expect(String(error)).toMatch(message)
  expect(bytes.length).toBe(kept)
})

test('a device that says it wrote more than there is memory, through memory: nothing stays registered', async () => {
  const { error, opcodes, registered } = await collect(
    (image) => reply(image, { size: 1 << 20 }),
    { size: 4096 },
    { withMemory: true },
  )
  expect(String(error)).toMatch(/wrote 1048576 bytes into 4096/)
  expect([opcodes.slice(-2), registered]).toEqual([[0x202, 0x801], 0])
})

/** A segment of 5 dwords that refers to another dump (facts: dumps, C.2). */
const reference = (type: number, index1: number): Buffer => words(0x0005fffd, type, index1, 0, 0)
const TERMINATE = 0x0001fffb

test('references are followed to the depth that is asked for, each once, also in a circle', async () => {
  const asked: number[] = []
  const script = (image: Buffer): Buffer => {
    const type = image.readUInt32BE(0) & 0xffff
    asked.push(type)
    const next = { 0x1000: [0x2000, 0x2001], 0x2000: [0x3000, 0x1000], 0x2001: [0x3000], 0x3000: [0x2000] }[type] ?? []
    return reply(image, { data: Buffer.concat([...next.map((one) => reference(one, 5)), words(TERMINATE)]) })
  }
  const depths: [number, number[]][] = []
  for (const depth of [0, 1, 2, Number.POSITIVE_INFINITY]) {
    asked.length = 0
    const { error } = await collect(script, { depth })
    expect(error).toBeUndefined()
    depths.push([depth, [...asked]])
  }
  expect(depths).toEqual([
    [0, [0x1000]],
    [1, [0x1000, 0x2000, 0x2001]],
    [2, [0x1000, 0x2000, 0x2001, 0x3000]],
    [Number.POSITIVE_INFINITY, [0x1000, 0x2000, 0x2001, 0x3000]],
  ])
})

test('references without end are given up', async () => {
  let index = 0
  const script = (image: Buffer): Buffer =>
    reply(image, {
      data: Buffer.concat([...Array.from({ length: 10 }, () => reference(0x1000, ++index)), words(TERMINATE)]),
    })
  const { error } = await collect(script, { depth: Number.POSITIVE_INFINITY })
  expect(String(error)).toMatch(/lead to more than 10000 dumps/)
})

/** One record: flags and type, and three names of 16 bytes. */
function record(flags: number, type: number, ...names: string[]): Buffer {
  const bytes = Buffer.alloc(52)
  bytes.writeUInt32BE(((flags << 16) | type) >>> 0, 0)
  for (const [index, name] of names.entries()) bytes.write(name, 4 + index * 16, 16, 'latin1')
  return bytes
}

async function menuOf(announced: number, records: Buffer[], length?: number): Promise<readonly MenuRecord[]> {
  const body = Buffer.concat([words(0, announced), ...records])
  body.writeUInt32BE(((((length ?? body.length) / 4) << 16) | 0xffff) >>> 0, 0)
  const stream = Buffer.concat([body, words(TERMINATE)])
  const { device } = scriptedDevice((image, _, count) => {
    const data = stream.subarray((count - 1) * 208, count * 208)
    return reply(image, { more: count * 208 < stream.length, data })
  })
  return withResourceDumper(device, {}, async (dumper) => (await readMenu(device, dumper)).records)
}

test('the menu: flags from bit 16 on, and names that have no NUL', async () => {
  const records = await menuOf(2, [
    record(0x6f3, 0x21, 'SEGMENT_NAME_16X', 'IDX1', 'IDX2'),
    record(0, 0xfe, 'A\u0001B', 'N/A', 'N/A'),
  ])
  const none = { supported: false, required: false, all: false, active: false }
  expect(records).toEqual([
    {
      type: 0x21,
      name: 'SEGMENT_NAME_16X',
      index1: { name: 'IDX1', supported: true, required: true },
      index2: { name: 'IDX2', supported: false, required: false },
      num1: { supported: true, required: true, all: true, active: true },
      num2: { supported: false, required: true, all: true, active: false },
    },
    {
      type: 0xfe,
      name: 'A.B',
      index1: { name: 'N/A', supported: false, required: false },
      index2: { name: 'N/A', supported: false, required: false },
      num1: none,
      num2: none,
    },
  ])
})

test.each<[string, number, number, RegExp]>([
  ['65535 records and has 1', 65535, 1, /announces 65535 records and has 1/],
  ['2 records and has none', 2, 0, /announces 2 records and has 0/],
])('a menu that announces %s', async (_, announced, there, message) => {
  const records = Array.from({ length: there }, () => record(0, 1, 'A'))
  await expect(menuOf(announced, records)).rejects.toThrow(message)
})

test('a menu that is as long as one can be: 1260 records', async () => {
  const records = Array.from({ length: 1260 }, (_, index) => record(3, index, `R${index}`))
  expect((await menuOf(1260, records)).at(-1)?.name).toBe('R1259')
})

test('a menu without end, and references without end in one dump, are given up before they fill the memory', async () => {
  const menu = Buffer.concat([words(0x000fffff, 1), record(0, 1, 'A')])
  const endless = scriptedDevice((image) => reply(image, { more: true, data: menu }))
  await expect(withResourceDumper(endless.device, {}, (dumper) => readMenu(endless.device, dumper))).rejects.toThrow(
    /more_dump for ever, after 41943\d\d bytes/,
  )
  let index = 0
  const script = (image: Buffer): Buffer =>
    reply(image, { more: true, data: Buffer.concat(Array.from({ length: 10 }, () => reference(0x1000, ++index))) })
  const { error, opcodes } = await collect(script, { depth: 1 })
  expect(String(error)).toMatch(/lead to more than 10000 dumps/)
  expect(opcodes.length).toBeLessThan(1100)
}, 60_000)

test('a menu whose segment ends behind the dump, or has length 0', async () => {
  await expect(menuOf(1, [record(0, 1, 'A')], 4096)).rejects.toThrow(/of 4096 bytes has only 64/)
  await expect(menuOf(1, [record(0, 1, 'A')], 0)).rejects.toThrow(/has length 0/)
})

const rules: MenuRecord = {
  type: 0x1001,
  name: 'SND_BUFF',
  index1: { name: 'QPN', supported: true, required: true },
  index2: { name: 'N/A', supported: false, required: false },
  num1: { supported: false, required: false, all: false, active: false },
  num2: { supported: true, required: false, all: true, active: false },
}

test.each<[Partial<Record<'index1' | 'index2' | 'num1' | 'num2', number>>, RegExp | undefined]>([
  [{ index1: 5 }, undefined],
  [{ index1: 5, num1: 1, num2: 0xffff }, undefined],
  [{}, /^SND_BUFF \(0x1001\) needs --index1 QPN$/],
  [{ index1: 5, index2: 0 }, /takes no index2/],
  [{ index1: 5, num1: 2 }, /takes no num1/],
  [{ index1: 5, num1: 0xffff }, /takes no num1/],
  [{ index1: 5, num2: 0xfffe }, /cannot dump the active ones by --num2/],
])('arguments %j against the menu', (given, message) => {
  const check = (): unknown =>
    checkedRequest(rules, { index1: 0, index2: 0, num1: 0, num2: 0, ...given }, new Set(Object.keys(given)))
  if (message === undefined) expect(check()).toMatchObject({ type: 0x1001, ...given })
  else expect(check).toThrow(message)
})
