import { readFileSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import path from 'node:path'

/** A way into a function. */
export interface Door {
  readonly transport: 'mlx5ctl' | 'fwctl' | 'pci'
  readonly node: string
}

/** One mlx5 function (PF, VF or SF) and all the names it goes by. */
export interface DeviceEntry {
  readonly pci?: string
  readonly auxiliary?: string
  readonly rdma: readonly string[]
  readonly net: readonly string[]
  readonly vendorId?: number
  readonly deviceId?: number
  readonly driver?: string
  /** As the RDMA device tells them, without opening anything. */
  readonly firmware?: string
  readonly psid?: string
  /** Best first. */
  readonly doors: readonly Door[]
}

export interface Roots {
  readonly devRoot?: string | undefined
  readonly sysfsRoot?: string | undefined
}

const BDF = /^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/
const SF = /^mlx5_core\.sf\.\d+$/
const VENDOR_MELLANOX = 0x15b3

/**
 * Every mlx5 function, by PCI address, then by name. What cannot be read is left out, never an error: entries come and go
 * while this looks.
 */
export function listDevices({ devRoot = '/dev', sysfsRoot = '/sys' }: Roots = {}): DeviceEntry[] {
  const sysfs = new Sysfs(sysfsRoot)
  const found = new Map<string, Draft>()
  const draft = (key: string): Draft => {
    const known = found.get(key)
    if (known !== undefined) return known
    const fresh: Draft = { ...keys(key), auxiliary: undefined, doors: [] }
    found.set(key, fresh)
    return fresh
  }
  for (const bdf of sysfs.list('bus/pci/devices')) if (sysfs.isMlx5(bdf)) draft(bdf)
  for (const name of entries(devRoot)
    .filter((entry) => entry.startsWith('mlx5ctl-'))
    .sort(byNumber)) {
    const auxiliary = name.slice('mlx5ctl-'.length)
    const parent = draft(sysfs.parentOfAuxiliary(auxiliary) ?? auxiliary)
    parent.auxiliary ??= auxiliary
    parent.doors.push({ transport: 'mlx5ctl', node: path.join(devRoot, name) })
  }
  for (const name of fwctlNames(devRoot, sysfs)) {
    const parent = sysfs.deviceOf(`class/fwctl/${name}`)
    if (parent !== undefined && BDF.test(parent) && !sysfs.isMlx5(parent)) continue
    draft(parent ?? name).doors.push({ transport: 'fwctl', node: path.join(devRoot, 'fwctl', name) })
  }
  return [...found.values()].map((each) => withFirmware(each, finish(each, sysfs), sysfs)).sort(byAddress)
}

/** The function behind a driver's node, without a look at any other: hosts have hundreds of them. */
export function deviceBehind(door: Door, { sysfsRoot = '/sys' }: Roots = {}): DeviceEntry {
  const sysfs = new Sysfs(sysfsRoot)
  const name = path.basename(door.node)
  const auxiliary = door.transport === 'mlx5ctl' ? name.replace(/^mlx5ctl-/, '') : undefined
  const parent = auxiliary === undefined ? sysfs.deviceOf(`class/fwctl/${name}`) : sysfs.parentOfAuxiliary(auxiliary)
  return finish({ ...keys(parent ?? name), auxiliary, doors: [door] }, sysfs)
}

/** What the name of a device says that it is. */
function keys(name: string): Pick<Draft, 'pci' | 'sf'> {
  return { pci: BDF.test(name) ? name : undefined, sf: SF.test(name) ? name : undefined }
}

/** Whether there is a function of this vendor at a PCI address, with whatever driver or none. */
export function isPciFunction(address: string, { sysfsRoot = '/sys' }: Roots = {}): boolean {
  return BDF.test(address) && new Sysfs(sysfsRoot).number(`bus/pci/devices/${address}/vendor`) === VENDOR_MELLANOX
}

interface Draft {
  readonly pci: string | undefined
  readonly sf: string | undefined
  auxiliary: string | undefined
  readonly doors: Door[]
}

/** An SF is an auxiliary device, with the same folders in it. */
function folderOf({ pci, sf }: Pick<Draft, 'pci' | 'sf'>): string | undefined {
  return pci !== undefined ? `bus/pci/devices/${pci}` : sf === undefined ? undefined : `bus/auxiliary/devices/${sf}`
}

function finish({ pci, sf, auxiliary, doors }: Draft, sysfs: Sysfs): DeviceEntry {
  const folder = folderOf({ pci, sf })
  const vendorId = folder === undefined ? undefined : sysfs.number(`${folder}/vendor`)
  const deviceId = folder === undefined ? undefined : sysfs.number(`${folder}/device`)
  const driver = folder === undefined ? undefined : sysfs.linkName(`${folder}/driver`)
  const rdma = folder === undefined ? [] : sysfs.list(`${folder}/infiniband`).sort(byNumber)
  return {
    ...(pci === undefined ? {} : { pci }),
    ...(auxiliary === undefined ? {} : { auxiliary }),
    rdma,
    net: folder === undefined ? [] : sysfs.list(`${folder}/net`).sort(byNumber),
    ...(vendorId === undefined ? {} : { vendorId }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(driver === undefined ? {} : { driver }),
    doors: pci === undefined ? doors : [...doors, { transport: 'pci', node: pci }],
  }
}

/** Adds what the first RDMA device of a function tells. */
function withFirmware(device: Draft, entry: DeviceEntry, sysfs: Sysfs): DeviceEntry {
  const [rdma] = entry.rdma
  if (rdma === undefined) return entry
  const folder = `${folderOf(device)}/infiniband/${rdma}`
  const firmware = sysfs.text(`${folder}/fw_ver`)
  const psid = sysfs.text(`${folder}/board_id`)
  return { ...entry, ...(firmware === undefined ? {} : { firmware }), ...(psid === undefined ? {} : { psid }) }
}

function fwctlNames(devRoot: string, sysfs: Sysfs): string[] {
  const names = new Set(entries(path.join(devRoot, 'fwctl')))
  return [...names].filter((name) => /^fwctl\d+$/.test(name) && sysfs.mayBeMlx5(`class/fwctl/${name}`)).sort(byNumber)
}

class Sysfs {
  constructor(private readonly root: string) {}

  list(folder: string): string[] {
    return entries(path.join(this.root, folder))
  }

  text(file: string): string | undefined {
    try {
      const text = readFileSync(path.join(this.root, file), 'utf8').trim()
      return text === '' ? undefined : text
    } catch {
      return undefined
    }
  }

  number(file: string): number | undefined {
    const value = Number(this.text(file) ?? Number.NaN)
    return Number.isSafeInteger(value) ? value : undefined
  }

  linkName(link: string): string | undefined {
    try {
      return path.basename(readlinkSync(path.join(this.root, link)))
    } catch {
      return undefined
    }
  }

  isMlx5(bdf: string): boolean {
    const folder = `bus/pci/devices/${bdf}`
    return this.number(`${folder}/vendor`) === VENDOR_MELLANOX && this.linkName(`${folder}/driver`) === 'mlx5_core'
  }

  /** False only when sysfs says that it is another's. */
  mayBeMlx5(entry: string): boolean {
    const driver = this.linkName(`${entry}/device/driver`)
    return driver === undefined || driver === 'mlx5_core'
  }

  /** Name of the device a class entry belongs to: a PCI address, or an SF. */
  deviceOf(entry: string): string | undefined {
    try {
      return path.basename(realpathSync(path.join(this.root, entry, 'device')))
    } catch {
      return undefined
    }
  }

  /** The function an auxiliary device belongs to; before V4 of the driver there is no link but the path itself. */
  parentOfAuxiliary(name: string): string | undefined {
    try {
      return path.basename(path.dirname(realpathSync(path.join(this.root, 'bus/auxiliary/devices', name))))
    } catch {
      return undefined
    }
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

/** PCI functions first, by address; then what has none, by name. */
function byAddress(a: DeviceEntry, b: DeviceEntry): number {
  if ((a.pci === undefined) !== (b.pci === undefined)) return a.pci === undefined ? 1 : -1
  const key = ({ pci, auxiliary, doors }: DeviceEntry): string => pci ?? auxiliary ?? doors[0]?.node ?? ''
  return byNumber(key(a), key(b))
}
