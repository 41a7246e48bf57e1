import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bin, emulated, eventsOf, type LoggedEvent, mlx5ctl, nothingLeft, type Outcome } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { parseEnvelope } from '../support/schema'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-dumps-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
const emu = 'emu:connectx6dx'

const events = (): LoggedEvent[] => eventsOf(at('log'))
/** Runs a script with an emulated device that writes down what it sees. */
const logged = (script: string, ...options: string[]): Outcome => {
  rmSync(at('log'), { force: true })
  return emulated(`cd ${folder}; ${script}`, '--log', at('log'), ...options)
}

describe('dumps of a device in process', () => {
  test('a core dump: raw to a pipe, lines, hex, a summary; the registers are those of regdump', () => {
    const raw = spawnSync(process.execPath, [bin, 'coredump', emu], { maxBuffer: 1 << 28 }).stdout
    // 103,913 registers: the size that a real ConnectX-6 Dx gives.
    expect(raw.length).toBe(831_304)
    const lines = mlx5ctl('coredump', emu, '--format', 'text').stdout.trim().split('\n')
    const expected = Array.from({ length: raw.length / 8 }, (_, index) => {
      const [address, value] = [raw.readUInt32BE(index * 8), raw.readUInt32BE(index * 8 + 4)]
      return `0x${address.toString(16).padStart(8, '0')} 0x${value.toString(16).padStart(8, '0')}`
    })
    expect(lines).toEqual(expected)
    expect(mlx5ctl('coredump', emu, '--hex').stdout.split('\n')[1]).toBe(
      `0x00000010  ${raw.subarray(16, 32).toString('hex').replace(/../g, '$& ').trim()}`,
    )
    const { data } = parseEnvelope(mlx5ctl('coredump', emu, '-j').stdout)
    expect(data).toMatchObject({ bytes: 831_304, pairs: 103_913, commands: 1, buffer: 1 << 20, firstAddress: 0 })
    writeFileSync(at('core.bin'), raw)
    expect(mlx5ctl('regdump', '--from', at('core.bin')).stdout.trim().split('\n')).toEqual(expected)
    const table = mlx5ctl('regdump', emu).stdout.trim().split('\n')
    const dumped = new Set(expected)
    expect(table).toHaveLength(95_467)
    expect(table.filter((line) => !dumped.has(line))).toEqual([])
    expect(mlx5ctl('regdump', emu, '--scan').stdout.trim().split('\n')).toEqual(expected)
    expect(mlx5ctl('regdump', emu, '--via', 'coredump', '--raw').stdout.length).toBeGreaterThan(0)
  })

  test('small memory: the dump goes on at the cookie, and is the same', () => {
    const whole = spawnSync(process.execPath, [bin, 'coredump', emu], { maxBuffer: 1 << 28 }).stdout
    const parts = spawnSync(process.execPath, [bin, 'coredump', emu, '--size', '64K'], { maxBuffer: 1 << 28 }).stdout
    expect(parts.equals(whole)).toBe(true)
    const { data } = parseEnvelope(mlx5ctl('coredump', emu, '--size', '64K', '-j').stdout)
    expect(data).toMatchObject({ commands: 13, buffer: 65_536, bytes: 831_304 })
  })

  test('register dumps as JSON, ndjson and raw convert back to the same lines', () => {
    const lines = mlx5ctl('regdump', emu).stdout
    for (const [name, ...options] of [
      ['r.json', '-j'],
      ['r.ndjson', '--format', 'ndjson'],
      ['r.bin', '--raw'],
      ['r.txt'],
    ]) {
      const file = at(name ?? '')
      expect(mlx5ctl('regdump', emu, ...options, '-o', file)).toEqual({ status: 0, stdout: '', stderr: '' })
      const back = mlx5ctl('regdump', '--from', file)
      expect([name, back.status, back.stdout === lines]).toEqual([name, 0, true])
    }
    const { data } = parseEnvelope(readFileSync(at('r.json'), 'utf8'))
    expect(data).toMatchObject({ source: 'table', table: 'ConnectX6DX', registers: 95_467 })
  })

  test('regdump diff of three', () => {
    writeFileSync(at('a'), '0x00000000 0x00000001\n0x00000004 0x00000005\n0x00000008 0x00000001\n')
    writeFileSync(at('b'), '0x00000000 0x00000001\n0x00000004 0x00000006\n0x00000008 0x00000000\n')
    writeFileSync(at('c'), '0x00000000 0x00000001\n0x00000004 0x00000009\n')
    const two = mlx5ctl('regdump', 'diff', at('a'), at('b'))
    expect([two.status, two.stdout]).toEqual([
      0,
      '0x00000004  0x00000005  0x00000006\n0x00000008  0x00000001  0x00000000\n',
    ])
    const three = mlx5ctl('regdump', 'diff', at('a'), at('b'), at('c'), '-j')
    expect(parseEnvelope(three.stdout)).toMatchObject({
      command: 'regdump diff',
      data: { compared: 2, changed: [{ address: 4, values: [5, 6, 9], kind: 'counter' }], unmatched: [1, 1, 0] },
    })
  })

  test('the menu has the 45 records of a real one, and every segment can be dumped and decoded', () => {
    const menu = parseEnvelope(mlx5ctl('rscdump', 'menu', emu, '-j').stdout).data as {
      records: { type: number; name: string; index1: { required: boolean }; index2: { required: boolean } }[]
    }
    expect(menu.records).toHaveLength(45)
    expect(menu.records.map(({ name }) => name)).toContain('VLQ_GVMI_VLQ_SQ')
    expect(mlx5ctl('rscdump', 'menu', emu).stdout).toMatch(/^0x1001 {2}SND_BUFF +QPN! +- +WQEBB +N\|all$/m)
    const kinds = new Set<string>()
    for (const { name, index1, index2 } of menu.records.filter(({ name }) => !/ICMC|RX_SLICE/.test(name))) {
      const index = /QPC|QP$|BUFF|RDB|SQPC|RQPC/.test(name) ? '82' : '0'
      const args = [
        ...(index1.required
          ? [
              '--index1',
              /CQC$|CQ_BUFF|QUERY_CQ/.test(name)
                ? '1024'
                : /SRQ|EQC?_|EQC$/.test(name)
                  ? '0'
                  : /QUERY_FT$/.test(name)
                    ? '1'
                    : index,
            ]
          : []),
        ...(index2.required ? ['--index2', '0'] : []),
      ]
      const { status, stdout, stderr } = mlx5ctl('rscdump', emu, name, ...args, '-j')
      expect([name, status, stderr.replace(/warning: firmware notes.*/, '')]).toEqual([
        name,
        0,
        name === 'SCHEDQ_INFO' ? 'mlx5ctl: \n' : '',
      ])
      const { segments } = parseEnvelope(stdout).data as { segments: { kind: string; name: string }[] }
      for (const segment of segments) kinds.add(segment.kind)
    }
    expect([...kinds].sort()).toEqual(['command', 'info', 'notice', 'reference', 'resource', 'terminate'])
  })

  test('a resource whose layout is known is decoded, another one is bytes', () => {
    const known = mlx5ctl('rscdump', emu, 'PRM_QUERY_QP', '--index1', '82')
    expect(known.stdout).toMatch(/^ {2}qpc\.state +3 RTS$/m)
    const { segments } = parseEnvelope(mlx5ctl('rscdump', emu, '0x4000', '--index1', '82', '-j').stdout).data as {
      segments: { kind: string; layout?: string; values?: { qpc: { state: number } } }[]
    }
    expect(segments[2]).toMatchObject({ kind: 'resource', layout: 'query_qp_out', values: { qpc: { state: 3 } } })
    expect(mlx5ctl('rscdump', emu, 'HW_CQPC', '--index1', '82').stdout).toMatch(
      /^0x000000f0 {2}(?:[0-9a-f]{2} ?){16}$/m,
    )
  })

  test('through memory and inline come the same bytes', () => {
    const dump = (via: string): Buffer =>
      spawnSync(process.execPath, [bin, 'rscdump', emu, 'RX_SLICE_ALL', '--raw', '--via', via], { maxBuffer: 1 << 28 })
        .stdout
    const inline = dump('inline')
    expect(inline.length).toBe(2_097_704)
    expect(dump('memory').equals(inline)).toBe(true)
    const commands = (via: string): unknown =>
      parseEnvelope(mlx5ctl('rscdump', emu, 'SX_SLICE_ALL', '--via', via, '-j').stdout).data?.commands
    expect([commands('memory'), commands('inline')]).toEqual([1, 1262])
  })

  test('a recording of a dump through memory is replayed without the device', () => {
    for (const line of [
      ['coredump', '--size', '256K', '--raw'],
      ['rscdump', 'FULL_QPC', '--index1', '82', '--depth', 'all', '--raw'],
      ['regdump', '--scan'],
      ['regdump'],
    ]) {
      const [command = '', ...rest] = line
      const real = mlx5ctl(command, emu, ...rest, '--record', at('recording'))
      const replayed = mlx5ctl(command, `replay:${at('recording')}`, ...rest)
      expect([line, replayed.status, replayed.stderr]).toEqual([line, 0, ''])
      expect(replayed.stdout === real.stdout && real.stdout.length > 1000).toBe(true)
    }
  })

  test.each<[string, number, RegExp]>([
    [`rscdump ${emu}`, 2, /usage: mlx5ctl rscdump/],
    [`rscdump ${emu} FULL_QPC`, 2, /FULL_QPC \(0x1000\) needs --index1 QPN/],
    [`rscdump ${emu} FULL_QP --index1 1`, 2, /did you mean FULL_QPC/],
    [
      `rscdump ${emu} FULL_QPC --index1 1 --num1 0xfff1`,
      2,
      /--num1 0xfff1: it is a number up to 0xfff0, all or active/,
    ],
    [`rscdump ${emu} FULL_QPC --index1 x`, 2, /--index1 x/],
    [`rscdump ${emu} FULL_QPC --index1 83`, 8, /firmware ended the dump with an error: no such QPN/],
    [`rscdump ${emu} FULL_QPC --index1 82 --vhca-id 3`, 8, /no such function/],
    [`rscdump ${emu} MENU --via wire`, 2, /--via wire: it is memory or inline/],
    [`rscdump menu ${emu} --index1 1`, 2, /has no --index1/],
    [`coredump ${emu} --size 4`, 2, /from 8 to 1G/],
    [`coredump ${emu} --reserved`, 2, /has no --reserved/],
    [`coredump ${emu} --fault status=0x3@1`, 6, /QUERY_HCA_CAP/],
    [`coredump ${emu} --fault status=0x3@4`, 6, /CORE_DUMP \(0x402e\): ACCESS_REG/],
    [`rscdump menu ${emu} --depth 1`, 2, /rscdump menu has no --depth/],
    ['regdump diff /dev/null /dev/null --raw', 2, /regdump diff has no --raw/],
    ['regdump --from /dev/null --scan', 2, /regdump --from has no --scan/],
    ['regdump --from /dev/null --record x', 2, /opens no device: it has no --record/],
    ['regdump', 2, /takes a device, or --from FILE/],
    [`regdump ${emu} ${emu}`, 2, /takes one device/],
    [`regdump ${emu} --via wire`, 2, /--via wire/],
    [`regdump ${emu} --scan --via coredump`, 2, /does not go with/],
    [`regdump ${emu} --table ConnectX99`, 2, /ConnectX9/],
    ['regdump --from /nonexistent', 2, /cannot be read/],
    ['regdump diff /dev/null', 2, /two or three dumps/],
    ['decode rscdump /dev/null', 7, /is no resource dump/],
    ['decode /nonexistent', 2, /nonexistent/],
  ])('mlx5ctl %s: exit %i', (line, code, message) => {
    const { status, stderr } = mlx5ctl(...line.split(' '))
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
  })

  test('a read that fails: its address, what was read before, and 8', () => {
    const fault = ['--fault', 'stuck=0x20008']
    const text = mlx5ctl('regdump', emu, ...fault)
    expect(text.status).toBe(8)
    expect(text.stderr).toMatch(/CR space 0x00020008 cannot be read: .*ETIMEDOUT.*; the output is incomplete/)
    expect(text.stdout.trim().split('\n').at(-1)).toMatch(/^0x00020004 0x/)
    const json = mlx5ctl('regdump', emu, '-j', ...fault)
    const envelope = parseEnvelope(json.stdout)
    expect([json.status, envelope.status, envelope.error?.errno]).toEqual([8, 'partial', 'ETIMEDOUT'])
    expect(envelope.data?.registers).toBe(text.stdout.trim().split('\n').length)
    const file = mlx5ctl('regdump', emu, '-o', at('regs'), ...fault)
    expect([file.status, readdirSync(folder)]).toEqual([8, ['regs.partial']])
    expect(readFileSync(at('regs.partial'), 'utf8')).toBe(text.stdout)
    expect(file.stderr).toContain(`what was read is kept in ${at('regs')}.partial`)
  })

  test('an existing file is refused before the device is asked anything', () => {
    writeFileSync(at('core.bin'), 'mine')
    const { status, stderr } = mlx5ctl('coredump', emu, '-o', at('core.bin'), '-v')
    expect([status, readFileSync(at('core.bin'), 'utf8')]).toEqual([2, 'mine'])
    expect(stderr).toMatch(/^mlx5ctl: .*core\.bin is there already\n.*--force/)
    expect(mlx5ctl('coredump', emu, '-o', at('core.bin'), '--force').status).toBe(0)
    expect(readdirSync(folder)).toEqual(['core.bin'])
  })

  test('a file that comes to be there meanwhile is kept, and what was read is partial', () => {
    const slow = spawnSync('bash', [
      '-c',
      // The temporary file beside it says that it was looked whether it is there.
      `(echo '0x00000000 0x00000001'; until [ -e ${at('late')} ]; do sleep 0.02; done) | ${process.execPath} ${bin} regdump --from - -o ${at('late')} & pid=$!
       until ls ${at('late')}.*.partial >/dev/null 2>&1; do sleep 0.02; done; echo precious >${at('late')}
       wait $pid; echo $?; cat ${at('late')} ${at('late')}.partial`,
    ])
    expect(slow.stdout.toString()).toBe('8\nprecious\n0x00000000 0x00000001\n')
    expect(slow.stderr.toString()).toMatch(/late is there already; what was read is kept in .*late\.partial/)
  })

  test('earlier partial files are kept, and a link to a file that is not there leads to it', () => {
    const fault = ['--fault', 'stuck=0x20008']
    expect(mlx5ctl('regdump', emu, '-o', at('regs'), ...fault).status).toBe(8)
    expect(mlx5ctl('regdump', emu, '-o', at('regs'), ...fault).stderr).toContain(`${at('regs')}.partial.2`)
    expect(readdirSync(folder).sort()).toEqual(['regs.partial', 'regs.partial.2'])
    spawnSync('ln', ['-s', 'target', at('link')])
    expect(mlx5ctl('info', emu, '-o', at('link')).status).toBe(0)
    expect(readdirSync(folder)).toContain('target')
    expect(mlx5ctl('info', emu, '-o', '').status).toBe(2)
    expect(mlx5ctl('info', emu, '-o', at('same'), '--record', at('same')).status).toBe(2)
  })

  test('one JSON document, whatever fails and wherever it goes', () => {
    const fault = ['--fault', 'stuck=0x20008']
    for (const name of ['-', '/dev/stdout']) {
      const { status, stdout } = mlx5ctl('regdump', emu, '-j', '-o', name, ...fault)
      expect([status, parseEnvelope(stdout).status]).toEqual([8, 'partial'])
    }
    const full = spawnSync('bash', ['-c', `${process.execPath} ${bin} coredump ${emu} -j >/dev/full`], {
      encoding: 'utf8',
    })
    expect([full.status, full.stderr]).toEqual([8, expect.stringMatching(/^mlx5ctl: stdout cannot be written: ENOSPC/)])
    expect(full.stderr).not.toMatch(/\n\s+at /)
    for (const name of ['a(b', 'a[b', 'a\\']) {
      const { status, stdout } = mlx5ctl('decode', name, '-j')
      expect([status, parseEnvelope(stdout).error?.kind]).toEqual([2, 'usage'])
    }
  })

  test('dumps come through pipes whole', () => {
    expect(mlx5ctl('rscdump', emu, 'SX_SLICE_ALL', '--raw', '-o', at('sx')).status).toBe(0)
    const expected = mlx5ctl('decode', at('sx')).stdout
    const run = (line: string): string =>
      spawnSync('bash', ['-c', line.replace('TOOL', `${process.execPath} ${bin}`)], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      }).stdout
    for (const line of [
      `TOOL decode <(cat ${at('sx')})`,
      `cat ${at('sx')} | TOOL decode rscdump /dev/stdin`,
      `cat ${at('sx')} | TOOL decode rscdump`,
    ])
      expect([line, run(line) === expected]).toEqual([line, true])
    writeFileSync(at('many'), Buffer.alloc(4 << 20, Buffer.from('0001fffb', 'hex')))
    const { status, stdout, stderr } = mlx5ctl('decode', at('many'), '-j')
    expect([status, stderr.includes('too long for one JSON document')]).toEqual([2, true])
    expect(parseEnvelope(stdout).status).toBe('error')
  })

  test.each([
    ['a pipe that nobody reads', 'coredump emu:connectx7 --raw > >(sleep 3)'],
    ['a FIFO without a reader', 'coredump emu:connectx7 --raw -o FIFO'],
    ['a stdin that says nothing', 'decode rscdump < <(sleep 3)'],
  ])('SIGTERM ends a command that waits for %s', (_, line) => {
    spawnSync('mkfifo', [at('fifo')])
    const script = `${process.execPath} ${bin} ${line.replace('FIFO', at('fifo'))} 2>/dev/null & pid=$!
      sleep 1.2; kill -TERM $pid; sleep 0.6; kill -0 $pid 2>/dev/null && echo alive; wait $pid; echo $?`
    const { stdout } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    expect(stdout).toBe('143\n')
  })

  test('the library: dumps as bytes', () => {
    const script = `
      const { open, coreDump, withResourceDumper, dumpResource } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))})
      const main = async () => {
        const device = await open('emu:connectx6dx')
        let bytes = 0
        const { pairs } = await coreDump(device, {}, (part) => (bytes += part.length))
        const request = { type: 0x3001, index1: 0, index2: 0, num1: 0, num2: 0 }
        const summary = await withResourceDumper(device, {}, (dumper) => dumpResource(device, dumper, request, {}, () => {}))
        console.log(JSON.stringify([pairs, bytes, summary]))
        await device.close()
      }
      main()`
    const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
    expect(JSON.parse(stdout)).toEqual([103_913, 831_304, { bytes: 262_440, commands: 1, dumps: 1, via: 'memory' }])
  })
})

