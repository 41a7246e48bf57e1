import { Device } from '../../src/device/device'
import { diffRegisters } from '../../src/device/register-diff'
import { blocksOf, pairsOf, planRegisterDump, registerDump, scanRegisters } from '../../src/device/register-dump'
import { parseDump } from '../../src/device/register-dump-files'
import { MalformedData } from '../../src/prm/errors'
import { CrSpaceError, DeliveryError, type CrSpace, type Transport } from '../../src/transport/contract'
import { orMalformed } from '../support/hostile'
import { Random, seed } from '../support/random'
import { catalogue, codec } from '../support/scripted-device'

const words = (...numbers: number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer).swap32()

/** A device whose CR space is what the test says; every other word has its own address as its value. */
function deviceWith(known: Readonly<Record<number, number>>, failsAt?: number): Device {
  const read = async (address: number, dwords: number): Promise<Uint32Array> => {
    const found = Uint32Array.from({ length: dwords }, (_, index) => known[address + index * 4] ?? address + index * 4)
    if (failsAt === undefined || failsAt < address || failsAt >= address + dwords * 4) return found
    const before = found.subarray(0, (failsAt - address) / 4)
    throw new CrSpaceError(new DeliveryError('no answer', 'ETIMEDOUT'), failsAt, before)
  }
  const crSpace: CrSpace = { read }
  const transport: Transport = {
    device: { transport: 'pci', node: 'scripted', rdma: [], net: [] },
    identify: async () => ({ uapi: 'scripted' }),
    execute: async () => new Uint8Array(16),
    crSpace,
    close: async () => undefined,
  }
  return new Device(transport, catalogue, codec)
}

const ID = 0xf0014
const SIGNATURE = 0x54306f6c

describe('what is read', () => {
  test('the table of the chip by its hardware id, the revision above it left aside; then the chain', async () => {
    const chain = { 0x18: SIGNATURE, 0x1c: 0xf0300003, 0x20: 0x9000, 0x9000: SIGNATURE, 0x9004: 2, 0x9008: 0x9100 }
    const plan = await planRegisterDump(deviceWith({ [ID]: 0x00010218, ...chain, 0x9100: 0 }))
    expect([plan.table.name, plan.hardwareId]).toEqual(['ConnectX7', 0x218])
    // Bits 0 to 19 are the size: what stands above is a version and flags.
    expect(plan.chain).toEqual([
      { address: 0x9000, dwords: 3 },
      { address: 0x9100, dwords: 2 },
    ])
  })

  test('ConnectX-8 has its chain elsewhere', async () => {
    const chain = { 0x1a00018: SIGNATURE, 0x1a0001c: 1, 0x1a00020: 0x40, 0x40: 0 }
    const plan = await planRegisterDump(deviceWith({ [ID]: 0x21e, ...chain }))
    expect(plan.chain).toEqual([{ address: 0x40, dwords: 1 }])
  })

  test('a chain that runs in a circle, or out of the space, is no dump', async () => {
    const circle = { 0x18: SIGNATURE, 0x1c: 1, 0x20: 0x18 }
    await expect(planRegisterDump(deviceWith({ [ID]: 0x218, ...circle }))).rejects.toThrow(/more than 1024 blocks/)
    const outside = { 0x18: SIGNATURE, 0x1c: 1, 0x20: 0x40000001 }
    await expect(planRegisterDump(deviceWith({ [ID]: 0x218, ...outside }))).rejects.toThrow(/leads to 0x40000001/)
    const last = { 0x18: SIGNATURE, 0x1c: 1, 0x20: 0x3ffffffc }
    await expect(planRegisterDump(deviceWith({ [ID]: 0x218, ...last }))).rejects.toThrow(/leads to 0x3ffffffc/)
  })

  test('a chip without a table: what to do instead', async () => {
    await expect(planRegisterDump(deviceWith({ [ID]: 0x999 }))).rejects.toThrow(/no dump table for hardware id 0x999/)
    expect((await planRegisterDump(deviceWith({ [ID]: 0x999 }), 'ConnectX5')).table.name).toBe('ConnectX5')
  })

  test('what was read before a word that fails is given out, and the error has its address', async () => {
    const device = deviceWith({ [ID]: 0x20d, 0x18: 0 }, 0x100)
    const table = {
      name: 'x',
      hardwareId: 0x20d,
      blocks: [
        { address: 0, dwords: 2 },
        { address: 0xf0, dwords: 8 },
      ],
    }
    const found: [number, number[]][] = []
    const dump = registerDump(device, { hardwareId: 0x20d, table, chain: [] }, ({ address, words: read }) => {
      found.push([address, [...read]])
    })
    await expect(dump).rejects.toMatchObject({ address: 0x100, errno: 'ETIMEDOUT' })
    expect(found).toEqual([
      [0, [0, 4]],
      [0xf0, [0xf0, 0xf4, 0xf8, 0xfc]],
    ])
  })

  test('no scan where the device leads nowhere', async () => {
    await expect(scanRegisters(deviceWith({}), () => undefined)).rejects.toThrow(/offers no scan/)
  })
})

