import { readlinkSync } from 'node:fs'
import path from 'node:path'
import { Unsupported } from '../../device/errors'
import { listDevices } from '../../transport/open'
import { keyed, listNames } from './files'
import { readFiles } from './read-files'
import type { Produced, Surroundings } from './surroundings'

/** Files of a PCI function that are read; no others. A star stands for one name. */
const files = [
  ...['vendor', 'device', 'subsystem_vendor', 'subsystem_device', 'class', 'revision', 'modalias', 'enable', 'irq'],
  ...['numa_node', 'local_cpulist', 'power_state', 'd3cold_allowed', 'broken_parity_status', 'reset_method'],
  ...['current_link_speed', 'current_link_width', 'max_link_speed', 'max_link_width', 'resource'],
  ...['sriov_numvfs', 'sriov_totalvfs', 'sriov_drivers_autoprobe', 'sriov_vf_device'],
  ...['aer_dev_correctable', 'aer_dev_nonfatal', 'aer_dev_fatal'],
  ...['address', 'mtu', 'operstate', 'carrier', 'carrier_changes', 'speed', 'duplex', 'ifindex', 'type', 'dev_port']
    .concat(['phys_port_name', 'phys_switch_id', 'statistics/*'])
    .map((name) => `net/*/${name}`),
  ...['fw_ver', 'board_id', 'hca_type', 'hw_rev', 'node_type', 'node_guid', 'sys_image_guid', 'node_desc']
    .concat(['ports/*/state', 'ports/*/phys_state', 'ports/*/rate', 'ports/*/link_layer', 'ports/*/lid'])
    .concat(['ports/*/cap_mask', 'ports/*/counters/*', 'ports/*/hw_counters/*', 'hw_counters/*'])
    .map((name) => `infiniband/*/${name}`),
  ...['name', 'temp*_input', 'temp*_label', 'temp*_crit', 'temp*_highest'].map((name) => `hwmon/*/${name}`),
]
const links = ['driver', 'iommu_group', 'physfn', 'subsystem']

/** What sysfs has of a device, as JSON (schema/bundle-sysfs.json). @throws Unsupported where there is nothing */
export async function sysfsFacts(around: Surroundings): Promise<Produced> {
  const address = deviceAddress(around)
  if (address === undefined) throw new Unsupported('it has no PCI address of this machine')
  const folder = path.join(around.options.sysfsRoot ?? '/sys', 'bus/pci/devices', address)
  const names = listNames(folder)
  if (names.length === 0) throw new Unsupported(`sysfs has no ${address}`)
  const found = files.flatMap((pattern) => matching(folder, pattern))
  const vpd = path.join(folder, 'vpd')
  const read = await readFiles(
    [...found.map((name) => ({ file: path.join(folder, name) })), { file: vpd, most: MOST_VPD }],
    around,
  )
  const facts = {
    schemaVersion: '1.0',
    kind: 'mlx5ctl sysfs',
    address,
    links: keyed(links, (name) => linkName(path.join(folder, name))),
    virtualFunctions: names.filter((name) => /^virtfn\d+$/.test(name)).length,
    files: keyed(found, (name) => read.text(path.join(folder, name))),
    vpd: vpdFields(read.bytes(vpd)),
  }
  return { text: `${JSON.stringify(facts, null, 2)}\n`, failure: read.failure }
}

/** PCI address of a device of this machine; an emulated or recorded one has none. */
export function deviceAddress({ name, identity, options }: Surroundings): string | undefined {
  if (/^(?:emu|replay):/.test(name)) return undefined
  if (identity !== undefined) return identity.pci
  const lower = name.toLowerCase()
  const entry = listDevices(options).find(
    ({ pci, rdma, net, doors }) =>
      pci === lower ||
      pci === `0000:${lower}` ||
      rdma.includes(name) ||
      net.includes(name) ||
      doors.some(({ node }) => node === name || path.basename(node).replace(/^mlx5ctl-/, '') === name),
  )
  return entry?.pci
}

function matching(folder: string, pattern: string): string[] {
  let found = ['']
  for (const part of pattern.split('/')) {
    const escaped = part.replace(/[.]/g, '\\.').replace(/\*/g, '.*')
    const expression = new RegExp(`^${escaped}$`)
    found = found.flatMap((base) =>
      part.includes('*')
        ? listNames(path.join(folder, base))
            .filter((name) => expression.test(name))
            .map((name) => path.join(base, name))
        : [path.join(base, part)],
    )
  }
  return found
}

function linkName(link: string): string | undefined {
  try {
    return path.basename(readlinkSync(link))
  } catch {
    return undefined
  }
}

const tag = { IDENTIFIER: 0x82, READ_ONLY: 0x90, READ_WRITE: 0x91, END: 0x78 } as const
const MOST_VPD = 4096

/** The fields of the vital product data by keyword, the product name as ID; null where it cannot be read. */
function vpdFields(bytes: Buffer | undefined): Record<string, string> | null {
  if (bytes === undefined || bytes[0] !== tag.IDENTIFIER) return null
  const fields: Record<string, string> = {}
  for (let at = 0; at + 3 <= bytes.length && bytes[at] !== tag.END;) {
    const kind = bytes[at]
    const body = bytes.subarray(at + 3, at + 3 + bytes.readUInt16LE(at + 1))
    if (kind === tag.IDENTIFIER) fields.ID = printable(body)
    else if (kind === tag.READ_ONLY || kind === tag.READ_WRITE) Object.assign(fields, keywords(body))
    else break
    at += 3 + body.length
  }
  return fields
}

function keywords(body: Buffer): Record<string, string> {
  const found: Record<string, string> = {}
  for (let at = 0; at + 3 <= body.length;) {
    const [name, length] = [body.toString('latin1', at, at + 2), body[at + 2] ?? 0]
    // RV has a checksum, RW what is free.
    if (/^[A-Z0-9]{2}$/.test(name) && name !== 'RV' && name !== 'RW')
      found[name] = printable(body.subarray(at + 3, at + 3 + length))
    at += 3 + length
  }
  return found
}

const printable = (bytes: Buffer): string =>
  bytes
    .toString('latin1')
    .replace(/\0+$/, '')
    .replace(/[^ -~]/g, '.')
    .trim()
