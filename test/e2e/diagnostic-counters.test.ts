import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bin, emulated, mlx5ctl } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope, parseTraceEvents } from '../support/schema'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-diagcnt-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
const emu = 'emu:connectx6dx'
/** A period at which no machine is too slow to keep up: 8.4 ms, in a ring of 2^12 samples or more. */
const slow = ['--log-period', '23']

describe('diagnostic counters of a device in process', () => {
  test('what there is, as text and as JSON', () => {
    const { stdout } = mlx5ctl('diagcnt', 'cap', emu)
    expect(stdout.split('\n').slice(0, 9)).toEqual([
      'diag counters:',
      '\tnum_of_diagnostic_counters: 13',
      '\tsingle: 1',
      '\trepetitive: 1',
      '\tlog_max_samples: 14',
      '\tlog_min_sample_period: 0',
      '\tdev_freq: 1000000 kHz',
      '\tcounter[0]: 0x401 sync(1)',
      '\tcounter[1]: 0x402 sync(1)',
    ])
    const { data } = parseEnvelope(mlx5ctl(emu, 'diagcnt', 'cap', '-j').stdout)
    expect(data).toMatchObject({ logMaxSamples: 14, frequencyKhz: 1_000_000 })
    expect((data?.counters as unknown[])[12]).toEqual({ id: 0x2c04, name: '0x2c04', sync: true })
  })

  test('set: what was asked for, what the device took and what it does', () => {
    const { data } = parseEnvelope(
      mlx5ctl('diagcnt', 'set', emu, '1025,0x2006', '--clear', '--samples', '10', '--period', '100us', '-j').stdout,
    )
    expect(data).toMatchObject({
      asked: { samples: 10, periodNanoseconds: '100000' },
      parameters: {
        counters: [0x401, 0x2006],
        samples: 16,
        logPeriod: 16,
        periodNanoseconds: '65536',
        repetitive: true,
        enable: true,
      },
      measuredPeriodNanoseconds: '93246',
    })
    const text = mlx5ctl(
      'diagcnt',
      'set',
      emu,
      'all',
      '--single',
      '--sync',
      '--clear',
      '--log-samples',
      '4',
      '--log-period',
      '20',
    ).stdout
    expect(text).toMatch(/^mode: +single, sync, clear$/m)
    expect(text).toMatch(/^period: +1\.048576 ms \(2\^20 ticks\) set, 1\.048576 ms measured$/m)
  })

  test.each([['set', '0x401', '0x2006'], ['stream', '0x401', '0x2006'], ['stop']])(
    '%s --dry-run prints the inbox',
    (verb, ...ids) => {
      const { stdout } = mlx5ctl('diagcnt', verb, emu, ...ids, '--dry-run')
      const flags = { set: '44', stream: '74', stop: '10' }[verb] ?? ''
      const head = verb === 'stop' ? '00000000' : '0002000d'
      const list = verb === 'stop' ? '' : '0000040100002006'
      expect(stdout).toBe(`0820000000000000${head}${flags}000000${'00'.repeat(16)}${list}\n`)
      const { data } = parseEnvelope(mlx5ctl('diagcnt', verb, emu, ...ids, '--dry-run', '-j').stdout)
      expect(data).toMatchObject({ dryRun: true, inbox: stdout.trim(), scope: 2 })
    },
  )

  test('stream as text, raw and ndjson', () => {
    const text = mlx5ctl('diagcnt', 'stream', emu, '0x401', '0x403', '--count', '5', '-q', ...slow)
    expect([text.status, text.stderr]).toEqual([0, ''])
    const lines = text.stdout.trim().split('\n')
    expect(lines).toHaveLength(10)
    for (const [index, line] of lines.entries()) {
      const [, id, sample] =
        /^counter_id: (0x[0-9a-f]{4}), sample_id: (\d{10}), time_stamp: \d{10,} counter_value: \d+$/.exec(line) ?? []
      expect([id, Number(sample)]).toEqual([index % 2 === 0 ? '0x0401' : '0x0403', Math.floor(index / 2) + 1])
    }
    const raw = spawnSync(process.execPath, [
      bin,
      'diagcnt',
      'stream',
      emu,
      '0x401',
      '--count',
      '3',
      '--raw',
      '-q',
      ...slow,
    ]).stdout
    expect([raw.length, raw.readUInt32BE(0), raw.readUInt32BE(16), raw.readUInt32BE(32)]).toEqual([
      48, 0x04010001, 0x04010002, 0x04010003,
    ])
    const records = mlx5ctl('diagcnt', 'stream', emu, '0x403', '--count', '3', '-q', '--format', 'ndjson', ...slow)
      .stdout.trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { data: Record<string, unknown> }).data)
    expect(records.map(({ type }) => type)).toEqual(['sample', 'sample', 'sample', 'summary'])
    expect(records[0]).toMatchObject({
      sample: '1',
      values: { '0x0403': expect.stringMatching(/^\d{12,}$/) as string },
    })
    expect(BigInt(records[1]?.ticks as string) - BigInt(records[0]?.ticks as string)).toBe(2n ** 23n)
  })

  test('samples that the device loses are told everywhere, and the exit code is 8', () => {
    const options = [
      'diagcnt',
      'stream',
      emu,
      '0x401',
      '0x403',
      '--count',
      '6',
      '--fault',
      'lose=3@2,lose=1@7',
      ...slow,
    ]
    const json = mlx5ctl(...options, '-j')
    const { status, data } = parseEnvelope(json.stdout)
    expect([json.status, status]).toEqual([8, 'partial'])
    expect(data).toMatchObject({
      rounds: 6,
      records: 12,
      lostRounds: 4,
      lostRecords: 8,
      gaps: 2,
      repeated: 0,
      putBack: 'stopped',
    })
    expect(data?.firstGaps).toEqual([
      expect.objectContaining({ rounds: 3, after: '1', before: '5', exact: true }),
      expect.objectContaining({ rounds: 1, after: '6', before: '8', exact: true }),
    ])
    expect(json.stderr).toMatch(/^mlx5ctl: 3 samples lost between sample 1 and 5, 33\.554432 ms apart$/m)
    expect(json.stderr).toMatch(/^mlx5ctl: warning: 8 records of 4 samples were lost, in 2 gaps$/m)
    const csv = mlx5ctl(...options, '--format', 'csv')
    expect(csv.status).toBe(8)
    // RFC 4180: a head, CRLF, as many cells in each row.
    const rows = csv.stdout.split('\r\n')
    expect(rows[0]).toBe('sample,ticks,nanoseconds,lost,0x0401,0x0403')
    expect(rows.slice(1, -1).map((row) => row.split(',').filter((_, column) => column === 0 || column === 3))).toEqual([
      ['1', '0'],
      ['5', '3'],
      ['6', '0'],
      ['8', '1'],
      ['9', '0'],
      ['10', '0'],
    ])
    expect(rows.slice(1, -1).every((row) => /^(?:\d+,){5}\d+$/.test(row))).toBe(true)
    expect(rows.at(-1)).toBe('')
  })

  test('a trace for Perfetto: its form, its order, its times', () => {
    expect(
      mlx5ctl(
        'diagcnt',
        'stream',
        emu,
        '0x401',
        '0x2006',
        '--count',
        '20',
        '--format',
        'trace',
        '-o',
        at('t.json'),
        '--fault',
        'lose=5@4',
        ...slow,
      ).status,
    ).toBe(8)
    const { displayTimeUnit, traceEvents } = parseTraceEvents(readFileSync(at('t.json'), 'utf8'))
    expect(displayTimeUnit).toBe('ns')
    const counters = traceEvents.filter(({ ph }) => ph === 'C')
    expect(counters.map(({ name }) => name)).toEqual(
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? '0x0401' : '0x2006')),
    )
    const times = counters.filter((_, index) => index % 2 === 0).map(({ ts }) => ts)
    const steps = times.slice(1).map((ts, index) => Math.round((ts - (times[index] ?? 0)) * 1000) / 1000)
    expect(steps).toEqual(Array.from({ length: 19 }, (_, index) => (index === 2 ? 6 : 1) * 8388.608))
    expect(traceEvents.filter(({ ph }) => ph === 'i')).toEqual([
      expect.objectContaining({ name: 'samples lost', s: 't', args: { rounds: 5, after: 3, before: 9 } }),
    ])
  })

  test.each<[string, number, RegExp]>([
    ['', 2, /usage: mlx5ctl diagcnt/],
    ['cap', 2, /diagcnt takes cap DEVICE/],
    [`set ${emu}`, 2, /takes ids of counters, or all/],
    [`set ${emu} 0x9999`, 2, /0x9999: this device has no such diagnostic counter/],
    [`set ${emu} tx_packets`, 2, /tx_packets is no id of a counter/],
    [`set ${emu} 0x401 0x401`, 2, /0x0401 stands there twice/],
    [`set ${emu} all 0x401`, 2, /all stands alone/],
    [`set ${emu} 0x401 --single --repetitive`, 2, /exclude each other/],
    [`set ${emu} 0x401 --samples 8 --log-samples 3`, 2, /exclude each other/],
    [`set ${emu} 0x401,0x402 --log-samples 14`, 2, /room for 2\^14 records, so 2\^13/],
    [`set ${emu} 0x401 --samples 0`, 2, /--samples 0: it is a number from 1/],
    [`set ${emu} 0x401 --period 0.1ns`, 2, /shorter than the shortest of this device, 1 ns/],
    [`set ${emu} 0x401 --duration 3s`, 2, /diagcnt set has no --duration/],
    [`set ${emu} 0x401 --raw`, 2, /--raw only with --dry-run/],
    [`set ${emu} 0x401 --format csv`, 2, /diagcnt set has no --format csv/],
    [`set ${emu} 0x401 --fault status=0x3@3`, 6, /SET_DIAGNOSTIC_PARAMS.*bad parameter/],
    [`set ${emu} 0x401 --fault status=9@4`, 6, /QUERY_DIAGNOSTIC_PARAMS[^]*parameters were set: mlx5ctl diagcnt stop/],
    [`set ${emu} 0x401 --fault status=9@5`, 0, /warning: the period could not be measured: QUERY_DIAGNOSTIC_COUNTERS/],
    [
      `stream ${emu} 0x401 --duration 200ms --fault frozen`,
      8,
      /warning: the device took no samples for the last \d+ ms/,
    ],
    [`stream ${emu} --single`, 2, /diagcnt stream has no --single/],
    [`stream ${emu} --duration never`, 2, /--duration never: it is a time/],
    [`stream ${emu} --format prometheus`, 2, /has no --format prometheus/],
    [`stream ${emu} --count 3 --fault unplug@5`, 5, /ENODEV/],
    [`dump ${emu} --index 1`, 2, /the ring has 1 samples/],
    [`dump ${emu} --dry-run`, 2, /it only reads/],
    [`dump ${emu} 0x401`, 2, /takes one device/],
    [`stop ${emu} --sync`, 2, /diagcnt stop has no --sync/],
    [`stop ${emu} --fault errno=EIO@1`, 5, /EIO/],
  ])('mlx5ctl diagcnt %s: exit %i', async (line, code, message) => {
    const { status, stderr } = await runInProcess(['diagcnt', ...line.split(' ').filter((word) => word !== '')])
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
  })

  test('Ctrl-C ends a stream: all is written, the summary too, and the code is 130', async () => {
    const child = spawn(process.execPath, [bin, 'diagcnt', 'stream', emu, '0x401', '-j', '-v', ...slow])
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString()
      if (stderr.split('QUERY_DIAGNOSTIC_COUNTERS').length > 20) child.kill('SIGINT')
    })
    const code = await new Promise((resolve) => child.on('close', resolve))
    const { data } = parseEnvelope(stdout)
    expect([code, data?.endedBy, data?.putBack, data?.lostRounds]).toEqual([130, 'SIGINT', 'stopped', 0])
    expect(data?.rounds).toBeGreaterThan(0)
    expect(stderr).toMatch(/samples of 1 counter, \d+ records; 0 samples lost, 0 repeated$/m)
  })
})

