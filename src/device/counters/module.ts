import { FirmwareError } from '../errors'
import type { Device } from '../device'
import type { Struct } from '../../prm/codec'
import { pageLeaves, page } from './link'
import { readRegister, registerLeaves, type CounterGroup, type Labels, type Surroundings } from './reading'
import { elementsOf, gauge, info, textOf, valuesOf, type CounterValue, type FieldRule, type Leaf } from './values'

/** Modules behind a port, by its lanes; none where the device does not say. */
export async function modulesOf(device: Device, port: number): Promise<number[]> {
  try {
    const { layout, image } = await readRegister(device, 'PMLP', { local_port: port })
    const { width = 0, lane_module_mapping: lanes = [] } = device.codec.decode(layout, image) as Struct & {
      lane_module_mapping?: Struct[]
    }
    return [...new Set(lanes.slice(0, Number(width)).map(({ module }) => Number(module)))]
  } catch (error) {
    if (error instanceof FirmwareError) return []
    throw error
  }
}

/** Identifiers whose modules follow CMIS; the others follow SFF-8636 or SFF-8472 (facts: the register file of mstflint, PDDR). */
const CMIS = new Set([5, 6, 7, 8, 10])
/** Bits of monitor_cap_mask, and fields that each is about. */
const monitored: readonly (readonly [bit: number, RegExp])[] = [
  [0, /^temperature/],
  [1, /^voltage/],
  [2, /^tx_power/],
  [3, /^rx_power_(?:lane|high|low)/],
  [4, /^tx_bias_(?:lane|high|low)/],
]
const texts = ['vendor_name', 'vendor_pn', 'vendor_rev', 'vendor_sn']
const words = ['cable_type', 'cable_technology', 'cable_vendor', 'module_st', 'rx_power_type', 'error_code']

/**
 * Who made the module and how it does; what it does not measure is left out. Power is in microwatts where the device gives it so, else in
 * whole dBm, two's complement (as mstlink prints it).
 */
async function readModule(device: Device, { port }: Labels): Promise<CounterValue[]> {
  const inMicrowatts = await givesMicrowatts(device)
  const leaves = await pageLeaves(device, Number(port), 'module', inMicrowatts ? { module_info_ext: 1 } : {})
  const number = (name: string): number => Number(leaves.find((leaf) => leaf.name === name)?.value ?? 0)
  const isCmis = CMIS.has(number('cable_identifier'))
  const mask = number('monitor_cap_mask')
  const isMeasured = ({ name }: Leaf): boolean =>
    monitored.some(([bit, fields]) => fields.test(name) && ((mask >>> bit) & 1) === 1)
  const bias = 2e-6 * (isCmis ? 2 ** number('tx_bias_scaling_factor') : 1)
  return [
    ...texts.map((name) => info(name, textOf(elementsOf(leaves, name)))).filter(({ value }) => value !== ''),
    ...valuesOf(
      words.flatMap((name) => leaves.find((leaf) => leaf.name === name) ?? []),
      'info',
    ),
    gauge('cable_identifier', number('cable_identifier')),
    gauge('cable_power_class', number('cable_power_class')),
    gauge('cable_length', cableLength(number('cable_length'), isCmis), 'metres'),
    ...valuesOf(leaves.filter(isMeasured), 'gauge', (name) => measurement(name, inMicrowatts, bias)),
  ]
}

function measurement(name: string, inMicrowatts: boolean, bias: number): FieldRule {
  if (name.startsWith('temperature')) return { unit: 'celsius', scale: 1 / 256, signed: true }
  if (name.startsWith('voltage')) return { unit: 'volts', scale: 1e-4 }
  if (name.startsWith('tx_bias')) return { unit: 'amperes', scale: bias }
  return inMicrowatts ? { unit: 'watts', scale: 1e-6 } : { unit: 'dbm', signed: true }
}

/** Metres; of CMIS modules two bits say in what steps. */
function cableLength(value: number, isCmis: boolean): number {
  if (!isCmis) return value
  const length = (value & 0x3f) * 10 ** ((value >>> 6) - 1)
  return Number(length.toPrecision(3))
}

/** Bit of the features of PCAM, counted from the last bit of the mask (facts: the register file of mstflint, PCAM). */
const MODULE_INFO_EXT = 66

/** Whether power is given in microwatts on request: PCAM says so by a bit of its features. */
async function givesMicrowatts(device: Device): Promise<boolean> {
  try {
    const { layout, image } = await readRegister(device, 'PCAM', {})
    const { offset, width } = device.codec.resolve(layout, 'feature_cap_mask')
    const last = (offset + width) / 8 - 1
    return (((image[last - (MODULE_INFO_EXT >>> 3)] ?? 0) >>> (MODULE_INFO_EXT & 7)) & 1) === 1
  } catch (error) {
    if (error instanceof FirmwareError) return false
    throw error
  }
}

export const moduleGroups: readonly CounterGroup[] = [
  {
    name: 'module',
    title: 'the module: vendor, serial number, temperature, power',
    source: 'PDDR page_select=3',
    instances: ({ ports }: Surroundings) => ports.map((port) => ({ port })),
    read: readModule,
  },
  {
    name: 'module_state',
    title: 'whether the module is plugged, and what is wrong with it',
    source: 'PMLP, PMAOS',
    instances: async ({ ports }, device) => {
      const labels: Labels[] = []
      for (const port of ports) for (const module of await modulesOf(device, port)) labels.push({ port, module })
      return labels
    },
    read: async (device, { module }) => {
      const leaves = await registerLeaves(device, 'PMAOS', { module: Number(module) })
      const hasError = leaves.some(({ name, value }) => name === 'oper_status' && value === 3)
      const names = ['admin_status', 'oper_status', 'operational_notification', ...(hasError ? ['error_type'] : [])]
      return valuesOf(
        names.flatMap((name) => leaves.find((leaf) => leaf.name === name) ?? []),
        'gauge',
      )
    },
  },
  {
    name: 'module_flags',
    title: 'latched alarms of the module',
    source: `PDDR page_select=${page.latchedFlags}`,
    onlyByName: 'to read them may clear them',
    instances: ({ ports }) => ports.map((port) => ({ port })),
    read: async (device, { port }) => valuesOf(await pageLeaves(device, Number(port), 'latchedFlags'), 'gauge'),
  },
]
