import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, existsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bin, emulated, mlx5ctl, type Outcome } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

const device = 'emu:connectx6dx'

/** Without a process of its own: what is the same in both is tried in less time. */
const counters = (...words: string[]): Promise<Outcome> => runInProcess(['counters', ...words])

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-counters-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Group {
  readonly group: string
  readonly labels: Readonly<Record<string, number | string>>
  readonly values: readonly { readonly name: string; readonly value: number | string; readonly unit: string | null }[]
}
interface Data {
  readonly groups: readonly Group[]
  readonly refused: readonly { readonly group: string; readonly reason: string; readonly status: number | null }[]
}

const dataOf = (stdout: string): Data => parseEnvelope(stdout).data as unknown as Data

test.each(['connectx6dx', 'connectx7', 'bluefield3'])('%s: all that it gives, in JSON', (profile) => {
  const { status, stdout, stderr } = mlx5ctl('counters', `emu:${profile}`, '-j')
  expect(status).toBe(0)
  expect(parseEnvelope(stdout)).toMatchObject({ status: 'ok', error: null })
  const { groups, refused } = dataOf(stdout)
  expect(new Set(groups.map(({ group }) => group)).size).toBeGreaterThan(25)
  expect(refused.map(({ group }) => group)).toEqual(['recovery', 'ib_packets', 'ib_general', 'nvlink_reduction'])
  expect(stderr).toBe(
    'mlx5ctl: warning: this device, or the door to it, does not give recovery, ib_packets, ib_general, nvlink_reduction\n',
  )
})

test('counters list is what its schema says, and each of its groups can be asked for', async () => {
  const { status, stdout } = await counters('list', '-j')
  expect(status).toBe(0)
  const groups = (parseEnvelope(stdout).data?.groups as { group: string }[]).map(({ group }) => group)
  const all = await counters(device, ...groups, '-j')
  const { groups: found, refused } = dataOf(all.stdout)
  expect(new Set([...found, ...refused].map(({ group }) => group))).toEqual(new Set(groups))
  expect(all.status).toBe(8)
})

test('a list has no exposition of Prometheus', async () => {
  expect(await counters('list', '--format', 'prometheus')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: expect.stringMatching(/counters list has no --format prometheus/) as string,
  })
})

test('text: what ethtool -S users expect', async () => {
  const words = [device, 'rfc_3635', 'temperature.temperature', '--fault', 'frozen']
  const { status, stdout } = await counters(...words, '--nonzero')
  expect([status, stdout]).toEqual([
    0,
    `rfc_3635 port=1
  dot3in_pause_frames  17

temperature sensor=0
  temperature          55 C

temperature sensor=64
  temperature          37.5 C
`,
  ])
  expect((await counters(...words)).stdout.split('\n').length).toBeGreaterThan(20)
  // A unit that the name does not say.
  const { stdout: link } = await counters(device, 'pcie_link', 'per_priority', '--fault', 'frozen')
  expect(link).toMatch(/^ {2}max_payload_size +512 bytes$/m)
  expect(link).toMatch(/^ {2}rx_octets +\d+$/m)
  expect((await counters(...words)).stdout).toBe((await counters(...words)).stdout)
})