describeUnless(missingForEmulatedNodes(), 'diagnostic counters through real nodes', () => {
  const params = (node: string): string =>
    `mlx5ctl cmd ${node} QUERY_DIAGNOSTIC_PARAMS --out-length 84 -j | jq -c '.data.outbox|{flags:.[24:32],list:.[64:80]}'`
  /** Waits until counter 0x401 is sampled. */
  const sampling =
    'sampling() { until mlx5ctl cmd fwctl0 QUERY_DIAGNOSTIC_PARAMS --out-length 84 -j | jq -r .data.outbox | cut -c65-72 | grep -q 00000401; do sleep 0.1; done; }\n'
  const other = 'mlx5ctl diagcnt set mlx5_core.ctl.0 0x2006 --log-samples 3 --period 1ms -q >/dev/null'

  test('set in one process, dumped in others, stopped', () => {
    const { stdout, status } = emulated(
      `mlx5ctl diagcnt set mlx5_core.ctl.0 0x401,0x2006 --single --clear --log-samples 2 --period 100us >/dev/null; sleep 0.1
       mlx5ctl diagcnt dump fwctl0; mlx5ctl diagcnt dump fwctl0 --index 1 --samples 1 --raw | wc -c
       mlx5ctl diagcnt dump fwctl0 --format csv | head -2; mlx5ctl diagcnt dump fwctl0 -j >${at('dump')}
       mlx5ctl diagcnt stop mlx5_core.ctl.0 && mlx5ctl diagcnt dump fwctl0 2>&1`,
    )
    expect(status).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(/^counter_id: 0x0401, sample_id: 0000000001, time_stamp: \d{10} counter_value: \d+$/)
    expect(lines.slice(0, 8).map((line) => line.slice(12, 41))).toEqual(
      [1, 2, 3, 4].flatMap((id) => [`0x0401, sample_id: 000000000${id}`, `0x2006, sample_id: 000000000${id}`]),
    )
    expect(lines[8]).toBe('32')
    expect(lines[9]).toBe('counter_id,sample_id,time_stamp,value\r')
    expect(lines[10]).toMatch(/^0x0401,1,\d+,\d+\r$/)
    expect(lines[11]).toMatch(/^diagnostic counters are stopped/)
    expect(lines[12]).toMatch(/no counters are set/)
    expect((parseEnvelope(readFileSync(at('dump'), 'utf8')).data?.records as unknown[]).length).toBe(8)
  })

  test('fwctl: writing taints, and is not done without leave', () => {
    const log = ['--log', at('log')]
    const refused = emulated(
      'mlx5ctl diagcnt set fwctl0 0x401; echo $?; mlx5ctl diagcnt stream fwctl0 --count 1; echo $?; mlx5ctl diagcnt stop fwctl0; echo $?',
      ...log,
    )
    expect(refused.stdout).toBe('2\n2\n2\n')
    expect(refused.stderr).toMatch(/SET_DIAGNOSTIC_PARAMS needs fwctl scope 2, which taints the kernel/)
    const seen = readFileSync(at('log'), 'utf8')
    expect([seen.includes('SET_DIAGNOSTIC_PARAMS'), seen.includes('"taint"')]).toEqual([false, false])
    const allowed = emulated(
      'mlx5ctl diagcnt stream fwctl0 0x401 0x402 --count 3 --allow-taint --log-period 23 -q | wc -l',
      ...log,
    )
    expect([allowed.stdout, allowed.status]).toEqual(['6\n', 0])
    expect(readFileSync(at('log'), 'utf8')).toContain('"scope":2')
  })

  test('what was sampled before goes on, however a stream ends', () => {
    const ends = [
      ['0', '--count 3 >/dev/null'],
      ['130', '>/dev/null & pid=$!; sampling; kill -INT $pid; wait $pid'],
      ['143', '--log-period 12 > >(sleep 4) & pid=$!; sampling; sleep 1; kill -TERM $pid; wait $pid'],
      ['141', '--log-period 16 | head -1 >/dev/null; (exit ${PIPESTATUS[0]})'],
      // Something was written: what is there is partial.
      ['8', '--timeout 1 >/dev/null'],
    ].map(([code = '', line = '']) => {
      const period = line.includes('--log-period') ? '' : slow.join(' ')
      return { code, script: `mlx5ctl diagcnt stream mlx5_core.ctl.0 0x401 ${period} ${line}` }
    })
    const { stdout } = emulated(
      sampling +
        ends.map(({ script }) => `${other}; ${params('fwctl0')}; ${script}; echo $?; ${params('fwctl0')}`).join('\n'),
    )
    // Repetitive and enabled; put back with clear, so that its ring begins anew.
    const expected = ends.map(
      ({ code }) =>
        `{"flags":"44000013","list":"0000200600000000"}\n${code}\n{"flags":"54000013","list":"0000200600000000"}\n`,
    )
    expect(stdout).toBe(expected.join(''))
  })

  test('two streams at once: the first says that somebody else has set other parameters', () => {
    const { stdout, stderr } = emulated(
      `${sampling}mlx5ctl diagcnt stream mlx5_core.ctl.0 0x401 ${slow.join(' ')} >/dev/null & pid=$!; sampling
       ${other}; wait $pid; echo $?; ${params('fwctl0')}`,
    )
    expect(stdout).toBe('8\n{"flags":"44000013","list":"0000200600000000"}\n')
    expect(stderr).toMatch(/the device samples something else now: somebody has set other parameters/)
  })
})
