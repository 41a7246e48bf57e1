import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeBundle, type MadeItem } from '../support/bundles'
import { bin, type Outcome } from '../support/cli'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

const device = '0000:03:00.0'
let folder: string
let output: Readonly<Record<string, string>>
let dump: Buffer
const at = (name: string): string => path.join(folder, name)
const bundle = (...words: string[]): Promise<Outcome> => runInProcess(['bundle', ...words])

/** Real output of commands on an emulated device, packed by tar. */
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bundle-'))
  const emu = 'emu:connectx6dx'
  const run = async (...words: string[]): Promise<string> => (await runInProcess([...words, '-j', '-q'])).stdout
  output = {
    info: await run('info', emu),
    capabilities: await run('cap', emu, 'GENERAL', 'DEBUG'),
    registers: await run('reg', 'dump', emu, 'PTYS', 'MGIR', 'PAOS', 'MTMP'),
    config: await run('config', 'query', emu, '-e'),
    firmware: await run('reg', 'dump', emu, 'MGIR', 'MCQS'),
  }
  dump = Buffer.from((await runInProcess(['rscdump', emu, 'SX_SLICE_ALL', '--raw'])).stdout, 'latin1')
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
  test('host, devices with what info says of them, and each item; nothing moves the cursor', async () => {
    const { status, stdout, stderr } = await bundle('show', at('a.tar.gz'))
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^host +host-a$/m)
    expect(stdout).toMatch(/^0000:03:00.0 +ConnectX-6 Dx +MT_0000000359 +22\.44\.1036 +mlx5_0 enp3s0f0np0$/m)
    expect(stdout).toMatch(/^0000:03:00.0\/registers +ok +[\d.]+ KiB +13 ms$/m)
    expect(stdout).toMatch(/^0000:03:00.0\/fwtrace +failed +- +13 ms +owned by\\u\{1b\}\]0;x\\u\{7\} mlx5_core$/m)
    expect(stdout).not.toContain('\u001b')
    const { data } = parseEnvelope((await bundle('show', at('a.tar.gz'), at('b.tar.gz'), '-j')).stdout)
    expect(data).toMatchObject({
      bundles: [{ host: 'host-a', devices: [{ psid: 'MT_0000000359' }] }, { host: 'host-b' }],
    })
    const records = (await bundle('show', at('a.tar.gz'), at('b.tar.gz'), '--format', 'ndjson')).stdout
      .trim()
      .split('\n')
    expect(records.map((line) => (JSON.parse(line) as { data: { host: string } }).data.host)).toEqual([
      'host-a',
      'host-b',
    ])
  })

  test('one item by its path, an ending of it, with or without the extension; exact with --raw', async () => {
    for (const word of [`devices/${device}/info.json`, `${device}/info.json`, 'info.json', 'info'])
      expect(await bundle('show', at('a.tar.gz'), word)).toEqual({ status: 0, stdout: output.info, stderr: '' })
    const raw = (await bundle('show', at('a.tar.gz'), 'coredump', '--raw')).stdout
    expect(Buffer.from(raw, 'latin1').equals(dump)).toBe(true)
    expect((await bundle('show', at('a.tar.gz'), 'coredump', '--raw', '-o', at('out.bin'))).status).toBe(0)
    expect(readFileSync(at('out.bin')).equals(dump)).toBe(true)
    expect((await bundle('show', at('a.tar.gz'), 'coredump')).stdout).toMatch(/^0x00000000 {2}[0-9a-f]{2} /)
    expect((await bundle('show', at('a.tar.gz'), 'kernel-log')).stdout).toBe('line one\n\\u{1b}[31mred\\u{1b}[0m\n')
    expect((await bundle('show', at('a.tar.gz'), 'kernel-log', '--raw')).stdout).toContain('\u001b[31m')
    expect(parseEnvelope((await bundle('show', at('a.tar.gz'), 'info', '-j')).stdout).data).toMatchObject({
      item: { name: 'info' },
      json: { data: { psid: 'MT_0000000359' } },
      text: null,
      bytes: null,
    })
    expect(parseEnvelope((await bundle('show', at('a.tar.gz'), 'coredump', '-j')).stdout).data?.bytes).toBe(
      dump.toString('hex'),
    )
    expect(parseEnvelope((await bundle('show', at('a.tar.gz'), 'manifest.json', '-j')).stdout).data).toMatchObject({
      json: { host: 'host-a' },
    })
  })

  test('items that are not there, or have no file', async () => {
    expect(await bundle('show', at('a.tar.gz'), 'register')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/no file, and no item of .*; is it registers/) as string,
    })
    expect(await bundle('show', at('a.tar.gz'), 'fwtrace')).toMatchObject({
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
  test('good ones are 0, bad ones 7, each mismatch named', async () => {
    expect(await bundle('verify', at('a.tar.gz'), at('b.tar.gz'))).toEqual({
      status: 0,
      stdout: `${at('a.tar.gz')}: ok, 7 files\n${at('b.tar.gz')}: ok, 7 files\n`,
      stderr: '',
    })
    make('bad', {}, [{ name: 'x', device: null, file: 'x.txt', content: 'x', item: { sha256: 'f'.repeat(64) } }])
    writeFileSync(at('cut.tar.gz'), readFileSync(at('a.tar.gz')).subarray(0, 5000))
    const { status, stdout, stderr } = await bundle('verify', at('a.tar.gz'), at('bad.tar.gz'), at('cut.tar.gz'))
    expect(status).toBe(7)
    expect(stdout).toMatch(/^ {2}bad {2}sha256 {2}host\/x\.txt has the SHA-256/m)
    expect(stdout).toMatch(/^ {2}bad {2}damaged {2}is cut off/m)
    expect(stderr).toMatch(/bundle verify: 2 of 3 bundles are not what their manifests say/)
    const json = await bundle('verify', at('bad.tar.gz'), '-j')
    expect(json.status).toBe(7)
    expect(parseEnvelope(json.stdout)).toMatchObject({
      status: 'partial',
      error: { kind: 'malformed', message: `${at('bad.tar.gz')}: is not what its manifest says` },
      data: { bundles: [{ ok: false, good: 7, problems: [{ path: 'host/x.txt', problem: 'sha256' }] }] },
    })
  })
})

