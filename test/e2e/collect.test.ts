import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redaction } from '../../src/bundle/redaction/redaction'
import { unpack, type Item, type Unpacked } from '../support/bundle'
import { bin, emulated, eventsOf, type LoggedEvent, mlx5ctl, type Outcome } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { Random, seed } from '../support/random'
import { parseEnvelope } from '../support/schema'

const random = new Random(seed)
process.stderr.write(`collect: MLX5CTL_SEED=${seed}\n`)

let folder: string
/** Memory, where there is some: each file of a bundle is synced. */
const home = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
beforeEach(() => (folder = mkdtempSync(path.join(home, 'mlx5ctl-collect-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

const profiles = ['connectx6dx', 'connectx7', 'bluefield3']
const devices = profiles.map((name) => `emu:${name}`)
const folders = profiles.map((name) => `emu-${name}`)
/** What is quick in process, of every kind: envelopes, text, bytes, memory of the host. */
const few = 'info,firmware,config-raw,rscdump-menu,rscdump-STE_ROOT'
const fast = ['--interval', '1ms']

/** Takes a bundle in this process. */
const collect = (...words: string[]): Promise<Outcome> =>
  runInProcess(['collect', ...words, '-o', at('b.tar.gz'), ...fast])
const bundle = (name = 'b.tar.gz'): Unpacked => unpack(at(name), folder)
const statuses = ({ manifest }: Unpacked): string[] => [...new Set(manifest.items.map(({ status }) => status))].sort()

describe('a bundle of three devices', () => {
  test('has what each command gives by itself, and says so', () => {
    const { status, stdout } = mlx5ctl('collect', ...devices, '-j', '-o', at('b.tar.gz'), ...fast, '--skip', 'regdump')
    const { data } = parseEnvelope(stdout)
    const taken = bundle()
    expect(status).toBe(0)
    expect(data).toMatchObject({
      size: statSync(at('b.tar.gz')).size,
      counts: { partial: 0, failed: 0 },
      items: taken.manifest.items,
    })
    expect(statSync(at('b.tar.gz')).mode & 0o777).toBe(0o600)
    expect(statuses(taken)).toEqual(['left-out', 'ok'])
    expect(taken.manifest.devices.map(({ folder: own }) => own)).toEqual(folders)
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([])
    for (const name of ['capabilities', 'config-raw', 'coredump', 'rscdump-SX_SLICE_ALL']) {
      const { command, file } = taken.item('emu-connectx7', name)
      const alone = spawnSync(process.execPath, [bin, ...(command ?? '').split(' ').slice(1)], { maxBuffer: 1 << 28 })
      expect([name, alone.stdout.equals(readFileSync(path.join(taken.folder, file ?? '')))]).toEqual([name, true])
    }
    const value = (name: string): unknown => JSON.parse(taken.text('emu-connectx7', name))
    expect(value('counters-1')).not.toEqual(value('counters-2'))
  })

  test('the same run gives the same names, in the order of the manifest', async () => {
    await collect(...devices, '--only', `host,${few}`)
    const list = spawnSync('tar', ['tzf', at('b.tar.gz')], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')
    const { manifest } = bundle()
    expect(list).toEqual([
      'b/manifest.json',
      ...manifest.items.flatMap(({ file }) => (file === null ? [] : `b/${file}`)),
    ])
    expect(manifest.items.map(({ device }) => device)).toEqual([
      null,
      ...folders.flatMap((one) => Array.from({ length: 5 }, () => one)),
    ])
  })

  test('samples of counters are an interval apart', async () => {
    await runInProcess([
      'collect',
      'emu:connectx7',
      '-o',
      at('b.tar.gz'),
      '--only',
      'counters-*',
      '--interval',
      '300ms',
    ])
    const { item } = bundle()
    const [first, second] = ['counters-1', 'counters-2'].map((name) =>
      Date.parse(item('emu-connectx7', name).started ?? ''),
    )
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(300)
  })

  test('the kernel log: lines of the driver, as dmesg shows them', async () => {
    mkdirSync(at('dev'))
    writeFileSync(
      at('dev/kmsg'),
      '6,1,5140900,-;mlx5_core 0000:81:00.0: firmware version: 22.44.1036\n SUBSYSTEM=pci\n DEVICE=+pci:0000:81:00.0\n' +
        '6,2,5140901,-;usb 1-1: new device\n3,3,1005140902,-;pcieport: AER: error of 0000:03:00.0\n',
    )
    await collect('emu:connectx7', '--only', 'kernel-log', '--dev-root', at('dev'))
    expect(bundle().text(null, 'kernel-log')).toBe(
      '<6>[    5.140900] mlx5_core 0000:81:00.0: firmware version: 22.44.1036\n<3>[ 1005.140902] pcieport: AER: error of 0000:03:00.0\n',
    )
  })
})

describe('faults', () => {
  /** Commands that an item sends to a device. */
  const commandsOf = async (device: string, item: string): Promise<number> => {
    const { stderr } = await runInProcess(['collect', device, '--only', item, '-v', '-o', at(`count-${item}.tar.gz`)])
    return stderr.split('\n').filter((line) => /: (?:status 0x|E[A-Z]+)/.test(line)).length
  }

  test('at every command in turn: a valid bundle, and only the item that was hit suffers', async () => {
    const items = few.split(',')
    const counts: number[] = []
    for (const item of items) counts.push(await commandsOf('emu:connectx6dx', item))
    const total = counts.reduce((sum, count) => sum + count, 0)
    expect(Math.min(...counts)).toBeGreaterThan(0)
    const ends = counts.map((_, index) => counts.slice(0, index + 1).reduce((sum, count) => sum + count, 0))
    const kinds = ['errno=EIO', 'status=0x3', 'unplug']
    const first = random.below(kinds.length)
    for (let command = 1; command <= total; command++) {
      const fault = kinds[(command + first) % kinds.length] ?? ''
      const where = `${fault}@${command}`
      const { status } = await collect(...devices, '--only', few, '--fault', where, '--force')
      const taken = bundle()
      const hit = ends.findIndex((end) => command <= end)
      for (const device of folders)
        for (const [index, name] of items.entries()) {
          const { status: got, exit } = taken.item(device, name)
          const isLost = fault === 'unplug' && index > hit
          if (index !== hit) expect([where, name, got]).toEqual([where, name, isLost ? 'failed' : 'ok'])
          else expect([where, name, got, exit]).toEqual([where, name, ...hitBy(fault, name)])
        }
      expect([where, status]).toEqual([where, items[hit] === 'info' && fault !== 'unplug' ? 0 : 8])
    }
  }, 120_000)

  /** How an item ends that a fault has hit. `info` shows what there is; a register that is refused is a part that is missing. */
  const hitBy = (fault: string, name: string): unknown[] => {
    if (name === 'info') return ['ok', { code: 0, kind: null }]
    if (fault !== 'status=0x3') return bad('delivery', 5)
    return name === 'firmware' ? ['partial', { code: 8, kind: null }] : bad('firmware', 6)
  }
  const bad = (kind: string, code: number): unknown[] => [
    expect.stringMatching(/^(?:failed|partial)$/),
    { code: { asymmetricMatch: (one: unknown) => one === code || one === 8 }, kind },
  ]

  test.each(['registers', 'capabilities', 'counters-1'])(
    'at the end of %s: what was read before is there',
    async (item) => {
      const count = await commandsOf('emu:connectx6dx', item)
      const { status } = await collect('emu:connectx6dx', '--only', item, '--fault', `errno=EIO@${count}`)
      const taken = bundle()
      expect([status, taken.item('emu-connectx6dx', item)]).toEqual([
        8,
        expect.objectContaining({ status: 'partial', exit: { code: 8, kind: 'delivery' } }),
      ])
      expect(taken.text('emu-connectx6dx', item).length).toBeGreaterThan(20_000)
    },
  )

  test.each(['config', 'coredump'])('somewhere in %s: it is told', async (item) => {
    const where = `errno=EIO@${1 + random.below(await commandsOf('emu:connectx6dx', item))}`
    const { status } = await collect('emu:connectx6dx', '--only', item, '--fault', where)
    const { status: got, exit } = bundle().item('emu-connectx6dx', item)
    expect([where, status, got, exit]).toEqual([where, 8, ...bad('delivery', 5)])
  })

  test('a file of sysfs that does not answer is told, and the others are read', async () => {
    mkdirSync(at('sys/module/mlx5_core/parameters'), { recursive: true })
    writeFileSync(at('sys/module/mlx5_core/version'), '5.0\n')
    spawnSync('mkfifo', [at('sys/module/mlx5_core/parameters/hang')])
    const { status } = await collect(
      'emu:connectx7',
      '--only',
      'host',
      '--sysfs-root',
      at('sys'),
      '--item-timeout',
      '2s',
    )
    const taken = bundle()
    expect([status, taken.item(null, 'host')]).toEqual([
      8,
      expect.objectContaining({
        status: 'partial',
        reason: expect.stringMatching(/\/hang does not answer$/) as string,
      }),
    ])
    expect(JSON.parse(taken.text(null, 'host'))).toMatchObject({ modules: { mlx5_core: { version: '5.0' } } })
  })

  test('a file that cannot be redacted is left out, and that is no success', async () => {
    const isClean = jest.spyOn(Redaction.prototype, 'isClean').mockReturnValueOnce(false)
    const { status } = await collect('emu:connectx7', '--only', 'info', '--redact', 'serial')
    isClean.mockRestore()
    expect([status, bundle().item('emu-connectx7', 'info').status]).toEqual([8, 'left-out'])
  })

  test('an item that takes too long is ended, and the others are taken', async () => {
    const slow = ['--fault', 'delay=20ms', '--item-timeout', '300ms']
    const { status } = await collect('emu:connectx7', '--only', 'info,capabilities,firmware', ...slow)
    const { item } = bundle()
    const of = (name: string): Item => item('emu-connectx7', name)
    expect([status, of('info').status, of('firmware').status]).toEqual([8, 'ok', 'ok'])
    expect(of('capabilities')).toMatchObject({
      status: 'partial',
      reason: 'the time of 0.3 s is over',
      exit: { code: 8, kind: 'delivery' },
    })
  })

  test('--timeout is for all of it: what is not taken by then is told', async () => {
    const { status } = await collect('emu:connectx7', '--fault', 'delay=10ms', '--timeout', '0.3')
    expect(status).toBe(8)
    expect(bundle().item('emu-connectx7', 'coredump')).toMatchObject({
      status: 'failed',
      reason: 'the time of --timeout was over',
    })
  })

  test('a device that cannot be opened hides no other one; without any there is no bundle', async () => {
    const { status } = await collect('emu:connectx7', 'mlx5_core.ctl.77', '--only', few)
    const { item, manifest } = bundle()
    expect([status, item('emu-connectx7', 'firmware').status, manifest.devices[1]?.identity]).toEqual([8, 'ok', null])
    expect(item('mlx5_core.ctl.77', 'firmware')).toMatchObject({
      status: 'failed',
      exit: { code: 3, kind: 'not-found' },
    })
    const none = await runInProcess(['collect', 'mlx5_core.ctl.77', '-o', at('none.tar.gz')])
    expect([none.status, existsSync(at('none.tar.gz')), existsSync(at('none.tar.gz.partial'))]).toEqual([
      3,
      false,
      false,
    ])
  })
})

describe('interruptions', () => {
  /** Starts a run that takes some seconds, and waits until it is at work. */
  const start = async (...words: string[]) => {
    const child = spawn(process.execPath, [bin, 'collect', ...words, '-o', at('b.tar.gz'), ...fast], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = new Promise<number | string | null>((resolve) =>
      child.on('close', (code, signal) => resolve(code ?? signal)),
    )
    let said = ''
    child.stderr.on('data', (text: Buffer) => void (said += text.toString()))
    while (!existsSync(at('b.tar.gz.partial/state.json')) && child.exitCode === null) await sleep(5)
    return { child, ended, said: () => said }
  }
  /** The built program, which began it: another version does not go on. */
  const resume = (...words: string[]): Outcome => mlx5ctl('collect', ...words, '-o', at('b.tar.gz'), ...fast)
  const work = ['--only', `capabilities,registers,${few}`]

  test('kill -9 at any time leaves what was taken; --resume takes the rest and nothing twice', async () => {
    resume(...devices, ...work)
    const whole = bundle().manifest.items.map(({ device, name }) => `${device} ${name}`)
    for (let turn = 0; turn < 2; turn++) {
      rmSync(at('b.tar.gz'), { force: true })
      const { child, ended } = await start(...devices, ...work, '--fault', 'delay=1ms')
      await sleep(random.below(500))
      child.kill('SIGKILL')
      expect(await ended).toBe('SIGKILL')
      expect(existsSync(at('b.tar.gz'))).toBe(false)
      expect(statSync(at('b.tar.gz.partial')).mode & 0o777).toBe(0o700)
      const { items: before } = JSON.parse(readFileSync(at('b.tar.gz.partial/state.json'), 'utf8')) as { items: Item[] }
      const { status, stderr } = resume(...devices, ...work, '--resume')
      expect([status, stderr]).toEqual([0, `mlx5ctl: ${before.length} items were taken before; the others follow\n`])
      const { manifest } = bundle()
      expect(manifest.resumed).toBe(1)
      expect(manifest.items.map(({ device, name }) => `${device} ${name}`)).toEqual(whole)
      for (const item of before) expect(manifest.items).toContainEqual(item)
      expect(existsSync(at('b.tar.gz.partial'))).toBe(false)
    }
  }, 60_000)

  test.each(['SIGINT', 'SIGTERM'] as const)('%s: the exit code, and how to go on', async (signal) => {
    const { child, ended, said } = await start(...devices, ...work, '--fault', 'delay=1ms')
    child.kill(signal)
    expect(await ended).toBe(signal === 'SIGINT' ? 130 : 143)
    expect(said()).toMatch(
      new RegExp(
        `interrupted by ${signal}\\n.*hint: what was taken is in .*b\\.tar\\.gz\\.partial; the same command .*--resume`,
      ),
    )
    expect(readdirSync(folder)).toEqual(['b.tar.gz.partial'])
    expect(resume(...devices, ...work, '--resume').status).toBe(0)
    bundle()
  })

  test('what another run left is never mixed in: refused without --resume, and by another plan', async () => {
    const { child, ended } = await start(...devices, ...work, '--fault', 'delay=1ms')
    const busy = resume(...devices, ...work, '--resume')
    expect([busy.status, busy.stderr]).toEqual([2, expect.stringMatching(/process \d+ is at work on/)])
    child.kill('SIGKILL')
    await ended
    const plain = resume(...devices, ...work)
    expect([plain.status, plain.stderr]).toEqual([2, expect.stringMatching(/has what an interrupted run took/)])
    const other = resume('emu:connectx7', ...work, '--resume')
    expect([other.status, other.stderr]).toEqual([2, expect.stringMatching(/is of other devices, items or options/)])
    const anew = resume(...devices, ...work, '--force')
    expect([anew.status, bundle().manifest.resumed]).toEqual([0, 0])
    const nothing = await runInProcess(['collect', ...devices, '-o', at('c.tar.gz'), '--resume'])
    expect([nothing.status, nothing.stderr]).toEqual([2, expect.stringMatching(/there is no .* to go on with/)])
    mkdirSync(at('d.tar.gz.partial'))
    writeFileSync(at('d.tar.gz.partial/mine'), 'precious')
    const mine = await runInProcess(['collect', ...devices, '-o', at('d.tar.gz'), '--force'])
    expect([mine.status, readFileSync(at('d.tar.gz.partial/mine'), 'utf8')]).toEqual([2, 'precious'])
  })

  test('a file that was changed meanwhile is taken again', async () => {
    const { child, ended } = await start(...devices, ...work, '--fault', 'delay=1ms')
    const state = (): { items: Item[] } =>
      JSON.parse(readFileSync(at('b.tar.gz.partial/state.json'), 'utf8')) as { items: Item[] }
    while (state().items.length === 0) await sleep(5)
    child.kill('SIGKILL')
    await ended
    const { file } = state().items[0] as Item
    writeFileSync(at(`b.tar.gz.partial/${file ?? ''}`), '{}')
    expect(resume(...devices, ...work, '--resume').status).toBe(0)
    bundle()
  })

  test('a reader of stdout that goes away takes no bundle with it', () => {
    const { status } = spawnSync('bash', [
      '-c',
      `set -o pipefail; ${process.execPath} ${bin} collect emu:connectx7 --only ${few} -o ${at('b.tar.gz')} | true`,
    ])
    expect([status, statuses(bundle())]).toEqual([141, ['ok']])
  })
})

describe('the command line', () => {
  test.each<[string, number, RegExp]>([
    ['collect', 2, /usage: mlx5ctl collect DEVICE/],
    ['collect emu:nosuch -o FILE', 2, /no device profile nosuch/],
    ['collect emu:connectx7 emu:connectx7 -o FILE', 2, /given twice/],
    ['collect emu:connectx7 -o FILE --only register', 2, /no item register; did you mean registers/],
    ['collect emu:connectx7 -o FILE --skip ,', 2, /--skip takes names/],
    ['collect emu:connectx7 -o FILE --redact mac,ip', 2, /--redact ip: it takes serial, mac, guid, hostname or all/],
    ['collect emu:connectx7 -o FILE --interval never', 2, /--interval never: it is a time/],
    ['collect emu:connectx7 -o FILE --parallel 0', 2, /--parallel 0: it is a number of devices/],
    ['collect emu:connectx7 -o FILE --segments A/B', 2, /--segments A\/B/],
    ['collect emu:connectx7 -o -', 2, /-o -: a bundle is a file/],
    ['collect emu:connectx7 -o /nonexistent/b.tar.gz', 2, /there is no folder \/nonexistent/],
    ['collect emu:connectx7 emu:connectx6dx -o FILE --record x', 2, /one by one/],
    ['collect emu:connectx7 -o FILE --allow-taint', 2, /collect has no --allow-taint/],
    ['collect emu:connectx7 -o FILE --raw', 2, /collect has no --raw/],
  ])('mlx5ctl %s: exit %i', async (line, code, message) => {
    const { status, stderr } = await runInProcess(line.replace('FILE', at('b.tar.gz')).split(' '))
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
    expect(readdirSync(folder)).toEqual([])
  })

  test('an existing file is refused before anything is asked', async () => {
    writeFileSync(at('b.tar.gz'), 'mine')
    const { status, stderr } = await collect('emu:connectx7', '-v')
    expect([status, readFileSync(at('b.tar.gz'), 'utf8'), stderr.split('\n')[0]]).toEqual([
      2,
      'mine',
      expect.stringMatching(/there already$/),
    ])
  })

  test('segments of the own choice', async () => {
    const { status } = await collect(
      'emu:connectx7',
      '--segments',
      'PAGE_HISTOGRAM,NOSUCH,0x1010',
      '--only',
      'rscdump-*',
    )
    const { item, manifest } = bundle()
    expect(manifest.items.map(({ name }) => name)).toEqual([
      'rscdump-menu',
      'rscdump-PAGE_HISTOGRAM',
      'rscdump-NOSUCH',
      'rscdump-0x1010',
    ])
    expect(status).toBe(8)
    expect(item('emu-connectx7', 'rscdump-NOSUCH')).toMatchObject({
      status: 'failed',
      reason: expect.stringMatching(/dumps no segment NOSUCH/) as string,
    })
    const decoded = mlx5ctl(
      'decode',
      path.join(bundle().folder, item('emu-connectx7', 'rscdump-PAGE_HISTOGRAM').file ?? ''),
      '-j',
    )
    expect(parseEnvelope(decoded.stdout).status).toBe('ok')
  })
})

interface Profile {
  readonly vpd: Readonly<Record<string, string>>
}
const profile = (name: string): Profile =>
  JSON.parse(readFileSync(path.resolve(__dirname, '../../fixtures/devices', `${name}.json`), 'utf8')) as Profile

/** Every serial number in a profile, wherever it is: the device's, its modules'. */
function serialsOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, one]) =>
    typeof one === 'string' && /serial|^(?:SN|VU|V3)$/i.test(key) ? [one] : serialsOf(one),
  )
}

/** Every form of a value that a text may have, without case. */
function formsOf(digits: string): string[] {
  const pairs = digits.match(/../g) ?? []
  const fours = digits.match(/.{4}/g) ?? []
  const halves = [digits.slice(0, -8), digits.slice(-8)]
    .map((half) => BigInt(`0x${half}`))
    .filter((half) => half > 0xffffn)
  const numbers = [BigInt(`0x${digits}`), ...halves]
  return [
    ...[':', '-', ' ', '.', '', ', ', '", "'].map((separator) => pairs.join(separator)),
    ...[':', '.', ' '].map((separator) => fours.join(separator)),
    [...pairs].reverse().join(''),
    ...numbers.flatMap((number) => [String(number), `0x${number.toString(16)}`]),
    Buffer.from(digits).toString('hex'),
    Buffer.from(digits.toUpperCase()).toString('hex'),
    Buffer.from(digits, 'hex').toString('base64'),
  ]
}
/** File and form of what occurs in the files of a folder, or in their names. */
function found(where: string, secrets: readonly string[]): string[] {
  return readdirSync(where, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const file = path.join(where, name)
    const text = `${name}\n${statSync(file).isFile() ? readFileSync(file, 'latin1') : ''}`.toLowerCase()
    return secrets.filter((secret) => text.includes(secret)).map((secret) => `${name}: ${secret}`)
  })
}

const formsOfText = (text: string): string[] => [
  text,
  Buffer.from(text).toString('hex'),
  Buffer.from(text).toString('base64').replace(/=+$/, ''),
]

describeUnless(missingForEmulatedNodes(), 'over nodes', () => {
  const events = (): LoggedEvent[] => eventsOf(at('log'))
  const three = profiles.flatMap((name) => ['--profile', name])
  const logged = (script: string, ...options: string[]): Outcome =>
    emulated(`cd ${folder}; ${script}`, '--log', at('log'), ...options)

  test('--dry-run tells what is sent, and sends nothing', () => {
    const { status, stdout } = logged(
      'mlx5ctl collect fwctl0 mlx5_core.ctl.0 --dry-run -j; mlx5ctl collect fwctl0 --dry-run >text',
    )
    const { data } = parseEnvelope(stdout)
    expect(status).toBe(0)
    expect(events().map(({ event }) => event)).toEqual(['final'])
    const items = data?.items as { name: string; sends: { command: string; scope: number | null }[] }[]
    const scopes = items.flatMap(({ sends }) => sends.map(({ scope }) => scope))
    expect([...new Set(scopes)].sort()).toEqual([0, 1, null])
    expect(items.find(({ name }) => name === 'coredump')?.sends.map(({ command }) => command)).toEqual([
      'ACCESS_REG',
      'ALLOC_PD',
      'CREATE_MKEY',
      'DESTROY_MKEY',
      'DEALLOC_PD',
    ])
    expect(readdirSync(folder).sort()).toEqual(['log', 'text'])
    expect(readFileSync(at('text'), 'utf8')).toMatch(
      /^fwctl0 +info +1K +QUERY_ADAPTER \(scope 0\): PSID; ACCESS_REG \(scope 1\): MGIR$/m,
    )
  })

  test('three doors, a fault in the middle: nothing is left in the devices, and no scope above 1 is sent', () => {
    const items = 'info,sysfs,rscdump-menu,rscdump-STE_ROOT,coredump,firmware'
    const { status } = logged(
      `mlx5ctl collect mlx5_core.ctl.0 fwctl1 0000:05:00.0 -o b.tar.gz --only ${items}`,
      '--fault',
      'errno=EIO@7',
      ...three,
    )
    const taken = bundle()
    expect(status).toBe(8)
    expect(events().filter(({ event }) => event === 'final')).toEqual(
      [3, 4, 5].map(
        (bus) =>
          expect.objectContaining({ pci: `0000:0${bus}:00.0`, umems: 0, mkeys: 0, pds: 0, contexts: 0 }) as object,
      ),
    )
    const scopes = events().flatMap(({ scope }) => (typeof scope === 'number' ? [scope] : []))
    expect(Math.max(0, ...scopes)).toBeLessThanOrEqual(1)
    expect(taken.item('fwctl1', 'coredump')).toMatchObject({
      status: 'left-out',
      exit: { code: 9, kind: 'unsupported' },
    })
    expect(taken.item('0000:05:00.0', 'coredump').status).toBe('ok')
    expect(JSON.parse(taken.text('0000:05:00.0', 'sysfs'))).toMatchObject({
      address: '0000:05:00.0',
      links: { driver: 'mlx5_core' },
      files: {
        'net/enp5s0f0np0/address': 'b8:ce:f6:00:00:04',
        'infiniband/mlx5_2/fw_ver': expect.any(String) as string,
      },
      vpd: profile('bluefield3').vpd,
    })
  }, 60_000)

  test('--redact: no value occurs anywhere, compressed or not; tokens are the same everywhere', () => {
    const host = 'rack7-node12'
    const { status } = logged(
      `mlx5ctl reg set mlx5_core.ctl.0 NODE_DESC $(node -e '
         const text = Buffer.alloc(64); text.write(process.argv[1] + " mlx5_0")
         for (let i = 0; i < 8; i++) console.log("node_description[" + i + "]=" + text.readUInt32BE(i * 4))' ${host}) --yes >set.txt 2>&1
       unshare --uts sh -c 'echo ${host} >/proc/sys/kernel/hostname; exec "$@"' sh \\
         mlx5ctl collect mlx5_core.ctl.0 fwctl1 -o b.tar.gz --redact all --skip regdump,coredump,objects
       unshare --uts sh -c 'echo ${host} >/proc/sys/kernel/hostname; exec "$@"' sh \\
         mlx5ctl collect mlx5_core.ctl.0 fwctl1 -o plain.tar.gz --only host,sysfs,registers,counters-1`,
      ...profiles.slice(0, 2).flatMap((name) => ['--profile', name]),
    )
    const taken = bundle()
    expect([status, taken.manifest.redacted]).toEqual([0, ['serial', 'mac', 'guid', 'hostname']])
    const secrets = [
      ...['b8cef6000000', 'b8cef6000002', 'b8cef60300000000'].flatMap(formsOf),
      ...profiles.slice(0, 2).flatMap((name) => {
        const serials = serialsOf(profile(name))
        expect(serials.length).toBeGreaterThan(1)
        return serials.flatMap(formsOfText)
      }),
      ...formsOfText(host),
    ].map((secret) => secret.toLowerCase())
    expect(secrets.length).toBeGreaterThan(60)
    expect(found(taken.folder, secrets)).toEqual([])
    // The search finds them where nothing is redacted.
    const plain = found(bundle('plain.tar.gz').folder, secrets).map((text) => text.replace(/^.*: /, ''))
    const { SN = '' } = profile('connectx7').vpd
    const module = 'MT2146VS01234'
    const met = [module, 'b8:ce:f6:00:00:02', 'b8cef6000000', '4127195136', 'b8cef60300000000', '3100571139', SN, host]
    expect(plain).toEqual(
      expect.arrayContaining([...met, Buffer.from(host).toString('hex')].map((one) => one.toLowerCase())),
    )
    const inTar = spawnSync('gzip', ['-dc', at('b.tar.gz')], { maxBuffer: 1 << 28 })
      .stdout.toString('latin1')
      .toLowerCase()
    expect(secrets.filter((secret) => inTar.includes(secret))).toEqual([])
    const left = taken.manifest.items.filter(({ status: one }) => one === 'left-out')
    expect(left.map(({ name }) => name)).toEqual(expect.arrayContaining(['config-raw', 'rscdump-STE_ROOT']))
    expect(
      left
        .filter(({ name }) => !name.startsWith('devlink'))
        .every(({ reason }) => /cannot be redacted/.test(reason ?? '')),
    ).toBe(true)
    const token = (device: string): unknown => {
      const { data } = JSON.parse(taken.text(device, 'firmware')) as {
        data: { registers: { values: { hw_info?: Record<string, unknown> } }[] }
      }
      return data.registers[0]?.values.hw_info?.manufacturing_base_mac_31_0
    }
    const address = (JSON.parse(taken.text('mlx5_core.ctl.0', 'sysfs')) as { files: Record<string, string> }).files[
      'net/enp3s0f0np0/address'
    ]
    expect([token('mlx5_core.ctl.0'), token('fwctl1'), address]).toEqual(
      Array.from({ length: 3 }, () => expect.stringMatching(/^MAC-\d+$/) as string),
    )
    expect(token('mlx5_core.ctl.0')).toBe(address)
  }, 60_000)

  test('a full disk: what was taken stays, and is gone on with when there is room', () => {
    const { stdout } = logged(
      `mkdir small; mount -t tmpfs -o size=1500k none small
       mlx5ctl collect emu:connectx7 -o small/b.tar.gz --skip regdump,objects --interval 1ms; echo "exit $?"
       ls small; mount -o remount,size=100m small
       mlx5ctl collect emu:connectx7 -o small/b.tar.gz --skip regdump,objects --interval 1ms --resume; echo "exit $?"
       ls small; cp small/b.tar.gz .`,
    )
    expect(stdout).toMatch(
      /^exit 3\nb\.tar\.gz\.partial\n.*small\/b\.tar\.gz: \d+ bytes, .* 0 failed.*\n(?:left-out .*\n)*exit 0\nb\.tar\.gz\n$/s,
    )
    expect(statuses(bundle())).toEqual(['left-out', 'ok'])
  }, 60_000)
})
