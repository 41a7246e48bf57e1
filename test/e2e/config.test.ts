import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, mlx5ctl, type Outcome } from '../support/cli'
import { parametersOf } from '../support/config'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-config-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
const emu = 'emu:connectx7'

/** With a state file, which starts the device anew. */
const state = (): string[] => ['--emu-state', at('state')]
const set = (...words: string[]): Outcome => mlx5ctl('config', 'set', emu, ...words, ...state())
const next = (...names: string[]): string[] =>
  parametersOf(mlx5ctl('config', 'query', emu, ...names, '-j', ...state()).stdout).map((one) => one.next.text)

describe('the text that other programs parse', () => {
  const text = mlx5ctl('config', 'query', emu, '-e').stdout
  const parameters = parametersOf(mlx5ctl('config', 'query', emu, '-j').stdout)

  test('sriov-network-operator: the first line that holds the attribute', () => {
    for (const { name, ...columns } of parameters) {
      const line = text.split('\n').find((one) => one.includes(name)) ?? ''
      const [, attribute, ...values] = /(\w+)\s+(\S+)\s+(\S+)\s+(\S+)/.exec(line) ?? []
      if (attribute !== name) continue
      expect([name, ...values]).toEqual([name, columns.default.text, columns.current.text, columns.next.text])
    }
    // The ones that it asks for.
    for (const name of ['SRIOV_EN', 'NUM_OF_VFS'])
      expect(/(\w+)\s+(\S+)\s+(\S+)\s+(\S+)/.exec(text.split('\n').find((one) => one.includes(name)) ?? '')?.[1]).toBe(
        name,
      )
  })

  test('nic-configuration-operator: behind "Configurations:", four fields with two blanks between, read-only rows and long values too', () => {
    const lines = text.split('\n')
    const rows = lines
      .slice(lines.findIndex((line) => line.startsWith('Configurations:')) + 1)
      .map((line) =>
        line
          .replace(/^\*/, '')
          .trim()
          .split(/\s{2,}/),
      )
      .filter(({ length }) => length === 4)
    expect(rows).toEqual(parameters.map((one) => [one.name, one.default.text, one.current.text, one.next.text]))
    expect(rows.some(([, value = '']) => value.length > 33)).toBe(true)
    expect(parameters.some(({ readOnly }) => readOnly)).toBe(true)
    for (const [, value = ''] of rows) {
      const [, name, number] = /^(.*?)\(([^)]*)\)$/.exec(value) ?? []
      if (name !== undefined) expect(Number(number)).not.toBeNaN()
    }
  })

  test('ironic-python-agent: arrays, and the values behind "Next Boot" without -e', () => {
    const short = mlx5ctl('config', 'query', emu).stdout
    const rows = short
      .slice(short.indexOf('Next Boot') + 'Next Boot'.length)
      .trim()
      .split('\n')
    const values = new Map(rows.map((row) => row.trim().split(/\s+/)).map(([name = '', value = '']) => [name, value]))
    for (const one of parameters) expect([one.name, values.get(one.name)]).toEqual([one.name, one.next.text])
    expect(/Array\[(\d+)\.\.(\d+)\]/.exec(values.get('ESWITCH_HAIRPIN_DESCRIPTORS') ?? '')?.slice(1)).toEqual([
      '0',
      '7',
    ])
  })

  test('what is changed and what is read only is told', () => {
    expect(text).toMatch(/^\* {7}NUM_OF_VFS +0 +8 +16$/m)
    expect(text).toMatch(/^The '\*' shows parameters with next value different from default\/current value\.$/m)
    expect(text).toMatch(/^Read only: HOST_CHAINING_MODE, /m)
  })
})

