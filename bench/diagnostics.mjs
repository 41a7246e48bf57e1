// Diagnostic counters: a stream of the emulated device at its top rate. 10 s, or MLX5CTL_BENCH_SECONDS.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const seconds = Number(process.env.MLX5CTL_BENCH_SECONDS ?? 10)
/** When the memory is looked at that the one in the end is compared with, in seconds. */
const EARLY = Math.min(10, seconds / 2)
/** Ticks that the emulated firmware needs for a sample, at 1 GHz. */
const { diagnosticCounters } = JSON.parse(readFileSync(path.join(root, 'fixtures/devices/connectx6dx.json'), 'utf8'))
const RATE = 1e9 / diagnosticCounters.fastestTicks
/** The counters of the one published example: a ring of 4096 samples, which is full after 382 ms. */
const counters = ['0x401', '0x2006', '0x40b']

export async function rows() {
  const found = []
  for (const [name, options] of [
    ['raw records', ['--raw']],
    ['csv', ['--format', 'csv']],
    ['summary only', ['-j']],
  ]) {
    const { records, lost, early, late } = await stream(options)
    const what = `diagcnt stream, 3 counters, ${seconds} s, ${name}`
    found.push(
      {
        name: `${what}: records`,
        value: records / seconds,
        unit: '1/s',
        peer: "the device's rate",
        peerValue: RATE * counters.length,
      },
      { name: `${what}: lost samples`, value: lost, unit: '', peer: 'sampled', peerValue: RATE * seconds },
      { name: `${what}: memory at the end`, value: late, unit: 'MB', peer: `after ${EARLY} s`, peerValue: early },
    )
  }
  return found
}

/** Runs a stream, what it writes going to nobody, and watches its memory. */
async function stream(options) {
  const args = ['diagcnt', 'stream', 'emu:connectx6dx', ...counters, '--duration', `${seconds}s`, ...options]
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stdout.resume()
  child.stderr.on('data', (data) => (stderr += data))
  let [early, late] = [0, 0]
  const started = Date.now()
  const watch = setInterval(() => {
    const now = memory(child.pid)
    late = Math.max(late, now)
    if (Date.now() - started <= EARLY * 1000) early = late
  }, 100)
  await new Promise((resolve) => child.on('close', resolve))
  clearInterval(watch)
  const [, records, lost] = /, (\d+) records; (\d+) samples lost/.exec(stderr) ?? []
  if (records === undefined) throw new Error(`the stream failed: ${stderr}`)
  return { records: Number(records), lost: Number(lost), early, late }
}

/** Peak of resident memory until now, in MB; 0 when the process is gone. */
function memory(pid) {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
