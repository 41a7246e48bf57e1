import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, eventsOf, type LoggedEvent, mlx5ctl, nothingLeft, type Outcome } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope, parseTraceEvents } from '../support/schema'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-fwtrace-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
const emu = 'emu:connectx6dx'
/** The clock stands still: the same messages each time. */
const frozen = ['--fault', 'frozen', '--duration', '20ms']

interface Message {
  readonly timestamp: string
  readonly nanoseconds: string
  readonly lost: boolean
  readonly eventId: number
  readonly text: string
}
interface Data {
  readonly source: string
  readonly messages: readonly Message[]
  readonly summary: Readonly<Record<string, number>>
}
const dataOf = (stdout: string): Data => parseEnvelope(stdout).data as unknown as Data
const lineOf = ({ timestamp, lost, eventId, text }: Message): string =>
  `[0x${BigInt(timestamp).toString(16)}] ${lost ? 1 : 0} [0x${eventId.toString(16)}] ${text}`

describe('fwtrace of a device in process', () => {
  test('text, JSON, ndjson and trace events are of the same messages', async () => {
    const run = async (...options: string[]): Promise<string> =>
      (await runInProcess(['fwtrace', emu, ...frozen, ...options])).stdout
    const lines = (await run()).trimEnd().split('\n')
    expect(lines.length).toBeGreaterThan(80)
    for (const line of lines) expect(line).toMatch(/^\[0x[0-9a-f]+\] [01] \[0x2[0-9a-b]\] [ -~]+$/)
    const { source, messages, summary } = dataOf(await run('-j'))
    expect([source, summary.messages, messages.map(lineOf)]).toEqual(['registers', lines.length, lines])

    const records = (await run('--format', 'ndjson'))
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { data: { type: string } & Message }).data)
    expect(records.slice(0, -1).map(lineOf)).toEqual(lines)
    expect(records.at(-1)).toMatchObject({ type: 'summary', messages: lines.length, overwrittenBlocks: 0 })

    const { traceEvents } = parseTraceEvents(await run('--format', 'trace'))
    const instants = traceEvents.filter(({ ph }) => ph === 'i')
    expect(instants.map(({ name, tid, s }) => [name, tid, s])).toEqual(
      messages.map(({ text, eventId }) => [text, eventId, 't']),
    )
    // Microseconds of a clock of 1 GHz, in the order of the messages.
    expect(instants.map(({ ts }) => ts)).toEqual(messages.map(({ timestamp }) => Number(timestamp) / 1000))
    expect(instants.map(({ ts }) => ts)).toEqual(instants.map(({ ts }) => ts).sort((a, b) => a - b))
    const named = traceEvents.filter(({ name }) => name === 'thread_name').map(({ tid }) => tid)
    expect(new Set(instants.map(({ tid }) => tid))).toEqual(new Set(named))
    expect(named).toHaveLength(new Set(named).size)
  })

  test('offline from a saved ring is what was live; the strings file says all that it takes', async () => {
    const fwtrace = (...words: string[]): Promise<Outcome> => runInProcess(['fwtrace', ...words])
    const live = (await fwtrace(emu, ...frozen)).stdout
    const ring = Buffer.from((await fwtrace(emu, '--raw', ...frozen)).stdout, 'latin1')
    writeFileSync(at('ring'), ring)
    expect(await fwtrace('strings', emu, '-o', at('strings'))).toEqual({ status: 0, stdout: '', stderr: '' })
    const envelope = (await fwtrace('strings', emu, '-j')).stdout
    writeFileSync(at('envelope'), envelope)
    expect(parseEnvelope(envelope)).toMatchObject({ command: 'fwtrace strings', data: { firmware: '22.44.1036' } })
    for (const strings of ['strings', 'envelope']) {
      const offline = await fwtrace('--from', at('ring'), '--strings', at(strings))
      expect([strings, offline.status, offline.stderr, offline.stdout]).toEqual([strings, 0, '', live])
    }
    // A whole ring that begins anywhere, with blocks that nothing was written to.
    for (const turn of [256, 1024]) {
      writeFileSync(at('turned'), Buffer.concat([ring.subarray(turn), ring.subarray(0, turn)]))
      expect((await fwtrace('--from', at('turned'), '--strings', at('strings'))).stdout).toBe(live)
    }
    const piped = spawnSync(
      'bash',
      [
        '-c',
        `cat ${at('ring')} | ${process.execPath} ${path.resolve(__dirname, '../../bin/mlx5ctl.js')} fwtrace --from - --strings ${at('strings')} --real-time --events 0x20,0x24..0x25 --match e`,
      ],
      { encoding: 'utf8' },
    )
    const expected = live.split('\n').filter((line) => /\[0x2[045]\] .*e/.test(line))
    expect(piped.stdout.trimEnd().split('\n')).toHaveLength(expected.length)
    expect(piped.stdout).toMatch(/^\[00:00:00:0000\d{5}\] 0 \[0x2[045]\] /)
  })

  test.each<[string, number, RegExp]>([
    ['fwtrace', 2, /takes a device, or strings DEVICE, or --from/],
    ['fwtrace strings', 2, /fwtrace strings takes a device/],
    [`fwtrace ${emu} ${emu}`, 2, /takes one device/],
    [`fwtrace ${emu} --source wire`, 2, /it is auto, registers or kernel/],
    [`fwtrace ${emu} --events 256`, 2, /0 to 255/],
    [`fwtrace ${emu} --events 5..3`, 2, /0 to 255/],
    [`fwtrace ${emu} --duration never`, 2, /--duration never/],
    [`fwtrace ${emu} --size 100`, 2, /--size 100/],
    [`fwtrace ${emu} --size 64M`, 9, /takes up to 4194304/],
    [`fwtrace ${emu} --raw --events 1`, 2, /the ring as it is/],
    [`fwtrace ${emu} --raw -j`, 2, /have no JSON/],
    [`fwtrace ${emu} --hex`, 2, /has no --hex/],
    [`fwtrace ${emu} --format csv`, 2, /has no --format csv/],
    [`fwtrace ${emu} --strings x`, 2, /--strings is for --from/],
    [`fwtrace --from /dev/null`, 2, /needs --strings/],
    [`fwtrace --from /dev/null --strings /dev/null --follow`, 2, /has no --follow/],
    [`fwtrace --from /dev/null --strings /dev/null --timeout 1`, 2, /opens no device/],
    ['fwtrace --from /dev/null --strings /dev/null', 7, /no strings database/],
    ['fwtrace --from /dev/null --strings /nonexistent', 2, /cannot be read/],
    [`fwtrace strings ${emu} --follow`, 2, /fwtrace strings has no --follow/],
    [`fwtrace strings ${emu} --raw`, 2, /fwtrace strings has no --raw/],
    [`fwtrace strings ${emu} --format trace`, 2, /fwtrace strings has no --format trace/],
    [`fwtrace ${emu} --source kernel`, 9, /has no trace of a kernel/],
    [`fwtrace ${emu} --fault traced`, 9, /not free: a trace is running\n.*no trace of a kernel/],
    [`fwtrace ${emu} --fault traced --source registers`, 9, /not free.*\n.*--source kernel/],
    [`fwtrace ${emu} --fault status=0x3@1`, 9, /does not tell about a firmware tracer/],
  ])('mlx5ctl %s: exit %i', async (line, code, message) => {
    const { status, stderr } = await runInProcess(line.split(' '))
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
  })

  test('files that are none', async () => {
    const run = (...words: string[]): Promise<Outcome> => runInProcess(['fwtrace', ...words])
    await run('strings', emu, '-o', at('strings'))
    for (const [bytes, message] of [
      [Buffer.alloc(300, 1), /300 bytes are no whole blocks of 256/],
      [Buffer.alloc(512, 1), /no block ends with a timestamp/],
    ] as const) {
      writeFileSync(at('ring'), bytes)
      const { status, stderr } = await run('--from', at('ring'), '--strings', at('strings'))
      expect([status, stderr]).toEqual([7, expect.stringMatching(message)])
    }
    writeFileSync(at('ring'), Buffer.alloc(512))
    expect(await run('--from', at('ring'), '--strings', at('strings'))).toMatchObject({
      status: 0,
      stdout: '',
    })
    const text = readFileSync(at('strings'), 'utf8')
    writeFileSync(at('strings'), text.replace(/"data": "..../, '"data": "AAAA'))
    const damaged = await run('--from', at('ring'), '--strings', at('strings'), '-j')
    expect([damaged.status, parseEnvelope(damaged.stdout).error]).toEqual([
      7,
      expect.objectContaining({ kind: 'malformed', message: expect.stringMatching(/damaged/) as string }),
    ])
  })

  test('what firmware loses and what is overwritten before it is read is told, and the latter makes it partial', async () => {
    const lossy = await runInProcess(['fwtrace', emu, '-j', '--duration', '200ms', '--fault', 'lossy'])
    const { messages, summary } = dataOf(lossy.stdout)
    const flagged = messages.filter(({ lost }) => lost).length
    expect(flagged).toBeGreaterThan(5)
    expect(summary.lostFlags).toBeGreaterThanOrEqual(flagged)
    expect(lossy.stderr).toMatch(/firmware lost events, and says so \d+ times/)
    // The third look, or so, comes late.
    const slow = ['--size', '4K', '--duration', '900ms', '--fault', 'delay=1s@27']
    const overrun = await runInProcess(['fwtrace', emu, '--format', 'ndjson', ...slow])
    expect([lossy.status, overrun.status]).toEqual([0, 8])
    expect(overrun.stderr).toMatch(/at least \d+ blocks of events were overwritten/)
    const gaps = [...overrun.stdout.matchAll(/"type":"gap","overwrittenBlocks":(\d+)/g)].map(([, blocks]) =>
      Number(blocks),
    )
    const told = Number(/"type":"summary".*"overwrittenBlocks":(\d+)/.exec(overrun.stdout)?.[1])
    expect([gaps.length > 0, gaps.reduce((sum, blocks) => sum + blocks, 0)]).toEqual([true, told])
  })

  test('a failure in the middle: what there was is written, and told to be partial', async () => {
    // The polls come after the 20 or so commands that begin it.
    const follow = (...options: string[]): Promise<Outcome> => runInProcess(['fwtrace', emu, '--follow', ...options])
    const run = (...options: string[]): Promise<Outcome> => follow('--fault', 'errno=EIO@32', ...options)
    const text = await run()
    expect([text.status, text.stdout.split('\n').length > 50]).toEqual([8, true])
    expect(text.stderr).toMatch(/EIO.*; the output is incomplete/)
    const json = await run('-j')
    expect([json.status, parseEnvelope(json.stdout).status, dataOf(json.stdout).messages.length > 50]).toEqual([
      8,
      'partial',
      true,
    ])
    const gone = await follow('-j', '--fault', 'unplug@32')
    expect([gone.status, parseEnvelope(gone.stdout).error?.errno, dataOf(gone.stdout).messages.length > 50]).toEqual([
      8,
      'ENODEV',
      true,
    ])
    expect((await run('--format', 'ndjson', '-o', at('out'))).status).toBe(8)
    expect(readdirSync(folder)).toEqual(['out.partial'])
    expect((await run('--format', 'trace', '-o', at('trace'))).status).toBe(8)
    expect(() => JSON.parse(readFileSync(at('trace.partial'), 'utf8')) as unknown).not.toThrow()
    expect(await follow('--timeout', '0.7')).toMatchObject({
      status: 8,
      stderr: expect.stringMatching(/the time of 0.7 s is over; the output is incomplete/) as string,
    })
  })
})

