import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import { importAdb } from '../../src/prm/import/adb'
import { codecOf } from '../support/codec'
import { orMalformed } from '../support/hostile'
import { describeUnless } from '../support/oracle'
import { Random, seed } from '../support/random'

/** Registers and register files that are not what they should be. MLX5CTL_FUZZ=N does N times as many (50: a million, 100 000). */

const times = Number(process.env.MLX5CTL_FUZZ ?? 1)
const IMAGES = 20_000 * times
const FILES = 2000 * times
const PATIENCE = 60_000 * (times + 1)

/** Decodes in every way. A whole image is encoded again to the same values. */
function exercise(codec: Codec, layout: string, image: Uint8Array): boolean {
  const whole = orMalformed(() => {
    const values = codec.decode(layout, image)
    const again = codec.decode(layout, codec.encode(layout, values))
    expect(again).toEqual(values)
  })
  orMalformed(() => codec.decode(layout, image, { reserved: true, partial: true }))
  const leaves = codec.ranges(layout, image)
  for (const { path: where, offset, width } of leaves)
    if (offset < 0 || width < 1 || offset + width > image.length * 8) throw new Error(`${layout}.${where} lies outside`)
  return whole
}

test(
  `${IMAGES} random register images`,
  () => {
    const random = new Random(seed)
    const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
    const codec = new Codec(catalogue)
    const layouts = catalogue.registers().flatMap(({ layout }) => layout ?? [])
    let whole = 0
    for (let count = 0; count < IMAGES; count++) {
      const layout = layouts[count % layouts.length] ?? ''
      const size = codec.sizeBytes(layout)
      const length = random.below(4) === 0 ? random.below(size + 64) : size
      if (exercise(codec, layout, random.bytes(length))) whole++
    }
    process.stderr.write(`${IMAGES} images (seed ${seed}): ${whole} whole, the others refused with where they end\n`)
    expect(whole).toBeGreaterThan(IMAGES / 2)
  },
  PATIENCE,
)

const shipped = path.resolve(
  __dirname,
  '../../.sources/mstflint-sid/usr/share/mstflint/prm_dbs/hca/ext/register_access_table.adb',
)

/** What stands in a place of an attribute's value. */
const nasty = [
  '',
  '0',
  '-1',
  '0x',
  '0x.',
  '.',
  '1e9',
  '0xffffffffffffffff.7',
  '0x7fffffff.31',
  '999999999999999999999',
  '08.0',
  '0x0.32',
  '0x100000.0',
  'VARIABLE',
  '$(parent)',
  '$(parent).$(parent).$(parent).x',
  '((((((((((((((((((((1',
  '1 / 0',
  '!!!!!!!!!!!!!!!!1',
  'A=1,A=2,=,B',
  '__proto__',
  'constructor=1',
  'uint64',
  'enum_entry',
  '1',
  'a'.repeat(5000),
]

/** A few registers of the shipped file, with all that they need, as a file of their own. */
class Excerpts {
  private readonly nodes = new Map<string, string>()
  private readonly names: readonly string[]

  constructor(text: string) {
    for (const match of text.matchAll(/<node name="(\w+)"[\s\S]*?<\/node>/g)) this.nodes.set(match[1] ?? '', match[0])
    this.names = [...(this.nodes.get('access_reg_summary_ext') ?? '').matchAll(/^.*<field .*$/gm)].map(([line]) => line)
  }

  make(random: Random): string[] {
    const members = Array.from({ length: 1 + random.below(3) }, () => random.one(this.names))
    const found = new Set<string>()
    for (const member of members) this.collect(/subnode="(\w+)"/.exec(member)?.[1] ?? '', found)
    const ids = members.map(
      (member, index) => `${/selected_by="(\w+)"/.exec(member)?.[1]}=0x${(0x5000 + index).toString(16)}`,
    )
    return [
      '<NodesDefinition>',
      '<config big_endian_arr="1"/>',
      '<node name="access_reg_summary_ext" size="0x400.0" attr_is_union="1">',
      ...members,
      '</node>',
      '<node name="access_reg_summary_ctrl_ext" size="0x4.0">',
      `<field name="id" offset="0x0.0" size="0x4.0" subnode="enum_entry" enum="${ids.join(',')}"/>`,
      '</node>',
      '<node name="access_reg_summary_selector_ext" size="0x404.0">',
      '<field name="access_reg_summary" offset="0x4.0" size="0x400.0" subnode="access_reg_summary_ext" union_selector="$(parent).ctrl.id"/>',
      '<field name="ctrl" offset="0x0.0" size="0x4.0" subnode="access_reg_summary_ctrl_ext"/>',
      '</node>',
      ...[...found].flatMap((name) => (this.nodes.get(name) ?? '').split('\n')),
      '</NodesDefinition>',
    ]
  }

  private collect(name: string, found: Set<string>): void {
    const text = this.nodes.get(name)
    if (text === undefined || found.has(name)) return
    found.add(name)
    for (const [, inside = ''] of text.matchAll(/subnode="(\w+)"/g)) this.collect(inside, found)
  }
}

function mutate(lines: readonly string[], random: Random): string {
  const changed = [...lines]
  for (let count = random.below(4); count >= 0; count--) {
    const at = random.below(changed.length)
    const line = changed[at] ?? ''
    switch (random.below(7)) {
      case 0:
        changed.splice(at, 1)
        break
      case 1:
        changed.splice(random.below(changed.length), 0, line)
        break
      case 2:
        changed[at] = line.slice(0, random.below(line.length + 1))
        break
      case 3: {
        const here = random.below(line.length + 1)
        changed[at] =
          line.slice(0, here) + String.fromCharCode(random.below(0x180)) + line.slice(here + random.below(2))
        break
      }
      default: {
        // Mostly what an XML parser does not see.
        const values = [...line.matchAll(/="([^"]*)"/g)]
        if (values.length === 0) break
        const { index, 0: whole } = random.one(values)
        const other = /="([^"]*)"/.exec(random.one(changed))?.[1] ?? ''
        const value = random.below(2) === 0 ? random.one(nasty) : other
        changed[at] = `${line.slice(0, index)}="${value}"${line.slice(index + whole.length)}`
      }
    }
    if (changed.length === 0) return ''
  }
  return changed.join('\n')
}

const missing = existsSync(shipped) ? undefined : 'mstflint of Debian sid was not fetched (scripts/fetch-sources.sh)'
describeUnless(missing, 'mutated register files', () => {
  test(
    `${FILES} of them: values or clear errors`,
    () => {
      const random = new Random(seed)
      const excerpts = new Excerpts(readFileSync(shipped, 'latin1'))
      const outcomes = { whole: 0, problems: 0, refused: 0 }
      for (let count = 0; count < FILES; count++) {
        const text = mutate(excerpts.make(random), random)
        const read = orMalformed(() => {
          const { entries, problems } = importAdb(text, 'fuzz.adb', { texts: true })
          for (const { message, line } of problems)
            if (message === '' || !(line > 0)) throw new Error('a problem without a place')
          outcomes[problems.length === 0 ? 'whole' : 'problems']++
          const codec = codecOf(entries)
          for (const { layout } of entries.registers)
            if (layout !== undefined) exercise(codec, layout, random.bytes(Math.min(1024, codec.sizeBytes(layout))))
        })
        if (!read) outcomes.refused++
      }
      process.stderr.write(`${FILES} files (seed ${seed}): ${JSON.stringify(outcomes)}\n`)
      expect(Math.min(outcomes.whole, outcomes.problems, outcomes.refused)).toBeGreaterThan(0)
    },
    PATIENCE,
  )
})
