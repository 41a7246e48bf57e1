// Access registers: whole processes against mstreg 4.33 on the same emulated device, the import of a register file, and decoding.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary, openFacts, root } from './support/library.mjs'

const mstflint = path.join(root, '.sources/mstflint-sid')
const share = 'usr/share/mstflint'
const adb = path.join(mstflint, share, 'prm_dbs/hca/ext/register_access_table.adb')
const TURNS = 15
const IMAGES = 200_000

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const library = await loadLibrary(folder, ['prm/codec', 'prm/catalogue', 'prm/import/adb'])
    if (existsSync(adb)) return [...processes(library), decoding(library)]
    console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): only decoding')
    return [decoding(library)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Inside one emulated machine; the two in turns, so that both see the same machine. */
function processes(library) {
  const ours = `${process.execPath} ${root}/bin/mlx5ctl.js`
  const theirs = `${loader()} --library-path ${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu ${mstflint}/usr/bin/mstreg`
  const script = `
    mount -t tmpfs none /usr/share && mkdir /${share} && mount --bind ${mstflint}/${share} /${share}
    timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null 2>&1; local end=$EPOCHREALTIME; echo "$1 $(( \${end/./} - \${start/./} ))"; }
    for turn in $(seq ${TURNS}); do
      timed get ${ours} reg get fwctl0 MGIR
      timed mstreg ${theirs} -d fwctl0 --reg_name MGIR --get
    done
    names=$(${ours} reg dump fwctl0 --all-readable -j 2>/dev/null | grep -Eo '"name": "[A-Z0-9_]+"' | cut -d'"' -f4)
    for turn in 1 2 3; do timed dump ${ours} reg dump fwctl0 --all-readable -j; done
    each() { for name in $names; do ${theirs} -d fwctl0 --reg_name $name --get; done; }
    timed each each
    echo "names $(wc -w <<<"$names")"
    for turn in 1 2 3 4 5; do timed load ${theirs} -d fwctl0 --show_regs; done`
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'bin/mlx5ctl.js'), 'emulate', '--profile', 'connectx7', '--', 'bash', '-c', script],
    { encoding: 'utf8' },
  )
  const found = new Map()
  for (const [, what, number] of stdout.matchAll(/^(\w+) (\d+)$/gm))
    found.set(what, Math.min(found.get(what) ?? Infinity, Number(number)))
  if (!found.has('load')) throw new Error(stderr)
  const milliseconds = (what) => found.get(what) / 1000
  return [
    {
      name: `reg get MGIR over fwctl, whole process (minimum of ${TURNS})`,
      value: milliseconds('get'),
      unit: 'ms',
      peer: 'mstreg --get',
      peerValue: milliseconds('mstreg'),
    },
    {
      name: `reg dump --all-readable, ${found.get('names')} registers`,
      value: milliseconds('dump'),
      unit: 'ms',
      peer: `${found.get('names')} times mstreg --get`,
      peerValue: milliseconds('each'),
    },
    importing(library, milliseconds('load')),
  ]
}

function loader() {
  const entry = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  return path.join(entry.parentPath, entry.name)
}

function importing({ importAdb }, mstregLoad) {
  const text = readFileSync(adb, 'utf8')
  let best = Infinity
  for (let turn = 0; turn < 7; turn++) {
    const start = process.hrtime.bigint()
    importAdb(text, adb)
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e6)
  }
  return {
    name: `ADB import, ${(text.length / 1e6).toFixed(1)} MB (minimum of 7, in process)`,
    value: best,
    unit: 'ms',
    peer: 'mstreg --show_regs, whole process',
    peerValue: mstregLoad,
  }
}

function decoding(library) {
  const { catalogue, codec } = openFacts(library)
  const registers = catalogue
    .registers()
    .filter(({ layout }) => layout !== undefined)
    .map(({ layout }) => {
      const bytes = Uint8Array.from({ length: codec.sizeBytes(layout) }, (_, index) => (index * 73) & 0xff)
      const fields = codec.ranges(layout, bytes).filter(({ reserved }) => !reserved).length
      return { layout, bytes, fields }
    })
  const run = (images) => {
    let fields = 0
    for (let image = 0; image < images; image++) {
      const register = registers[image % registers.length]
      codec.decode(register.layout, register.bytes)
      fields += register.fields
    }
    return fields
  }
  run(IMAGES / 10)
  const start = process.hrtime.bigint()
  const fields = run(IMAGES)
  return {
    name: `decode all ${registers.length} registers in turn`,
    value: fields / (Number(process.hrtime.bigint() - start) / 1e3),
    unit: 'M fields/s',
    peer: '-',
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
