// Dumps: through emulated nodes, to files, as text, and decoded; each against a peer or a floor in the same run.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, closeSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary, root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const mstflint = path.join(root, '.sources/mstflint-sid')
const share = 'usr/share/mstflint'
const TURNS = 5
const DECODED = 64 * 2 ** 20

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const library = await loadLibrary(folder, ['render/dump-text'])
    return [...nodes(folder), ...files(folder), ...texts(library), ...decoding(folder), ...registers(folder)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const timed = `timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null; local end=$EPOCHREALTIME; echo "$1 $(( \${end/./} - \${start/./} ))"; }`
const ours = `${process.execPath} ${bin}`

/** Least time of each name, in milliseconds, of "name microseconds" lines. */
function least(stdout) {
  const found = new Map()
  for (const [, what, number] of stdout.matchAll(/^([\w-]+) (\d+)$/gm))
    found.set(what, Math.min(found.get(what) ?? Infinity, Number(number) / 1000))
  return found
}

/** Whole processes inside one emulated machine. */
function nodes(folder) {
  const script = `${timed}
    for turn in $(seq ${TURNS}); do
      timed core ${ours} coredump mlx5_core.ctl.0 --raw
      timed inline ${ours} rscdump mlx5_core.ctl.0 RX_SLICE_ALL --raw --via inline
      timed memory ${ours} rscdump mlx5_core.ctl.0 RX_SLICE_ALL --raw --via memory
    done
    ${ours} rscdump mlx5_core.ctl.0 RX_SLICE_ALL -v --via inline --raw 2>&1 >/dev/null | grep -c RESOURCE_DUMP`
  const { stdout } = spawnSync(
    process.execPath,
    [bin, 'emulate', '--profile', 'connectx7', '--', 'bash', '-c', script],
    {
      encoding: 'utf8',
      cwd: folder,
    },
  )
  const found = least(stdout)
  const commands = stdout.trim().split('\n').at(-1)
  const peer = `rscdump inline, 2.10 MB, ${commands} commands`
  return [
    {
      name: 'coredump through nodes, 1.85 MB, 1 command',
      value: found.get('core'),
      unit: 'ms',
      peer,
      peerValue: found.get('inline'),
    },
    {
      name: 'rscdump through memory, 2.10 MB, 3 + 1 commands',
      value: found.get('memory'),
      unit: 'ms',
      peer,
      peerValue: found.get('inline'),
    },
  ]
}

/** A core dump of the emulator in process to a file, against cat of the same bytes and the start of Node. */
function files(folder) {
  const script = `${timed}
    ${ours} coredump emu:connectx7 -o ${folder}/core.bin
    for turn in $(seq ${TURNS}); do
      timed dump ${ours} coredump emu:connectx7 -o ${folder}/out.bin --force
      timed summary ${ours} coredump emu:connectx7 -j
      timed cat bash -c 'cat ${folder}/core.bin >${folder}/copy.bin; sync ${folder}/copy.bin'
    done`
  const found = least(execFileSync('bash', ['-c', script], { encoding: 'utf8' }))
  return [
    {
      name: 'coredump 1.85 MB to a file, beyond what the same dump takes without one',
      value: Math.max(0, found.get('dump') - found.get('summary')),
      unit: 'ms',
      peer: 'cat of the same size, synced',
      peerValue: found.get('cat'),
    },
  ]
}

/** In process, over 32 MB of pairs, in pieces of 64 KiB. */
function texts({ pairLines, hexRows }) {
  const piece = Buffer.alloc(64 * 1024, 0x5a)
  const rate = (render) => {
    let best = Infinity
    for (let turn = 0; turn < TURNS; turn++) {
      const start = process.hrtime.bigint()
      for (let at = 0; at < 32 * 2 ** 20; at += piece.length) render(piece, at)
      best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e9)
    }
    return (32 * 2 ** 20) / 1e6 / best
  }
  const copy = rate((bytes) => Buffer.from(bytes))
  return [
    {
      name: 'dump as lines of address and value, MB of dump',
      value: rate(pairLines),
      unit: 'MB/s',
      peer: 'copy',
      peerValue: copy,
    },
    { name: 'dump as --hex, MB of dump', value: rate(hexRows), unit: 'MB/s', peer: 'copy', peerValue: copy },
  ]
}

