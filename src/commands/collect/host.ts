import { closeSync, constants, openSync, readSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Interrupted, Unsupported } from '../../device/errors'
import { keyed, listNames, readText } from './files'
import { readFiles, type FilesRead } from './read-files'
import type { Produced, Surroundings } from './surroundings'

/** Modules that take part in what this tool sees. */
const modules = ['mlx5_core', 'mlx5_ib', 'mlx5ctl', 'mlx5_fwctl', 'fwctl', 'mlx5_vdpa', 'mlx5_vfio_pci', 'mlxfw']
/** Of the kernel's command line only these: it may hold passwords. */
const telling =
  /^(?:(?:intel_|amd_)?iommu|iommu\.\w+|pci|pcie_aspm|pcie_ports|lockdown|mlx5_core\.\w+|module\.sig_enforce|default_hugepagesz|hugepages(?:z)?|isolcpus|nohz_full|numa_balancing|crashkernel|kdump)(?:=|$)/

/** What the host is, as JSON (schema/bundle-host.json). */
export async function hostFacts(around: Surroundings): Promise<Produced> {
  const sysfs = around.options.sysfsRoot ?? '/sys'
  const lockdown = path.join(sysfs, 'kernel/security/lockdown')
  const folders = new Map(modules.map((name) => [name, path.join(sysfs, 'module', name)]))
  const wanted = [lockdown, ...[...folders.values()].flatMap(moduleFiles)]
  const read = await readFiles(
    wanted.map((file) => ({ file })),
    around,
  )
  const distribution: Record<string, string> = {}
  for (const line of readText('/etc/os-release')?.split('\n') ?? []) {
    const [, key, value] = /^(ID|VERSION_ID|PRETTY_NAME)="?([^"]*)"?$/.exec(line) ?? []
    if (key !== undefined && value !== undefined) distribution[key] = value
  }
  const facts = {
    schemaVersion: '1.0',
    kind: 'mlx5ctl host',
    hostname: os.hostname(),
    kernel: { name: os.type(), release: os.release(), version: os.version(), machine: os.machine() },
    distribution,
    uptime: Math.round(os.uptime()),
    cpus: os.availableParallelism(),
    memory: os.totalmem(),
    commandLine:
      readText('/proc/cmdline')
        ?.split(/\s+/)
        .filter((word) => telling.test(word)) ?? [],
    lockdown: read.text(lockdown) ?? null,
    tainted: Number(readText('/proc/sys/kernel/tainted') ?? 0),
    modules: keyed(modules, (name) => moduleFacts(folders.get(name) ?? '', read)),
  }
  return { text: `${JSON.stringify(facts, null, 2)}\n`, failure: read.failure }
}

const parametersOf = (folder: string): string[] => listNames(path.join(folder, 'parameters'))

function moduleFiles(folder: string): string[] {
  const own = ['version', 'srcversion', 'taint'].map((name) => path.join(folder, name))
  return [...own, ...parametersOf(folder).map((name) => path.join(folder, 'parameters', name))]
}

function moduleFacts(folder: string, read: FilesRead): Record<string, unknown> | undefined {
  if (listNames(folder).length === 0) return undefined
  const text = (name: string): string | null => read.text(path.join(folder, name)) ?? null
  return {
    version: text('version'),
    srcversion: text('srcversion'),
    taint: text('taint'),
    parameters: keyed(parametersOf(folder), (name) => text(`parameters/${name}`)),
  }
}

/** Bytes of a record of /dev/kmsg, at the most. */
const RECORD = 8192
const TURN = 500
/** The last ones count. */
const MOST_LINES = 20_000

/** Lines of the kernel log about mlx5 and about the devices, without waiting for more. @throws Unsupported */
export async function kernelLog({ options, signal, addresses }: Surroundings): Promise<Produced> {
  const file = path.join(options.devRoot ?? '/dev', 'kmsg')
  const isOurs = (text: string): boolean =>
    /mlx5|mlxfw|fwctl/i.test(text) || addresses.some((address) => text.includes(address))
  const lines: string[] = []
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new Unsupported(`there is no ${file}`)
    throw error
  }
  try {
    const buffer = Buffer.alloc(RECORD)
    for (let count = 1; ; count++) {
      const piece = nextPiece(fd, buffer)
      if (piece === undefined) break
      for (const record of piece.split(/\n(?=\d+,\d+,)/)) if (isOurs(record)) lines.push(logLine(record))
      if (lines.length > 2 * MOST_LINES) lines.splice(0, lines.length - MOST_LINES)
      if (count % TURN !== 0) continue
      await new Promise((resolve) => setImmediate(resolve))
      if (signal.aborted) throw new Interrupted(String(signal.reason))
    }
  } finally {
    closeSync(fd)
  }
  return { text: lines.slice(-MOST_LINES).join('') }
}

/** A record; undefined at the end. What was overwritten before it could be read is passed over. */
function nextPiece(fd: number, buffer: Buffer): string | undefined {
  for (;;) {
    try {
      const count = readSync(fd, buffer)
      return count === 0 ? undefined : buffer.toString('utf8', 0, count)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN') return undefined
      if (code !== 'EPIPE') throw error
    }
  }
}

/** "6,339,5140900,-;message" as dmesg shows it, with the level; lines of the record's own dictionary are left out. */
function logLine(record: string): string {
  const [, level = '0', time = '0', rest = record] = /^(\d+),\d+,(\d+)[^;]*;(.*)$/s.exec(record) ?? []
  const [message = ''] = rest.split('\n')
  const seconds = `${Math.floor(Number(time) / 1e6)}.${String(Number(time) % 1e6).padStart(6, '0')}`
  return `<${Number(level) & 7}>[${seconds.padStart(12)}] ${message}\n`
}
