import { existsSync } from 'node:fs'
import path from 'node:path'
import { type DeviceIdentity, OpenError, type Transport, type TransportKind } from './contract'
import type { Tape } from './replay'
import { deviceBehind, type DeviceEntry, type Door, isPciFunction, listDevices, type Roots } from './discover'

export { listDevices }

export interface OpenOptions extends Roots {
  /** Only this door. */
  readonly transport?: TransportKind | undefined
  /** State file of an emulated device. */
  readonly stateFile?: string | undefined
  /** Faults of an emulated device. */
  readonly fault?: string | undefined
  /** Take away semaphores of the PCI door that a tool left behind when it was killed. */
  readonly clearSemaphore?: boolean | undefined
  /** File to write a recording to. */
  readonly record?: string | undefined
  /** Of the run that this opening belongs to. */
  readonly tapes?: Tapes | undefined
}

/** Recordings that one run writes and replays: each opening of a device goes on where the one before it ended. */
export class Tapes {
  readonly written = new Set<string>()
  readonly replayed = new Map<string, Tape>()
}

/**
 * Opens a device by any of its names: a node, a number, a PCI address, an RDMA or network name, emu:PROFILE, replay:FILE.
 * A real name never falls back to the emulator.
 * @throws OpenError that lists what was looked for and what there is
 */
export async function openTransport(name: string, options: OpenOptions = {}): Promise<Transport> {
  const transport = await openNamed(name, options)
  if (options.record === undefined) return transport
  const { recordTransport } = await import('./recording')
  const recorded = await recordTransport(transport, options.record, options.tapes?.written.has(options.record))
  options.tapes?.written.add(options.record)
  return recorded
}

async function openNamed(name: string, options: OpenOptions): Promise<Transport> {
  const [scheme, rest] = splitScheme(name)
  if (scheme === 'emu') {
    const { openEmulated } = await import('../emulator/in-process')
    return openEmulated(rest, options)
  }
  if (scheme === 'replay') {
    const { openReplay, readTape } = await import('./replay')
    const tape = options.tapes?.replayed.get(rest) ?? readTape(rest)
    options.tapes?.replayed.set(rest, tape)
    return openReplay(rest, tape)
  }
  const { entry, doors } = findDoors(name, options)
  const wanted = options.transport === undefined ? doors : doors.filter((door) => door.transport === options.transport)
  const [door] = wanted
  if (door === undefined) throw notFound(name, listDevices(options), options)
  return openDoor(door, identity(door, entry), options)
}

async function openDoor(door: Door, device: DeviceIdentity, options: OpenOptions): Promise<Transport> {
  const where = options.sysfsRoot === undefined ? {} : { sysfsRoot: options.sysfsRoot }
  if (door.transport === 'mlx5ctl') return (await import('./mlx5ctl')).openMlx5ctl(device, where)
  if (door.transport === 'fwctl') return (await import('./fwctl')).openFwctl(device, where)
  return (await import('./pci')).openPci(device, { ...where, clearSemaphore: options.clearSemaphore })
}

function splitScheme(name: string): [string, string] {
  const match = /^(emu|replay):(.*)$/s.exec(name)
  return match === null ? ['', name] : [match[1] ?? '', match[2] ?? '']
}

interface Found {
  readonly entry: DeviceEntry | undefined
  readonly doors: readonly Door[]
}

function findDoors(name: string, options: OpenOptions): Found {
  const node = nodeCandidates(name, options.devRoot ?? '/dev').find((candidate) => existsSync(candidate.node))
  if (node !== undefined) return { entry: deviceBehind(node, options), doors: [node] }
  const lower = name.toLowerCase()
  const entry = listDevices(options).find(
    ({ pci, rdma, net }) => pci === lower || pci === `0000:${lower}` || rdma.includes(name) || net.includes(name),
  )
  if (entry !== undefined) return { entry, doors: entry.doors }
  // A function without a driver, or with another one, has no names but its config space is there.
  const bdf = [lower, `0000:${lower}`].find((address) => isPciFunction(address, options))
  return { entry: undefined, doors: bdf === undefined ? [] : [{ transport: 'pci', node: bdf }] }
}

/** Nodes that a name can mean, best first. */
function nodeCandidates(name: string, devRoot: string): Door[] {
  const misc = (auxiliary: string): Door => ({ transport: 'mlx5ctl', node: path.join(devRoot, `mlx5ctl-${auxiliary}`) })
  const fwctl = (own: string): Door => ({ transport: 'fwctl', node: path.join(devRoot, 'fwctl', own) })
  if (name.includes('/')) {
    const base = path.basename(name)
    if (base.startsWith('mlx5ctl-')) return [{ transport: 'mlx5ctl', node: name }]
    return /^fwctl\d+$/.test(base) ? [{ transport: 'fwctl', node: name }] : []
  }
  if (/^\d+$/.test(name)) return [misc(`mlx5_core.ctl.${name}`), fwctl(`fwctl${name}`)]
  if (/^fwctl\d+$/.test(name)) return [fwctl(name)]
  if (name.startsWith('mlx5ctl-')) return [misc(name.slice('mlx5ctl-'.length))]
  return /^mlx5_core\.ctl\.\d+$/.test(name) ? [misc(name)] : []
}

function identity(door: Door, entry: DeviceEntry | undefined): DeviceIdentity {
  const { transport, node } = door
  if (entry === undefined) return { transport, node, rdma: [], net: [] }
  const names = Object.entries(entry).filter(([key]) => !['doors', 'firmware', 'psid'].includes(key))
  return { ...(Object.fromEntries(names) as Pick<DeviceEntry, 'rdma' | 'net'>), transport, node }
}

function notFound(name: string, entries: readonly DeviceEntry[], options: OpenOptions): OpenError {
  const looked = [...nodeCandidates(name, options.devRoot ?? '/dev').map((door) => door.node)]
  if (!name.includes('/')) looked.push('PCI addresses', 'RDMA names', 'network names')
  const there = entries.flatMap(({ pci, doors, rdma, net }) => [
    pci,
    ...doors.map((door) => path.basename(door.node)),
    ...rdma,
    ...net,
  ])
  const unique = [...new Set(there.filter((one) => one !== undefined))]
  const which = options.transport === undefined ? name : `${name} through ${options.transport}`
  return new OpenError(
    `there is no device ${which}; looked for ${looked.join(', ')}; there ${unique.length === 0 ? 'is none' : `are ${unique.join(', ')}`}`,
    'not-found',
    {
      hint:
        entries.length === 0
          ? 'is mlx5_core loaded? emu:connectx6dx is a device to try the tool with'
          : 'mlx5ctl list shows them',
    },
  )
}