test('only the TLVs that are needed are read, each once', () => {
  const registers = (line: string[]): string[] =>
    [...mlx5ctl(...line, '-v').stderr.matchAll(/ACCESS_REG (\w+) /g)].map(([, name = '']) => name)
  const named = registers(['config', 'query', emu, '-e', 'NUM_OF_VFS', 'SRIOV_EN'])
  const count = (list: string[], name: string): number => list.filter((one) => one === name).length
  // nv_global_pci_conf in three columns, and nv_global_pci_cap, on which they depend; MNVQC is asked for no TLV first.
  expect([count(named, 'MNVDA'), count(named, 'MNVQC')]).toEqual([4, 3])
})

test('several devices in one run; a device that has no such parameter', () => {
  const { stdout, status } = mlx5ctl('config', 'query', emu, 'emu:bluefield3', 'NUM_OF_VFS', '-j')
  expect(status).toBe(0)
  expect(parseEnvelope(stdout).data).toMatchObject({
    devices: [
      { type: 'ConnectX7', parameters: [{ name: 'NUM_OF_VFS', next: { value: 16, text: '16' } }] },
      { type: 'BlueField3', parameters: [{ name: 'NUM_OF_VFS' }] },
    ],
  })
  expect(mlx5ctl('config', 'query', emu, 'emu:bluefield3', '-e').stdout).toMatch(/^Device #1:$[^]*^Device #2:$/m)
  expect(mlx5ctl('config', 'query', emu, 'NVME_EMULATION_ENABLE').status).toBe(2)
})

describe('set', () => {
  test('shows what changes, writes whole TLVs, reads back, and says that a reboot is due', () => {
    const { status, stdout } = set('NUM_OF_VFS=42', 'CQE_COMPRESSION=aggressive', '--yes', '-j')
    const { data } = parseEnvelope(stdout)
    expect([status, data]).toMatchObject([
      0,
      {
        changed: true,
        rebootRequired: true,
        activation: 'reboot',
        tlvs: ['nv_global_pci_conf', 'nv_sw_offload_conf'],
        parameters: [
          { name: 'NUM_OF_VFS', before: { value: 16 }, wanted: { value: 42 }, after: { value: 42 } },
          { name: 'CQE_COMPRESSION', before: { text: 'BALANCED(0)' }, after: { text: 'AGGRESSIVE(1)' } },
        ],
      },
    ])
    // Everything else of the TLV stays as it was.
    expect(next('SRIOV_EN', 'NUM_OF_VFS', 'NUM_PF_MSIX', 'PF_LOG_BAR_SIZE')).toEqual(['True(1)', '42', '63', '5'])
  })

  test('the same again changes nothing, and the device has it from its next start on', () => {
    expect(set('NUM_OF_VFS=42', '--yes').status).toBe(0)
    const again = parseEnvelope(set('NUM_OF_VFS=42', '--yes', '-j').stdout)
    // The device was started anew in between: 42 counts by now.
    expect(again.data).toMatchObject({ changed: false, rebootRequired: false, tlvs: [] })
    expect(set('NUM_OF_VFS=42').stdout).toMatch(/^Nothing to change/)
  })

  test('nothing is written without a yes, and with --dry-run', () => {
    const asked = set('NUM_OF_VFS=42')
    expect([asked.status, asked.stderr]).toEqual([2, expect.stringMatching(/NUM_OF_VFS +8 +16 +42[^]*--yes/)])
    const dry = set('NUM_OF_VFS=42', 'SRIOV_EN=0', '--dry-run')
    // Header: length 12, ovr_en, writer 9; the type; then sriov_en in the top bit of byte 4, total_vfs in bytes 6 and 7.
    expect(dry.stdout).toMatch(
      /^nv_global_pci_conf 0209000c0000008000000000[0-9a-f]{8}[0-7][0-9a-f]{3}002a[0-9a-f]{8}\n$/,
    )
    expect(next('NUM_OF_VFS', 'SRIOV_EN')).toEqual(['16', 'True(1)'])
  })

  test.each<[string[], number, RegExp]>([
    [['NUM_OF_VFS=128'], 2, /NUM_OF_VFS: 128 is larger than the 127 that this device allows/],
    [['NUM_OF_VFS=65536'], 2, /65536 does not fit: 0 to 65535/],
    [['NUM_OF_VFS=-1'], 2, /-1 is no value of it/],
    [['NUM_OF_VF=1'], 2, /there is no parameter NUM_OF_VF; did you mean NUM_OF_VFS/],
    [['SRIOV_EN=constructor'], 2, /constructor is no value of it: True or False/],
    [['SRIOV_EN=False(1)'], 2, /False\(1\) is no value of it/],
    [['CQE_COMPRESSION=BALANCED(1)'], 2, /BALANCED\(1\) is no value of it/],
    [['SRIOV_EN=maybe'], 2, /maybe is no value of it: True or False/],
    [['CQE_COMPRESSION=7'], 2, /CQE_COMPRESSION: 7 is no value of it: BALANCED, AGGRESSIVE/],
    [['HOST_CHAINING_MODE=1'], 2, /HOST_CHAINING_MODE is read-only on this device/],
    [['ESWITCH_HAIRPIN_DESCRIPTORS=1'], 2, /is an array: give elements/],
    [['ESWITCH_HAIRPIN_DESCRIPTORS[8]=1'], 2, /has elements 0 to 7/],
    [['NUM_OF_VFS[0]=1'], 2, /is no array/],
    [['KEEP_ETH_LINK_UP=1'], 2, /is there for each port: say which, as KEEP_ETH_LINK_UP_P1/],
    [['KEEP_ETH_LINK_UP_P9=1'], 2, /this device has no parameter KEEP_ETH_LINK_UP_P9/],
    [['NUM_OF_VFS=1', 'num_of_vfs=2'], 2, /NUM_OF_VFS is given twice/],
    [['NVME_EMULATION_ENABLE=1'], 2, /this device has no parameter NVME_EMULATION_ENABLE/],
    [['NUM_OF_VFS'], 2, /NUM_OF_VFS/],
  ])('%j is refused before anything is written', (words, code, message) => {
    const { status, stderr } = set(...words, 'PCI_WR_ORDERING=1', '--yes')
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
    expect(next('PCI_WR_ORDERING')[0]).toBe('per_mkey(0)')
  })

  /** Accesses of a set of three TLVs, in their order. */
  const three = ['NUM_OF_VFS=42', 'CQE_COMPRESSION=1', 'KEEP_ETH_LINK_UP_P1=1', '--yes']
  const writesOf = (): number[] => {
    const { stderr } = set(...three, '-v')
    const all = [...stderr.matchAll(/^mlx5ctl: \w+ ?(\w*)[^\n]*? op_mod (0x\d)/gm)]
    return all.flatMap(([, name, mode], index) => (name === 'MNVDA' && mode === '0x0' ? [index + 1] : []))
  }
  const before = ['16', 'BALANCED(0)', 'False(0)']
  const after = ['42', 'AGGRESSIVE(1)', 'True(1)']
  const names = ['NUM_OF_VFS', 'CQE_COMPRESSION', 'KEEP_ETH_LINK_UP_P1']

  test('parameters that share a valid bit keep what counts for them', () => {
    // sriov_valid 0: the defaults count, whatever the other bits are; here sriov_en is 0.
    writeFileSync(at('raw'), 'MLNX_RAW_TLV_FILE\n0x0000000c 0x80 0 0x0f800000 0x00000000 0x02c3f045\n')
    expect(mlx5ctl('config', 'restore', emu, at('raw'), '--yes', ...state()).status).toBe(0)
    expect(next('SRIOV_EN', 'NUM_OF_VFS')).toEqual(['True(1)', '0'])
    expect(set('NUM_OF_VFS=4', '--yes').status).toBe(0)
    expect(next('SRIOV_EN', 'NUM_OF_VFS')).toEqual(['True(1)', '4'])
  })

  test('what fails after the writes is a warning: the settings are made', () => {
    const last = writesOf().at(-1) ?? 0
    // Three reads, a look at what a DPU says of itself, and MFRL.
    for (const fault of [1, 4, 5].map((step) => `errno=EIO@${last + step}`)) {
      rmSync(path.join(folder, 'state'), { force: true })
      const { status, stdout, stderr } = set(...three, '-j', '--fault', fault)
      expect([status, stderr]).toEqual([0, expect.stringMatching(/cannot be read|is not armed/)])
      expect(parseEnvelope(stdout).data).toMatchObject({ changed: true, rebootRequired: true })
      expect(next(...names)).toEqual(after)
    }
  })

  test('a TLV that had its default has it again when it is put back', () => {
    const [, , third = 0] = writesOf()
    rmSync(path.join(folder, 'state'), { force: true })
    set(...three, '--fault', `status=0x3@${third}`)
    const { stdout } = mlx5ctl('config', 'backup', emu, ...state())
    expect(stdout).not.toContain('0x0000010a')
  })

  test('a rule that does not hold names what it depends on', () => {
    const { status, stderr } = set('FLEX_PARSER_PROFILE_ENABLE=9', '--yes')
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/a rule of the device does not hold[^]*hint: it depends on FLEX_PARSER_PROFILE_ENABLE/),
    ])
  })

  test('a rule of a parameter that is not named, about one that is, must hold too', () => {
    // NUM_OF_PF * (63 + 16 * 11) interrupts, of 400; it has no rule of its own.
    const { status, stderr } = set('NUM_OF_PF=2', '--yes')
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/a rule of the device does not hold[^]*hint: it depends on .*NUM_OF_PF/),
    ])
    expect(next('NUM_OF_PF')).toEqual(['0'])
    expect(set('NUM_OF_PF=1', '--yes').status).toBe(0)
  })

  test('a later TLV is refused: those before it are put back, and the message says so', () => {
    const writes = writesOf()
    expect(writes).toHaveLength(3)
    for (const [index, at] of writes.entries()) {
      rmSync(path.join(folder, 'state'), { force: true })
      const { status, stderr } = set(...three, '--fault', `status=0x3@${at}`)
      expect([status, stderr]).toEqual([
        6,
        expect.stringMatching(index === 0 ? /nothing changed/ : /put back as before: /),
      ])
      expect(next(...names)).toEqual(before)
    }
  })

  test('a later TLV is not delivered: the same, with the exit code of that', () => {
    const [, second = 0] = writesOf()
    rmSync(path.join(folder, 'state'), { force: true })
    const { status, stdout } = set(...three, '-j', '--fault', `errno=EIO@${second}`)
    expect([status, parseEnvelope(stdout).error]).toMatchObject([
      5,
      {
        kind: 'delivery',
        errno: 'EIO',
        hint: expect.stringMatching(/put back as before: .*nv_global_pci_conf/) as string,
      },
    ])
    expect(next(...names)).toEqual(before)
  })

  test('power is cut at every access: after the next start each TLV is old or new', () => {
    const writes = writesOf()
    const last = (writes.at(-1) ?? 0) + 4
    const seen = new Set<string>()
    for (let cut = 1; cut <= last; cut++) {
      rmSync(path.join(folder, 'state'), { force: true })
      set(...three, '--fault', `unplug@${cut}`)
      const now = next(...names)
      for (const [index, value] of now.entries()) expect([before[index], after[index]]).toContain(value)
      seen.add(String(now))
    }
    expect(seen.size).toBe(4)
  }, 300_000)
})

