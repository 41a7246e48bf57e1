import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bin, mlx5ctl } from '../support/cli'
import { describeUnless } from '../support/oracle'
import { parseEnvelope } from '../support/schema'

const emu = 'emu:connectx6dx'
const empty = ['--dev-root', '/nonexistent', '--sysfs-root', '/nonexistent']
let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-cli-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

/** Command lines that work: exit code 0, what stdout holds, and nothing on stderr. */
test.each<[string, RegExp]>([
  [
    `info ${emu}`,
    /^mlx5dev: 0000:03:00\.0\nUCTX UID: 1\nUCTX CAP: 0x7 \(RAW_TX, INTERNAL_DEVICE_RESOURCES, TOOLS_RESOURCES\)\nDEV UCTX CAP: 0x7 .*\nUSER CAP: 0x1d\n/,
  ],
  [emu, /^mlx5dev: 0000:03:00\.0\n/],
  [`${emu} cap ODP`, /^ODP \(0x2, current\)\n {2}transport_page_fault_scheme_cap\.sig +0\n/],
  [`-q ${emu} cmd QUERY_ISSI`, /^status +0 OK\nsyndrome +0\ncurrent_issi +1\nsupported_issi_dw0 +2\n$/],
  [`cap ${emu} 0 --max --hex`, /^GENERAL \(0x0, maximum\)\n0x0000 {2}/],
  [`cmd ${emu} QUERY_ISSI --hex`, /^0x0008 {2}00 00 00 01 {2}current_issi\[15:0\]=1$/m],
  [`cmd ${emu} 0x10a`, /current_issi +1/],
  [`cmd ${emu} query-hca-cap op_mod=0x1 function_id=0`, /device_frequency_khz +1000000 \(0xf4240\)/],
  [`cmd ${emu} ALLOC_PD --dry-run`, /^08000000000000000000000000000000\n$/],
  [
    `cmd ${emu} CREATE_MKEY memory_key_mkey_entry.lr=1 pd=5 klm_pas_mtt[1]=7 --dry-run --hex`,
    /^0x0114 {2}00 00 00 07 {2}klm_pas_mtt\[1\]=7$/m,
  ],
  [`cap ${emu} DEBUG --dry-run`, /^010000000000001b0000000000000000\n$/],
  ['cmd list', /^0x100 +16 +4112 +0 +QUERY_HCA_CAP$/m],
  ['cmd show ACCESS_REG', /^fwctl scope: {2}0 write, 1 read$/m],
  ['cmd show QUERY_VHCA_STATE', /^Note: +mlx5_ifc\.h has no structure for it$/m],
  ['cmd show 0x100', /^ {2}\+0x04\[15:0\] +op_mod/m],
  ['catalogue info', /^Source: +Linux mlx5 headers \(linux-headers-7\.2/m],
  ['completion bash', /complete -o default -F _mlx5ctl mlx5ctl/],
  ['completion fish', /-a catalogue -d/],
  ['completion zsh', /#compdef mlx5ctl/],
  ['--help', /Exit codes: 0 done/],
  ['help cmd', /Examples:\n {2}mlx5ctl cmd list/],
  ['emulate --help', /--uapi <version>/],
  ['--version', /^\d+\.\d+\.\d+\n$/],
])('mlx5ctl %s', (line, expected) => {
  const { status, stdout, stderr } = mlx5ctl(...line.split(' '))
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(expected)
})

/** Command lines that do not: exit code, nothing on stdout, a sentence on stderr; and under -j one document. */
test.each<[string, number, RegExp]>([
  ['', 2, /no command was given/],
  ['inof', 2, /unknown command 'inof'.*Did you mean info/],
  ['info', 2, /usage: mlx5ctl info DEVICE/],
  ['info a b', 2, /usage/],
  [`info ${emu} --nonsense`, 2, /unknown option '--nonsense'/],
  [`info ${emu} --raw`, 2, /info has no --raw/],
  [`info ${emu} --format yaml`, 2, /text, json, ndjson, /],
  [`info ${emu} --format csv`, 2, /info has no --format csv/],
  [`info ${emu} --timeout x`, 2, /--timeout takes/],
  [`list --record x`, 2, /list has no --record/],
  [`cmd ${emu} QUERY_ISSI --raw --hex`, 2, /exclude each other/],
  [`cmd ${emu} QUERY_ISIS`, 2, /no command QUERY_ISIS; did you mean .*QUERY_ISSI/],
  [`cmd ${emu} QUERY_ISSI nothing=1`, 2, /no field nothing/],
  [`cmd ${emu} QUERY_ISSI op_mod=0x10000`, 2, /op_mod: 0x10000 does not fit: 0 to 65535/],
  [`cmd ${emu} QUERY_ISSI op_mod`, 2, /FIELD=VALUE/],
  [`cmd ${emu} QUERY_ISSI uid=1`, 2, /uid is set by the driver/],
  [`cmd ${emu} QUERY_ISSI --out-length 4`, 2, /--out-length takes/],
  [`cmd ${emu} QUERY_ISSI --in /nonexistent`, 2, /cannot be read/],
  [`cmd ${emu} QUERY_RATE_LIMIT rate=1`, 2, /no known inbox layout/],
  ['cmd', 2, /usage/],
  ['cmd show', 2, /cmd takes list, show OPCODE/],
  [`cap ${emu} NOSUCH`, 2, /no capability type NOSUCH/],
  ['decode nosuch /dev/null', 2, /no layout nosuch/],
  ['completion csh', 2, /bash, zsh, fish/],
  ['info emu:connectx9', 2, /no device profile connectx9; there is bluefield3, connectx6dx, connectx7/],
  [`info ${emu} --fault nonsense`, 2, /errno=NAME@N/],
  [`info mlx5_7 --fault eperm ${empty.join(' ')}`, 2, /--fault and --emu-state are for emulated devices/],
  ['emulate --uapi v9 -- true', 2, /--uapi takes v1, v2, v3, v4/],
  [`info mlx5_7 ${empty.join(' ')}`, 3, /no device mlx5_7; looked for .*there is none/],
  [`info 0000:03:00.0 ${empty.join(' ')}`, 3, /no device/],
  [`info fwctl7 ${empty.join(' ')}`, 3, /\/nonexistent\/fwctl\/fwctl7/],
  ['info replay:/nonexistent', 3, /cannot be read/],
  [`info ${emu} --record /nonexistent/file`, 3, /ENOENT/],
  [`info ${emu} --record /proc/file`, 3, /ENOENT/],
  [`cmd ${emu} QUERY_ISSI --fault eperm`, 4, /EPERM/],
  [`cmd ${emu} QUERY_ISSI --fault errno=EPERM`, 4, /EPERM/],
  [`cmd ${emu} QUERY_ISSI --fault errno=EIO`, 5, /EIO/],
  [`cmd ${emu} QUERY_ISSI --fault unplug@1`, 5, /ENODEV.*gone/],
  [
    `cmd ${emu} QUERY_MKEY mkey_index=7`,
    6,
    /QUERY_MKEY\(0x201\) op_mod\(0x0\) failed, status bad resource\(0x5\), syndrome 0x[0-9a-f]+/,
  ],
  [`cmd ${emu} QUERY_ISSI --fault status=0x6`, 6, /resource busy\(0x6\), syndrome 0xfa1701/],
  [`cap ${emu} PSP`, 6, /bad parameter/],
  ['decode query_issi_out /dev/null', 7, /ends at byte/],
  ['catalogue import /etc/passwd', 7, /holds no layout/],
  ['catalogue import /nonexistent', 7, /cannot be read/],
])('mlx5ctl %s: exit %d', (line, code, message) => {
  const words = line.split(' ').filter((word) => word !== '')
  const text = mlx5ctl(...words)
  expect([text.status, text.stdout]).toEqual([code, ''])
  expect(text.stderr.replace(/\n/g, ' ')).toMatch(message)
  expect(text.stderr).not.toMatch(/\n\s+at /)
  if (words.includes('--format')) return
  const json = mlx5ctl('-j', ...words)
  expect(json.status).toBe(code)
  if (words.includes('--raw')) return
  const { status, error } = parseEnvelope(json.stdout)
  expect([status, error?.message.replace(/\n/g, ' ')]).toEqual(['error', expect.stringMatching(/./)])
})

test.each([
  'list',
  `info ${emu}`,
  emu,
  `cap ${emu}`,
  `cap ${emu} GENERAL DEBUG --max`,
  `cap ${emu} --dry-run`,
  'cmd list',
  'cmd show QUERY_QP',
  `cmd ${emu} QUERY_HCA_CAP`,
  `cmd ${emu} QUERY_QP --dry-run`,
  'catalogue info',
  'completion bash',
])('-j of %s fits its schema; ndjson is one record a line', (line) => {
  const roots = line === 'list' ? empty : []
  const json = mlx5ctl(...line.split(' '), ...roots, '-j')
  expect(json.status).toBe(0)
  const { status, data } = parseEnvelope(json.stdout)
  expect(status).toBe('ok')
  expect(data).not.toBeNull()
  const records = mlx5ctl(...line.split(' '), ...roots, '--format', 'ndjson')
    .stdout.split('\n')
    .filter((one) => one !== '')
  for (const record of records)
    expect(JSON.parse(record)).toMatchObject({ time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string })
})

test('no device is an empty list and exit 0', () => {
  const { status, stdout, stderr } = mlx5ctl('list', ...empty)
  expect([status, stdout]).toEqual([0, ''])
  expect(stderr).toMatch(/no mlx5 device was found/)
  expect(parseEnvelope(mlx5ctl('list', '-j', ...empty).stdout).data).toEqual({ devices: [] })
})

test('every opcode can be shown and dry-run', () => {
  const { data } = parseEnvelope(mlx5ctl('cmd', 'list', '-j').stdout)
  const commands = data?.commands as { name: string; opcode: number }[]
  expect(commands.length).toBeGreaterThan(230)
  // One process for all of them: the program itself is what the launcher loads.
  const script = `
    const { runProgram } = require(${JSON.stringify(path.resolve(bin, '../../dist/cli.js'))})
    const names = ${JSON.stringify(commands.map(({ name }) => name))}
    ;(async () => {
      process.setMaxListeners(0)
      for (const name of names)
        for (const words of [['cmd', 'show', name], ['cmd', '${emu}', name, '--dry-run']]) {
          let out = ''
          const code = await runProgram(words, { stdout: (t) => (out += t), stderr: (t) => (out += t), width: 0, messagesOnTerminal: () => false, launcher: '' })
          if (code !== 0 || out === '') console.log(words.join(' '), code, out)
          if (words[1] !== 'show') console.log(name, out.slice(0, 4))
        }
    })()`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', maxBuffer: 1 << 26 })
  expect(stderr).toBe('')
  const expected = commands.map(({ name, opcode }) => `${name} ${opcode.toString(16).padStart(4, '0')}`)
  expect(stdout.trim().split('\n')).toEqual(expected)
})

test('what is recorded is replayed, to the byte', () => {
  const file = at('cap.rec')
  const live = mlx5ctl('cap', emu, '--record', file)
  const replayed = mlx5ctl('cap', `replay:${file}`)
  expect(replayed).toEqual(live)
  const refused = mlx5ctl('cmd', `replay:${file}`, 'QUERY_ISSI')
  expect(refused.status).toBe(7)
  expect(refused.stderr).toMatch(/no command 0x010a/)
})

test.each(readdirSync(path.resolve(__dirname, '../../fixtures/bad/recordings')))(
  'a damaged recording is refused: %s',
  (name) => {
    const { status, stdout, stderr } = mlx5ctl(
      'info',
      `replay:${path.resolve(__dirname, '../../fixtures/bad/recordings', name)}`,
    )
    expect([status, stdout]).toEqual([7, ''])
    expect(stderr).toMatch(/recording/)
  },
)

test('a recording made by an earlier build still replays', () => {
  const { status, stdout } = mlx5ctl(
    'info',
    `replay:${path.resolve(__dirname, '../../fixtures/recordings/connectx6dx-info.rec')}`,
  )
  expect(status).toBe(0)
  expect(stdout).toMatch(/^PSID: +MT_0000000359$/m)
})

test('decode reads what cmd writes, from a file and from stdin', () => {
  mlx5ctl('cmd', emu, 'QUERY_ISSI', '--raw', '-o', at('issi.bin'))
  expect(readFileSync(at('issi.bin'))).toHaveLength(112)
  const fromFile = mlx5ctl('decode', 'query_issi_out', at('issi.bin'), '-j')
  expect(parseEnvelope(fromFile.stdout).data).toMatchObject({
    format: 'raw',
    values: { current_issi: 1, supported_issi_dw0: 2 },
  })
  const piped = spawnSync('sh', ['-c', `xxd -p ${at('issi.bin')} 2>/dev/null || od -An -tx1 -v ${at('issi.bin')}`], {
    encoding: 'utf8',
  })
  const fromPipe = spawnSync(process.execPath, [bin, 'decode', 'QUERY_ISSI.out'], {
    input: piped.stdout,
    encoding: 'utf8',
  })
  expect(fromPipe.stdout).toMatch(/^current_issi +1$/m)
  writeFileSync(at('long.bin'), Buffer.concat([readFileSync(at('issi.bin')), Buffer.from([0xff, 1])]))
  expect(mlx5ctl('decode', 'query_issi_out', at('long.bin')).stderr).toMatch(/2 bytes follow the 112/)
})

test('-o keeps a file that is there; with --force it replaces it in one step, and leaves nothing beside it', () => {
  writeFileSync(at('out.json'), 'old')
  const kept = mlx5ctl('info', emu, '-j', '-o', at('out.json'))
  expect(kept.status).toBe(2)
  expect(parseEnvelope(kept.stdout).error).toMatchObject({ kind: 'usage', hint: '--force overwrites it' })
  expect(readFileSync(at('out.json'), 'utf8')).toBe('old')
  const { status, stdout } = mlx5ctl('info', emu, '-j', '-o', at('out.json'), '--force')
  expect([status, stdout]).toEqual([0, ''])
  expect(parseEnvelope(readFileSync(at('out.json'), 'utf8')).command).toBe('info')
  expect(readdirSync(folder).filter((name) => name.includes('.partial'))).toEqual([])
  const failed = mlx5ctl('cmd', emu, 'QUERY_ISSI', '-o', at('never'), '--fault', 'errno=EIO@1')
  expect([failed.status, readdirSync(folder).filter((name) => name.startsWith('never'))]).toEqual([5, []])
  const refused = mlx5ctl('info', emu, '-o', at('none/out.json'))
  expect([refused.status, existsSync(at('none'))]).toEqual([3, false])
})

test('-o writes into what is no regular file, and through a link', () => {
  spawnSync('mkfifo', [at('fifo')])
  const reader = spawn('cat', [at('fifo')], { stdio: ['ignore', 'pipe', 'ignore'] })
  mlx5ctl('info', emu, '-o', at('fifo'))
  reader.kill()
  expect(lstatSync(at('fifo')).isFIFO()).toBe(true)
  expect(mlx5ctl('info', emu, '-o', '/dev/null').status).toBe(0)
  expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true)
  writeFileSync(at('target'), 'old')
  symlinkSync(at('target'), at('link'))
  mlx5ctl('info', emu, '-o', at('link'), '--force')
  expect(lstatSync(at('link')).isSymbolicLink()).toBe(true)
  expect(readFileSync(at('target'), 'utf8')).toMatch(/^mlx5dev/)
})

test('a closed pipe ends quietly with 141', () => {
  const { stdout, stderr } = spawnSync(
    'bash',
    ['-c', `${process.execPath} ${bin} cap ${emu} -q | head -1; echo \${PIPESTATUS[0]}`],
    { encoding: 'utf8' },
  )
  expect(stdout).toMatch(/^GENERAL \(0x0, current\)\n(0|141)\n$/)
  expect(stderr).toBe('')
})

test('-v tells each command on stderr, and stdout stays data', () => {
  const { stdout, stderr } = mlx5ctl('cmd', emu, 'QUERY_ISSI', '-v', '-j')
  expect(parseEnvelope(stdout).status).toBe('ok')
  expect(stderr).toMatch(/^mlx5ctl: QUERY_ISSI op_mod 0x0 scope 1: status 0x0, [\d.]+ ms\n$/)
})

test('SIGINT between two commands is 130, SIGTERM 143', async () => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const child = spawn(process.execPath, [bin, 'cap', emu, '-v', '--fault', 'delay=150ms'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (text) => (output += String(text)))
    child.stderr.once('data', () => child.kill(signal))
    const status = await new Promise((resolve) => child.once('exit', resolve))
    expect([status, output]).toEqual([code, ''])
  }
})

