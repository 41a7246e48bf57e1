import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeBundle, type MadeItem } from '../support/bundles'
import { bin, mlx5ctl, type Outcome } from '../support/cli'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

const device = '0000:03:00.0'
let folder: string
let output: Readonly<Record<string, string>>
let dump: Buffer
const at = (name: string): string => path.join(folder, name)
const bundle = (...words: string[]): Outcome => mlx5ctl('bundle', ...words)

/** Real output of commands on an emulated device, packed by tar. */
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bundle-'))
  const emu = 'emu:connectx6dx'
  const run = (...words: string[]): string => mlx5ctl(...words, '-j', '-q').stdout
  output = {
    info: run('info', emu),
    capabilities: run('cap', emu, 'GENERAL', 'DEBUG'),
    registers: run('reg', 'dump', emu, 'PTYS', 'MGIR', 'PAOS', 'MTMP'),
    config: run('config', 'query', emu, '-e'),
    firmware: run('reg', 'dump', emu, 'MGIR', 'MCQS'),
  }
  dump = spawnSync(process.execPath, [bin, 'rscdump', emu, 'SX_SLICE_ALL', '--raw'], { maxBuffer: 1 << 28 }).stdout
  make('a')
  make('b', {
    registers: (text) =>
      text
        .replace('"an_disable_admin": 0', '"an_disable_admin": 1')
        .replace('"image": "00010004', '"image": "40010004'),
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A bundle named NAME.tar.gz of that output, with some of it changed. */
function make(
  name: string,
  change: Readonly<Record<string, (text: string) => string>> = {},
  more: MadeItem[] = [],
): string {
  const identity = (JSON.parse(output.info ?? '') as { device: Record<string, unknown> }).device
  const items = Object.entries(output).map(([item, text]): MadeItem => {
    const content = change[item]?.(text) ?? text
    return { name: item, device, file: `${item}.json`, content }
  })
  const rest: MadeItem[] = [
    { name: 'kernel-log', device: null, file: 'kernel-log.txt', content: 'line one\n\u001b[31mred\u001b[0m\n' },
    { name: 'coredump', device, file: 'coredump.bin', content: dump },
    { name: 'fwtrace', device, file: null, item: { reason: 'owned by\u001b]0;x\u0007 mlx5_core' } },
  ]
  return makeBundle(at(`${name}.tar.gz`), {
    host: `host-${name}`,
    devices: [{ folder: device, identity }],
    items: [...items, ...rest, ...more],
  })
}

describe('bundle show', () => {
  test('host, devices with what info says of them, and each item; nothing moves the cursor', () => {
    const { status, stdout, stderr } = bundle('show', at('a.tar.gz'))
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^host +host-a$/m)
    expect(stdout).toMatch(/^0000:03:00.0 +ConnectX-6 Dx +MT_0000000359 +22\.44\.1036 +mlx5_0 enp3s0f0np0$/m)
    expect(stdout).toMatch(/^0000:03:00.0\/registers +ok +[\d.]+ KiB +13 ms$/m)
    expect(stdout).toMatch(/^0000:03:00.0\/fwtrace +failed +- +13 ms +owned by\\u\{1b\}\]0;x\\u\{7\} mlx5_core$/m)
    expect(stdout).not.toContain('\u001b')
    const { data } = parseEnvelope(bundle('show', at('a.tar.gz'), at('b.tar.gz'), '-j').stdout)
    expect(data).toMatchObject({
      bundles: [{ host: 'host-a', devices: [{ psid: 'MT_0000000359' }] }, { host: 'host-b' }],
    })
    const records = bundle('show', at('a.tar.gz'), at('b.tar.gz'), '--format', 'ndjson').stdout.trim().split('\n')
    expect(records.map((line) => (JSON.parse(line) as { data: { host: string } }).data.host)).toEqual([
      'host-a',
      'host-b',
    ])
  })

  test('one item by its path, an ending of it, with or without the extension; exact with --raw', () => {
    for (const word of [`devices/${device}/info.json`, `${device}/info.json`, 'info.json', 'info'])
      expect(bundle('show', at('a.tar.gz'), word)).toEqual({ status: 0, stdout: output.info, stderr: '' })
    const raw = spawnSync(process.execPath, [bin, 'bundle', 'show', at('a.tar.gz'), 'coredump', '--raw'], {
      maxBuffer: 1 << 28,
    }).stdout
    expect(raw.equals(dump)).toBe(true)
    expect(bundle('show', at('a.tar.gz'), 'coredump', '--raw', '-o', at('out.bin')).status).toBe(0)
    expect(readFileSync(at('out.bin')).equals(dump)).toBe(true)
    expect(bundle('show', at('a.tar.gz'), 'coredump').stdout).toMatch(/^0x00000000 {2}[0-9a-f]{2} /)
    expect(bundle('show', at('a.tar.gz'), 'kernel-log').stdout).toBe('line one\n\\u{1b}[31mred\\u{1b}[0m\n')
    expect(bundle('show', at('a.tar.gz'), 'kernel-log', '--raw').stdout).toContain('\u001b[31m')
    expect(parseEnvelope(bundle('show', at('a.tar.gz'), 'info', '-j').stdout).data).toMatchObject({
      item: { name: 'info' },
      json: { data: { psid: 'MT_0000000359' } },
      text: null,
      bytes: null,
    })
    expect(parseEnvelope(bundle('show', at('a.tar.gz'), 'coredump', '-j').stdout).data?.bytes).toBe(
      dump.toString('hex'),
    )
    expect(parseEnvelope(bundle('show', at('a.tar.gz'), 'manifest.json', '-j').stdout).data).toMatchObject({
      json: { host: 'host-a' },
    })
  })

  test('items that are not there, or have no file', () => {
    expect(bundle('show', at('a.tar.gz'), 'register')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/no file, and no item of .*; is it registers/) as string,
    })
    expect(bundle('show', at('a.tar.gz'), 'fwtrace')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/it is failed: owned by/) as string,
    })
  })

  test('from stdin, and to a reader that has enough', () => {
    const script = `${process.execPath} ${bin} bundle show - <${at('a.tar.gz')} | head -1; echo \${PIPESTATUS[0]}
      ${process.execPath} ${bin} bundle show ${at('a.tar.gz')} config | head -1; echo \${PIPESTATUS[0]}`
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    expect([stdout, stderr]).toEqual([expect.stringMatching(/^-\n(?:0|141)\n\{\n(?:0|141)\n$/), ''])
  })
})

