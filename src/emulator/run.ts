import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { accessSync, constants, existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { constants as os, tmpdir } from 'node:os'
import path from 'node:path'
import { Faults } from './faults'
import { loadProfile } from './profile'
import type { Uapi } from './driver-mlx5ctl'

export interface EmulateOptions {
  readonly profiles: readonly string[]
  readonly uapi: Uapi
  readonly fault?: string | undefined
  readonly stateFile?: string | undefined
  readonly logFile?: string | undefined
  readonly command: readonly string[]
  /** Aborted: the command is not started any more. */
  readonly signal?: AbortSignal | undefined
  /** The launcher of this program, which the command finds as mlx5ctl. */
  readonly launcher: string
}

/** What the server inside the namespace is told, in the environment variable of this name. */
export const insideVariable = 'MLX5CTL_EMULATE_INSIDE'

export interface InsideOptions extends EmulateOptions {
  readonly folder: string
}

/** Real nodes cannot be emulated here; the message says what is missing. */
class EmulationImpossible extends Error {
  override readonly name = 'EmulationImpossible'
  readonly kind: 'unsupported' | 'permission'
  readonly hint: string
  constructor(message: string, kind: 'unsupported' | 'permission', hint: string) {
    super(message)
    this.kind = kind
    this.hint = hint
  }
}

/**
 * Runs a command in a private mount namespace in which emulated devices are present. Resolves with its exit code, 128 + n
 * for signal n.
 * @throws EmulationImpossible, NameError (profile), ValueError (fault)
 */
export async function runEmulated(options: EmulateOptions): Promise<number> {
  for (const profile of options.profiles) loadProfile(profile)
  new Faults(options.fault)
  const unshare = findWayIn()
  if (options.signal?.aborted === true) return 128 + os.signals.SIGINT
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-emulate-'))
  try {
    const inside: InsideOptions = { ...options, signal: undefined, folder }
    // The channel carries the exit code, and its end tells the server that nobody waits any more.
    const child = spawn('unshare', [...unshare, process.execPath, path.join(__dirname, 'emulate-server.js')], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, [insideVariable]: JSON.stringify(inside) },
    })
    let told: number | undefined
    child.once('message', (code) => (told = Number(code)))
    const code = await exitCode(child)
    return told ?? code
  } finally {
    if (existsSync(folder)) rmdirSync(folder)
  }
}

/** Arguments of unshare(1). */
function findWayIn(): string[] {
  const inTry = 'emu:connectx6dx works everywhere, without nodes'
  if (!existsSync('/dev/fuse'))
    throw new EmulationImpossible(
      '/dev/fuse is absent',
      'unsupported',
      `load the fuse module (modprobe fuse); ${inTry}`,
    )
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    throw new EmulationImpossible('/dev/fuse is not accessible', 'permission', `run as root; ${inTry}`)
  }
  const root = process.getuid?.() === 0
  const args = root ? ['-m', '--propagation', 'private'] : ['-U', '-r', '-m']
  for (const program of ['unshare', 'mount'])
    if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
      throw new EmulationImpossible(`${program} is not installed`, 'unsupported', 'apt-get install util-linux mount')
  const trial = spawnSync('unshare', [...args, 'true'], { encoding: 'utf8' })
  if (trial.status !== 0) {
    const what = root ? 'a mount namespace' : 'a user namespace'
    const why = trial.stderr.trim()
    throw new EmulationImpossible(
      `${what} cannot be made: ${why}`,
      'permission',
      `run as root, outside of a container; ${inTry}`,
    )
  }
  return args
}

/** Waits for a child; signals to us are passed on to it, but for what a terminal sends to the whole group anyway. */
export async function exitCode(child: ChildProcess): Promise<number> {
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  const ignore = (): void => undefined
  process.on('SIGINT', process.stdin.isTTY ? ignore : pass)
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, pass)
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : os.signals[signal])))
    })
  } finally {
    process.removeListener('SIGINT', process.stdin.isTTY ? ignore : pass)
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.removeListener(signal, pass)
  }
}
