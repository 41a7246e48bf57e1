// One command through addon and emulated node, against a C client in the same emulated machine.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const COUNT = 3000

const program = `
const { open } = require(${JSON.stringify(path.join(root, 'dist/index.js'))})
const main = async () => {
  const device = await open(process.argv[2])
  const command = device.catalogue.command('QUERY_HCA_CAP')
  const inbox = new Uint8Array(16)
  inbox.set([1, 0, 0, 0, 0, 0, 0, 1])
  const run = async (count) => { for (let i = 0; i < count; i++) await device.transport.execute({ inbox, outboxLength: 4112, scope: 0 }) }
  await run(200)
  const start = process.hrtime.bigint()
  await run(${COUNT})
  console.log(Number(process.hrtime.bigint() - start) / 1e3 / ${COUNT})
  await device.close()
}
main()`

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    execFileSync('cc', [
      '-D_GNU_SOURCE',
      '-O2',
      '-o',
      path.join(folder, 'client'),
      path.join(root, 'test/oracle/client.c'),
    ])
    writeFileSync(path.join(folder, 'ours.cjs'), program)
    return [
      measure(folder, 'mlx5ctl', 'mlx5_core.ctl.0', '/dev/mlx5ctl-mlx5_core.ctl.0'),
      measure(folder, 'fwctl', 'fwctl0', '/dev/fwctl/fwctl0'),
    ].flat()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Both in turns inside one emulated machine; the least of three. */
function measure(folder, driver, name, node) {
  const script = `for i in 1 2 3; do ${process.execPath} ${folder}/ours.cjs ${name}; ${folder}/client ${driver} ${node} bench ${COUNT}; done`
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(root, 'bin/mlx5ctl.js'), 'emulate', '--', 'bash', '-c', script],
    { encoding: 'utf8' },
  )
  const times = stdout.trim().split('\n').map(Number)
  if (times.length !== 6 || times.some(Number.isNaN)) {
    console.error(`bench: ${driver}: ${stderr || stdout}`)
    return []
  }
  const least = (parity) => Math.min(...times.filter((_, index) => index % 2 === parity))
  return [
    {
      name: `QUERY_HCA_CAP over ${driver}, addon and emulated node`,
      value: least(0),
      unit: 'us',
      peer: 'C client, same node',
      peerValue: least(1),
    },
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