describe('bundle verify', () => {
  test('good ones are 0, bad ones 7, each mismatch named', () => {
    expect(bundle('verify', at('a.tar.gz'), at('b.tar.gz'))).toEqual({
      status: 0,
      stdout: `${at('a.tar.gz')}: ok, 7 files\n${at('b.tar.gz')}: ok, 7 files\n`,
      stderr: '',
    })
    make('bad', {}, [{ name: 'x', device: null, file: 'x.txt', content: 'x', item: { sha256: 'f'.repeat(64) } }])
    writeFileSync(at('cut.tar.gz'), readFileSync(at('a.tar.gz')).subarray(0, 5000))
    const { status, stdout, stderr } = bundle('verify', at('a.tar.gz'), at('bad.tar.gz'), at('cut.tar.gz'))
    expect(status).toBe(7)
    expect(stdout).toMatch(/^ {2}bad {2}sha256 {2}host\/x\.txt has the SHA-256/m)
    expect(stdout).toMatch(/^ {2}bad {2}damaged {2}is cut off/m)
    expect(stderr).toMatch(/bundle verify: 2 of 3 bundles are not what their manifests say/)
    const json = bundle('verify', at('bad.tar.gz'), '-j')
    expect(json.status).toBe(7)
    expect(parseEnvelope(json.stdout)).toMatchObject({
      status: 'partial',
      error: { kind: 'malformed', message: `${at('bad.tar.gz')}: is not what its manifest says` },
      data: { bundles: [{ ok: false, good: 7, problems: [{ path: 'host/x.txt', problem: 'sha256' }] }] },
    })
  })
})