test.each([
  ['a refused group that was asked for', ['recovery', 'phy'], 8, /recovery: PPCNT.*bad index.*\(port=1\)/],
  ['a mistyped group', ['pyh'], 2, /no group of counters pyh; did you mean phy/],
  ['no group, and no device either', ['nothing'], 2, /no group of counters nothing; mlx5ctl counters list has them/],
  ['a mistyped group with digits', ['rfc_2683'], 2, /no group of counters rfc_2683; did you mean rfc_2863/],
  ['a mistyped group with a value', ['pyh.lane0'], 2, /no group of counters pyh/],
  ['a mistyped value', ['phy.symbol'], 2, /phy has no value symbol here; did you mean symbol_errors/],
  ['a port that is not there', ['phy', '--port', '2'], 8, /\(port=2\)/],
  ['no number', ['phy', '--port', 'two'], 2, /--port two: it is a number/],
  ['the same device again', [device], 2, /given twice/],
  ['two devices watched', ['emu:connectx7', '--watch'], 2, /--watch is for one device/],
  ['two devices recorded', ['emu:connectx7', '--record', 'x'], 2, /--record is for one device/],
  ['JSON without end', ['--watch', '-j'], 2, /needs --count/],
  ['rates for Prometheus', ['--watch', '--format', 'prometheus'], 2, /no --format prometheus/],
  ['no time', ['--interval', 'often'], 2, /--interval often: it is a time/],
  ['no turns', ['--count', '0'], 2, /--count 0/],
  ['a format of others', ['--format', 'csv'], 2, /has no --format csv/],
  ['a device that fails', ['--fault', 'errno=EIO@1'], 5, /EIO/],
])('%s', async (_, words, code, message) => {
  const { status, stderr } = await counters(device, ...words)
  expect(stderr).toMatch(message)
  expect([status, stderr.includes('bug')]).toEqual([code, false])
})

test('a device that goes away leaves what was read before', async () => {
  const { status, stdout } = await counters(device, '-j', '--fault', 'unplug@12')
  const envelope = parseEnvelope(stdout)
  expect([status, envelope.status, envelope.error?.errno]).toEqual([8, 'partial', 'ENODEV'])
  expect(dataOf(stdout).groups.length).toBeGreaterThan(2)
})

describe('several devices', () => {
  test.each([
    ['p0', 'p1'],
    ['pf0hpf', 'pf1hpf'],
    ['mlx5_0', 'mlx5_bond_0'],
    ['fwctl0', 'mlx5_core.ctl.0'],
    ['enp3s0f0np0', 'p0.100'],
  ])('%s and %s are names of devices, not mistyped groups', async (first, second) => {
    const { status, stderr } = await counters(first, second, 'phy', '--dev-root', folder, '--sysfs-root', folder)
    expect([status, stderr]).toEqual([
      8,
      expect.stringMatching(new RegExp(`warning: ${first}: .*no device.*\n.*warning: ${second}: .*no device`)),
    ])
  })

  const names = [device, '0000:99:00.0', 'emu:connectx7']

  test('one that is not there hides none of the others', async () => {
    const { status, stdout, stderr } = await counters(...names, 'phy', '-j')
    expect(status).toBe(8)
    expect(stderr).toContain('0000:99:00.0: there is no device')
    expect(parseEnvelope(stdout).data).toMatchObject({
      devices: [
        { name: names[0], groups: [{ group: 'phy' }], error: null },
        { name: names[1], device: null, groups: [], error: { kind: 'not-found' } },
        { name: names[2], groups: [{ group: 'phy' }], error: null },
      ],
    })
  })

  test('text and ndjson', async () => {
    expect((await counters(device, 'emu:connectx7', 'phy')).stdout).toMatch(
      /^== emu:connectx6dx\nphy port=1\n[^=]*\n== emu:connectx7\n/,
    )
    const { stdout } = await counters(device, 'p0', 'emu:connectx7', 'phy', '--format', 'ndjson')
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { device: string; data: Group })
    expect(records).toMatchObject([
      { device, data: { group: 'phy' } },
      { device: null, data: { name: 'p0', error: { kind: 'not-found' } } },
      { device: 'emu:connectx7', data: { group: 'phy' } },
    ])
  })
})

