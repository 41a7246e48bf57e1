import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { compareBundles, type Comparison } from '../../src/bundle/compare'
import { dataKey } from '../../src/bundle/facts'
import type { PopulationReport } from '../../src/bundle/report'
import { medianOf, outlying, outlyingRates, outlyingRatios } from '../../src/bundle/robust'
import { enveloped, makeBundle, type MadeItem } from '../support/bundles'
import { Random, seed } from '../support/random'

const FLEET = 60
let folder: string
let files: string[]
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-fleet-'))
  files = Array.from({ length: FLEET }, (_, index) => fleetBundle(index))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const functions = ['0000:03:00.0', '0000:03:00.1'] as const

/** Two functions of one card. What is odd is planted by number. */
function fleetBundle(index: number): string {
  const host = `node${String(index).padStart(2, '0')}`
  const isOther = index >= 50
  const items = functions.flatMap((device, port): MadeItem[] => {
    const item = (name: string, command: string, data: unknown, more: Record<string, unknown> = {}): MadeItem => ({
      name,
      device,
      file: `${name}.json`,
      content: enveloped(command, data),
      item: more,
    })
    const text = (value: string): unknown => ({ value: 0, text: value })
    const counters = (turn: number): unknown => ({
      groups: [
        {
          group: 'port',
          title: 'port',
          labels: { port: 1 },
          values: [
            {
              name: 'octets',
              value: String(index * 1e9 + turn * (index === 13 && port === 1 ? 0 : 4e6 + index * 1000)),
              type: 'counter',
              unit: 'bytes',
            },
            { name: 'symbol_errors', value: index === 21 && port === 0 ? '77' : '0', type: 'counter', unit: 'errors' },
            { name: 'temperature', value: index === 33 ? 97 : 45 + (index % 7), type: 'gauge', unit: 'celsius' },
          ],
        },
      ],
      refused: [],
    })
    const registers = [
      ['MGIR', { hw_info: { manufacturing_base_mac_31_0: 0x1000_0000 + index * 8, uptime: 1000 + index } }],
      [
        'PTYS',
        { local_port: 1, eth_proto_oper: index === 40 ? 64 : 128, ...(index === 41 && port === 1 ? { late: 1 } : {}) },
      ],
      ...(index === 42 && port === 0 ? [] : [['PCAM', { feature: 1 }]]),
      ['KEYS', { key: `${host}-${port}` }],
      ['HALF', { half: index % 2 }],
    ] as const
    return [
      item('info', 'info', {
        model: isOther ? 'ConnectX-7' : 'ConnectX-6 Dx',
        psid: isOther ? 'MT_0000000838' : 'MT_0000000359',
        firmware: index === 7 || index === 8 ? '22.39.2048' : isOther ? '28.43.1014' : '22.44.1036',
      }),
      item('config', 'config query', {
        devices: [
          {
            parameters: [
              {
                name: 'SRIOV_EN',
                default: text('False(0)'),
                current: text('True(1)'),
                next: text(index === 9 && port === 0 ? 'False(0)' : 'True(1)'),
              },
            ],
          },
        ],
      }),
      index === 44 && port === 0
        ? { name: 'registers', device, file: null }
        : item('registers', 'reg dump', {
            registers: registers.map(([name, values]) => ({
              register: { name, id: 1, layout: '', length: 4 },
              image: Buffer.from(JSON.stringify(values)).toString('hex'),
              values,
              names:
                name === 'PTYS'
                  ? { eth_proto_oper: `speed_${(values as { eth_proto_oper: number }).eth_proto_oper}` }
                  : {},
            })),
          }),
      item('counters-1', 'counters', counters(0), { started: '2026-11-26T03:00:10Z' }),
      item('counters-2', 'counters', counters(1), { started: '2026-11-26T03:00:14Z' }),
      { name: 'coredump', device, file: 'coredump.bin', content: host },
    ]
  })
  const kernel: MadeItem = {
    name: 'kernel',
    device: null,
    file: 'kernel.json',
    content: JSON.stringify({ release: index === 3 ? '5.14.0' : '6.12.1' }),
  }
  return makeBundle(path.join(folder, `${host}.tar.gz`), {
    host,
    devices: functions.map((folder) => ({ folder })),
    items: [kernel, ...items],
  })
}