describe('bundle diff', () => {
  test('the same is 0; else 10 with what differs', () => {
    const same = bundle('diff', at('a.tar.gz'), at('a.tar.gz'))
    expect([same.status, same.stdout.split('\n').at(-2)]).toEqual([0, 'no difference'])
    const { status, stdout } = bundle('diff', at('a.tar.gz'), at('b.tar.gz'))
    expect(status).toBe(10)
    expect(stdout).toMatch(/^ {4}registers\.PTYS\{local_port=1,proto_mask=4\}\.an_disable_admin {2}0 {2}1$/m)
    expect(stdout.match(/^ {4}/gm)).toHaveLength(1)
    const json = bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '-j')
    expect(json.status).toBe(10)
    expect(parseEnvelope(json.stdout).data).toMatchObject({ same: false, a: { host: 'host-a' }, b: { host: 'host-b' } })
    const [record, ...others] = bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--format', 'ndjson')
      .stdout.trim()
      .split('\n')
    expect(others).toEqual([])
    expect(JSON.parse(record ?? '')).toMatchObject({
      command: 'bundle diff',
      data: { kind: 'field', deviceA: device, a: { value: 0 }, b: { value: 1 } },
    })
  })

  test('of dumps, register by register', () => {
    const registers = (last: string): MadeItem => ({
      name: 'regdump',
      device,
      file: 'regdump.txt',
      content: `0x00000000 0x00000001\n0x00000004 0x00000005\n0x00000008 ${last}\n`,
    })
    make('g', {}, [registers('0x00000001')])
    make('h', {}, [registers('0x0000abcd')])
    const { status, stdout } = bundle('diff', at('g.tar.gz'), at('h.tar.gz'), '--dumps')
    expect(status).toBe(0)
    expect(stdout).toMatch(
      /^ {2}registers in 0000:03:00.0\/regdump: 1 of 3 differ\n {4}0x00000008 {2}0x00000001 {2}0x0000abcd$/m,
    )
    expect(parseEnvelope(bundle('diff', at('g.tar.gz'), at('h.tar.gz'), '--dumps', '-j').stdout).data).toMatchObject({
      same: true,
      dumps: [{ item: 'regdump', compared: 3, changed: [{ address: 8, a: 1, b: 0xabcd }], unmatched: [0, 0] }],
    })
  })

  test('of one device by any name; of one that is not there', () => {
    expect(bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--device', 'mlx5_0').status).toBe(10)
    expect(bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--device', 'mlx5_9')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/the first bundle has no such device; it has 0000:03:00.0/) as string,
    })
  })
})

describe('bundle compare', () => {
  test('finds the odd one; a damaged one is named, and makes it 8', () => {
    const names = ['c', 'd', 'e', 'f'].map((name) => make(name))
    const good = bundle('compare', at('b.tar.gz'), ...names)
    expect([good.status, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toMatch(/^ConnectX-6 Dx MT_0000000359: 5 devices in 5 hosts$/m)
    expect(good.stdout).toMatch(
      /^ {4}registers\.PTYS\{local_port=1,proto_mask=4\}\.an_disable_admin +1 +usual 0 on 4 +host-b 0000:03:00\.0$/m,
    )
    expect(parseEnvelope(bundle('compare', at('b.tar.gz'), ...names, '-j').stdout).data).toMatchObject({
      bundles: 5,
      populations: [
        { outliers: [{ field: 'registers.PTYS{local_port=1,proto_mask=4}.an_disable_admin', count: 1 }] },
        { name: 'hosts' },
      ],
    })
    writeFileSync(at('damaged.tar.gz'), readFileSync(at('a.tar.gz')).subarray(0, 3000))
    const partial = bundle('compare', at('b.tar.gz'), ...names, at('damaged.tar.gz'))
    expect(partial.status).toBe(8)
    expect(partial.stderr).toMatch(/damaged.tar.gz was skipped: is cut off/)
    expect(partial.stdout).toBe(good.stdout)
  })

  test('of nothing that can be read is 7', () => {
    writeFileSync(at('text.tar.gz'), 'hello')
    expect(bundle('compare', at('text.tar.gz'))).toMatchObject({
      status: 7,
      stderr: expect.stringMatching(/text.tar.gz: is no bundle/) as string,
    })
  })
})

test.each<[string[], number, RegExp]>([
  [[], 2, /usage: mlx5ctl bundle/],
  [['show'], 2, /usage: mlx5ctl bundle/],
  [['look', 'x'], 2, /bundle takes show/],
  [['diff', 'x'], 2, /takes two bundles/],
  [['show', '/nowhere.tar.gz'], 2, /there is no such file/],
  [['verify', '/'], 2, /is a folder/],
  [['verify', 'x', '--by', 'psid'], 2, /bundle verify has no --by/],
  [['verify', 'x', '--raw'], 2, /bundle verify has no --raw/],
  [['compare', 'x', '--by', 'colour'], 2, /--by takes psid, model, none/],
  [['compare', 'x', '--limit', '-1'], 2, /--limit takes a number|argument missing/],
  [['compare', '-'], 2, /takes files, and not stdin/],
  [['show', 'x', '--transport', 'pci'], 2, /has no --transport/],
  [['show', '/etc/passwd'], 7, /is no bundle \(.tar.gz\): it is not compressed/],
])('mlx5ctl bundle %j ends with %i', async (words, status, message) => {
  const outcome = await runInProcess(['bundle', ...words])
  expect([outcome.status, outcome.stdout]).toEqual([status, ''])
  expect(outcome.stderr).toMatch(message)
  const json = await runInProcess(['bundle', ...words, '-j'])
  expect([json.status, parseEnvelope(json.stdout).status]).toEqual([status, 'error'])
})