describeUnless(missingForEmulatedNodes(), 'config set through real nodes', () => {
  test('SIGINT between two TLVs: the first one is put back, and the exit code is 130', () => {
    const { stdout, stderr } = emulated(
      `mlx5ctl config set fwctl0 NUM_OF_VFS=42 CQE_COMPRESSION=1 KEEP_ETH_LINK_UP_P1=1 --yes -v 2>${at('log')} & pid=$!
       until [ "$(grep -c 'MNVDA.*op_mod 0x0' ${at('log')})" = 1 ]; do sleep 0.02; done
       kill -INT $pid; wait $pid; echo $?
       mlx5ctl config query fwctl0 NUM_OF_VFS CQE_COMPRESSION KEEP_ETH_LINK_UP_P1 | tail -3 | tr -s ' '`,
      '--profile',
      'connectx7',
      '--fault',
      'delay=100ms',
    )
    expect(stderr).toBe('')
    expect(stdout).toBe('130\n NUM_OF_VFS 16\n CQE_COMPRESSION BALANCED(0)\n KEEP_ETH_LINK_UP_P1 False(0)\n')
    expect(readFileSync(at('log'), 'utf8')).toMatch(/interrupted by SIGINT\n.*put back as before: .*nv_global_pci_conf/)
  })
})

