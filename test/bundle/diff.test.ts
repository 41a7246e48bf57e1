import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { diffBundles, isSame, type PairDifference } from '../../src/bundle/diff'
import { factsOf, type Fact, type IndexFields } from '../../src/bundle/facts'
import type { BundleItem } from '../../src/bundle/manifest'
import { matchDevices } from '../../src/bundle/match'
import { MalformedData, NameError } from '../../src/prm/errors'
import { enveloped, makeBundle, type MadeBundle, type MadeItem } from '../support/bundles'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-diff-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const device = '0000:03:00.0'
const indexFields: IndexFields = (layout) => (layout === 'ptys_reg_ext' ? ['local_port', 'proto_mask'] : [])

const file = (name: string, command: string, data: unknown, item: Record<string, unknown> = {}): MadeItem => ({
  name,
  device,
  file: `${name}.json`,
  content: enveloped(command, data),
  item,
})

const register = (name: string, layout: string, values: unknown, names = {}): unknown => ({
  register: { name, id: 1, layout, length: 16 },
  image: Buffer.from(JSON.stringify(values)).toString('hex'),
  values,
  names,
})

interface Made {
  readonly firmware?: string
  readonly speed?: number
  readonly temperature?: number
  readonly logMaxQp?: number
  readonly sriov?: readonly [string, string, string]
  readonly extra?: readonly unknown[]
  readonly octets?: readonly [string, string]
  readonly more?: readonly MadeItem[]
}

function items(made: Made = {}): MadeItem[] {
  const { firmware = '22.44.1036', speed = 4, temperature = 400, logMaxQp = 18 } = made
  const [first, current, next] = made.sriov ?? ['False(0)', 'False(0)', 'False(0)']
  const counters = (value: string): unknown => ({
    groups: [
      {
        group: 'rfc_2863',
        title: 'RFC 2863',
        labels: { port: 1 },
        values: [
          { name: 'if_in_octets', value, type: 'counter', unit: 'bytes' },
          { name: 'if_in_errors', value: '0', type: 'counter', unit: 'packets' },
          { name: 'temperature', value: temperature / 8, type: 'gauge', unit: 'celsius' },
        ],
      },
    ],
    refused: [],
  })
  const [one, two] = made.octets ?? ['1000', '3000']
  const column = (text: string): unknown => ({ value: 0, text })
  return [
    file('info', 'info', { model: 'ConnectX-6 Dx', psid: 'MT_0000000359', firmware }),
    file('capabilities', 'cap', {
      mode: 'current',
      capabilities: [
        {
          name: 'GENERAL',
          type: 0,
          layout: 'cmd_hca_cap',
          values: { log_max_qp: logMaxQp, nested: { list: [{ x: 1 }, { x: 2 }] } },
        },
      ],
      unsupported: [],
      failed: [],
    }),
    file('config', 'config query', {
      devices: [
        {
          device: {},
          parameters: [
            { name: 'SRIOV_EN', default: column(first), current: column(current), next: column(next) },
            { name: 'OLD', default: null, current: null, next: column('1') },
          ],
        },
      ],
    }),
    file('registers', 'reg dump', {
      registers: [
        register(
          'PTYS',
          'ptys_reg_ext',
          { local_port: 1, proto_mask: 4, eth_proto_oper: speed },
          { eth_proto_oper: `speed_${speed}` },
        ),
        register('PTYS', 'ptys_reg_ext', { local_port: 2, proto_mask: 4, eth_proto_oper: 4 }),
        register('MTMP', 'mtmp', { temperature }),
        register('MGIR', 'mgir_ext', { hw_info: { uptime: temperature } }),
        ...(made.extra ?? []),
      ],
      refused: [],
      absent: [],
      skipped: [],
    }),
    file('counters-1', 'counters', counters(one), { started: '2026-11-26T03:00:10Z' }),
    file('counters-2', 'counters', counters(two), { started: '2026-11-26T03:00:14Z' }),
    { name: 'coredump', device, file: 'coredump.bin', content: String(temperature) },
    ...(made.more ?? []),
  ]
}