describe('watch', () => {
  test('each turn has what changed, with rates near those of the device', async () => {
    const words = [device, 'ieee_802_3', 'discard', '--interval', '200ms', '--count', '3', '-j']
    const { status, stdout } = await counters(...words)
    expect(status).toBe(0)
    const { turns } = parseEnvelope(stdout).data as unknown as {
      turns: {
        turn: number
        groups: { group: string; seconds: number; values: { name: string; rate: number; delta: string }[] }[]
      }[]
    }
    expect(turns.map(({ turn }) => turn)).toEqual([1, 2, 3])
    // Of one turn alone a busy machine can be late.
    const received = turns.map(({ groups }) => {
      const values = groups.find(({ group }) => group === 'ieee_802_3')
      return {
        seconds: values?.seconds ?? 0,
        delta: Number(values?.values.find(({ name }) => name === 'a_frames_received_ok')?.delta),
      }
    })
    const sum = (of: 'seconds' | 'delta'): number => received.reduce((total, one) => total + one[of], 0)
    const rate = sum('delta') / sum('seconds')
    expect(rate).toBeGreaterThan(125_004 * 0.7)
    expect(rate).toBeLessThan(125_004 * 1.3)
  })

  test('nothing changes where the clock stands still', async () => {
    const { status, stdout } = await counters(device, '--interval', '1ms', '--count', '2', '--fault', 'frozen')
    expect([status, stdout]).toMatchObject([
      0,
      expect.stringMatching(/^turn 1, .*: no counter changed\n\nturn 2, .*: no counter changed\n\n$/),
    ])
  })

  interface Watched {
    readonly turns: readonly { readonly groups: readonly { seconds: number }[]; readonly refused: Data['refused'] }[]
    readonly refused: Data['refused']
  }
  const watchedOf = (stdout: string): Watched => parseEnvelope(stdout).data as unknown as Watched

  test('a group refused in a later turn is told, makes it partial, and leaves no hole in the turn after it', async () => {
    // The fourth command is the reading of the second turn.
    const words = [device, 'phy', '--count', '3', '--interval', '60ms', '--fault', 'status=9@4']
    const text = await counters(...words)
    expect([text.status, text.stdout]).toEqual([
      8,
      expect.stringMatching(
        /^turn 1, .* s\n +VALUE[^]*\n\nturn 2, after 0\.\d+ s; refused: phy port=1\n\nturn 3, .* s\n +VALUE[^]*\n\n$/,
      ),
    ])
    expect(text.stderr).toMatch(/^mlx5ctl: warning: phy: PPCNT.*\(port=1\)\n$/)
    const json = await counters(...words, '-j')
    const { turns, refused } = watchedOf(json.stdout)
    expect([json.status, parseEnvelope(json.stdout).status]).toEqual([8, 'partial'])
    expect(refused).toEqual([expect.objectContaining({ group: 'phy', status: 9 })])
    expect(turns.map((turn) => [turn.groups.length, turn.refused])).toEqual([
      [1, []],
      [0, refused],
      [1, []],
    ])
    // Since the last time it was read, which is two turns ago.
    expect(turns[2]?.groups[0]?.seconds).toBeGreaterThan(0.1)
    const records = (await counters(...words, '--format', 'ndjson')).stdout.trimEnd().split('\n')
    expect(records.map((line) => (JSON.parse(line) as { data: unknown }).data)).toMatchObject([
      { turn: 1, group: 'phy', values: expect.any(Array) as unknown },
      { turn: 2, group: 'phy', status: 9 },
      { turn: 3, group: 'phy', values: expect.any(Array) as unknown },
    ])
  })

  test('of all groups, those that were never given are told once; one that was given before makes it partial', async () => {
    const words = [device, '--count', '2', '--interval', '1ms', '-j', '--fault']
    const whole = await counters(...words, 'frozen')
    const never = watchedOf(whole.stdout).refused.map(({ group }) => group)
    expect([whole.status, never]).toEqual([0, ['recovery', 'ib_packets', 'ib_general', 'nvlink_reduction']])
    const { status, stdout } = await counters(...words, 'frozen,status=9@90')
    const { turns, refused } = watchedOf(stdout)
    const later = turns.flatMap((turn) => turn.refused.map(({ group }) => group))
    expect([status, later, refused.map(({ group }) => group)]).toEqual([8, [expect.any(String)], [...never, ...later]])
  })

  test('ndjson: a record a turn and group, as it happens; Ctrl-C ends it', async () => {
    const child = spawn(process.execPath, [
      bin,
      'counters',
      device,
      'vport',
      'q_counters',
      '--interval',
      '150ms',
      '--format',
      'ndjson',
    ])
    let stdout = ''
    let stderr = ''
    child.stderr.on('data', (part: Buffer) => (stderr += part.toString()))
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (part: Buffer) => {
        stdout += part.toString()
        if (stdout.split('\n').length > 3) resolve()
      })
    })
    child.kill('SIGINT')
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect([code, stderr]).toEqual([130, ''])
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { data: { turn: number; group: string } })
    expect(records.slice(0, 3).map(({ data }) => [data.turn, data.group])).toEqual([
      [1, 'vport'],
      [1, 'q_counters'],
      [2, 'vport'],
    ])
  })

  test('with -o what was watched until Ctrl-C is there, whole', async () => {
    const file = path.join(folder, 'watched')
    const child = spawn(process.execPath, [bin, 'counters', device, 'vport', '--interval', '50ms', '-o', file], {
      stdio: 'ignore',
    })
    await new Promise((resolve) => setTimeout(resolve, 1500))
    child.kill('SIGINT')
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130)
    expect(readFileSync(file, 'utf8')).toMatch(/^turn 1, after [^]*PER SECOND  COUNTER\n +\d+ +\+\d+ +\d[^]*\n\n$/)
    expect(existsSync(`${file}.partial`)).toBe(false)
  })
})

