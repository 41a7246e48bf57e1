// Start-up and peak memory of `info emu:connectx6dx` against an empty Node.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const bin = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../bin/mlx5ctl.js')
const env = { ...process.env }
delete env.NODE_EXTRA_CA_CERTS
const ours = [bin, 'info', 'emu:connectx6dx']
const floor = ['-e', '0']

export async function rows() {
  const [time, floorTime] = minima(25)
  return [
    {
      name: 'start of info emu:connectx6dx (minimum of 25)',
      value: time,
      unit: 'ms',
      peer: 'node -e 0',
      peerValue: floorTime,
    },
    {
      name: 'peak memory of info emu:connectx6dx (median of 9)',
      value: peak(ours),
      unit: 'MB',
      peer: 'node -e 0',
      peerValue: peak(floor),
    },
  ]
}

/** Taken in turns, so that both see the same machine. */
function minima(count) {
  const best = [Infinity, Infinity]
  for (let round = 0; round < count; round++)
    for (const [index, argv] of [ours, floor].entries()) {
      const start = process.hrtime.bigint()
      spawnSync(process.execPath, argv, { env, stdio: 'ignore' })
      best[index] = Math.min(best[index], Number(process.hrtime.bigint() - start) / 1e6)
    }
  return best
}

/** VmHWM at exit, in MB. */
function peak(argv) {
  const hook =
    "process.on('exit',()=>require('fs').writeSync(2,'\\nVmHWM '+/VmHWM:\\s+(\\d+)/.exec(require('fs').readFileSync('/proc/self/status','utf8'))[1]))"
  const preload = `data:text/javascript,import{createRequire}from'node:module';const require=createRequire('/');${encodeURIComponent(hook)}`
  const values = Array.from({ length: 9 }, () => {
    const { stderr } = spawnSync(process.execPath, ['--import', preload, ...argv], { env, encoding: 'utf8' })
    return Number(/VmHWM (\d+)/.exec(stderr)[1]) / 1024
  })
  return values.sort((a, b) => a - b)[4]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