const bundle = (name: string, made: Made = {}, rest: Partial<MadeBundle> = {}): string =>
  makeBundle(path.join(folder, `${name}.tar.gz`), { devices: [{ folder: device }], items: items(made), ...rest })

const only = async (a: string, b: string): Promise<PairDifference> => {
  const { pairs } = await diffBundles(a, b, { indexFields })
  const pair = pairs.find(({ matchedBy }) => matchedBy !== 'host')
  if (pair === undefined) throw new Error('no device was matched')
  return pair
}

describe('facts', () => {
  const facts = (made: MadeItem): Fact[] => [
    ...factsOf({ name: made.name, file: made.file } as BundleItem, Buffer.from(made.content ?? ''), indexFields),
  ]

  test('have the names that people use', () => {
    const all = items()
      .filter(({ file }) => file?.endsWith('.json'))
      .flatMap(facts)
    const shown = (kind: string): string[] =>
      all
        .filter((fact) => fact.kind === kind)
        .map(({ field, value, name }) => `${field}=${String(value)}${name === undefined ? '' : ` ${name}`}`)
    expect(shown('state')).toEqual([
      'info.model=ConnectX-6 Dx',
      'info.psid=MT_0000000359',
      'info.firmware=22.44.1036',
      'capabilities.GENERAL.log_max_qp=18',
      'capabilities.GENERAL.nested.list[0].x=1',
      'capabilities.GENERAL.nested.list[1].x=2',
      'config.SRIOV_EN.default=False(0)',
      'config.SRIOV_EN.current=False(0)',
      'config.SRIOV_EN.next=False(0)',
      'config.OLD.next=1',
      'registers.PTYS{local_port=1,proto_mask=4}.local_port=1',
      'registers.PTYS{local_port=1,proto_mask=4}.proto_mask=4',
      'registers.PTYS{local_port=1,proto_mask=4}.eth_proto_oper=4 speed_4',
      'registers.PTYS{local_port=2,proto_mask=4}.local_port=2',
      'registers.PTYS{local_port=2,proto_mask=4}.proto_mask=4',
      'registers.PTYS{local_port=2,proto_mask=4}.eth_proto_oper=4',
    ])
    expect(shown('volatile')).toEqual(['registers.MGIR.hw_info.uptime=400'])
    expect(shown('gauge').slice(0, 1)).toEqual(['registers.MTMP.temperature=400'])
    expect(shown('counter').slice(2)).toEqual([
      'counters.rfc_2863{port=1}.if_in_octets=3000',
      'counters.rfc_2863{port=1}.if_in_errors=0',
    ])
  })

  test('of other items are told by the names in them; instances that nothing tells apart by number', () => {
    expect(
      facts({
        name: 'sysfs',
        device,
        file: 'sysfs.json',
        content: '{"mtu":1500,"statistics":{"rx_bytes":5},"list":[1,2]}',
      }),
    ).toMatchObject([
      { field: 'sysfs.mtu', value: 1500, kind: 'state' },
      { field: 'sysfs.statistics.rx_bytes', value: 5, kind: 'counter' },
      { field: 'sysfs.list', value: '[1,2]', kind: 'state' },
    ])
    expect(
      facts(
        file('other', 'other', {
          a: [
            { name: 'x', v: 1 },
            { name: 'y', v: 2 },
          ],
        }),
      ).map(({ field }) => field),
    ).toEqual(['other.a[x].name', 'other.a[x].v', 'other.a[y].name', 'other.a[y].v'])
    const twice = { registers: [register('ABC', '', { v: 1 }), register('ABC', '', { v: 2 })] }
    expect(facts(file('registers', 'reg dump', twice)).map(({ field }) => field)).toEqual([
      'registers.ABC.v',
      'registers.ABC#2.v',
    ])
  })

  test.each<[string, string, string, string]>([
    ['link', 'up', 'gauge', 'state'],
    ['link', 'width', 'gauge', 'state'],
    ['link', 'speed', 'info', 'state'],
    ['pcie_link', 'link_width_active', 'gauge', 'state'],
    ['module', 'cable_length', 'gauge', 'state'],
    ['module', 'rx_power_lane0', 'gauge', 'gauge'],
    ['module', 'temperature_high_th', 'gauge', 'state'],
    ['temperature', 'temperature', 'gauge', 'gauge'],
    ['temperature', 'temperature_threshold_hi', 'gauge', 'state'],
    ['phy', 'effective_ber', 'gauge', 'gauge'],
    ['phy', 'time_since_last_clear', 'gauge', 'volatile'],
    ['phy', 'symbol_errors', 'counter', 'counter'],
  ])('of the counters %s.%s, a %s, is of the kind %s', (group, name, type, kind) => {
    const data = {
      groups: [{ group, title: group, labels: {}, values: [{ name, value: 1, type, unit: null }] }],
      refused: [],
    }
    expect(facts(file('counters-2', 'counters', data))).toMatchObject([{ field: `counters.${group}.${name}`, kind }])
  })

  test('of hostile JSON: members of any name and depth, items of another shape', () => {
    const content = '{"__proto__":{"polluted":1},"constructor":{"prototype":2},"toString":3}'
    expect(facts({ name: 'other', device, file: 'other.json', content }).map(({ field }) => field)).toEqual([
      'other.__proto__.polluted',
      'other.constructor.prototype',
      'other.toString',
    ])
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    const deep = `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`
    expect(() => facts({ name: 'other', device, file: 'other.json', content: deep })).toThrow(/nested too deep/)
    for (const name of [
      'capabilities',
      'config',
      'registers',
      'firmware',
      'counters-1',
      'rscdump-menu',
      'objects',
      'constructor',
    ])
      for (const data of [
        null,
        5,
        [],
        {},
        {
          registers: 5,
          groups: [null],
          capabilities: [[]],
          types: [7],
          devices: [{ parameters: [null] }],
          records: {},
        },
      ])
        expect(facts(file(name, name, data)).length).toBeLessThan(10)
    expect(() => facts({ name: 'info', device, file: 'info.json', content: '{' })).toThrow(MalformedData)
  })
})

