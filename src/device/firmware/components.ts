import { asciiText } from '../../prm/ascii-text'
import type { Struct } from '../../prm/codec'
import type { FirmwareVersion } from '../../prm/firmware-image/version'
import type { Device } from '../device'
import { FirmwareError } from '../errors'
import { accessRegister, decodeRegister, registerTarget } from '../registers'
import { componentName, componentStatusName, updateStateName } from './words'

/** identifier of MCQS: what a device boots from. */
export const BOOT_IMAGE = 1

/** info_type of MCQI (facts: firmware manager, C.5). */
const info = { capabilities: 0, version: 1, activation: 5 } as const
/** Bytes of data in MCQI. */
const INFO_BYTES = 124
/** More components than firmware knows: one that never says which is the last is asked no further. */
const MOST_COMPONENTS = 64

export interface FirmwareComponent {
  readonly index: number
  readonly identifier: number
  readonly name: string
  /** absent, present, in use */
  readonly status: string
  /** idle, in progress, ..., active, pending reset */
  readonly updateState: string
  /** Null where firmware tells none. */
  readonly capabilities: ComponentCapabilities | null
}

export interface ComponentCapabilities {
  /** Bit n: MCQI has info type n. */
  readonly infoTypes: number
  /** Bytes. */
  readonly size: number
  readonly maxSize: number
  /** Bytes that one MCDA may carry; 0 where firmware does not tell. */
  readonly writeLimit: number
  /** Bytes: what MCDA carries is a multiple of it. */
  readonly wordSize: number
  readonly readable: boolean
  readonly signedOnly: boolean
  readonly matchesPsid: boolean
  readonly matchesChip: boolean
  readonly checksTimestamp: boolean
  readonly matchesBaseMac: boolean
}

export interface ComponentList {
  readonly components: readonly FirmwareComponent[]
  /** Why the list may be short. */
  readonly warning?: string
}

/** All components, by MCQS and MCQI. @throws FirmwareError where the device has not even one; DeliveryError */
export async function readComponents(device: Device): Promise<ComponentList> {
  const components: FirmwareComponent[] = []
  const target = registerTarget(device.catalogue, 'MCQS')
  for (let index = 0; index < MOST_COMPONENTS; index++) {
    const image = device.codec.encode(target.layout, { component_index: index })
    let values: Struct
    try {
      values = decodeRegister(device.codec, target, await accessRegister(device, target, 'read', image)).values ?? {}
    } catch (error) {
      if (!(error instanceof FirmwareError) || components.length === 0) throw error
      return { components, warning: `component ${index} cannot be queried: ${error.message}` }
    }
    if (values.component_not_supported !== 1) components.push(await component(device, index, values))
    if (values.last_index_flag === 1) return { components }
  }
  return { components, warning: `firmware names no last component; ${MOST_COMPONENTS} were queried` }
}

async function component(device: Device, index: number, values: Struct): Promise<FirmwareComponent> {
  const identifier = Number(values.identifier)
  return {
    index,
    identifier,
    name: componentName(identifier),
    status: componentStatusName(Number(values.component_status)),
    updateState: updateStateName(Number(values.component_update_state)),
    capabilities: await readCapabilities(device, index),
  }
}

async function readCapabilities(device: Device, index: number): Promise<ComponentCapabilities | null> {
  const values = (await readInfo(device, { index, type: info.capabilities }))?.mcqi_cap_ext as Struct | undefined
  if (values === undefined) return null
  const bit = (name: string): boolean => values[name] === 1
  return {
    infoTypes: Number(values.supported_info_bitmask),
    size: Number(values.component_size),
    maxSize: Number(values.max_component_size),
    writeLimit: Number(values.mcda_max_write_size),
    wordSize: 2 ** Number(values.log_mcda_word_size),
    readable: bit('rd_en'),
    signedOnly: bit('signed_updates_only'),
    matchesPsid: bit('match_psid'),
    matchesChip: bit('match_chip_id'),
    checksTimestamp: bit('check_user_timestamp'),
    matchesBaseMac: bit('match_base_guid_mac'),
  }
}

export interface ComponentVersion {
  readonly version: FirmwareVersion
  /** As firmware spells it; null where it does not. */
  readonly text: string | null
  /** RFC 3339 without a zone; null where firmware does not tell. */
  readonly built: string | null
}

/** What a component is: what runs, or what is on flash and runs after the next reset. Undefined where firmware does not tell. */
export async function readComponentVersion(
  device: Device,
  index: number,
  which: 'running' | 'pending',
): Promise<ComponentVersion | undefined> {
  const data = await readInfo(device, { index, type: info.version, pending: which === 'pending' })
  const values = data?.mcqi_version_ext as Struct | undefined
  if (values === undefined) return undefined
  const packed = Number(values.version)
  const version = { major: packed >>> 24, minor: (packed >>> 16) & 0xff, subminor: packed & 0xffff }
  const string = Buffer.from(values.version_string as number[])
  const text = asciiText(string.subarray(0, Number(values.version_string_length)))
  const built = values.build_time_valid === 1 ? timeText(values.build_time as Struct) : null
  return { version, text: text === '' ? null : text, built }
}

/** Binary-coded decimal digits. */
function timeText({ year, month, day, hours, minutes, seconds }: Struct): string {
  const digits = (value: unknown, count: number): string => Number(value).toString(16).padStart(count, '0')
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}T${[hours, minutes, seconds].map((one) => digits(one, 2)).join(':')}`
}

/** What brings a new image of the component to run. */
export interface ActivationMethods {
  /** The tool need not activate. */
  readonly automatic: boolean
  /** All hosts of the device must take part. */
  readonly allHosts: boolean
  readonly selfActivation: boolean
  /** What is needed, least first. */
  readonly needs: readonly ('firmware-reset' | 'server-reboot' | 'dc-power-cycle' | 'ac-power-cycle')[]
}

export async function readActivation(device: Device, index: number): Promise<ActivationMethods | undefined> {
  const data = await readInfo(device, { index, type: info.activation })
  const values = data?.mcqi_activation_method_ext as Struct | undefined
  if (values === undefined) return undefined
  const needs = (
    [
      ['pending_fw_reset', 'firmware-reset'],
      ['pending_server_reboot', 'server-reboot'],
      ['pending_server_dc_power_cycle', 'dc-power-cycle'],
      ['pending_server_ac_power_cycle', 'ac-power-cycle'],
    ] as const
  ).flatMap(([field, need]) => (values[field] === 1 ? [need] : []))
  return {
    automatic: values.auto_activate === 1,
    allHosts: values.all_hosts_sync === 1,
    selfActivation: values.self_activation === 1,
    needs,
  }
}

/** The data of MCQI; undefined where firmware refuses. @throws DeliveryError */
async function readInfo(
  device: Device,
  asked: { readonly index: number; readonly type: number; readonly pending?: boolean },
): Promise<Struct | undefined> {
  const target = registerTarget(device.catalogue, 'MCQI')
  const image = new Uint8Array(device.codec.sizeBytes(target.layout))
  const fields = {
    component_index: asked.index,
    read_pending_component: asked.pending === true ? 1 : 0,
    info_type: asked.type,
    data_size: INFO_BYTES,
  }
  for (const [name, value] of Object.entries(fields)) device.codec.set(target.layout, image, name, value)
  try {
    const answer = await accessRegister(device, target, 'read', image)
    return decodeRegister(device.codec, target, answer).values?.data as Struct | undefined
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}
