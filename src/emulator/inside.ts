import { spawn, spawnSync } from 'node:child_process'
import { existsSync, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import { parentPort, Worker } from 'node:worker_threads'
import { builtInCatalogueFile, openCatalogue } from '../prm/catalogue'
import { Codec } from '../prm/codec'
import { Faults } from './faults'
import { Firmware } from './firmware/firmware'
import { endName, FuseServer } from './fuse/server'
import { Tree } from './fuse/tree'
import type { Log, Machine } from './machine'
import { loadProfile } from './profile'
import { exitCode, insideVariable, type InsideOptions } from './run'
import { keepState } from './state'
import { buildTree, passedThrough, pciAddress } from './sysfs'

/** The private /dev keeps these of the real one. */
const realNodes = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'fuse', 'console', 'ptmx', 'kmsg']
const realFolders = ['pts', 'shm', 'mqueue', 'net', 'hugepages']

const EXIT_INTERRUPTED = 130

/**
 * Inside the namespace: mounts the devices, serves them, runs the command and tells its exit code. Ends this process: a read
 * of /dev/fuse is pending in a thread of its own, which nothing else would end.
 */
export async function serveInside(options: InsideOptions): Promise<void> {
  const code = await serve(options).catch((error: unknown) => {
    process.stderr.write(`mlx5ctl emulate: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  })
  process.send?.(code, () => process.kill(process.pid, 'SIGKILL'))
}

async function serve(options: InsideOptions): Promise<number> {
  const fd = mountFuse(options.folder)
  await startServer({ options, fd })
  const interrupted = await catchInterrupt(() => mountNamespace(options))
  // An interruption before there is a command to take it.
  const code = interrupted ? EXIT_INTERRUPTED : await runCommand(options)
  existsSync(path.join(options.folder, 'fuse', endName))
  return code
}

/** The devices live in a thread of their own, so that what blocks it keeps no signal and no exit from being seen here. */
function startServer(work: ServedWork): Promise<void> {
  const worker = new Worker(__filename, { workerData: work })
  return new Promise((resolve, reject) => {
    worker.once('message', () => resolve())
    worker.once('error', reject)
  })
}

interface ServedWork {
  readonly options: InsideOptions
  readonly fd: number
}

/** What the thread does. */
export function serveDevices({ options, fd }: ServedWork): void {
  const log = openLog(options.logFile)
  const tree = new Tree()
  const machines = makeMachines(options, log)
  buildTree(tree, machines, options.uapi)
  const onEnd = (): void => {
    for (const { firmware, pci } of machines) log('final', { pci, ...firmware.objects.counts() })
  }
  const mayBlock = options.fault?.includes('delay') !== true
  parentPort?.postMessage('ready')
  // The message goes out with the next turn; then the thread may block.
  setImmediate(() => {
    new FuseServer(fd, tree, { mayBlock, onEnd })
      .serve()
      .catch((error: unknown) => writeSync(2, `mlx5ctl emulate: ${String(error)}\n`))
  })
}

/** Whether SIGINT came meanwhile. */
async function catchInterrupt(work: () => Promise<void>): Promise<boolean> {
  let interrupted = false
  const interrupt = (): void => void (interrupted = true)
  process.on('SIGINT', interrupt)
  await work()
  process.removeListener('SIGINT', interrupt)
  return interrupted
}

function makeMachines(options: InsideOptions, log: Log): Machine[] {
  const catalogue = openCatalogue([builtInCatalogueFile()])
  const codec = new Codec(catalogue)
  return options.profiles.map((name, index) => {
    const faults = new Faults(options.fault)
    const firmware = new Firmware(loadProfile(name), catalogue, codec, faults)
    if (options.stateFile !== undefined)
      keepState(firmware, index === 0 ? options.stateFile : `${options.stateFile}.${index}`)
    const pci = pciAddress(index)
    return {
      firmware,
      faults,
      pci,
      index,
      log: (event, details) => log(event, { pci, ...details }),
    }
  })
}

/** One JSON record a line, written at once: a killed run keeps what it had. */
function openLog(file: string | undefined): Log {
  if (file === undefined) return () => undefined
  const fd = openSync(file, 'a', 0o600)
  return (event, details) =>
    void writeSync(fd, `${JSON.stringify({ time: new Date().toISOString(), event, ...details })}\n`)
}

function mountFuse(folder: string): number {
  run(`mount -t tmpfs -o mode=755,size=16m tmpfs '${folder}' && mkdir '${folder}/fuse' '${folder}/dev' '${folder}/bin'`)
  const fd = openSync('/dev/fuse', 'r+')
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions'
  const mounted = spawnSync(
    'mount',
    ['-i', '-t', 'fuse', '-o', options, 'mlx5ctl-emulate', path.join(folder, 'fuse')],
    {
      stdio: ['ignore', 'ignore', 'pipe', fd],
      encoding: 'utf8',
    },
  )
  if (mounted.status !== 0) throw new Error(`the FUSE mount failed: ${mounted.stderr.trim()}`)
  return fd
}

async function mountNamespace({ folder, launcher, profiles }: InsideOptions): Promise<void> {
  const dev = `${folder}/dev`
  const lines = [
    'set -e',
    ...realNodes.map(
      (name) => `if [ -e /dev/${name} ]; then : >'${dev}/${name}'; mount --bind /dev/${name} '${dev}/${name}'; fi`,
    ),
    ...realFolders.map(
      (name) => `if [ -d /dev/${name} ]; then mkdir '${dev}/${name}'; mount --rbind /dev/${name} '${dev}/${name}'; fi`,
    ),
    `ln -s /proc/self/fd '${dev}/fd'; ln -s fd/0 '${dev}/stdin'; ln -s fd/1 '${dev}/stdout'; ln -s fd/2 '${dev}/stderr'`,
    `mkdir '${dev}/fwctl'; mount --bind '${folder}/fuse/dev/fwctl' '${dev}/fwctl'`,
    ...profiles
      .map((_, index) => `mlx5ctl-mlx5_core.ctl.${index}`)
      .map((name) => `: >'${dev}/${name}'; mount --bind '${folder}/fuse/dev/${name}' '${dev}/${name}'`),
    ...passedThrough().map(
      (name) => `if [ -d '/sys/${name}' ]; then mount --rbind '/sys/${name}' '${folder}/fuse/sys/${name}'; fi`,
    ),
    `mount --rbind '${folder}/fuse/sys' /sys`,
    `mount --rbind '${dev}' /dev`,
    `printf '#!/bin/sh\\nexec "%s" "%s" "$@"\\n' '${process.execPath}' '${launcher}' >'${folder}/bin/mlx5ctl'`,
    `chmod 755 '${folder}/bin/mlx5ctl'`,
  ]
  const child = spawn('sh', ['-c', lines.join('\n')], { stdio: ['ignore', 'ignore', 'inherit'] })
  const code = await exitCode(child)
  if (code !== 0) throw new Error(`the private /dev and /sys could not be mounted (exit ${code})`)
}

async function runCommand({ command, folder }: InsideOptions): Promise<number> {
  const [file = 'true', ...argv] = command
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${folder}/bin:${process.env.PATH ?? '/usr/bin:/bin'}` }
  delete env[insideVariable]
  const child = spawn(file, argv, { stdio: 'inherit', env })
  process.once('disconnect', () => child.kill('SIGKILL'))
  try {
    return await exitCode(child)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    process.stderr.write(
      `mlx5ctl emulate: ${file}: ${code === 'ENOENT' ? 'command not found' : (error as Error).message}\n`,
    )
    return code === 'ENOENT' ? 127 : 126
  }
}

function run(script: string): void {
  const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
  if (status !== 0) throw new Error(stderr.trim())
}
