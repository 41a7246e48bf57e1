import { readdirSync, readlinkSync } from 'node:fs'
import { Caller, Capability } from './caller'
import { openFwctl } from './driver-fwctl'
import { openMlx5ctl, type Uapi } from './driver-mlx5ctl'
import type { Opened, Tree } from './fuse/tree'
import type { Machine, OpenDriver } from './machine'
import { ConfigSpace } from './pci/config-space'
import { vpdImage } from './pci/vpd'
import { addTracefs } from './tracefs'

/** What the kernel gives as the size of an attribute of sysfs. */
const PAGE = 4096

/** PCI address of the n-th emulated function: 0000:03:00.0, 0000:04:00.0, ... */
export function pciAddress(index: number): string {
  return `0000:${(3 + index).toString(16).padStart(2, '0')}:00.0`
}

/** Real parts of /sys that stay reachable; they are bound over empty directories of the tree. PCI devices stay hidden. */
export function passedThrough(): string[] {
  const top = list('/sys').filter((name) => !['class', 'bus', 'devices', 'dev'].includes(name))
  const devices = list('/sys/devices').filter((name) => !name.startsWith('pci'))
  return [...top, ...devices.map((name) => `devices/${name}`)]
}

/** Builds /dev and /sys of a machine with these functions. */
export function buildTree(tree: Tree, machines: readonly Machine[], uapi: Uapi): void {
  for (const path of passedThrough()) tree.directory(`sys/${path}`)
  copyClasses(tree)
  for (const name of ['class/fwctl', 'class/misc', 'class/infiniband', 'class/net', 'bus/auxiliary/devices'])
    tree.directory(`sys/${name}`)
  tree.directory('sys/bus/pci/drivers/mlx5_core')
  tree.file('sys/module/mlx5_core/version', '6.15\n')
  tree.directory('dev/fwctl')
  for (const machine of machines) addFunction(tree, machine, uapi)
  addTracefs(tree, machines)
}

/** Classes of the real machine, by their links; those into PCI devices are left out. */
function copyClasses(tree: Tree): void {
  for (const name of list('/sys/class')) {
    tree.directory(`sys/class/${name}`)
    for (const entry of list(`/sys/class/${name}`)) {
      const target = linkTarget(`/sys/class/${name}/${entry}`)
      if (target !== undefined && !target.includes('/pci')) tree.link(`sys/class/${name}/${entry}`, target)
    }
  }
}