test('pairs and blocks are inverse', () => {
  const block = { address: 0x100, words: Uint32Array.of(1, 0xffffffff, 3) }
  const pairs = Buffer.concat([pairsOf(block), pairsOf({ address: 0x200, words: Uint32Array.of(4) })])
  expect(pairs.toString('hex')).toBe('000001000000000100000104ffffffff00000108000000030000020000000004')
  expect(blocksOf(pairs)).toEqual([block, { address: 0x200, words: Uint32Array.of(4) }])
})

const pairs = words(0, 0x11, 4, 0xdeadbeef, 0x500c04, 7)

describe('dumps in files', () => {
  const image = Buffer.alloc(16, Buffer.from([0xe5, 0xcc, 0xda, 0xba]))
  image.writeUInt32LE(0x11, 4)
  image.writeUInt32LE(0x22, 12)
  const ofImage = words(4, 0x11, 12, 0x22)
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

  test.each<[string, Buffer, string | undefined, Buffer]>([
    ['a core dump', pairs, undefined, pairs],
    ['a core dump, said to be one', pairs, 'coredump', pairs],
    ['lines', Buffer.from('0x00000000 0x00000011\n0x00000004 0xDEADBEEF\n0x00500c04 0x7\n'), undefined, pairs],
    [
      'lines with the error of mstregdump',
      Buffer.from('0x00000000 0x00000011\n-E- Cr read (0x4) failed: x(5)\n'),
      undefined,
      pairs.subarray(0, 8),
    ],
    ['an image of CR space, little-endian', image, undefined, ofImage],
    ['an image, said to be one', image, 'crdump', ofImage],
    ['devlink JSON', json({ crdump_data: [...image] }), undefined, ofImage],
    [
      'devlink JSON in pieces, below other names',
      json({ dump: { a: 1, crdump_data: [[...image.subarray(0, 8)], [...image.subarray(8)]] } }),
      undefined,
      ofImage,
    ],
    [
      'devlink text',
      Buffer.from(`syndrome: 8\n crdump_data:\n${image.toString('hex').replace(/../g, '$& ')}\nend: 1\n`),
      undefined,
      ofImage,
    ],
    [
      'JSON of regdump',
      json({
        data: {
          blocks: [
            { address: 0, bytes: '00000011deadbeef' },
            { address: 0x500c04, bytes: '00000007' },
          ],
        },
      }),
      undefined,
      pairs,
    ],
    [
      'ndjson of regdump',
      Buffer.from(
        `${JSON.stringify({ data: { address: 0, bytes: '00000011deadbeef' } })}\n${JSON.stringify({ data: { address: 0x500c04, bytes: '00000007' } })}\n`,
      ),
      undefined,
      pairs,
    ],
  ])('%s', (_, input, kind, expected) => {
    expect(Buffer.from(parseDump(input, kind)).toString('hex')).toBe(expected.toString('hex'))
  })

  test.each<[string, Buffer, string | undefined, RegExp]>([
    ['nothing', Buffer.alloc(0), undefined, /is empty/],
    ['a core dump that is cut', pairs.subarray(0, 20), undefined, /is cut: its 20 bytes/],
    ['bytes of any kind', Buffer.from('00ff11ee22dd33cc', 'hex'), undefined, /coredump:FILE or crdump:FILE says/],
    ['ndjson of nothing', Buffer.from('{"data":{"a":1}}\nnull\n'), undefined, /is no register dump/],
    [
      'JSON that is nested without end',
      Buffer.from(`{"crdump_data":${'['.repeat(200_000)}${']'.repeat(200_000)}}`),
      undefined,
      /crdump_data|JSON/,
    ],
    ['half a pair', pairs.subarray(0, 12), 'coredump', /has 12 bytes/],
    ['half a word', image.subarray(0, 6), 'crdump', /has 6 bytes/],
    ['other text', Buffer.from('0x1 0x2\nhello\n'), undefined, /line 2: is no address and value/],
    ['JSON of something else', json({ data: { registers: 5 } }), undefined, /is no register dump/],
    ['JSON that is none', Buffer.from('{"crdump_data"'), undefined, /^JSON: /],
    ['devlink of another reporter', json({ a: { crdump_data: 5 } }), undefined, /has no crdump_data/],
    [
      'an address past the last',
      json({ data: { address: 0xfffffffe, bytes: '0000001100000022' } }),
      undefined,
      /is no register dump/,
    ],
  ])('%s is told', (_, input, kind, message) => {
    expect(() => parseDump(input, kind)).toThrow(MalformedData)
    expect(() => parseDump(input, kind)).toThrow(message)
  })

  test('the text of devlink, as long as the image of a real chip', () => {
    const size = 0x9c0160
    const line = 'e5 cc da ba '.repeat(4).trim()
    const text = Buffer.from(
      `crdump_data:\n${`${line}\n`.repeat(size / 16 - 1)}11 00 00 00 e5 cc da ba e5 cc da ba e5 cc da ba\n`,
    )
    expect(Buffer.from(parseDump(text)).toString('hex')).toBe('009c015000000011')
  })

  test('damaged ones are taken or told', () => {
    const random = new Random(seed)
    const inputs = [
      pairs,
      image,
      Buffer.from('0x00000000 0x00000011\n0x00000004 0xDEADBEEF\n'),
      json({ crdump_data: [...image] }),
      json({ data: { blocks: [{ address: 0, bytes: '00000011deadbeef' }] } }),
    ]
    const count = 100_000 * Number(process.env.MLX5CTL_FUZZ ?? 1)
    let taken = 0
    for (let index = 0; index < count; index++) {
      const bytes = Buffer.from(random.one(inputs))
      for (let times = random.below(3); times >= 0; times--) bytes[random.below(bytes.length)] = random.below(256)
      if (orMalformed(() => parseDump(bytes.subarray(0, random.below(bytes.length + 1))))) taken++
    }
    expect(taken).toBeGreaterThan(count / 20)
    expect(taken).toBeLessThan(count)
  })
})

test('what differs: counters go up each time, also through 0; what only one dump has is counted', () => {
  const first = words(0, 1, 4, 0xfffffff0, 8, 5, 12, 9, 16, 3)
  const second = words(0, 1, 4, 0x10, 8, 6, 12, 8, 16, 3, 20, 1)
  const third = words(0, 1, 4, 0x20, 8, 6, 12, 7, 16, 4)
  expect(diffRegisters([first, second])).toEqual({
    compared: 5,
    changed: [
      { address: 4, values: [0xfffffff0, 0x10], kind: undefined },
      { address: 8, values: [5, 6], kind: undefined },
      { address: 12, values: [9, 8], kind: undefined },
    ],
    unmatched: [0, 1],
  })
  expect(diffRegisters([first, second, third]).changed).toEqual([
    { address: 4, values: [0xfffffff0, 0x10, 0x20], kind: 'counter' },
    { address: 8, values: [5, 6, 6], kind: 'state' },
    { address: 12, values: [9, 8, 7], kind: 'state' },
    { address: 16, values: [3, 3, 4], kind: 'state' },
  ])
})
