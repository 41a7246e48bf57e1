import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Field, Layout } from '../../src/prm/layout'
import { importHeaders } from '../../src/prm/import/headers'
import { describeUnless, missingProgram } from '../support/oracle'

const sources = path.resolve(__dirname, '../../.sources')

/** What gcc says of the kernel's own header, against what the importer makes of it: every size, every offset. */
for (const { series, atLeast } of [
  { series: '6.1.', atLeast: 13_700 },
  { series: '6.12.', atLeast: 14_800 },
  { series: '7.2.', atLeast: 15_500 },
]) {
  const folder = newest(`linux-headers-${series}`)
  const missing =
    folder === undefined ? `no headers of Linux ${series}x (scripts/fetch-sources.sh)` : missingProgram('gcc')
  describeUnless(missing, `layouts of Linux ${series}x against gcc`, () => {
    test('every sizeof and every offsetof agrees', () => {
      const checks = checksOf(folder ?? '')
      const actual = askCompiler(folder ?? '', checks)
      const wrong = checks.filter((check, index) => actual[index] !== check.expected)
      process.stderr.write(`gcc oracle, Linux ${series}x: ${checks.length} checks, ${wrong.length} mismatches\n`)
      expect(wrong).toEqual([])
      expect(actual).toHaveLength(checks.length)
      expect(checks.length).toBeGreaterThan(atLeast)
    })
  })
}

interface Check {
  /** A C expression. */
  readonly expression: string
  readonly expected: number
}

function newest(prefix: string): string | undefined {
  if (!existsSync(sources)) return undefined
  const found = readdirSync(sources).filter((name) => name.startsWith(prefix))
  return found.length === 0 ? undefined : path.join(sources, found.sort().at(-1) ?? '')
}

function header(folder: string, name: string): string {
  return readFileSync(path.join(folder, name), 'utf8')
}

function checksOf(folder: string): Check[] {
  const names = ['mlx5_ifc_fpga.h', 'mlx5_ifc.h']
  const { entries, problems } = importHeaders(names.map((name) => ({ name, text: header(folder, name) })))
  expect(problems).toEqual([])
  const byName = new Map(entries.layouts.map((layout) => [layout.name, layout]))
  const tags = new Map<string, string>()
  for (const name of names)
    for (const [, kind, tag] of header(folder, name).matchAll(/^(struct|union)\s+(mlx5_ifc_\w+)\s*\{/gm))
      if (kind !== undefined && tag !== undefined) tags.set(tag, kind)
  return [...tags].flatMap(([tag, kind]) => {
    const layout = byName.get(tag.replace(/^mlx5_ifc_/, '').replace(/_bits$/, ''))
    if (layout === undefined) throw new Error(`${tag} was not imported`)
    const type = `${kind} ${tag}`
    return [{ expression: `sizeof(${type})`, expected: layout.bits }, ...fieldChecks(layout, type, '', 0, byName)]
  })
}

/** Fields of a type, those of inline aggregates included; named types have their own turn. */
function fieldChecks(layout: Layout, type: string, path: string, base: number, byName: Map<string, Layout>): Check[] {
  return layout.fields.flatMap((field) => {
    const inline = field.layout?.startsWith(`${layout.name}.`) === true ? byName.get(field.layout) : undefined
    if (field.name === '') return fieldChecks(present(inline), type, path, base + field.offset, byName)
    const own = path === '' ? field.name : `${path}.${field.name}`
    const checks = [{ expression: `offsetof(${type}, ${own})`, expected: base + field.offset }]
    const size = sizeOf(field)
    if (size !== undefined) checks.push({ expression: `sizeof(((${type} *)0)->${own})`, expected: size })
    return inline === undefined ? checks : [...checks, ...fieldChecks(inline, type, own, base + field.offset, byName)]
  })
}

/** Undefined for an open end, which has no size in C. */
function sizeOf({ width, array }: Field): number | undefined {
  if (array === undefined) return width
  return array.count === null ? undefined : width * array.count
}

function present(layout: Layout | undefined): Layout {
  if (layout === undefined) throw new Error('an anonymous member has no layout')
  return layout
}

function askCompiler(folder: string, checks: readonly Check[]): number[] {
  const work = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-gcc-'))
  try {
    const program = `
#include <stddef.h>
#include <stdio.h>
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define DECLARE_FLEX_ARRAY(TYPE, NAME) struct { struct { } __empty_ ## NAME; TYPE NAME[]; }
${header(folder, 'mlx5_ifc_fpga.h')}
${header(folder, 'mlx5_ifc.h').replace(/^#include.*$/gm, '')}
static const unsigned long answers[] = {\n${checks.map(({ expression }) => expression).join(',\n')}\n};
int main(void) { for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) printf("%lu\\n", answers[i]); return 0; }
`
    writeFileSync(path.join(work, 'oracle.c'), program)
    execFileSync('gcc', ['-w', '-O0', '-o', path.join(work, 'oracle'), path.join(work, 'oracle.c')])
    return execFileSync(path.join(work, 'oracle'), { encoding: 'utf8', maxBuffer: 1 << 26 })
      .trim()
      .split('\n')
      .map(Number)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