describe('prometheus', () => {
  /** Written from the text format's own grammar, not with the library that made the text. */
  function parse(text: string): { types: Map<string, string>; samples: Map<string, number> } {
    const types = new Map<string, string>()
    const samples = new Map<string, number>()
    let helped: string | undefined
    for (const line of text.split('\n')) {
      if (line === '') continue
      const help = /^# HELP (\S+) \S/.exec(line)?.[1]
      const [, typed, type = ''] = /^# TYPE (\S+) (counter|gauge)$/.exec(line) ?? []
      if (help !== undefined) {
        expect(types.has(help)).toBe(false)
        helped = help
      } else if (typed !== undefined) {
        expect(typed).toBe(helped)
        types.set(typed, type)
      } else {
        // No time stamp behind the value.
        const [, name = '', labels = '', value] =
          /^([a-z_][a-z0-9_]*)\{((?:[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$/.exec(line) ?? []
        expect([line, name, types.has(name)]).toEqual([line, helped, true])
        const key = `${name}{${labels}}`
        expect(samples.has(key)).toBe(false)
        samples.set(key, Number(value))
      }
    }
    return { types, samples }
  }

  const at = `device="${device}",pci="0000:03:00.0"`

  test('base units, counters that end in _total, texts as labels of an _info', async () => {
    const { status, stdout } = await counters(device, '--format', 'prometheus', '--fault', 'frozen')
    expect(status).toBe(0)
    const { types, samples } = parse(stdout)
    for (const [name, type] of types) expect([name, type === 'counter']).toEqual([name, name.endsWith('_total')])
    const expected: Readonly<Record<string, number>> = {
      [`mlx5_scrape_success{device="${device}"}`]: 1,
      [`mlx5_scrape_refused_groups{device="${device}"}`]: 4,
      [`mlx5_link_up{${at},port="1"}`]: 1,
      [`mlx5_link_data_rate_oper_bytes_per_second{${at},port="1"}`]: 12.5e9,
      [`mlx5_ieee_802_3_a_octets_received_ok_bytes_total{${at},port="1"}`]: 81234567 * 1200 + 4711 * 88 + 1203 * 64,
      [`mlx5_vport_received_eth_unicast_packets_total{${at}}`]: 81234567,
      [`mlx5_phy_time_since_last_clear_seconds{${at},port="1"}`]: 86400,
      [`mlx5_phy_statistical_phy_received_bytes_total{${at},port="1"}`]: (1687500000000 * 5280) / 8,
      [`mlx5_phy_statistical_raw_ber_lane_ratio{${at},port="1",lane="0"}`]: 1e-10,
      [`mlx5_rs_fec_hist_total{${at},port="1",index="2"}`]: 54,
      [`mlx5_per_priority_rx_frames_total{${at},port="1",priority="0"}`]: 81234567 + 4711 + 1203,
      [`mlx5_pcie_performance_outbound_stalled_writes_ratio{${at}}`]: 0.03,
      [`mlx5_temperature_celsius{${at},sensor="64"}`]: 37.5,
      [`mlx5_module_voltage_volts{${at},port="1"}`]: 3.3,
      [`mlx5_temperature_info{${at},sensor="0",sensor_name="asic"}`]: 1,
    }
    for (const [key, value] of Object.entries(expected)) expect([key, samples.get(key)]).toEqual([key, value])
  })

  test('every value of the JSON is there, once', async () => {
    const words = [device, '--fault', 'frozen']
    const { groups } = dataOf((await counters(...words, '-j')).stdout)
    const { samples } = parse((await counters(...words, '--format', 'prometheus')).stdout)
    const numbers = groups.flatMap(({ values }) =>
      values.filter(({ unit, value }) => unit !== null || typeof value === 'number' || /^\d+$/.test(value)),
    )
    expect(samples.size).toBeGreaterThan(numbers.length * 0.95)
  })

  test('a device that cannot be opened: success 0, exit 8; the file is whole, and replaced at once', async () => {
    const file = path.join(folder, 'mlx5.prom')
    writeFileSync(file, 'of before\n')
    const words = ['0000:99:00.0', device, 'phy', '--format', 'prometheus', '-o', file]
    expect((await counters(...words)).status).toBe(2)
    expect(readFileSync(file, 'utf8')).toBe('of before\n')
    expect((await counters(...words, '--force')).status).toBe(8)
    const { samples } = parse(readFileSync(file, 'utf8'))
    expect(samples.get('mlx5_scrape_success{device="0000:99:00.0"}')).toBe(0)
    expect(samples.get(`mlx5_scrape_success{device="${device}"}`)).toBe(1)
    expect(samples.get(`mlx5_phy_link_down_events_total{${at},port="1"}`)).toBe(1)
  })

  test('what was read before a device went away is given, and success is 0', async () => {
    const { status, stdout, stderr } = await counters(device, '--format', 'prometheus', '--fault', 'unplug@12')
    const { samples } = parse(stdout)
    expect([status, samples.get(`mlx5_scrape_success{device="${device}"}`), samples.size > 20]).toEqual([8, 0, true])
    expect(stderr).toContain('ENODEV')
  })
})

describeUnless(missingForEmulatedNodes(), 'counters through every door', () => {
  test('are the same; what a door does not carry is named', async () => {
    const doors = ['mlx5_core.ctl.0', 'fwctl0', '0000:03:00.0 --transport pci']
    const script = doors.map((door, index) => `mlx5ctl counters ${door} -j >${folder}/${index} 2>/dev/null; echo $?`)
    expect(emulated(script.join('\n'), '--fault', 'frozen').stdout).toBe('0\n0\n0\n')
    const [first, second, pci] = doors.map((_, index) => dataOf(readFileSync(path.join(folder, String(index)), 'utf8')))
    expect(second).toEqual(first)
    const carried = first?.groups.filter(({ group }) => !['vport', 'vnic_env', 'q_counters'].includes(group))
    expect(pci?.groups).toEqual(carried)
    expect(pci?.refused.filter(({ status }) => status === null).map(({ group }) => group)).toEqual([
      'vport',
      'vnic_env',
      'q_counters',
    ])
  })
})