test('--timeout ends between commands: what was read is shown, exit 8', () => {
  const { status, stdout, stderr } = mlx5ctl('cap', emu, '--timeout', '0.1', '--fault', 'delay=80ms')
  expect([status, stdout]).toEqual([8, expect.stringMatching(/^GENERAL/)])
  expect(stderr).toMatch(/time of 0\.1 s is over/)
})

const older = sourcesOf('linux-headers-6.12')
describeUnless(
  older === undefined ? 'no headers of Linux 6.12 (scripts/fetch-sources.sh)' : undefined,
  'importing the headers of another kernel',
  () => {
    test('keeps what they do not say: scopes, pairings, fields from other sources', () => {
      const env = { ...process.env, XDG_DATA_HOME: at('xdg') }
      const run = (...argv: string[]): string => {
        const { stdout, stderr, status } = spawnSync(process.execPath, [bin, ...argv], { env, encoding: 'utf8' })
        if (status !== 0) throw new Error(stderr)
        return stdout
      }
      const headers = ['mlx5_ifc.h', 'mlx5_ifc_fpga.h', 'device.h', 'driver.h'].map((name) =>
        path.join(older ?? '', name),
      )
      run('catalogue', 'import', ...headers, '--name', 'older', '-q')
      expect(run('cmd', 'show', 'QUERY_HCA_CAP')).toMatch(/^fwctl scope: {2}0 \(configuration\)$/m)
      expect(run('cmd', 'show', 'ACCESS_REG')).toMatch(/access_register_out \(16 bytes\)/)
      expect(run('cmd', emu, 'CREATE_MKEY', 'mkey_umem_id=5', '--dry-run', '--hex')).toMatch(/mkey_umem_id=5$/m)
      expect(run('cap', emu, 'GENERAL')).toMatch(/device_frequency_khz +1000000/)
      // Listing works out the sizes of every inbox and outbox.
      const names = (JSON.parse(run('cmd', 'list', '-j')) as { data: { commands: { name: string }[] } }).data.commands
      expect(names.length).toBeGreaterThan(230)
      expect(run('info', emu)).toMatch(/^PSID: +MT_0000000359$/m)
    })
  },
)