describe('diff', () => {
  test('of a bundle with itself finds nothing', async () => {
    const a = bundle('a')
    const found = await diffBundles(a, a, { indexFields })
    expect(isSame(found)).toBe(true)
    expect(found.pairs.map(({ a, matchedBy, compared }) => [a, matchedBy, compared])).toEqual([
      [null, 'host', 0],
      [device, 'pci', 21],
    ])
  })

  test('finds exactly what was changed; what is measured, counted or dumped is told apart', async () => {
    const a = bundle('a')
    const b = bundle('b', {
      firmware: '22.45.1020',
      speed: 8,
      temperature: 500,
      logMaxQp: 17,
      sriov: ['False(0)', 'False(0)', 'True(1)'],
      octets: ['9000', '9800'],
    })
    const pair = await only(a, b)
    expect(pair.differences.map(({ field, a, b }) => [field, a?.value, b?.value])).toEqual([
      ['info.firmware', '22.44.1036', '22.45.1020'],
      ['capabilities.GENERAL.log_max_qp', 18, 17],
      ['config.SRIOV_EN.next', 'False(0)', 'True(1)'],
      ['registers.PTYS{local_port=1,proto_mask=4}.eth_proto_oper', 4, 8],
    ])
    expect(pair.differences.at(-1)).toMatchObject({ a: { name: 'speed_4' }, b: { name: 'speed_8' } })
    expect(pair.counters).toEqual([
      {
        field: 'counters.rfc_2863{port=1}.if_in_octets',
        unit: 'bytes',
        a: '3000',
        b: '9800',
        delta: '6800',
        rateA: 500,
        rateB: 200,
      },
    ])
    expect(pair.moment.map(({ field }) => field)).toEqual([
      'registers.MTMP.temperature',
      'registers.MGIR.hw_info.uptime',
      'counters.rfc_2863{port=1}.temperature',
    ])
    expect(pair.contents).toEqual([{ item: 'coredump', file: `devices/${device}/coredump.bin`, sizeA: 3, sizeB: 3 }])
    expect(pair.uncompared).toEqual([])
  })

  test('counters of 64 bits are exact; one that went back was cleared', async () => {
    const pair = await only(
      bundle('a', { octets: ['0', '18446744073709551000'] }),
      bundle('b', { octets: ['18446744073709551614', '18446744073709551615'] }),
    )
    expect(pair.counters).toMatchObject([{ delta: '615', rateB: 0.25 }])
    const back = await only(bundle('a'), bundle('c', { octets: ['1', '2'] }))
    expect(back.counters).toMatchObject([{ a: '3000', b: '2', delta: null }])
  })

  test('a register that only one has is one line; so is an item that went otherwise, and its fields are not compared', async () => {
    const a = bundle('a')
    const b = bundle('b', { extra: [register('NEW', '', { x: 1, y: 2 })] })
    expect((await only(a, b)).differences).toEqual([
      { field: 'registers.NEW', a: null, b: { value: 'present', name: null } },
    ])
    const failed = items().map((made): MadeItem =>
      made.name === 'config' ? { name: 'config', device, file: null } : made,
    )
    const c = makeBundle(path.join(folder, 'c.tar.gz'), { devices: [{ folder: device }], items: failed })
    const pair = await only(a, c)
    expect(pair.differences).toEqual([])
    expect(pair.uncompared).toEqual([{ item: 'config', a: 'ok', b: 'failed: refused by firmware' }])
    expect(isSame(await diffBundles(a, c, { indexFields }))).toBe(false)
  })

  test('what was not read of an item that is partial is no difference; what is there is compared', async () => {
    const part = { status: 'partial', reason: 'cut off', exit: { code: 8, kind: 'partial' } }
    const whole = bundle('a', { extra: [register('NEW', '', { x: 1 })] })
    const cut = bundle('b', { speed: 8 })
    const cutItems = items({ speed: 8 }).map((made) => (made.name === 'registers' ? { ...made, item: part } : made))
    const partial = makeBundle(path.join(folder, 'c.tar.gz'), { devices: [{ folder: device }], items: cutItems })
    const fields = ({ differences }: PairDifference): string[] => differences.map(({ field }) => field)
    const oper = 'registers.PTYS{local_port=1,proto_mask=4}.eth_proto_oper'
    expect(fields(await only(whole, cut))).toEqual([oper, 'registers.NEW'])
    for (const pair of [await only(whole, partial), await only(partial, whole)]) {
      expect(fields(pair)).toEqual([oper])
      expect(pair.uncompared).toMatchObject([{ item: 'registers' }])
    }
    // What the partial one has, and the whole one lacks, is one.
    const more = items({ extra: [register('NEW', '', { x: 1 })] })
    const other = more.map((made) => (made.name === 'registers' ? { ...made, item: part } : made))
    const longer = makeBundle(path.join(folder, 'd.tar.gz'), { devices: [{ folder: device }], items: other })
    expect(fields(await only(bundle('e'), longer))).toEqual(['registers.NEW'])
    // Both are partial, each in its way: nothing differs, but that they are the same nobody knows.
    const both = await only(partial, longer)
    expect(fields(both)).toEqual([oper])
    expect(both.uncompared).toEqual([{ item: 'registers', a: 'partial: cut off', b: 'partial: cut off' }])
  })

  test('of a damaged bundle is an error that names it, also when it is one item that cannot be read', async () => {
    const a = bundle('a')
    const broken: MadeItem = { name: 'list', device: null, file: 'list.json', content: '{"a":' }
    await expect(diffBundles(a, bundle('c', { more: [broken] }))).resolves.toBeDefined()
    const c = bundle('c', { more: [{ ...broken, device, name: 'sysfs', file: 'sysfs.json' }] })
    const d = bundle('d', { more: [{ ...broken, device, name: 'sysfs', file: 'sysfs.json', content: '{}' }] })
    await expect(diffBundles(d, c)).rejects.toThrow(/c.tar.gz: devices\/0000:03:00.0\/sysfs.json: is no JSON/)
    const wrong = items().map((made) => (made.name === 'info' ? { ...made, item: { sha256: '0'.repeat(64) } } : made))
    const b = makeBundle(path.join(folder, 'b.tar.gz'), { devices: [{ folder: device }], items: wrong })
    await expect(diffBundles(a, b)).rejects.toThrow(
      /b.tar.gz: devices\/0000:03:00.0\/info.json is not what the manifest says/,
    )
  })
})