test('reset: all, or the TLV of a parameter', () => {
  set('NUM_OF_VFS=42', 'CQE_COMPRESSION=1', '--yes')
  expect(mlx5ctl('config', 'reset', emu, ...state()).status).toBe(2)
  const one = mlx5ctl('config', 'reset', emu, 'CQE_COMPRESSION', '--yes', '-j', ...state())
  expect(parseEnvelope(one.stdout).data).toMatchObject({ changed: true, tlvs: ['nv_sw_offload_conf'] })
  expect(next('NUM_OF_VFS', 'CQE_COMPRESSION')).toEqual(['42', 'BALANCED(0)'])
  expect(mlx5ctl('config', 'reset', emu, '--yes', ...state()).status).toBe(0)
  expect(next('NUM_OF_VFS', 'CQE_COMPRESSION')).toEqual(['0', 'BALANCED(0)'])
  expect(mlx5ctl('config', 'reset', emu, 'HOST_CHAINING_MODE', '--yes').status).toBe(2)
})

describe('backup and restore', () => {
  test('what was stored comes back; the same again writes nothing', () => {
    set('NUM_OF_VFS=42', 'CQE_COMPRESSION=1', '--yes')
    expect(mlx5ctl('config', 'backup', emu, '-o', at('raw'), ...state()).status).toBe(0)
    const raw = readFileSync(at('raw'), 'utf8')
    expect(raw).toMatch(
      /^MLNX_RAW_TLV_FILE\n% TLV Type: 0x[0-9a-f]{8}, Writer ID: ICMD MLXCONFIG\(0x09\), Writer Host ID: 0x00\n(?:0x[0-9a-f]{8} )+\n/,
    )
    mlx5ctl('config', 'reset', emu, '--yes', ...state())
    const { stdout } = mlx5ctl('config', 'restore', emu, at('raw'), '--yes', '-j', ...state())
    expect(parseEnvelope(stdout).data).toMatchObject({ changed: true, rebootRequired: true })
    expect(next('NUM_OF_VFS', 'CQE_COMPRESSION')).toEqual(['42', 'AGGRESSIVE(1)'])
    expect(mlx5ctl('config', 'restore', emu, at('raw'), ...state()).stdout).toMatch(/^Nothing to restore/)
  })

  test.each<[string, string, number, RegExp]>([
    ['no raw file', 'NUM_OF_VFS=1\n', 7, /raw:1: is no raw file of mstconfig/],
    ['a word that is none', 'MLNX_RAW_TLV_FILE\n0x0000000c 0x80 zero\n', 7, /raw:2: zero is no dword/],
    [
      'another length',
      'MLNX_RAW_TLV_FILE\n\n0x00000008 0x80 0 0x1\n',
      7,
      /raw:3: says 8 bytes in its header, and has 4/,
    ],
    [
      'a TLV twice',
      'MLNX_RAW_TLV_FILE\n0x00000004 0x82 0 0x1\n0x00000004 0x82 0 0x0\n',
      7,
      /raw:3: has nv_tpt_conf a second time/,
    ],
    ['half a header', 'MLNX_RAW_TLV_FILE\n0x0 0x80\n', 7, /raw:2: is shorter than the header/],
    [
      'a TLV that the device does not have',
      'MLNX_RAW_TLV_FILE\n0x00000004 0x00123456 0 0x1\n',
      9,
      /line 2: this device cannot be given TLV 0x00123456/,
    ],
  ])('%s: nothing is written', (_, text, code, message) => {
    writeFileSync(at('raw'), text)
    const { status, stderr } = mlx5ctl('config', 'restore', emu, at('raw'), '--yes', ...state())
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
    expect(readdirSync(folder)).toEqual(['raw'])
  })
})