function addFunction(tree: Tree, machine: Machine, uapi: Uapi): void {
  const { pci, index } = machine
  const { identity } = machine.firmware.profile
  const home = `sys/devices/pci0000:00/${pci}`
  const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}\n`
  const files: Readonly<Record<string, string>> = {
    vendor: hex(0x15b3, 4),
    device: hex(identity.deviceId, 4),
    subsystem_vendor: hex(identity.subsystemVendor, 4),
    subsystem_device: hex(identity.subsystemDevice, 4),
    class: hex(0x020000, 6),
    revision: hex(identity.revision, 2),
    numa_node: '0\n',
    irq: '0\n',
    enable: '1\n',
    resource: `0x00000000f0000000 0x00000000f1ffffff 0x000000000014220c\n${`0x${'0'.repeat(16)} `.repeat(3).trim()}\n`,
    uevent: `DRIVER=mlx5_core\nPCI_CLASS=20000\nPCI_ID=15B3:${identity.deviceId.toString(16).toUpperCase()}\nPCI_SLOT_NAME=${pci}\n`,
  }
  for (const [name, text] of Object.entries(files)) tree.file(`${home}/${name}`, text)
  addConfigSpace(tree, home, machine)
  tree.link(`${home}/driver`, '../../../bus/pci/drivers/mlx5_core')
  tree.link(`${home}/subsystem`, '../../../bus/pci')
  tree.link(`sys/bus/pci/devices/${pci}`, `../../../devices/pci0000:00/${pci}`)
  tree.link(`sys/bus/pci/drivers/mlx5_core/${pci}`, `../../../../devices/pci0000:00/${pci}`)
  addMisc(tree, home, machine, uapi)
  addFwctl(tree, home, machine)
  addNames(tree, home, pci, index, machine)
}

function addMisc(tree: Tree, home: string, machine: Machine, uapi: Uapi): void {
  const auxiliary = `mlx5_core.ctl.${machine.index}`
  const path = home.replace('sys/', '')
  tree.file(`${home}/${auxiliary}/uevent`, `DRIVER=mlx5ctl.mlx5ctl\nMODALIAS=auxiliary:mlx5_core.ctl\n`)
  tree.link(`sys/bus/auxiliary/devices/${auxiliary}`, `../../../${path}/${auxiliary}`)
  tree.file(`${home}/${auxiliary}/misc/mlx5ctl-${auxiliary}/dev`, `10:${120 + machine.index}\n`)
  tree.link(`${home}/${auxiliary}/misc/mlx5ctl-${auxiliary}/device`, `../../../${auxiliary}`)
  if (uapi === 'v4') tree.link(`${home}/${auxiliary}/misc/mlx5ctl-${auxiliary}/mdev`, `../../../../${machine.pci}`)
  tree.link(`sys/class/misc/mlx5ctl-${auxiliary}`, `../../${path}/${auxiliary}/misc/mlx5ctl-${auxiliary}`)
  tree.device(`dev/mlx5ctl-${auxiliary}`, 0o600, (pid) => openNode(machine, openMlx5ctl(uapi), pid))
}

function addFwctl(tree: Tree, home: string, machine: Machine): void {
  const name = `fwctl${machine.index}`
  const path = home.replace('sys/', '')
  tree.file(`${home}/fwctl/${name}/dev`, `240:${machine.index}\n`)
  tree.file(`${home}/fwctl/${name}/uevent`, `MAJOR=240\nMINOR=${machine.index}\nDEVNAME=fwctl/${name}\n`)
  tree.link(`${home}/fwctl/${name}/device`, `../../../${machine.pci}`)
  tree.link(`${home}/fwctl/${name}/subsystem`, '../../../../../class/fwctl')
  tree.link(`sys/class/fwctl/${name}`, `../../${path}/fwctl/${name}`)
  tree.link(`sys/dev/char/240:${machine.index}`, `../../${path}/fwctl/${name}`)
  // A regular file of a FUSE mount has device number 0:0, and some programs look their node up by it.
  if (machine.index === 0) tree.link('sys/dev/char/0:0', `../../${path}/fwctl/${name}`)
  tree.device(`dev/fwctl/${name}`, 0o600, (pid) => openNode(machine, openFwctl, pid))
}

function addNames(tree: Tree, home: string, pci: string, index: number, machine: Machine): void {
  const rdma = `mlx5_${index}`
  const net = `enp${3 + index}s0f0np0`
  const path = home.replace('sys/', '')
  const { identity } = machine.firmware.profile
  const mac = `b8:ce:f6:00:00:${(index * 2).toString(16).padStart(2, '0')}`
  const rdmaFiles = {
    board_id: identity.psid,
    hca_type: `MT${identity.deviceId}`,
    node_type: '1: CA',
  }
  for (const [name, text] of Object.entries(rdmaFiles)) tree.file(`${home}/infiniband/${rdma}/${name}`, `${text}\n`)
  // What runs may be another version after a reset.
  tree.window(`${home}/infiniband/${rdma}/fw_ver`, 0o444, PAGE, {
    read: (offset, length) => Buffer.from(`${machine.firmware.flash.version}\n`).subarray(offset, offset + length),
  })
  tree.file(`${home}/infiniband/${rdma}/ports/1/state`, '4: ACTIVE\n')
  tree.link(`${home}/infiniband/${rdma}/device`, `../../../${pci}`)
  tree.link(`sys/class/infiniband/${rdma}`, `../../${path}/infiniband/${rdma}`)
  const netFiles = {
    address: mac,
    mtu: '1500',
    operstate: 'up',
    ifindex: String(100 + index),
    type: '1',
    dev_port: '0',
  }
  for (const [name, text] of Object.entries(netFiles)) tree.file(`${home}/net/${net}/${name}`, `${text}\n`)
  tree.link(`${home}/net/${net}/device`, `../../../${pci}`)
  tree.link(`sys/class/net/${net}`, `../../${path}/net/${net}`)
}

/** Config space with the gateway behind it, and the vital product data. */
function addConfigSpace(tree: Tree, home: string, machine: Machine): void {
  const config = new ConfigSpace(machine)
  // A tool reads hundreds of words in a row: its capabilities are looked up once.
  let last = { pid: 0, privileged: false }
  const isPrivileged = (pid: number): boolean => {
    if (last.pid !== pid) last = { pid, privileged: new Caller(pid).has(Capability.SYS_ADMIN) }
    return last.privileged
  }
  tree.window(`${home}/config`, 0o644, 4096, {
    read: (offset, length, pid) => config.read(offset, length, offset + length <= 64 || isPrivileged(pid)),
    write: (offset, data) => config.write(offset, data),
  })
  tree.file(`${home}/vpd`, vpdImage(machine.firmware.profile.vpd), 0o600)
}

/** Joins a file of the tree with a driver; one caller object for each process that uses it, while it is open. */
function openNode(machine: Machine, driver: OpenDriver, pid: number): Opened {
  const callers = new Map<number, Caller>()
  const callerOf = (id: number): Caller => {
    const known = callers.get(id)
    if (known !== undefined) return known
    const caller = new Caller(id)
    callers.set(id, caller)
    return caller
  }
  const file = driver(machine, callerOf(pid))
  return {
    ioctl: async (id, request, argument, input) => file.ioctl(callerOf(id), request, argument, input),
    release: () => {
      file.release()
      for (const caller of callers.values()) caller.close()
    },
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}
