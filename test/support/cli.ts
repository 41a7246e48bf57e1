import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'

/** The launcher of the built program. */
export const bin = path.resolve(__dirname, '../../bin/mlx5ctl.js')

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the built program; never throws for an exit code. */
export function mlx5ctl(...argv: string[]): Outcome {
  return run(process.execPath, [bin, ...argv])
}

/** Runs a shell script inside `mlx5ctl emulate`, where the name `mlx5ctl` is the built program. */
export function emulated(script: string, ...options: string[]): Outcome {
  return mlx5ctl('emulate', ...options, '--', 'bash', '-c', script)
}

/** What the emulator wrote with --log, a line of JSON for each thing it saw. */
export interface LoggedEvent {
  readonly event: string
  readonly name?: string
  readonly [what: string]: unknown
}

export const eventsOf = (log: string): LoggedEvent[] =>
  readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LoggedEvent)

/** The last event of a device in which nobody left anything. */
export const nothingLeft = { event: 'final', umems: 0, mkeys: 0, pds: 0, contexts: 0, tracers: 0 } as const

function run(file: string, argv: string[]): Outcome {
  const { status, stdout, stderr, error } = spawnSync(file, argv, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 400_000,
  })
  if (error !== undefined) throw error
  return { status, stdout, stderr }
}