describe('files of settings', () => {
  const run = (verb: string, ...words: string[]): Outcome =>
    mlx5ctl('config', verb, at('nics.yaml'), ...words, ...state())
  const file = (text: string): void => writeFileSync(at('nics.yaml'), text)
  const yaml = `# settings of the rack
parameters: { SRIOV_EN: True }
psid:
  MT_0000000838: { NUM_OF_VFS: 42, ESWITCH_HAIRPIN_DESCRIPTORS: [1, 4, 9] }
  MT_0000000884: { NUM_OF_VFS: 1 }
devices:
  "${emu}": { CQE_COMPRESSION: AGGRESSIVE }
`

  test('drift is exit 10, and is told with every parameter; after apply it is 0', () => {
    file(yaml)
    expect(mlx5ctl('config', 'validate', at('nics.yaml')).stdout).toMatch(/7 settings, all known/)
    const drift = run('validate', emu, '-j')
    expect([drift.status, parseEnvelope(drift.stdout).data]).toMatchObject([
      10,
      {
        devices: [
          {
            psid: 'MT_0000000838',
            inSync: false,
            compared: 6,
            drift: [
              { name: 'NUM_OF_VFS', before: { text: '16' }, wanted: { text: '42' } },
              { name: 'ESWITCH_HAIRPIN_DESCRIPTORS[2]', before: { text: '7' }, wanted: { text: '9' } },
              { name: 'CQE_COMPRESSION', wanted: { text: 'AGGRESSIVE(1)' } },
            ],
          },
        ],
      },
    ])
    expect(run('apply', emu).status).toBe(2)
    expect(run('apply', emu, '--dry-run').status).toBe(10)
    expect(next('NUM_OF_VFS')).toEqual(['16'])
    const applied = run('apply', '--yes', '-j')
    expect([applied.status, parseEnvelope(applied.stdout).data]).toMatchObject([
      0,
      { devices: [{ changed: true, inSync: true, rebootRequired: true, activation: 'reboot' }] },
    ])
    expect(next('NUM_OF_VFS', 'CQE_COMPRESSION')).toEqual(['42', 'AGGRESSIVE(1)'])
    expect(run('validate', emu).status).toBe(0)
    const again = parseEnvelope(run('apply', emu, '-j').stdout)
    expect(again.data).toMatchObject({ devices: [{ changed: false, drift: [] }] })
  })

  test('a device is found under every one of its names; several are done each for itself', () => {
    file('parameters: { NUM_OF_VFS: 1 }\ndevices: { "03:00.0": { NUM_OF_VFS: 16 } }')
    expect(run('validate', emu).status).toBe(0)
    file(`devices: { "${emu}": { CQE_COMPRESSION: 1 }, "emu:connectx6dx": { CQE_COMPRESSION: 1 } }`)
    // Accesses of a comparison: the next one is the first write.
    const reads = mlx5ctl('config', 'validate', at('nics.yaml'), emu, '-v').stderr.match(/ op_mod /g)?.length ?? 0
    const failing = ['--yes', '-j', '--fault', `errno=EIO@${reads + 1}`]
    const { status, stdout } = mlx5ctl('config', 'apply', at('nics.yaml'), ...failing)
    const { warnings, data } = parseEnvelope(stdout)
    expect([status, data]).toMatchObject([8, { devices: [{ changed: false, inSync: false }, { changed: false }] }])
    expect(warnings).toEqual([
      expect.stringMatching(/^NOT applied to emu:connectx7: /),
      expect.stringMatching(/^NOT applied to emu:connectx6dx: /),
    ])
  })

  test('JSON is taken too', () => {
    file(JSON.stringify({ parameters: { NUM_OF_VFS: 16, SRIOV_EN: true } }))
    expect(run('validate', emu).status).toBe(0)
  })

  test.each<[string, string, number, RegExp]>([
    ['another PSID', 'psid: { MT_1: { NUM_OF_VFS: 1 } }', 7, /says nothing of emu:connectx7 \(PSID MT_0000000838\)/],
    ['names that nobody knows', 'parameters: { NUM_OF_VF: 1, SRIOV_EN: maybe }', 7, /NUM_OF_VFS[^]*; SRIOV_EN: maybe/],
    ['a section that is none', 'params: { SRIOV_EN: 1 }', 7, /has params: it has parameters, psid, devices/],
    ['no YAML', 'parameters: { SRIOV_EN: 1', 7, /nics\.yaml: .*line 1/],
    ['a name twice', 'parameters: { SRIOV_EN: 1, SRIOV_EN: 0 }', 7, /unique/],
    ['nothing', '', 7, /holds no setting/],
    ['a list at its top', '[1, 2]', 7, /is no map/],
    ['a map as a value', 'parameters: { SRIOV_EN: { a: 1 } }', 7, /neither a value nor a list/],
    [
      'references without end',
      `a: &a [x,x]\n${'bcdefghij'
        .split('')
        .map((one, index) => `${one}: &${one} [${`*${'abcdefghi'[index]},`.repeat(9)}]`)
        .join('\n')}`,
      7,
      /alias|has a/,
    ],
    ['a value that the device does not allow', 'parameters: { NUM_OF_VFS: 128 }', 2, /larger than the 127/],
  ])('%s: told, and nothing is written', (_, text, code, message) => {
    file(text)
    const { status, stderr } = run('apply', emu, '--yes')
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
    expect(readdirSync(folder)).toEqual(['nics.yaml'])
  })
})