describe('bundle diff', () => {
  test('the same is 0; else 10 with what differs', async () => {
    const same = await bundle('diff', at('a.tar.gz'), at('a.tar.gz'))
    expect([same.status, same.stdout.split('\n').at(-2)]).toEqual([0, 'no difference'])
    const { status, stdout } = await bundle('diff', at('a.tar.gz'), at('b.tar.gz'))
    expect(status).toBe(10)
    expect(stdout).toMatch(/^ {4}registers\.PTYS\{local_port=1,proto_mask=4\}\.an_disable_admin {2}0 {2}1$/m)
    expect(stdout.match(/^ {4}/gm)).toHaveLength(1)
    const json = await bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '-j')
    expect(json.status).toBe(10)
    expect(parseEnvelope(json.stdout).data).toMatchObject({ same: false, a: { host: 'host-a' }, b: { host: 'host-b' } })
    const [record, ...others] = (await bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--format', 'ndjson')).stdout
      .trim()
      .split('\n')
    expect(others).toEqual([])
    expect(JSON.parse(record ?? '')).toMatchObject({
      command: 'bundle diff',
      data: { kind: 'field', deviceA: device, a: { value: 0 }, b: { value: 1 } },
    })
  })

  test('of dumps, register by register', async () => {
    const registers = (last: string): MadeItem => ({
      name: 'regdump',
      device,
      file: 'regdump.txt',
      content: `0x00000000 0x00000001\n0x00000004 0x00000005\n0x00000008 ${last}\n`,
    })
    make('g', {}, [registers('0x00000001')])
    make('h', {}, [registers('0x0000abcd')])
    const { status, stdout } = await bundle('diff', at('g.tar.gz'), at('h.tar.gz'), '--dumps')
    expect(status).toBe(0)
    expect(stdout).toMatch(
      /^ {2}registers in 0000:03:00.0\/regdump: 1 of 3 differ\n {4}0x00000008 {2}0x00000001 {2}0x0000abcd$/m,
    )
    expect(
      parseEnvelope((await bundle('diff', at('g.tar.gz'), at('h.tar.gz'), '--dumps', '-j')).stdout).data,
    ).toMatchObject({
      same: true,
      dumps: [{ item: 'regdump', compared: 3, changed: [{ address: 8, a: 1, b: 0xabcd }], unmatched: [0, 0] }],
    })
  })

  test('of one device by any name; of one that is not there', async () => {
    expect((await bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--device', 'mlx5_0')).status).toBe(10)
    expect(await bundle('diff', at('a.tar.gz'), at('b.tar.gz'), '--device', 'mlx5_9')).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/the first bundle has no such device; it has 0000:03:00.0/) as string,
    })
  })
})

