import type { Device } from '../device'
import { registerLeaves, type CounterGroup, type Labels, type Surroundings } from './reading'
import { elementsOf, gauge, info, textOf, valuesOf, type CounterValue, type FieldRules, type Leaf } from './values'

const perPort = ({ ports }: Surroundings): Labels[] => ports.map((port) => ({ port }))

/** Pages of PDDR (facts: F.4). */
export const page = {
  operational: 0,
  troubleshooting: 1,
  phy: 2,
  module: 3,
  linkDown: 6,
  linkUp: 8,
  latchedFlags: 9,
} as const

export const pageLeaves = (device: Device, port: number, which: keyof typeof page, more = {}): Promise<Leaf[]> =>
  registerLeaves(device, 'PDDR', { local_port: port, page_select: page[which], ...more }, 'page_data')

const OPERATIONAL_FIELDS = ['proto_active', 'neg_mode_active', 'phy_mngr_fsm_state', 'fec_mode_active', 'loopback_mode']

/** Values of proto_active and of proto_mask (facts: the register file of mstflint). */
const INFINIBAND = 1
const NVLINK_ACTIVE = 8
const NVLINK_MASK = 2
const ETHERNET = 4

/** Administrative and operational state, speed, width, error correction, and what firmware says of a link that is down. */
async function readLink(device: Device, { port }: Labels, around: Surroundings): Promise<CounterValue[]> {
  const local = Number(port)
  const state = await registerLeaves(device, 'PAOS', { local_port: local })
  const operational = await pageLeaves(device, local, 'operational')
  const trouble = await pageLeaves(device, local, 'troubleshooting')
  const active = Number(find(operational, 'proto_active')?.value ?? 0)
  const speed = await registerLeaves(device, 'PTYS', { local_port: local, proto_mask: protocolMask(active, around) })
  const isUp = find(state, 'oper_status')?.value === 1
  return [
    gauge('up', isUp ? 1 : 0),
    ...valuesOf(pick(state, ['admin_status', 'oper_status', 'logical_state_status', 'physical_state_status']), 'info'),
    ...speedValues(speed),
    ...valuesOf(pick(operational, OPERATIONAL_FIELDS), 'gauge'),
    gauge('monitor_opcode', Number(trouble.find(({ name }) => name.endsWith('monitor_opcode'))?.value ?? 0)),
    info('status_message', textOf(elementsOf(trouble, 'status_message'))),
  ]
}

function protocolMask(active: number, { isInfiniband }: Surroundings): number {
  if (active === NVLINK_ACTIVE) return NVLINK_MASK
  if (active === INFINIBAND || active === ETHERNET) return active
  return isInfiniband ? INFINIBAND : ETHERNET
}

const find = (leaves: readonly Leaf[], name: string): Leaf | undefined => leaves.find((leaf) => leaf.name === name)

const pick = (leaves: readonly Leaf[], names: readonly string[]): Leaf[] =>
  names.flatMap((name) => find(leaves, name) ?? [])

/** Bits of ext_eth_proto_oper: speed and lanes (facts: the register file of mstflint, PTYS). */
const extendedSpeeds: Readonly<Record<number, readonly [speed: string, lanes: number]>> = {
  0: ['100M', 1],
  1: ['1G', 1],
  3: ['5G', 1],
  4: ['10G', 1],
  5: ['40G', 4],
  6: ['25G', 1],
  7: ['50G', 2],
  8: ['50G', 1],
  9: ['100G', 4],
  10: ['100G', 2],
  11: ['100G', 1],
  12: ['200G', 4],
  13: ['200G', 2],
  14: ['200G', 1],
  15: ['400G', 8],
  16: ['400G', 4],
  17: ['400G', 2],
  19: ['800G', 8],
  20: ['800G', 4],
  23: ['1.6T', 8],
  31: ['10M', 1],
}

/** Speed and width in words, and the rate where the register has it: data_rate_oper counts 100 Mb/s, 0 where it is not supported. */
function speedValues(leaves: readonly Leaf[]): CounterValue[] {
  const number = (name: string): number => Number(find(leaves, name)?.value ?? 0)
  const rate = number('data_rate_oper')
  const most = number('max_port_rate')
  const words = ethernetWords(number('ext_eth_proto_oper')) ?? infinibandWords(leaves, number('ib_link_width_oper'))
  return [
    ...(words ?? []),
    ...(rate === 0 ? [] : [gauge('data_rate_oper', BigInt(rate) * 100_000_000n, 'bits_per_second')]),
    ...(most === 0 ? [] : [gauge('max_port_rate', BigInt(most) * 1_000_000_000n, 'bits_per_second')]),
    ...valuesOf(pick(leaves, ['an_status', 'connector_type']), 'info'),
  ]
}