/** Field, usual value, and each odd one with its devices. */
const told = ({ outliers }: PopulationReport): [string, unknown, string[]][] =>
  outliers.map(({ field, usual, values }) => [
    field,
    usual.absent ? '(absent)' : usual.value,
    values.map(
      ({ value, absent, devices }) =>
        `${absent ? '(absent)' : String(value)}: ${devices.map(({ host, device }) => `${host} ${device?.at(-1) ?? ''}`.trim()).join(', ')}`,
    ),
  ])

const population = ({ populations }: Comparison, name: string): PopulationReport => {
  const found = populations.find((one) => one.name === name)
  if (found === undefined)
    throw new Error(`no population ${name}; there are ${populations.map((one) => one.name).join()}`)
  return found
}

describe('compare', () => {
  test('finds what was planted in a fleet, and nothing else', async () => {
    const found = await compareBundles(files)
    expect(found).toMatchObject({ bundles: 60, devices: 120, skipped: [], unreadable: [] })
    expect(found.populations.map(({ name, devices, hosts }) => [name, devices, hosts])).toEqual([
      ['ConnectX-6 Dx MT_0000000359', 100, 50],
      ['ConnectX-7 MT_0000000838', 20, 10],
      ['hosts', 60, 60],
    ])
    const dx = population(found, 'ConnectX-6 Dx MT_0000000359')
    expect(told(dx)).toEqual([
      ['bundle.items.registers', 'ok', ['failed (firmware): node44 0']],
      ['config.SRIOV_EN.next', 'True(1)', ['False(0): node09 0']],
      ['counters.port{port=1}.octets', expect.closeTo(1_006_000, -4), ['0: node13 1']],
      ['counters.port{port=1}.symbol_errors', '0', ['77: node21 0']],
      ['registers.PCAM', 'present', ['(absent): node42 0']],
      ['registers.PTYS.late', '(absent)', ['1: node41 1']],
      ['counters.port{port=1}.temperature', 48, ['97: node33 0, node33 1']],
      ['registers.PTYS.eth_proto_oper', 128, ['64: node40 0, node40 1']],
      ['info.firmware', '22.44.1036', ['22.39.2048: node07 0, node07 1, node08 0, node08 1']],
    ])
    expect(dx.outliers.find(({ field }) => field.endsWith('octets'))).toMatchObject({ kind: 'rate', unit: 'bytes' })
    expect(dx.outliers.find(({ field }) => field.endsWith('oper'))).toMatchObject({
      usual: { name: 'speed_128' },
      values: [{ name: 'speed_64' }],
    })
    expect(dx.mixed.map(({ field, values }) => [field, values.map(({ count }) => count).sort()])).toEqual([
      ['registers.HALF.half', [49, 50]],
    ])
    expect(told(population(found, 'ConnectX-7 MT_0000000838'))).toEqual([])
    expect(told(population(found, 'hosts'))).toEqual([['kernel.release', '6.12.1', ['5.14.0: node03']]])
    // The MAC, the key of each; the octets of each; and the total of the octets that is judged by its rate only.
    expect(dx.fields).toMatchObject({ individual: 4, volatile: 1, mixed: 1, outlying: 9 })
  })

  test('what was not read of an item that is partial makes no outlier', async () => {
    const register = (name: string, values: object): unknown => ({
      register: { name, id: 1, layout: '', length: 4 },
      image: JSON.stringify(values),
      values,
      names: {},
    })
    const made = (name: string, registers: readonly unknown[], item: Record<string, unknown> = {}): string =>
      makeBundle(path.join(folder, `${name}.tar.gz`), {
        host: name,
        devices: [{ folder: '0000:03:00.0' }],
        items: [
          {
            name: 'registers',
            device: '0000:03:00.0',
            file: 'registers.json',
            content: enveloped('reg dump', { registers }),
            item,
          },
        ],
      })
    const whole = [register('A', { x: 1, y: 2 }), register('B', { z: 3 })]
    const lacking = [register('A', { x: 1 })]
    const rest = ['w1', 'w2', 'w3', 'w4'].map((name) => made(name, whole))
    const fieldsWith = async (file: string): Promise<unknown> => {
      const [devices] = (await compareBundles([...rest, file])).populations
      return devices?.outliers.map(({ field }) => field)
    }
    expect(await fieldsWith(made('p', lacking))).toEqual(['registers.A.y', 'registers.B'])
    const part = { status: 'partial', reason: 'cut off', exit: { code: 8, kind: 'partial' } }
    expect(await fieldsWith(made('q', lacking, part))).toEqual(['bundle.items.registers'])
  })

  test('groups by model, or not at all', async () => {
    expect((await compareBundles(files, { by: 'model' })).populations.map(({ name }) => name)).toEqual([
      'ConnectX-6 Dx',
      'ConnectX-7',
      'hosts',
    ])
    const all = population(await compareBundles(files, { by: 'none' }), 'all devices')
    expect(told(all).find(([field]) => field === 'info.psid')?.[2]).toHaveLength(1)
  })

  test(`says the same in whatever order the files come (seed ${seed})`, async () => {
    const random = new Random(seed)
    const expected = JSON.stringify(await compareBundles(files))
    for (let turn = 0; turn < 3; turn++) {
      const shuffled = [...files]
      for (let at = shuffled.length - 1; at > 0; at--) {
        const other = random.below(at + 1)
        ;[shuffled[at], shuffled[other]] = [shuffled[other] ?? '', shuffled[at] ?? '']
      }
      expect(JSON.stringify(await compareBundles(shuffled))).toBe(expected)
    }
  })

  test('names a bundle that it cannot read, and counts nothing of it', async () => {
    const good = await compareBundles(files.slice(0, 10))
    const whole = readFileSync(files[20] ?? '')
    writeFileSync(path.join(folder, 'cut.tar.gz'), whole.subarray(0, whole.length - 20))
    writeFileSync(path.join(folder, 'none.tar.gz'), 'nothing')
    const names = [
      path.join(folder, 'none.tar.gz'),
      ...files.slice(0, 10),
      path.join(folder, 'cut.tar.gz'),
      path.join(folder, 'gone.tar.gz'),
    ]
    const found = await compareBundles(names)
    expect(found.populations).toEqual(good.populations)
    expect(found.skipped.map(({ file, reason }) => [path.basename(file), reason])).toEqual([
      ['cut.tar.gz', expect.stringMatching(/^is cut off/)],
      ['gone.tar.gz', expect.stringMatching(/ENOENT/)],
      ['none.tar.gz', expect.stringMatching(/^is no bundle/)],
    ])
  })

  test('skips an item that it cannot understand, and no other', async () => {
    const odd = makeBundle(path.join(folder, 'odd.tar.gz'), {
      devices: [{ folder: 'd' }],
      items: [
        { name: 'info', device: 'd', file: 'info.json', content: '{"model":' },
        { name: 'other', device: 'd', file: 'other.json', content: `${'['.repeat(200)}{"a":1}${']'.repeat(200)}` },
      ],
    })
    const found = await compareBundles([odd, ...files.slice(0, 3)])
    expect(found.unreadable.map(({ item, reason }) => [item, reason])).toEqual([
      ['devices/d/info.json', expect.stringMatching(/is no JSON/)],
      ['devices/d/other.json', expect.stringMatching(/nested too deep/)],
    ])
    expect(found.bundles).toBe(4)
    expect(found.populations.map(({ name }) => name)).toContain('model unknown (PSID unknown)')
  })

  test('calls hosts by their bundles where their names were redacted', async () => {
    const redacted = Array.from({ length: 4 }, (_, index) =>
      makeBundle(path.join(folder, `token${index}.tar.gz`), {
        host: 'HOST-1',
        devices: [{ folder: 'd' }],
        items: [
          {
            name: 'info',
            device: 'd',
            file: 'info.json',
            content: JSON.stringify({ model: 'X', psid: index === 2 ? 'B' : 'A' }),
          },
        ],
        manifest: { redacted: ['hostname'] },
      }),
    )
    const all = population(await compareBundles(redacted, { by: 'model' }), 'X')
    expect([all.hosts, told(all)]).toEqual([4, [['info.psid', 'A', ['B: token2 d']]]])
  })

  test('says nothing of two devices', async () => {
    const { populations } = await compareBundles(files.slice(0, 1))
    expect(populations.map(({ comparable, outliers, mixed }) => [comparable, outliers.length, mixed.length])).toEqual([
      [false, 0, 0],
      [false, 0, 0],
    ])
  })
})

