import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { mlx5ctl } from '../support/cli'
import { describeUnless, missingProgram } from '../support/oracle'
import { parseEnvelope } from '../support/schema'
import { Mstflint } from './mstflint'

/** Dumps against the unmodified tools of Debian on the same emulated device. */

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-dumps-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
const read = (name: string): Buffer => readFileSync(at(name))
const sorted = (name: string): string => read(name).toString().trim().split('\n').sort().join('\n')

const sid = new Mstflint('sid')
describeUnless(sid.missing, 'register dumps against mstregdump of sid', () => {
  test('a ConnectX-7: byte-identical text, with the blocks that firmware adds; a core dump has the same registers', () => {
    const { stderr } = sid.run(
      `cd ${folder}
       ${sid.command('mstregdump')} 03:00.0 >theirs
       mlx5ctl regdump 03:00.0 --transport pci >ours
       mlx5ctl regdump mlx5_core.ctl.0 >core`,
      '--profile',
      'connectx7',
    )
    expect(stderr).toBe('')
    expect(read('theirs').toString().split('\n')).toHaveLength(230_590 + 96 + 1)
    expect(read('ours').equals(read('theirs'))).toBe(true)
    expect(sorted('core')).toBe(sorted('theirs'))
  }, 400_000)
})

const bookworm = new Mstflint('bookworm')
describeUnless(
  bookworm.missing ?? missingProgram('/usr/bin/python3'),
  'resource dumps against mstresourcedump 4.21',
  () => {
    const segments: readonly (readonly [name: string, ...args: string[]])[] = [
      ['FULL_QPC', '--index1', '82'],
      ['FULL_QPC', '--index1', '82', '--depth', 'inf'],
      ['QUERY_FT', '--index1', '1', '--depth', '1'],
      ['FULL_CQC', '--index1', '1024', '--num-of-obj1', '3', '--depth', 'inf'],
      ['FULL_EQC', '--index1', '0', '--num-of-obj1', 'all'],
      ['HW_SQPC', '--index1', '82', '--num-of-obj1', 'active'],
      ['SND_BUFF', '--index1', '82', '--index2', '3', '--num-of-obj2', '5'],
      ['RDB_CONTEXT', '--index1', '82', '--index2', '2'],
      ['SX_SLICE', '--index1', '7'],
      ['STE_ALL'],
      ['SCHEDQ_INFO'],
      ['PRM_QUERY_QP', '--index1', '82'],
      ['FULL_QPC', '--index1', '99'],
    ]
    /** Their options in our words. */
    const ours = (args: readonly string[]): string[] =>
      args.map((word) => (word === 'inf' ? 'all' : word.replace('--num-of-obj', '--num')))

    test('the same bytes, segment by segment; decode reads what they print', () => {
      const script = segments
        .map(([name, ...args], index) => {
          const line = `dump -d 03:00.0 --segment ${name} ${args.join(' ')}`
          return `${bookworm.python('mstresourcedump', `${line} --bin ${at(`theirs${index}`)}`)} >/dev/null 2>&1
          ${bookworm.python('mstresourcedump', line)} >${at(`printed${index}`)} 2>&1
          mlx5ctl rscdump 03:00.0 ${name} ${ours(args).join(' ')} --raw >${at(`ours${index}`)} 2>/dev/null
          mlx5ctl rscdump mlx5_core.ctl.0 ${name} ${ours(args).join(' ')} --raw >${at(`memory${index}`)} 2>/dev/null`
        })
        .join('\n')
      bookworm.run(script)
      const differing = segments.filter((_, index) => {
        const theirs = read(`theirs${index}`)
        return theirs.length < 40 || !read(`ours${index}`).equals(theirs) || !read(`memory${index}`).equals(theirs)
      })
      expect(differing).toEqual([])
      for (const [index, [name]] of segments.entries()) {
        const raw = parseEnvelope(mlx5ctl('decode', at(`theirs${index}`), '-j').stdout)
        const printed = parseEnvelope(mlx5ctl('decode', at(`printed${index}`), '-j').stdout)
        expect([name, printed.data]).toEqual([name, raw.data])
      }
    }, 300_000)

    test('every record of the menu, with what they say of its arguments', () => {
      const { stdout } = bookworm.run(bookworm.python('mstresourcedump', 'query -d 03:00.0'))
      const theirs = [...stdout.matchAll(/Segment Type - (0x[0-9a-f]+) \((\w+)\)[^]*?(index1[^]*?)\n_/g)].map(
        ([, type, name, rows = '']) => {
          const row = (argument: string): string[] =>
            new RegExp(`^${argument}(?: \\((.*?)\\))? +(Mandatory|Optional|N/A) +(\\S+)`, 'm').exec(rows)?.slice(1) ??
            []
          const [[index1, use1], [index2, use2], [, num1, special1], [, num2, special2]] = [
            row('index1'),
            row('index2'),
            row('num_of_obj1'),
            row('num_of_obj2'),
          ] as const
          return { type: Number(type), name, index1, use1, index2, use2, num1, special1, num2, special2 }
        },
      )
      const { records } = parseEnvelope(mlx5ctl('rscdump', 'menu', 'emu:connectx6dx', '-j').stdout).data as {
        records: {
          type: number
          name: string
          index1: { name: string; supported: boolean; required: boolean }
          index2: { name: string; supported: boolean; required: boolean }
          num1: { supported: boolean; required: boolean; all: boolean; active: boolean }
          num2: { supported: boolean; required: boolean; all: boolean; active: boolean }
        }[]
      }
      const use = ({ supported, required }: { supported: boolean; required: boolean }): string =>
        required ? 'Mandatory' : supported ? 'Optional' : 'N/A'
      const special = ({ all, active }: { all: boolean; active: boolean }): string =>
        [all ? 'all' : '', active ? 'active' : ''].filter((word) => word !== '').join(',') || 'N/A'
      expect(theirs).toHaveLength(45)
      expect(
        records.map(({ type, name, index1, index2, num1, num2 }) => ({
          type,
          name,
          index1: index1.name,
          use1: use(index1),
          index2: index2.name,
          use2: use(index2),
          num1: use(num1),
          special1: special(num1),
          num2: use(num2),
          special2: special(num2),
        })),
      ).toEqual(theirs)
    })

    test('their parser reads our files', () => {
      const file = at('parsed.bin')
      expect(
        mlx5ctl('rscdump', 'emu:connectx6dx', 'FULL_QPC', '--index1', '82', '--depth', 'all', '--raw', '-o', file)
          .status,
      ).toBe(0)
      writeFileSync(at('empty.adb'), '<NodesDefinition></NodesDefinition>')
      const { stdout } = bookworm.run(
        bookworm.python('mstresourceparse', `--dump-file ${file} --adb-file ${at('empty.adb')} --raw`),
      )
      const { dumps } = parseEnvelope(mlx5ctl('decode', file, '-j').stdout).data as {
        dumps: { segments: { kind: string; type: number; index1?: number; index2?: number }[] }[]
      }
      const ours = (dumps[0]?.segments ?? []).map(({ kind, type, index1, index2 }) =>
        kind === 'resource' ? [type, index1, index2] : [type],
      )
      const theirs = [
        ...stdout.matchAll(/Segment - \S+ \((0x[0-9a-f]+)\)(?: ; index1 = (0x[0-9a-f]+), index2 = (0x[0-9a-f]+))?/g),
      ].map(([, type, ...indices]) => [type, ...indices].filter((word) => word !== undefined).map(Number))
      // They give indices of commands and references too.
      const isResource = ([type = 0]: readonly (number | undefined)[]): boolean => type <= 0xfeff
      expect(theirs.map(([type]) => type)).toEqual(ours.map(([type]) => type))
      expect(theirs.filter(isResource)).toEqual(ours.filter(isResource))
      expect(theirs.filter(isResource).length).toBeGreaterThan(100)
      const rows = [...stdout.matchAll(/^DWORD \[[\d-]+\] *:(.*)$/gm)].map(([, row = '']) => row)
      expect(rows.join('').replace(/0x|\s/g, '').toLowerCase()).toBe(readFileSync(file).toString('hex'))
    })
  },
)