describeUnless(missingForEmulatedNodes(), 'dumps through real nodes', () => {
  test('2 MB of a ConnectX-7 in one CORE_DUMP command, through the addon', () => {
    const { status, stderr } = logged('mlx5ctl coredump mlx5_core.ctl.0 -o core.bin -v', '--profile', 'connectx7')
    expect(status).toBe(0)
    expect(stderr.match(/^mlx5ctl: ACCESS_REG CORE_DUMP .*status 0x0/gm)).toHaveLength(1)
    const core = readFileSync(at('core.bin'))
    expect(core.length).toBe(1_845_488)
    const named = events().flatMap(({ event, name }) =>
      event === 'command' ? [name] : event === 'umem_unreg' ? [event] : [],
    )
    expect(named.slice(-5)).toEqual(['CREATE_MKEY', 'ACCESS_REG', 'DESTROY_MKEY', 'umem_unreg', 'DEALLOC_PD'])
    expect(events().at(-1)).toMatchObject(nothingLeft)
    const own = spawnSync(process.execPath, [bin, 'coredump', 'emu:connectx7'], { maxBuffer: 1 << 28 }).stdout
    expect(core.equals(own)).toBe(true)
  })

  test.each([
    ['coredump fwctl0', 9, /fwctl offers none.*\n.*load it \(modprobe mlx5ctl\)/],
    ['coredump 03:00.0 --transport pci', 9, /pci offers none/],
    ['regdump fwctl0', 9, /no way into CR space.*\n.*--transport pci/],
    ['rscdump fwctl0 FULL_QPC --index1 82 --via memory', 9, /fwctl offers none/],
  ])('mlx5ctl %s: %i, and what to do', (line, code, message) => {
    const { status, stderr } = emulated(`mlx5ctl ${line}`)
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
  })

  test('resource dumps over every door are the same', () => {
    const dump = (door: string): string => `mlx5ctl rscdump ${door} FULL_QPC --index1 82 --depth all --raw | md5sum`
    const { stdout } = emulated(['mlx5_core.ctl.0', 'fwctl0', '03:00.0 --transport pci', emu].map(dump).join('; '))
    const sums = stdout.trim().split('\n')
    expect([sums.length, new Set(sums).size]).toEqual([4, 1])
  })

  test('little memory may be locked: told with the limit, and a resource dump goes inline', () => {
    // Root is exempt on a real kernel only with CAP_IPC_LOCK: the driver counts for all.
    const { stdout, stderr } = emulated(
      'ulimit -l 64; mlx5ctl coredump 0 >/dev/null; echo $?; mlx5ctl rscdump 0 SX_SLICE --index1 1 --raw | wc -c',
    )
    expect(stdout).toBe('5\n16440\n')
    expect(stderr).toMatch(/ENOMEM.*\n.*RLIMIT_MEMLOCK/)
  })

  /** Commands of a core dump, in their order; the open of the device comes before. */
  test.each([1, 2, 3, 4, 5, 6])('errno at command %i: nothing stays registered, no file', (n) => {
    const { status, stderr } = logged('mlx5ctl coredump 0 -o core.bin', '--fault', `errno=EIO@${n}`)
    // At the two that give back, the dump is there: it is whole, or told to be partial.
    expect([status, existsSync(at('core.bin'))]).toEqual(n <= 4 ? [5, false] : [8, false])
    expect(existsSync(at('core.bin.partial'))).toBe(n > 4)
    expect(stderr).toMatch(/EIO/)
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test.each([
    ['status=0x5@8', 8],
    ['errno=EIO@8', 8],
    ['unplug@8', 8],
  ])('%s in the middle: partial, marked, and nothing stays registered', (fault, code) => {
    const { status, stderr } = logged('mlx5ctl coredump 0 --size 64K -o core.bin', '--fault', fault)
    expect([status, readdirSync(folder).sort()]).toEqual([code, ['core.bin.partial', 'log']])
    expect(readFileSync(at('core.bin.partial')).length).toBe(5 * 65_536)
    expect(stderr).toMatch(/what was read is kept in core\.bin\.partial/)
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  /** Runs a dump whose commands take long, and does something in the middle of one. */
  const during = (line: string, meanwhile: string): Outcome =>
    logged(
      `${line} & pid=$!
       until [ "$(grep -c ACCESS_REG ${at('log')} 2>/dev/null)" = 3 ]; do sleep 0.02; done
       ${meanwhile}; wait $pid; echo $?`,
      '--fault',
      'delay=400ms',
    )

  test.each([
    ['INT', 130],
    ['TERM', 143],
    ['HUP', 129],
  ])('SIG%s: the command is finished, nothing stays registered, the partial is marked', (signal, code) => {
    const { stdout, stderr } = during('mlx5ctl coredump 0 --size 64K -o core.bin', `kill -${signal} $pid`)
    expect(stdout).toBe(`${code}\n`)
    expect(stderr).toMatch(new RegExp(`interrupted by SIG${signal}; what was read is kept in core\\.bin\\.partial`))
    expect(readdirSync(folder).sort()).toEqual(['core.bin.partial', 'log'])
    const left = events().filter(({ event, at: where }) => event === 'umem_unreg' && where === 'ioctl')
    expect(left).toHaveLength(1)
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('kill -9: no file of that name, what there is is called partial, and the driver gives all back', () => {
    const { stdout } = during('mlx5ctl coredump 0 --size 64K -o core.bin', 'kill -KILL $pid')
    expect(stdout).toBe('137\n')
    expect(readdirSync(folder).filter((name) => name !== 'log')).toEqual([
      expect.stringMatching(/^core\.bin\.\d+\.partial$/),
    ])
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('a closed pipe: 141, quietly, and nothing stays registered', () => {
    const { stdout, stderr } = logged('mlx5ctl coredump 0 --size 64K | head -c 8 | wc -c; echo ${PIPESTATUS[0]}')
    expect([stdout, stderr]).toEqual(['8\n141\n', ''])
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('a full disk: told, the partial is what fitted, and nothing stays registered', () => {
    const script = `mkdir full && mount -t tmpfs -o size=256k none full
      mlx5ctl coredump 0 -o full/core.bin; echo $?; ls full; stat -c %s full/*`
    const { stdout, stderr } = logged(script)
    expect(stdout).toBe('8\ncore.bin.partial\n262144\n')
    expect(stderr).toMatch(/full\/core\.bin cannot be written: ENOSPC.*what was read is kept in/)
    expect(events().at(-1)).toMatchObject(nothingLeft)
  })

  test('a register dump is interrupted between two reads; a gateway that is stuck in the middle gives what came before', () => {
    const { stdout, stderr } = emulated(
      `cd ${folder}; mlx5ctl regdump 03:00.0 --transport pci -o regs & pid=$!; sleep 2; kill -INT $pid; wait $pid; echo $?; ls`,
    )
    expect(stdout).toBe('130\nregs.partial\n')
    expect(stderr).toMatch(/interrupted by SIGINT; what was read is kept in regs\.partial/)
    expect(readFileSync(at('regs.partial'), 'utf8')).toMatch(
      /^0x00000000 0x[0-9a-f]{8}\n(?:0x[0-9a-f]{8} 0x[0-9a-f]{8}\n)+$/,
    )
    const stuck = emulated(
      'mlx5ctl regdump 03:00.0 --transport pci | tail -1; echo ${PIPESTATUS[0]}',
      '--fault',
      'stuck=0x28',
    )
    expect(stuck.stdout).toMatch(/^0x00000024 0x[0-9a-f]{8}\n8\n$/)
    expect(stuck.stderr).toMatch(/CR space 0x00000028 cannot be read: .*ETIMEDOUT/)
    const gone = emulated(
      'mlx5ctl regdump 03:00.0 --transport pci | tail -1; echo ${PIPESTATUS[0]}',
      '--fault',
      'unplug=0x28',
    )
    expect(gone.stdout).toMatch(/^0x00000024 0x[0-9a-f]{8}\n8\n$/)
    expect(gone.stderr).toMatch(/CR space 0x00000028 cannot be read: .*ENODEV/)
  })

  test('a scan through the gateway leads through all that firmware dumps', () => {
    const { stdout } = emulated(
      'mlx5ctl regdump 03:00.0 --transport pci --scan | md5sum; mlx5ctl regdump mlx5_core.ctl.0 --via coredump | md5sum',
    )
    const [scan, core] = stdout.trim().split('\n')
    expect([scan === core, scan?.length]).toEqual([true, 35])
  })

  test('a slow reader of the pipe loses nothing', async () => {
    const child = spawn(process.execPath, [bin, 'emulate', '--', 'mlx5ctl', 'coredump', '0', '--size', '64K'])
    let length = 0
    for await (const part of child.stdout) {
      length += (part as Buffer).length
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(length).toBe(831_304)
  })
})