describe('what says the same data', () => {
  const key = (text: string): string | undefined => dataKey(Buffer.from(text))
  const of = (device: string, data: string): string =>
    `{"schemaVersion":"1.0","device":${device},"data":${data},"error":null}`

  test('is told without reading it, whatever device it is of', () => {
    expect(key(of('null', '{"a":1}'))).toBeDefined()
    expect(key(of('{"node":"x"}', '{"a":1}'))).toBe(key(of('null', '{"a":1}')))
    expect(key(of('null', '{"a":2}'))).not.toBe(key(of('null', '{"a":1}')))
  })

  test('is left to be read where the beginning is no envelope', () => {
    for (const text of [
      '',
      '[]',
      '{"data":1}',
      '{"x":{"data":1}}',
      of('{"data":5}', '{"a":1}'),
      of('"\\"data\\":"', '1').replace('schemaVersion', 'x'),
      '{"schemaVersion":"1.0","x":["data":1',
    ])
      expect([text, key(text)]).toEqual([text, undefined])
  })
})

describe('outliers of numbers', () => {
  const of = (...values: number[]): { of: number; value: number }[] => values.map((value, of) => ({ of, value }))

  test('lie far from the median, by the median of the deviations', () => {
    expect([medianOf([]), medianOf([3, 1, 2]), medianOf([4, 1, 3, 2])]).toEqual([0, 2, 2.5])
    expect(outlying(of(45, 46, 47, 44, 45, 99, 46)).outliers).toEqual([{ of: 5, value: 99 }])
    expect(outlying(of(45, 45, 45, 45, 45.2)).outliers).toEqual([])
    expect(outlying(of(0, 0, 0, 0, 0, 3)).outliers).toEqual([{ of: 5, value: 3 }])
    expect(outlying(of(10, 20, 30, 40, 50, 60)).outliers).toEqual([])
  })

  test('of rates go by the order of magnitude', () => {
    expect(outlyingRates(of(1e9, 1.1e9, 0.9e9, 1.2e9, 1e9, 0)).outliers).toEqual([{ of: 5, value: 0 }])
    expect(outlyingRates(of(1e9, 2e9, 5e8, 1e9, 4e8, 3e9)).outliers).toEqual([])
    expect(outlyingRates(of(0, 0, 0, 0, 12)).outliers).toEqual([{ of: 4, value: 12 }])
  })

  test('of shares of wrong bits too, where none is as good as hardly any', () => {
    expect(outlyingRatios(of(0, 5e-15, 1e-15, 0, 2e-15, 1e-8)).outliers).toEqual([{ of: 5, value: 1e-8 }])
    expect(outlyingRatios(of(1e-9, 4e-9, 2e-9, 1e-9, 3e-9)).outliers).toEqual([])
  })
})