/** A whole process over a 64 MB resource dump; the growth of its memory is that over a dump of 32 KB. */
function decoding(folder) {
  const [large, small] = [path.join(folder, 'large.bin'), path.join(folder, 'small.bin')]
  writeDump(small, 32 * 1024)
  writeDump(large, DECODED)
  const script = `${timed}
    for turn in $(seq ${TURNS}); do
      timed large ${ours} decode ${large}
      timed small ${ours} decode ${small}
      timed od od -A x -t x1 ${large}
    done`
  const found = least(execFileSync('bash', ['-c', script], { encoding: 'utf8' }))
  const size = statSync(large).size / 1e6
  const memory = (file) => {
    const { stdout } = spawnSync(
      'bash',
      [
        '-c',
        `${ours} decode ${file} >/dev/null & pid=$!; peak=0
      while [ -r /proc/$pid/status ]; do now=$(awk '/VmHWM/{print $2}' /proc/$pid/status 2>/dev/null); [ -n "$now" ] && peak=$now; [ -n "$now" ] || break; sleep 0.01; done; wait; echo $peak`,
      ],
      { encoding: 'utf8' },
    )
    return Number(stdout) / 1024
  }
  return [
    {
      name: 'decode of a 64 MB resource dump, whole process',
      value: (size / found.get('large')) * 1000,
      unit: 'MB/s',
      peer: 'od -t x1',
      peerValue: (size / found.get('od')) * 1000,
    },
    {
      name: 'decode of a 64 MB resource dump, peak memory',
      value: memory(large),
      unit: 'MB',
      peer: 'of a 32 KB one',
      peerValue: memory(small),
    },
  ]
}

/** Info, command, then resources of 16 KiB, then the end. */
function writeDump(file, length) {
  const fd = openSync(file, 'w')
  const words = (...numbers) => Buffer.from(Uint32Array.from(numbers).buffer).swap32()
  writeSync(fd, words(0x0004fffe, 1, 0x212, 0x162c040c, 0x0005fffa, 0x30010000, 0, 0, 0))
  const payload = Buffer.from(Uint32Array.from({ length: 4096 }, (_, index) => Math.imul(index, 0x9e3779b1)).buffer)
  const segment = Buffer.concat([words((4100 << 16) | 0x3001, 0, 0, 0), payload])
  for (let at = 0; at < length; at += segment.length) writeSync(fd, segment)
  writeSync(fd, words(0x0001fffb))
  closeSync(fd)
}

function registers() {
  if (!existsSync(mstflint)) {
    console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): no register dump beside it')
    return []
  }
  const loader = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  const theirs = `${path.join(loader.parentPath, loader.name)} --library-path ${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu ${mstflint}/usr/bin/mstregdump`
  const script = `${timed}
    mount -t tmpfs none /usr/share && mkdir /${share} && mount --bind ${mstflint}/${share} /${share}
    for turn in 1 2; do
      timed theirs ${theirs} 03:00.0
      timed ours ${ours} regdump 03:00.0 --transport pci
    done`
  const found = least(
    spawnSync(process.execPath, [bin, 'emulate', '--', 'bash', '-c', script], { encoding: 'utf8' }).stdout,
  )
  return [
    {
      name: 'regdump of 95,467 registers over PCI, whole process (minimum of 2)',
      value: found.get('ours') / 1000,
      unit: 's',
      peer: 'mstregdump',
      peerValue: found.get('theirs') / 1000,
    },
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