describe('bundle compare', () => {
  test('finds the odd one; a damaged one is named, and makes it 8', async () => {
    const names = ['c', 'd', 'e', 'f'].map((name) => make(name))
    const good = await bundle('compare', at('b.tar.gz'), ...names)
    expect([good.status, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toMatch(/^ConnectX-6 Dx MT_0000000359: 5 devices in 5 hosts$/m)
    expect(good.stdout).toMatch(
      /^ {4}registers\.PTYS\{local_port=1,proto_mask=4\}\.an_disable_admin +1 +usual 0 on 4 +host-b 0000:03:00\.0$/m,
    )
    expect(parseEnvelope((await bundle('compare', at('b.tar.gz'), ...names, '-j')).stdout).data).toMatchObject({
      bundles: 5,
      populations: [
        { outliers: [{ field: 'registers.PTYS{local_port=1,proto_mask=4}.an_disable_admin', count: 1 }] },
        { name: 'hosts' },
      ],
    })
    writeFileSync(at('damaged.tar.gz'), readFileSync(at('a.tar.gz')).subarray(0, 3000))
    const partial = await bundle('compare', at('b.tar.gz'), ...names, at('damaged.tar.gz'))
    expect(partial.status).toBe(8)
    expect(partial.stderr).toMatch(/damaged.tar.gz was skipped: is cut off/)
    expect(partial.stdout).toBe(good.stdout)
  })

  test('of nothing that can be read is 7', async () => {
    writeFileSync(at('text.tar.gz'), 'hello')
    expect(await bundle('compare', at('text.tar.gz'))).toMatchObject({
      status: 7,
      stderr: expect.stringMatching(/text.tar.gz: is no bundle/) as string,
    })
  })
})

test('what a hostile bundle says never reaches the terminal as it is: not in messages, nor in warnings', async () => {
  const escape = '\u001b]0;x\u0007\u009b31m\nmlx5ctl: done'
  const shown = '\\u{1b}]0;x\\u{7}\\u{9b}31m'
  const broken: MadeItem = { name: 'list', device: null, file: 'list.json', content: `${escape}{` }
  const version = makeBundle(at('version.tar.gz'), { items: [], manifest: { schemaVersion: escape } })
  const json = makeBundle(at('json.tar.gz'), { items: [broken] })
  const other = makeBundle(at('other.tar.gz'), { items: [{ ...broken, content: '{}' }] })
  const reason = makeBundle(at('reason.tar.gz'), { items: [{ ...broken, file: null, item: { reason: escape } }] })
  const outcomes = [
    await bundle('show', version),
    await bundle('show', reason, 'list'),
    await bundle('show', json, 'list', '-j'),
    await bundle('diff', json, json),
    await bundle('compare', version, json, other),
  ]
  expect(outcomes.map(({ status }) => status)).toEqual([7, 2, 7, 7, 8])
  for (const { stderr } of outcomes) {
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|^mlx5ctl: done/m)
    expect(stderr).toContain('\\u{')
  }
  expect(outcomes[1]?.stderr).toContain(shown)
  // Under -j the reason is data.
  const { stdout } = await bundle('show', reason, '-j')
  expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  expect(JSON.stringify(parseEnvelope(stdout).data)).toContain(JSON.stringify(escape).slice(1, -1))
})

test('JSON that is nested too deep is malformed, and no bug; as text it is shown', async () => {
  const content = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
  const file = makeBundle(at('deep.tar.gz'), { items: [{ name: 'list', device: null, file: 'list.json', content }] })
  expect(parseEnvelope((await bundle('show', file, 'list', '-j')).stdout).error).toMatchObject({
    kind: 'malformed',
    message: `${file}: host/list.json: is nested too deep`,
  })
  expect(await bundle('show', file, 'list')).toEqual({ status: 0, stdout: content, stderr: '' })
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