function ethernetWords(mask: number): CounterValue[] | undefined {
  const found = Object.entries(extendedSpeeds).find(([bit]) => mask === 2 ** Number(bit))
  return found === undefined ? undefined : [info('speed', found[1][0]), gauge('width', found[1][1])]
}

/** Bit n of the width is 2^n lanes. */
function infinibandWords(leaves: readonly Leaf[], width: number): CounterValue[] | undefined {
  const word = find(leaves, 'ib_proto_oper')
  if (word === undefined || word.value === 0) return undefined
  return [
    info('speed', ibSpeeds[Number(word.value)] ?? String(word.value)),
    ...(width === 0 ? [] : [gauge('width', width)]),
  ]
}

/** Values of ib_proto_oper (facts: the register file of mstflint, PTYS). */
const ibSpeeds: Readonly<Record<number, string>> = {
  0x1: 'SDR',
  0x2: 'DDR',
  0x4: 'QDR',
  0x8: 'FDR10',
  0x10: 'FDR',
  0x20: 'EDR',
  0x40: 'HDR',
  0x80: 'NDR',
  0x100: 'XDR',
}

/** Times of these pages are in milliseconds, but for two (facts: the register file of mstflint, PDDR). */
const pageRules: FieldRules = (name) => {
  if (name.startsWith('total_time_pcs_')) return { unit: 'seconds' }
  return /^time_(?:to|of|logical)_/.test(name) ? { unit: 'milliseconds' } : undefined
}

function pageGroup(name: string, title: string, which: keyof typeof page, onlyByName?: string): CounterGroup {
  return {
    name,
    title,
    source: `PDDR page_select=${page[which]}`,
    ...(onlyByName === undefined ? {} : { onlyByName }),
    instances: perPort,
    read: async (device, { port }) => valuesOf(await pageLeaves(device, Number(port), which), 'gauge', pageRules),
  }
}

/** Of the host's side: widths are lanes, bit n of a speed is a generation (facts: F.4, MPEIN). */
const pcieSpeeds: Readonly<Record<number, string>> = {
  0x1: '2.5GT/s',
  0x2: '5GT/s',
  0x4: '8GT/s',
  0x10: '16GT/s',
  0x20: '32GT/s',
  0x40: '64GT/s',
}

const pcieLink: CounterGroup = {
  name: 'pcie_link',
  title: 'PCIe link: speed, width, power',
  source: 'MPEIN',
  instances: () => [{}],
  read: async (device) => {
    const leaves = await registerLeaves(device, 'MPEIN', {})
    const number = (name: string): number => Number(find(leaves, name)?.value ?? 0)
    const speed = number('link_speed_active')
    const power = number('pci_power')
    return [
      info('link_speed_active', pcieSpeeds[speed] ?? String(speed)),
      gauge('link_width_active', number('link_width_active')),
      gauge('link_width_enabled', number('link_width_enabled')),
      gauge('max_payload_size', 128 * 2 ** number('max_payload_size'), 'bytes'),
      gauge('max_read_request_size', 128 * 2 ** number('max_read_request_size'), 'bytes'),
      gauge('pwr_status', number('pwr_status')),
      ...(power === 0 ? [] : [gauge('pci_power', power, 'watts')]),
      ...valuesOf(pick(leaves, ['device_status']), 'info'),
    ]
  },
}

export const linkGroups: readonly CounterGroup[] = [
  {
    name: 'link',
    title: 'state, speed, error correction; why the link is down',
    source: 'PAOS, PTYS, PDDR page_select=0,1',
    instances: perPort,
    read: readLink,
  },
  pageGroup('link_down', 'why and how the link went down last', 'linkDown'),
  pageGroup('link_up', 'how long the link took to come up', 'linkUp'),
  pageGroup('link_phy', 'state machines of the physical layer', 'phy'),
  pcieLink,
]
