// Decoding and encoding of the general capabilities, in fields per second, beside C accessors over the same fields.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary, openFacts } from './support/library.mjs'

const ROUNDS = 40_000

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const { codec, catalogue } = openFacts(await loadLibrary(folder, ['prm/codec', 'prm/catalogue']))
    const layout = 'cmd_hca_cap'
    const fields = catalogue.layout(layout).fields.filter(({ name }) => !/^res\w*ved_/.test(name))
    const bytes = Uint8Array.from({ length: codec.sizeBytes(layout) }, (_, index) => (index * 73) & 0xff)
    const values = codec.decode(layout, bytes)
    let sink = 0
    const decoded = rate(fields.length, () => (sink += codec.decode(layout, bytes).log_max_qp))
    const encoded = rate(fields.length, () => (sink += codec.encode(layout, values)[0]))
    if (!Number.isFinite(sink)) throw new Error('nothing was measured')
    const peer = peers(folder, fields, bytes)
    return [
      {
        name: `decode general capabilities (${fields.length} fields)`,
        value: decoded,
        unit: 'M fields/s',
        peer: 'C accessors, gcc -O2',
        peerValue: peer?.decode,
      },
      {
        name: `encode general capabilities (${fields.length} fields)`,
        value: encoded,
        unit: 'M fields/s',
        peer: 'C accessors, gcc -O2',
        peerValue: peer?.encode,
      },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function rate(fields, work) {
  for (let round = 0; round < ROUNDS / 10; round++) work()
  const start = process.hrtime.bigint()
  for (let round = 0; round < ROUNDS; round++) work()
  return (fields * ROUNDS) / (Number(process.hrtime.bigint() - start) / 1e3)
}

/** The kernel's way of accessing: one big-endian dword for each field, read, shifted and masked, into or out of an array. */
function peers(folder, fields, bytes) {
  const flat = fields.filter(({ width, offset }) => width <= 32 && (offset % 32) + width <= 32)
  const at = ({ offset, width }, index) => ({
    dword: Math.floor(offset / 32),
    shift: 32 - width - (offset % 32),
    mask: width === 32 ? '0xffffffffu' : `0x${(2 ** width - 1).toString(16)}u`,
    index,
  })
  const get = flat
    .map((field, index) => at(field, index))
    .map(({ dword, shift, mask, index }) => `v[${index}] = (be(b[${dword}]) >> ${shift}) & ${mask};`)
  const set = flat
    .map((field, index) => at(field, index))
    .map(
      ({ dword, shift, mask, index }) =>
        `b[${dword}] = be((be(b[${dword}]) & ~(${mask} << ${shift})) | ((v[${index}] & ${mask}) << ${shift}));`,
    )
  const source = path.join(folder, 'peer.c')
  writeFileSync(
    source,
    `#include <stdint.h>
#include <stdio.h>
#include <time.h>
#define be __builtin_bswap32
static volatile uint32_t b[${bytes.length / 4}]; static volatile uint32_t v[${flat.length}];
static void get(void) { ${get.join('\n')} }
static void set(void) { ${set.join('\n')} }
static double run(void (*work)(void)) { struct timespec s, e; clock_gettime(CLOCK_MONOTONIC, &s); for (int i = 0; i < ${ROUNDS}; i++) work(); clock_gettime(CLOCK_MONOTONIC, &e);
  return ${flat.length}.0 * ${ROUNDS} / ((e.tv_sec - s.tv_sec) * 1e6 + (e.tv_nsec - s.tv_nsec) / 1e3); }
int main(void) { get(); set(); printf("%f %f\\n", run(get), run(set)); return 0; }
`,
  )
  try {
    execFileSync('cc', ['-O2', '-o', path.join(folder, 'peer'), source])
  } catch {
    console.error('bench: no C compiler, no peer for the codec')
    return undefined
  }
  const [decode, encode] = execFileSync(path.join(folder, 'peer'), { encoding: 'utf8' }).split(' ').map(Number)
  return { decode, encode }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
