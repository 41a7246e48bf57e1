import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { mlx5ctl } from '../support/cli'
import { parametersOf, type QueriedParameter } from '../support/config'
import { describeUnless } from '../support/oracle'
import { runInProcess } from '../support/program'
import { MalformedData } from '../../src/prm/errors'
import { importNvDatabase } from '../../src/prm/import/nv-sqlite'
import { Random, seed } from '../support/random'
import { parseEnvelope } from '../support/schema'
import { Mstflint } from './mstflint'

/** NV configuration against the unmodified mstconfig of Debian, on the same emulated device. */

interface Row {
  readonly name: string
  readonly readOnly: boolean
  readonly marked: boolean
  readonly values: readonly string[]
}

/** Rows of a table: a mark, RO, the name, the values. Values have no blanks; the header and the trailer have no row's shape. */
function rowsOf(text: string): Row[] {
  const [, table = ''] = text.split(/^Configurations:.*$/m)
  return [...table.matchAll(/^([* ])(RO)? +([A-Z][A-Z0-9_]*(?:\[\d+\])?)((?: +\S+)+) *$/gm)].map(
    ([, mark, readOnly, name = '', values = '']) => ({
      name,
      readOnly: readOnly !== undefined,
      marked: mark === '*',
      values: values.trim().split(/ +/),
    }),
  )
}

function ours(device: string, ...words: string[]): QueriedParameter[] {
  return parametersOf(mlx5ctl('config', 'query', device, '-j', ...words).stdout)
}
const texts = (one: QueriedParameter): string[] => [one.default.text, one.current.text, one.next.text]

function tell(what: string, compared: number): void {
  process.stdout.write(`${what}: ${compared} values compared, 0 mismatches\n`)
}

const sid = new Mstflint('sid')
describeUnless(sid.missing, 'mstconfig of sid', () => {
  test.each(['connectx6dx', 'bluefield3'])(
    '%s: every parameter, every column, over fwctl and over PCI',
    (profile) => {
      const found = ours(`emu:${profile}`)
      for (const door of profile === 'bluefield3' ? ['fwctl0'] : ['fwctl0', '03:00.0']) {
        const { stdout } = sid.run(`${sid.command('mstconfig')} -d ${door} -e q`, '--profile', profile)
        const theirs = rowsOf(stdout)
        expect(theirs.map(({ name }) => name)).toEqual(found.map(({ name }) => name))
        expect(theirs.map(({ values }) => values)).toEqual(found.map(texts))
        expect(theirs.filter(({ readOnly }) => readOnly).map(({ name }) => name)).toEqual(
          found.filter(({ readOnly }) => readOnly).map(({ name }) => name),
        )
        expect(theirs.filter(({ marked }) => marked).map(({ name }) => name)).toEqual(
          found.filter(({ modified }) => modified).map(({ name }) => name),
        )
        tell(`${profile} over ${door}, mstconfig of sid`, theirs.length * 3)
      }
      const { stdout } = sid.run(`${sid.command('mstconfig')} -d fwctl0 q`, '--profile', profile)
      expect(rowsOf(stdout).map(({ name, values }) => [name, ...values])).toEqual(
        found.map(({ name, next }) => [name, next.text]),
      )
    },
    300_000,
  )

  test('elements of arrays', () => {
    const words = ['ESWITCH_HAIRPIN_DESCRIPTORS[1..6]', 'HOST_CHAINING_DESCRIPTORS[7]', 'NUM_OF_VFS']
    const { stdout } = sid.run(
      `${sid.command('mstconfig')} -d fwctl0 -e q ${words.join(' ')}`,
      '--profile',
      'connectx7',
    )
    const theirs = rowsOf(stdout)
    expect(theirs).toHaveLength(8)
    expect(theirs.map(({ name, values }) => [name, values])).toEqual(
      ours('emu:connectx7', ...words).map((one) => [one.name, texts(one)]),
    )
  })
})

const bookworm = new Mstflint('bookworm')
describeUnless(bookworm.missing ?? sid.missing, 'mstconfig 4.21', () => {
  test.each(['connectx6dx', 'bluefield3'])(
    '%s: every parameter that it knows, every column',
    (profile) => {
      const found = new Map(ours(`emu:${profile}`).map((one) => [one.name, one]))
      const { stdout } = bookworm.run(`${bookworm.command('mstconfig')} -d 03:00.0 -e q`, '--profile', profile)
      const theirs = rowsOf(stdout)
      expect(theirs.length).toBeGreaterThan(70)
      const shared = theirs.filter(({ name }) => found.has(name))
      expect(shared.map(({ name, values }) => [name, ...values])).toEqual(
        shared.map(({ name }) => [name, ...texts(found.get(name) as QueriedParameter)]),
      )
      // What only the older one shows, the newer one does not either: its database has other names, or hides them.
      const newer = new Set(
        rowsOf(sid.run(`${sid.command('mstconfig')} -d fwctl0 q`, '--profile', profile).stdout).map(({ name }) => name),
      )
      const only = theirs.filter(({ name }) => !found.has(name)).map(({ name }) => name)
      expect(only.filter((name) => newer.has(name))).toEqual([])
      // It shows no parameters that cannot be written.
      const missing = [...found.values()].filter(({ name }) => !theirs.some((one) => one.name === name))
      tell(
        `${profile}, mstconfig 4.21 (it shows ${only.length} more, and ${missing.length} of ours not)`,
        shared.length * 3,
      )
      expect(missing.some(({ readOnly }) => readOnly)).toBe(true)
    },
    120_000,
  )
})