function sourcesOf(prefix: string): string | undefined {
  const folder = path.resolve(__dirname, '../../.sources')
  const found = existsSync(folder) ? readdirSync(folder).find((name) => name.startsWith(prefix)) : undefined
  return found === undefined ? undefined : path.join(folder, found)
}

test('imported headers stand in front of the built-in catalogue', () => {
  const header = at('mlx5_ifc.h')
  writeFileSync(
    header,
    'struct mlx5_ifc_query_issi_out_bits { u8 status[0x8]; u8 mine[0x18]; };\nstruct mlx5_ifc_bad_bits { u8 x[NOWHERE]; };\n',
  )
  const env = { ...process.env, XDG_DATA_HOME: folder }
  const run = (...argv: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [bin, ...argv], { env, encoding: 'utf8' })
  const imported = run('catalogue', 'import', header, '--name', 'mine', '-j')
  expect(imported.status).toBe(0)
  expect(parseEnvelope(String(imported.stdout)).data).toMatchObject({ counts: { layouts: 1 }, problems: [{ line: 2 }] })
  writeFileSync(at('four.bin'), Buffer.from([0, 0x80, 0, 7]))
  expect(run('decode', 'query_issi_out', at('four.bin')).stdout).toMatch(/^mine +8388615/m)
  writeFileSync(at('mlx5ctl/mine.bin'), 'damaged')
  const nowhere = spawnSync(process.execPath, [bin, 'catalogue', 'import', header], {
    env: { ...process.env, XDG_DATA_HOME: '/proc' },
    encoding: 'utf8',
    timeout: 30_000,
  })
  expect([nowhere.status, nowhere.stderr]).toEqual([3, expect.stringMatching(/ENOENT/)])
  const damaged = run('catalogue', 'info')
  expect([damaged.status, String(damaged.stderr)]).toEqual([7, expect.stringMatching(/not a packed catalogue/)])
})
