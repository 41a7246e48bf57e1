// Counters: whole processes against mstreg and mstlink 4.33 on the same emulated device, and reading in process against the bare
// commands of it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const mstflint = path.join(root, '.sources/mstflint-sid')
const share = 'usr/share/mstflint'
const TURNS = 5
const READS = 40

export async function rows() {
  const own = await inProcess()
  if (existsSync(mstflint)) return [...processes(), ...own]
  console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): only what is read in process')
  return own
}

const port = (group, priority = 0) =>
  `PPCNT local_port=1,grp=${group},prio_tc=${priority},swid=0,pnat=0,lp_msb=0,port_type=0,plane_ind=0,grp_profile=0,lp_gl=0`

/** The same registers: what `counters` reads for these groups, and what mstreg is told, one by one. */
const groups =
  'ieee_802_3 rfc_2863 rfc_2819 rfc_3635 eth_extended discard per_priority phy phy_statistical pcie_performance pcie_performance_2'
const registers = [
  ...[0, 1, 2, 3, 5, 6].map((group) => port(group)),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((priority) => port(16, priority)),
  ...[18, 22].map((group) => port(group)),
  ...[0, 4].map((group) => `MPCNT grp=${group},node=0,pcie_index=0,depth=0,DPNv=0`),
]

function processes() {
  const ours = `${process.execPath} ${bin}`
  const theirs = (tool) =>
    `${loader()} --library-path ${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu ${mstflint}/usr/bin/${tool}`
  const script = `
    mount -t tmpfs none /usr/share && mkdir /${share} && mount --bind ${mstflint}/${share} /${share}
    timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null 2>&1 || echo "failed $1" >&2; local end=$EPOCHREALTIME; echo "$1 $(( \${end/./} - \${start/./} ))"; }
    each() { ${registers.map((words) => `${theirs('mstreg')} -d fwctl0 --reg_name ${words.replace(' ', ' --get --indexes ')}`).join(' && ')}; }
    for turn in $(seq ${TURNS}); do
      timed counters ${ours} counters fwctl0 ${groups}
      timed link ${ours} counters fwctl0 link module phy phy_statistical
      timed mstlink ${theirs('mstlink')} -d fwctl0 -m -c
    done
    timed each each
    echo "commands $(${ours} counters fwctl0 ${groups} -v 2>&1 >/dev/null | grep -c op_mod)"`
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [bin, 'emulate', '--profile', 'connectx7', '--', 'bash', '-c', script],
    { encoding: 'utf8' },
  )
  if (stderr !== '') throw new Error(stderr)
  const found = new Map()
  for (const [, what, number] of stdout.matchAll(/^(\w+) (\d+)$/gm))
    found.set(what, Math.min(found.get(what) ?? Infinity, Number(number)))
  const milliseconds = (what) => found.get(what) / 1000
  return [
    {
      name: `counters of 11 groups over fwctl, ${found.get('commands')} commands, whole process (minimum of ${TURNS})`,
      value: milliseconds('counters'),
      unit: 'ms',
      peer: `mstreg --get for the same ${registers.length} registers, one after the other`,
      peerValue: milliseconds('each'),
    },
    {
      name: `counters link module phy phy_statistical (minimum of ${TURNS})`,
      value: milliseconds('link'),
      unit: 'ms',
      peer: 'mstlink -m -c',
      peerValue: milliseconds('mstlink'),
    },
  ]
}

function loader() {
  const entry = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  return path.join(entry.parentPath, entry.name)
}

/** All counters of a device again and again, as --watch reads them; the floor are its commands alone, answered by the same emulator. */
async function inProcess() {
  const { open, CounterReader, wantedGroups } = createRequire(import.meta.url)(path.join(root, 'dist/index.js'))
  const device = await open('emu:connectx7')
  try {
    const sent = []
    const { execute } = device.transport
    device.transport.execute = (request) => {
      sent.push({ ...request, inbox: request.inbox.slice() })
      return execute.call(device.transport, request)
    }
    const reader = new CounterReader(device, wantedGroups([]))
    await reader.read()
    sent.length = 0
    const { readings } = await reader.read()
    const requests = [...sent]
    device.transport.execute = execute
    const values = readings.reduce((sum, one) => sum + one.values.length, 0)
    const timed = async (work) => {
      await work()
      const start = performance.now()
      for (let turn = 0; turn < READS; turn++) await work()
      return (performance.now() - start) / READS
    }
    const floor = async () => {
      for (const request of requests) await device.transport.execute(request)
    }
    return [
      {
        name: `every counter of a device in process: ${values} values of ${readings.length} instances, ${requests.length} commands`,
        value: await timed(() => reader.read()),
        unit: 'ms',
        peer: 'the same commands, their answers thrown away',
        peerValue: await timed(floor),
      },
    ]
  } finally {
    await device.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
