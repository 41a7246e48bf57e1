import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Codec } from '../../src/prm/codec'
import { importHeaders } from '../../src/prm/import/headers'
import { isReserved, type Layout } from '../../src/prm/layout'
import { describeUnless, missingProgram } from '../support/oracle'

const sources = path.resolve(__dirname, '../../.sources')
const folderName = existsSync(sources)
  ? readdirSync(sources).find((name) => name.startsWith('linux-headers-7.2.'))
  : undefined
const folder = path.join(sources, folderName ?? '')
const missing = folderName === undefined ? 'no headers of Linux 7.2 (scripts/fetch-sources.sh)' : missingProgram('gcc')

interface Trial {
  readonly layout: Layout
  readonly field: string
  readonly width: number
  readonly before: Buffer
  readonly value: bigint
}

describeUnless(missing, 'the codec against the accessor macros of the kernel', () => {
  test('what MLX5_SET writes the codec reads, and the other way round', () => {
    const files = ['mlx5_ifc_fpga.h', 'mlx5_ifc.h'].map((name) => ({ name, text: read(name) }))
    const { entries } = importHeaders(files)
    const byName = new Map(entries.layouts.map((layout) => [layout.name, layout]))
    const codec = new Codec({ layout: (name) => must(byName.get(name)) })
    const trials = entries.layouts.flatMap((layout) => trialsOf(layout, files))
    const answers = runProgram(files, trials)
    const wrong = trials.filter((trial, index) => {
      const ours = Uint8Array.from(trial.before)
      const value = trial.width <= 32 ? Number(trial.value) : trial.value
      codec.set(trial.layout.name, ours, trial.field, value)
      const [set, got] = must(answers[index]).split(' ')
      const theirs = Buffer.from(must(set), 'hex')
      const same = Buffer.from(ours).equals(theirs)
      const readBack = BigInt(codec.get(trial.layout.name, theirs, trial.field) as number | bigint)
      return !same || readBack !== trial.value || BigInt(`0x${must(got)}`) !== trial.value
    })
    process.stderr.write(`accessor oracle: ${trials.length} fields, ${wrong.length} mismatches\n`)
    expect(wrong.map((trial) => `${trial.layout.name}.${trial.field}`)).toEqual([])
    expect(answers).toHaveLength(trials.length)
    expect(trials.length).toBeGreaterThan(4000)
  })
})

function read(name: string): string {
  return readFileSync(path.join(folder, name), 'utf8')
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('absent')
  return value
}

/** A fixed sequence, so that a failure can be looked at again. */
let seed = 0x2545f491
function random(): number {
  seed ^= seed << 13
  seed ^= seed >>> 17
  seed ^= seed << 5
  return seed >>> 0
}

/** Named scalar fields of up to 64 bits in types that C can name; the macros want whole dwords. */
function trialsOf(layout: Layout, files: readonly { text: string }[]): Trial[] {
  const tag = `mlx5_ifc_${layout.name}_bits`
  if (layout.bits % 32 !== 0 || !files.some(({ text }) => new RegExp(`^struct\\s+${tag}\\s*\\{`, 'm').test(text)))
    return []
  return layout.fields
    .filter(
      (field) => field.name !== '' && field.layout === undefined && field.array === undefined && !isReserved(field),
    )
    .filter(({ width }) => width <= 32 || width === 64)
    .map((field) => ({
      layout,
      field: field.name,
      width: field.width,
      before: Buffer.from(Array.from({ length: layout.bits / 8 }, () => random() & 0xff)),
      value: ((BigInt(random()) << 32n) | BigInt(random())) & ((1n << BigInt(field.width)) - 1n),
    }))
}

/** The macros as device.h defines them, from the first helper to the last accessor. */
function macros(): string {
  const lines = read('device.h').split('\n')
  const first = lines.findIndex((line) => line.startsWith('#define __mlx5_nullp'))
  const last = lines.findIndex((line) => line.startsWith('#define MLX5_GET64_PR'))
  if (first < 0 || last < first) throw new Error('device.h has its accessors elsewhere')
  return lines.slice(first, last).join('\n')
}

function runProgram(files: readonly { name: string; text: string }[], trials: readonly Trial[]): string[] {
  const work = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-accessors-'))
  try {
    const cases = trials.map(({ layout, field, width }, index) => {
      const kind = width > 32 ? '64' : ''
      return `case ${index}: MLX5_SET${kind}(${layout.name}, b, ${field}, v); g = MLX5_GET${kind}(${layout.name}, b, ${field}); break;`
    })
    // One function for each few hundred cases: a single one of thousands takes the compiler minutes.
    const chunks: string[][] = []
    cases.forEach((text, index) => (chunks[Math.floor(index / 400)] ??= []).push(text))
    const functions = chunks.map(
      (chunk, index) =>
        `static u64 part${index}(int i, u8 *b, u64 v) { u64 g = 0; switch (i) { ${chunk.join('\n')} } return g; }`,
    )
    const calls = chunks.map((_, index) => `case ${index}: g = part${index}(i, b, v); break;`)
    writeFileSync(
      path.join(work, 'oracle.c'),
      `
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef u16 __be16; typedef u32 __be32; typedef u64 __be64;
#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define DECLARE_FLEX_ARRAY(TYPE, NAME) struct { struct { } __empty_ ## NAME; TYPE NAME[]; }
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), "checked by the macro")
#define cpu_to_be32 __builtin_bswap32
#define be32_to_cpu __builtin_bswap32
#define cpu_to_be64 __builtin_bswap64
#define be64_to_cpu __builtin_bswap64
#define cpu_to_be16 __builtin_bswap16
#define be16_to_cpu __builtin_bswap16
${must(files[0]).text}
${must(files[1]).text.replace(/^#include.*$/gm, '')}
${macros()}
${functions.join('\n')}
int main(void)
{
  static char line[1 << 16]; static u8 b[1 << 15]; int i; u64 v;
  while (scanf("%d %llx %65535s", &i, &v, line) == 3) {
    size_t n = strlen(line) / 2; u64 g = 0;
    for (size_t k = 0; k < n; k++) { unsigned x; sscanf(line + 2 * k, "%2x", &x); b[k] = x; }
    switch (i / 400) { ${calls.join('\n')} }
    for (size_t k = 0; k < n; k++) printf("%02x", b[k]);
    printf(" %llx\\n", g);
  }
  return 0;
}
`,
    )
    execFileSync('gcc', ['-w', '-O0', '-o', path.join(work, 'oracle'), path.join(work, 'oracle.c')])
    const input = trials.map(({ before, value }, index) => `${index} ${value.toString(16)} ${before.toString('hex')}\n`)
    return execFileSync(path.join(work, 'oracle'), { input: input.join(''), encoding: 'utf8', maxBuffer: 1 << 28 })
      .trim()
      .split('\n')
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