test('show: where a parameter lies, its values and its limits', async () => {
  const { stdout } = await runInProcess(['config', 'show', 'sriov_en', '-j'])
  expect(parseEnvelope(stdout).data).toMatchObject({
    name: 'SRIOV_EN',
    tlv: 'nv_global_pci_conf',
    type: '0x00000080',
    // Top bit of byte 4.
    offset: 32,
    width: 1,
    kind: 'BOOL',
    dependency: '$nv_global_pci_cap.sriov_support==1',
  })
  expect((await runInProcess(['config', 'show', 'LINK_TYPE_P1'])).stdout).toMatch(/^Values: +IB\(1\), ETH\(2\)$/m)
})

test.each<[string, number, RegExp]>([
  ['config', 2, /usage: mlx5ctl config/],
  [`config set ${emu}`, 2, /nothing to set/],
  [`config query ${emu} --dry-run`, 2, /config query has no --dry-run/],
  [`config set ${emu} NUM_OF_VFS=1 -e`, 2, /config set has no --all/],
  ['config query NUM_OF_VFS', 2, /config query takes a device/],
  ['config show NOSUCH', 2, /there is no parameter NOSUCH/],
  [`config restore ${emu}`, 2, /config takes/],
  [`config restore ${emu} /nonexistent`, 2, /cannot be read/],
  [`config reset ${emu} ESWITCH_HAIRPIN_DESCRIPTORS[0] --yes`, 2, /a reset is of the whole parameter/],
  [
    `config reset ${emu} CQE_COMPRESSION KEEP_ETH_LINK_UP_P1 KEEP_ETH_LINK_UP_P9 --yes`,
    2,
    /no parameter KEEP_ETH_LINK_UP_P9/,
  ],
  [`config query ${emu} num_of_vf`, 3, /no such|there is no device|num_of_vf/],
  [`config query ${emu} --fault status=2`, 9, /has no NV configuration/],
  [`config query ${emu} --fault errno=EIO@3`, 5, /EIO/],
])('mlx5ctl %s: exit %i', (line, code, message) => {
  const { status, stderr } = mlx5ctl(...line.split(' '))
  expect([status, stderr]).toEqual([code, expect.stringMatching(message)])
})
