// NV configuration: whole processes against mstconfig 4.33 on the same emulated device, and the register accesses of each.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './support/library.mjs'

const mstflint = path.join(root, '.sources/mstflint-sid')
const share = 'usr/share/mstflint'
const TURNS = 5

export async function rows() {
  if (!existsSync(mstflint)) {
    console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): nothing to compare with')
    return []
  }
  return [...measure('fwctl0', TURNS), ...measure('03:00.0', 2)]
}

function measure(door, turns) {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  const log = path.join(folder, 'log')
  const ours = `${process.execPath} ${root}/bin/mlx5ctl.js config query ${door}${door === 'fwctl0' ? '' : ' --transport pci'} -e`
  const loader = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  const theirs = `${path.join(loader.parentPath, loader.name)} --library-path ${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu ${mstflint}/usr/bin/mstconfig -d ${door} -e q`
  const two = 'NUM_OF_VFS SRIOV_EN'
  const lines = { all: ours, 'their-all': theirs, two: `${ours} ${two}`, 'their-two': `${theirs} ${two}` }
  const script = `
    mount -t tmpfs none /usr/share && mkdir /${share} && mount --bind ${mstflint}/${share} /${share}
    timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null 2>&1; local end=$EPOCHREALTIME; echo "time $1 $(( \${end/./} - \${start/./} ))"; }
    counted() { local before=$(grep -cE '"(register|command)"' ${log}); "\${@:2}" >/dev/null 2>&1; echo "count $1 $(( $(grep -cE '"(register|command)"' ${log}) - before ))"; }
    ${Object.entries(lines)
      .map(([name, line]) => `counted ${name} ${line}`)
      .join('\n')}
    for turn in $(seq ${turns}); do
      ${Object.entries(lines)
        .map(([name, line]) => `timed ${name} ${line}`)
        .join('\n')}
    done`
  try {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        path.join(root, 'bin/mlx5ctl.js'),
        'emulate',
        '--profile',
        'bluefield3',
        '--log',
        log,
        '--',
        'bash',
        '-c',
        script,
      ],
      { encoding: 'utf8' },
    )
    const time = new Map()
    const count = new Map()
    for (const [, kind, name, number] of stdout.matchAll(/^(time|count) ([\w-]+) (\d+)$/gm))
      if (kind === 'count') count.set(name, number)
      else time.set(name, Math.min(time.get(name) ?? Infinity, Number(number) / 1000))
    if (!time.has('their-two')) throw new Error(stderr || readFileSync(log, 'utf8').slice(-300))
    const row = (what, own) => ({
      name: `config query -e ${what} over ${door}, ${count.get(own)} accesses`,
      value: time.get(own),
      unit: 'ms',
      peer: `mstconfig, ${count.get(`their-${own}`)} accesses`,
      peerValue: time.get(`their-${own}`),
    })
    return [row('of 410 parameters', 'all'), row('of 2 parameters', 'two')]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
