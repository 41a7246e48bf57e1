import { mlx5ctl } from '../support/cli'
import { describeUnless } from '../support/oracle'
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

interface Parameter {
  readonly name: string
  readonly readOnly: boolean
  readonly modified: boolean
  readonly default: { readonly text: string }
  readonly current: { readonly text: string }
  readonly next: { readonly text: string }
}

function ours(device: string, ...words: string[]): Parameter[] {
  const { data } = parseEnvelope(mlx5ctl('config', 'query', device, '-j', ...words).stdout)
  return (data as { devices: { parameters: Parameter[] }[] }).devices[0]?.parameters ?? []
}
const texts = (one: Parameter): string[] => [one.default.text, one.current.text, one.next.text]

function tell(what: string, compared: number): void {
  process.stdout.write(`${what}: ${compared} values compared, 0 mismatches\n`)
}

const sid = new Mstflint('sid')
describeUnless(sid.missing, 'mstconfig of sid', () => {
  test.each(['connectx6dx', 'bluefield3'])(
    '%s: every parameter, every column, over fwctl and over PCI',
    (profile) => {
      const found = ours(`emu:${profile}`)
      for (const door of ['fwctl0', '03:00.0']) {
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
      const { stdout } = sid.run(`${sid.command('mstconfig')} -d 03:00.0 q`, '--profile', profile)
      expect(rowsOf(stdout).map(({ name, values }) => [name, ...values])).toEqual(
        found.map(({ name, next }) => [name, next.text]),
      )
    },
    300_000,
  )

  test('elements of arrays', () => {
    const words = ['ESWITCH_HAIRPIN_DESCRIPTORS[1..6]', 'HOST_CHAINING_DESCRIPTORS[7]', 'NUM_OF_VFS']
    const { stdout } = sid.run(
      `${sid.command('mstconfig')} -d 03:00.0 -e q ${words.join(' ')}`,
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
describeUnless(bookworm.missing, 'mstconfig 4.21', () => {
  test.each(['connectx6dx', 'bluefield3'])(
    '%s: every parameter that it knows, every column',
    (profile) => {
      const found = new Map(ours(`emu:${profile}`).map((one) => [one.name, one]))
      const { stdout } = bookworm.run(`${bookworm.command('mstconfig')} -d 03:00.0 -e q`, '--profile', profile)
      const theirs = rowsOf(stdout)
      expect(theirs.length).toBeGreaterThan(70)
      const differing = theirs.filter(({ name, values }) => {
        const own = found.get(name)
        return own === undefined || String(texts(own)) !== String(values)
      })
      expect(differing).toEqual([])
      // It shows no parameters that cannot be written.
      const missing = [...found.values()].filter(({ name }) => !theirs.some((one) => one.name === name))
      tell(`${profile}, mstconfig 4.21 (${missing.length} of our parameters it does not know)`, theirs.length * 3)
      expect(missing.filter(({ readOnly }) => readOnly).length).toBe(profile === 'connectx6dx' ? 3 : 0)
    },
    120_000,
  )
})