describe('devices are matched', () => {
  const one = (folder: string, identity: Record<string, unknown> | null, card?: string) => ({
    device: { name: folder, folder, identity },
    card,
  })
  const at = (pci: string, card?: string) => one(pci, { pci, rdma: [`mlx5_${pci.at(-1) ?? ''}`], net: [] }, card)
  const pairs = (a: ReturnType<typeof one>[], b: ReturnType<typeof one>[], wanted: string[] = []) => {
    const { matches, unmatched } = matchDevices(a, b, wanted)
    return [
      ...matches.map(({ a, b, by }) => `${a} ${b} ${by}`),
      ...unmatched.a.map((x) => `-${x}`),
      ...unmatched.b.map((x) => `+${x}`),
    ]
  }

  test('by PCI address, then by card and function, then by name, then as the only ones', () => {
    expect(pairs([at('0000:03:00.0'), at('0000:03:00.1')], [at('0000:03:00.1'), at('0000:03:00.0')])).toEqual([
      '0000:03:00.0 0000:03:00.0 pci',
      '0000:03:00.1 0000:03:00.1 pci',
    ])
    expect(
      pairs([at('0000:03:00.0', 's'), at('0000:03:00.1', 's')], [at('0000:81:00.1', 's'), at('0000:81:00.0', 's')]),
    ).toEqual(['0000:03:00.0 0000:81:00.0 card', '0000:03:00.1 0000:81:00.1 card'])
    expect(pairs([one('fwctl0', null), one('fwctl1', null)], [one('fwctl1', null)])).toEqual([
      'fwctl1 fwctl1 name',
      '-fwctl0',
    ])
    expect(pairs([at('0000:03:00.0')], [at('0000:81:00.0')])).toEqual(['0000:03:00.0 0000:81:00.0 only'])
    expect(pairs([at('0000:03:00.0'), at('0000:04:00.0')], [at('0000:81:00.0')])).toEqual([
      '-0000:03:00.0',
      '-0000:04:00.0',
      '+0000:81:00.0',
    ])
  })

  test('or as they are named, by any name', () => {
    const [a, b] = [
      [at('0000:03:00.0'), at('0000:03:00.1')],
      [at('0000:81:00.0'), at('0000:81:00.1')],
    ]
    expect(pairs(a, b, ['03:00.1=0000:81:00.0'])).toEqual(['0000:03:00.1 0000:81:00.0 given'])
    expect(pairs(a, b, ['mlx5_1'])).toEqual(['0000:03:00.1 0000:81:00.1 given'])
    expect(() => pairs(a, b, ['mlx5_7'])).toThrow(NameError)
    expect(() => pairs(a, b, ['mlx5_1=x'])).toThrow(
      /the second bundle has no such device; it has 0000:81:00.0, 0000:81:00.1/,
    )
  })
})
