// A support bundle against the sum of its parts: the command lines that its manifest names, each run alone.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const TURNS = 2

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    return [
      row(folder, ['emu:connectx6dx'], 'one device in process'),
      row(folder, ['mlx5_core.ctl.0', 'fwctl1', '0000:05:00.0'], 'three devices through nodes'),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Least time of some turns, in one emulated machine. */
function row(folder, devices, name) {
  const words = [...devices, '--skip', 'devlink-*', '--interval', '1ms']
  // What is left out (for other doors) is no part.
  const taken = run(folder, `mlx5ctl collect ${words.join(' ')} -o parts.tar.gz -j`)
  const parts = JSON.parse(taken)
    .data.items.filter(({ file, command }) => file !== null && command !== null)
    .map(({ command }) => command)
  writeFileSync(
    path.join(folder, 'parts.sh'),
    `set -o pipefail\n${parts.map((line) => `${line} | cat >part`).join('\n')}\n`,
  )
  const script = `timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null 2>&1; local end=$EPOCHREALTIME; echo "$1 $(( \${end/./} - \${start/./} ))"; }
    for turn in $(seq ${TURNS}); do
      timed whole mlx5ctl collect ${words.join(' ')} -o whole.tar.gz --force
      timed parts bash parts.sh
    done`
  const found = new Map()
  for (const [, what, number] of run(folder, script).matchAll(/^(\w+) (\d+)$/gm))
    found.set(what, Math.min(found.get(what) ?? Infinity, Number(number) / 1000))
  rmSync(path.join(folder, 'parts.tar.gz'))
  return {
    name: `collect of ${name}, ${parts.length} command lines`,
    value: found.get('whole'),
    unit: 'ms',
    peer: 'each alone, one after the other',
    peerValue: found.get('parts'),
  }
}

function run(folder, script) {
  const profiles = ['connectx6dx', 'connectx7', 'bluefield3'].flatMap((profile) => ['--profile', profile])
  return spawnSync(process.execPath, [bin, 'emulate', ...profiles, '--', 'bash', '-c', script], {
    encoding: 'utf8',
    cwd: folder,
    maxBuffer: 1 << 28,
  }).stdout
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