const events = (): LoggedEvent[] => eventsOf(at('log'))
/** Runs a script with an emulated device that writes down what it sees. */
const logged = (script: string, ...options: string[]): Outcome =>
  emulated(`cd ${folder}; ${script}`, '--log', at('log'), ...options)

describeUnless(missingForEmulatedNodes(), 'fwtrace through real nodes', () => {
  test('registers: over the addon; strings over every door are the same', () => {
    const { stdout } = logged(
      `mlx5ctl fwtrace mlx5_core.ctl.0 --duration 50ms >own
       for door in mlx5_core.ctl.0 fwctl0 "03:00.0 --transport pci"; do
         mlx5ctl fwtrace strings $door -j | jq -c '.data | [.sections, .trace.frequencyKilohertz]'; done`,
      '--fault',
      'frozen',
    )
    expect(readFileSync(at('own'), 'utf8')).toBe(mlx5ctl('fwtrace', emu, ...frozen).stdout)
    const [first, second, third] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as [unknown, number | null])
    expect([second, third?.[0]]).toEqual([first, first?.[0]])
    // ICMD has no commands, and so no capabilities.
    expect([first?.[1], third?.[1]]).toEqual([1_000_000, null])
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test.each([
    ['INT', 130],
    ['TERM', 143],
  ])('SIG%s ends a trace that goes on: all is written, nothing is left', (signal, code) => {
    const { stdout, stderr } = logged(
      `mlx5ctl fwtrace 0 --follow --format trace -o trace.json & pid=$!
       until grep -q umem_reg log 2>/dev/null; do sleep 0.02; done; sleep 0.3; kill -${signal} $pid; wait $pid; echo $?; ls`,
    )
    expect([stdout, stderr]).toEqual([`${code}\nlog\ntrace.json\n`, ''])
    const { traceEvents } = parseTraceEvents(readFileSync(at('trace.json'), 'utf8'))
    expect(traceEvents.length).toBeGreaterThan(50)
    const named = events().flatMap(({ event, name }) =>
      event === 'command' ? [name] : event === 'umem_unreg' ? [event] : [],
    )
    expect(named.slice(-5)).toEqual(['ACCESS_REG', 'ACCESS_REG', 'DESTROY_MKEY', 'umem_unreg', 'DEALLOC_PD'])
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('kill -9, a closed pipe, a device that goes: nothing is left', () => {
    const killed = logged(
      `mlx5ctl fwtrace 0 --follow >out & pid=$!
       until grep -q umem_reg log 2>/dev/null; do sleep 0.02; done; sleep 0.2; kill -KILL $pid; wait $pid; echo $?
       mlx5ctl fwtrace 0 --follow | head -1 | wc -l; echo \${PIPESTATUS[0]}`,
    )
    expect([killed.stdout, killed.stderr.replace(/^.*Killed.*\n/, '')]).toEqual(['137\n1\n141\n', ''])
    expect(events().at(-1)).toMatchObject(nothingLeft)
    const gone = logged('mlx5ctl fwtrace 0 --follow | wc -l; echo ${PIPESTATUS[0]}', '--fault', 'unplug@40')
    expect(gone.stdout).toMatch(/^\d{2,}\n8\n$/)
    expect(gone.stderr).toMatch(/ENODEV.*; the output is incomplete/)
    expect(events().at(-1)).toMatchObject({ ...nothingLeft, contexts: expect.any(Number) as number })
  })

  test('the kernel has the tracer: its trace is shown, watched in an instance of its own, and left as it was', () => {
    const { stdout, stderr } = logged(
      `cd /sys/kernel/tracing; on() { cat events/mlx5/mlx5_fw/enable; ls instances; }
       mlx5ctl fwtrace 03:00.0; echo "off: $?"
       mlx5ctl fwtrace 03:00.0 --duration 300ms -q | head -1; on
       mlx5ctl fwtrace 0 --source kernel --follow -q >${at('watched')} & pid=$!
       until [ -n "$(ls instances)" ]; do sleep 0.02; done; cat instances/*/events/mlx5/mlx5_fw/enable
       sleep 0.6; kill -INT $pid; wait $pid; echo "watched: $?"; on
       echo 1 >events/mlx5/mlx5_fw/enable; sleep 0.1
       mlx5ctl fwtrace fwctl0 -j -q | jq -c '[.data.source, (.data.messages | length) > 50]'
       mlx5ctl fwtrace 03:00.0 --transport pci --events 0x20 -q | cut -d' ' -f3 | sort -u; cat events/mlx5/mlx5_fw/enable
       mlx5ctl fwtrace 03:00.0 --transport pci --real-time -q; echo "no clock: $?"`,
      '--fault',
      'traced',
    )
    expect(stdout.split('\n')).toEqual([
      'off: 0',
      expect.stringMatching(/^\[0x[0-9a-f]+\] 0 \[0x2[0-9a-b]\] ./),
      '0',
      '1',
      'watched: 130',
      '0',
      '["kernel",true]',
      '[0x20]',
      '1',
      'no clock: 9',
      '',
    ])
    expect(stderr).toMatch(/the firmware tracer is not free.*this is what the kernel shows/)
    expect(stderr).toMatch(/the kernel's tracepoint is off, so that it keeps nothing/)
    expect(stderr).toMatch(/--real-time needs the frequency/)
    expect(readFileSync(at('watched'), 'utf8').split('\n').length).toBeGreaterThan(50)
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('a kernel that makes no instances: the trace of all is watched, and switched off again', () => {
    const { stdout } = logged(
      `mount -t tmpfs -o ro none /sys/kernel/tracing/instances
       mlx5ctl fwtrace 03:00.0 --duration 500ms -q >first; cat /sys/kernel/tracing/events/mlx5/mlx5_fw/enable
       echo 1 >/sys/kernel/tracing/events/mlx5/mlx5_fw/enable
       mlx5ctl fwtrace 03:00.0 --duration 500ms -q >second; cat /sys/kernel/tracing/events/mlx5/mlx5_fw/enable`,
      '--fault',
      'traced',
    )
    expect(stdout).toBe('0\n1\n')
    const lines = ['first', 'second'].flatMap((name) => readFileSync(at(name), 'utf8').trimEnd().split('\n'))
    expect(lines.length).toBeGreaterThan(100)
    // Each message once, in the order of their times.
    const times = lines.map((line) => Number(/^\[(0x[0-9a-f]+)\]/.exec(line)?.[1]))
    expect(times.filter((time, index) => index > 0 && time <= (times[index - 1] ?? 0))).toEqual([])
  })

  test('an instance that a killed run left behind goes with the next run, which may have its pid; that of another run stays', () => {
    const { stdout } = logged(
      `mkdir /sys/kernel/tracing/instances/mlx5ctl-999999999 /sys/kernel/tracing/instances/mlx5ctl-$$ /sys/kernel/tracing/instances/mine
       bash -c 'mkdir /sys/kernel/tracing/instances/mlx5ctl-$$; exec mlx5ctl fwtrace 03:00.0 --duration 50ms -q' >/dev/null; echo $?
       ls /sys/kernel/tracing/instances | sed s/$$/own/`,
      '--fault',
      'traced',
    )
    expect(stdout.trim().split('\n').sort()).toEqual(['0', 'mine', 'mlx5ctl-own'])
  })
})