/** Both write, and each reads what the other wrote. */
describeUnless(sid.missing, 'settings that one writes and the other reads', () => {
  let folder: string
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-config-'))))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const mstconfig = sid.command('mstconfig')
  const at = (name: string): string => path.join(folder, name)

  test('what we set, mstconfig shows; what it sets, we show', () => {
    const { stdout } = sid.run(
      `mlx5ctl config set fwctl0 NUM_OF_VFS=42 'ESWITCH_HAIRPIN_DESCRIPTORS[2..3]=9' KEEP_ETH_LINK_UP_P1=true CQE_COMPRESSION=AGGRESSIVE --yes >/dev/null
       ${mstconfig} -d fwctl0 q NUM_OF_VFS 'ESWITCH_HAIRPIN_DESCRIPTORS[1..4]' KEEP_ETH_LINK_UP_P1 CQE_COMPRESSION
       ${mstconfig} -d fwctl0 -y set NUM_OF_VFS=7 'ESWITCH_HAIRPIN_DESCRIPTORS[3]=1' SRIOV_EN=0 >/dev/null
       mlx5ctl config query 03:00.0 --transport pci NUM_OF_VFS 'ESWITCH_HAIRPIN_DESCRIPTORS[1..4]' SRIOV_EN`,
      '--profile',
      'connectx7',
    )
    const rows = [...stdout.matchAll(/^ {8}([A-Z]\S*) +(\S+) *$/gm)].map(([, name, value]) => `${name}=${value}`)
    expect(rows).toEqual([
      'NUM_OF_VFS=42',
      'ESWITCH_HAIRPIN_DESCRIPTORS[1]=4',
      'ESWITCH_HAIRPIN_DESCRIPTORS[2]=9',
      'ESWITCH_HAIRPIN_DESCRIPTORS[3]=9',
      'ESWITCH_HAIRPIN_DESCRIPTORS[4]=13',
      'KEEP_ETH_LINK_UP_P1=True(1)',
      'CQE_COMPRESSION=AGGRESSIVE(1)',
      'NUM_OF_VFS=7',
      'ESWITCH_HAIRPIN_DESCRIPTORS[1]=4',
      'ESWITCH_HAIRPIN_DESCRIPTORS[2]=9',
      'ESWITCH_HAIRPIN_DESCRIPTORS[3]=1',
      'ESWITCH_HAIRPIN_DESCRIPTORS[4]=13',
      'SRIOV_EN=False(0)',
    ])
  }, 120_000)

  test('a backup of either is restored by the other', () => {
    const query = `mlx5ctl config query fwctl0 --format ndjson | jq -r '.data | "\\(.name) \\(.next.text)"' | md5sum`
    const { stdout } = sid.run(
      `cd ${folder}
       mlx5ctl config set fwctl0 NUM_OF_VFS=42 CQE_COMPRESSION=1 --yes >/dev/null; ${query}
       mlx5ctl config backup fwctl0 -o ours.raw
       ${mstconfig} -d fwctl0 -f theirs.raw backup >/dev/null
       mlx5ctl config reset fwctl0 --yes >/dev/null; ${query}
       ${mstconfig} -d fwctl0 -f ours.raw -y set_raw >/dev/null; ${query}
       mlx5ctl config reset fwctl0 --yes >/dev/null; ${query}
       mlx5ctl config restore fwctl0 theirs.raw --yes >/dev/null; ${query}`,
      '--profile',
      'connectx7',
    )
    const [set, reset, byThem, again, byUs] = stdout.trim().split('\n')
    expect(set).not.toBe(reset)
    expect([byThem, again, byUs]).toEqual([set, reset, set])
    expect(readFileSync(at('ours.raw'), 'utf8').trim()).toBe(readFileSync(at('theirs.raw'), 'utf8').trim())
  }, 120_000)

  test('what a reset of mstconfig gives, we show as defaults', () => {
    const { stdout } = sid.run(
      `${mstconfig} -d fwctl0 -y reset >/dev/null; mlx5ctl config query fwctl0 -j`,
      '--profile',
      'connectx7',
    )
    const { data } = parseEnvelope(stdout)
    const [device] = (data as { devices: { parameters: QueriedParameter[] }[] }).devices
    expect(device?.parameters.filter((one) => one.next.text !== one.default.text)).toEqual([])
  }, 120_000)
})

describeUnless(bookworm.missing, 'the database of another release', () => {
  let folder: string
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-database-'))))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test('is imported whole, stands in front of the built-in one, and its descriptions are shown', async () => {
    const before = process.env.XDG_DATA_HOME
    process.env.XDG_DATA_HOME = folder
    try {
      // In this process: one that is started would not see the variable.
      const imported = await runInProcess(['catalogue', 'import', bookworm.database(), '--name', 'old', '-j'])
      const { data } = parseEnvelope(imported.stdout)
      expect(data).toMatchObject({ counts: { tlvs: 151 }, problems: [] })
      expect((await runInProcess(['config', 'show', 'SRIOV_EN'])).stdout).toMatch(/^Description: +\S/m)
    } finally {
      if (before === undefined) delete process.env.XDG_DATA_HOME
      else process.env.XDG_DATA_HOME = before
    }
  })

  test('damaged anywhere it is imported in part, or refused', async () => {
    const good = readFileSync(bookworm.database())
    const random = new Random(seed)
    let taken = 0
    const count = 60
    for (let round = 0; round < count; round++) {
      const bytes = Buffer.from(good)
      for (let times = random.below(20); times >= 0; times--) bytes[random.below(bytes.length)] = random.below(256)
      const file = path.join(folder, 'damaged.db')
      writeFileSync(file, random.below(4) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes)
      try {
        await importNvDatabase(file)
        taken++
      } catch (error) {
        if (!(error instanceof MalformedData)) throw error
      }
    }
    process.stdout.write(`${count} damaged databases (seed ${seed}): ${taken} taken\n`)
    expect(taken).toBeLessThan(count)
  })
})
