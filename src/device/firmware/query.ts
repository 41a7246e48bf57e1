import { asciiText } from '../../prm/ascii-text'
import type { Struct } from '../../prm/codec'
import { formatRomVersion, formatVersion, type FirmwareVersion } from '../../prm/firmware-image/version'
import type { ChipId } from '../../prm/firmware-image/types'
import type { Device } from '../device'
import { readDeviceText } from '../device-texts'
import { FirmwareError } from '../errors'
import { registerValues, registerValuesOrNone } from '../registers'
import { runningVersion } from './running-version'
import { readBaseAddresses, type BaseAddresses } from './addresses'
import {
  BOOT_IMAGE,
  readActivation,
  readComponents,
  readComponentVersion,
  type ActivationMethods,
  type FirmwareComponent,
} from './components'
import { controlSupport, type ControlSupport } from './control'
import { lifeCycleName, PENDING_RESET, romArchitecture, romTypeName } from './words'

export interface FirmwareInfo {
  /** ConnectX7; undefined for a chip that the catalogue does not know. */
  readonly chip: string | undefined
  readonly chipId: ChipId
  readonly pciDeviceId: number
  readonly partNumber: string | undefined
  readonly description: string | undefined
  readonly psid: string
  readonly addresses: BaseAddresses
  readonly running: FirmwareVersion
  /** What is on flash, and runs after the next reset; undefined where it is the version that runs. */
  readonly pending: FirmwareVersion | undefined
  /** An image on flash waits for a reset: of another version, or of the same one. */
  readonly pendingReset: boolean
  readonly productVersion: string | undefined
  /** When the firmware on flash was built; null where firmware does not tell. */
  readonly built: string | null
  readonly roms: readonly Rom[]
  readonly security: SecurityInfo
  readonly components: readonly FirmwareComponent[]
  /** Whether firmware takes updates, over the registers that were asked. */
  readonly control: ControlSupport
  readonly activation: ActivationMethods | undefined
  /** A reset of before waits for the PCI bus to be scanned anew. */
  readonly rescanRequired: boolean
  readonly imageVsd: string | undefined
  readonly deviceVsd: string | undefined
  /** Seconds since the device started. */
  readonly uptime: number
  /** Parts that cannot be read. */
  readonly warnings: readonly string[]
}

/** An expansion ROM of the firmware that runs. */
export interface Rom {
  readonly type: string
  /** 3.7.0500 */
  readonly version: string
  readonly architecture: string | null
}

export interface SecurityInfo {
  /** As mstflint lists them: secure-fw, debug, cs-token, ... */
  readonly attributes: readonly string[]
  readonly lifeCycle: string
  readonly secureBoot: boolean
  readonly encryption: boolean
  /** What keeps firmware of before from running; null where the chip is not fused for it. */
  readonly rollback: RollbackProtection | null
}

/** Security versions (MFSV): the chip boots no image whose version is below that of its fuses. */
export interface RollbackProtection {
  readonly fuses: number
  /** Of the firmware that runs. */
  readonly image: number
  /** Whether the next start raises the fuses to the version of the image: always, or where it was allowed. */
  readonly programming: 'automatic' | 'manual'
  readonly allowed: boolean
}

/**
 * All that a device tells of its firmware. Only MGIR must be readable; what else is not is told by warnings.
 * @throws FirmwareError, DeliveryError, Interrupted
 */
export async function queryFirmware(device: Device): Promise<FirmwareInfo> {
  const mgir = await registerValues(device, 'MGIR')
  const [hardware, firmware] = [mgir.hw_info as Struct, mgir.fw_info as Struct]
  const warnings: string[] = []
  const control = await controlSupport(device)
  const { components, warning } = await listComponents(device, control)
  if (warning !== undefined) warnings.push(warning)
  const boot = components.find(({ identifier }) => identifier === BOOT_IMAGE)
  const running = boot && (await readComponentVersion(device, boot.index, 'running'))
  const stored = boot && (await readComponentVersion(device, boot.index, 'pending'))
  const version = running?.version ?? runningVersion(firmware)
  const pending = stored === undefined || isSame(stored.version, version) ? undefined : stored.version
  return {
    chip: device.catalogue.chipName(Number(hardware.hw_dev_id)),
    chipId: { hardwareId: Number(hardware.hw_dev_id), revision: Number(hardware.device_hw_revision) },
    pciDeviceId: Number(hardware.device_id),
    partNumber: await readDeviceText(device, 'name'),
    description: await readDeviceText(device, 'description'),
    psid: asciiOf(firmware.psid),
    addresses: await readBaseAddresses(device, hardware),
    running: version,
    pending,
    pendingReset: pending !== undefined || boot?.updateState === PENDING_RESET,
    productVersion: running?.text ?? undefined,
    built: (stored ?? running)?.built ?? null,
    roms: romsOf(mgir.sw_info as Struct),
    security: await readSecurity(device, firmware, components),
    components,
    control,
    activation: boot && (await readActivation(device, boot.index)),
    rescanRequired: (await registerValuesOrNone(device, 'MFRL'))?.pci_rescan_required === 1,
    imageVsd: await readDeviceText(device, 'imageVsd'),
    deviceVsd: await readDeviceText(device, 'deviceVsd'),
    uptime: Number(hardware.uptime),
    warnings,
  }
}

async function listComponents(
  device: Device,
  control: ControlSupport,
): Promise<{ components: readonly FirmwareComponent[]; warning?: string }> {
  if (!control.queried.has('MCQS')) return { components: [], warning: 'the device has no list of components (MCQS)' }
  try {
    return await readComponents(device)
  } catch (error) {
    if (!(error instanceof FirmwareError)) throw error
    return { components: [], warning: `components cannot be listed: ${error.message}` }
  }
}

const isSame = (a: FirmwareVersion, b: FirmwareVersion): boolean => formatVersion(a) === formatVersion(b)

const ROMS = [0, 1, 2, 3]

function romsOf(software: Struct): Rom[] {
  return ROMS.flatMap((index) => {
    const type = Number(software[`rom${index}_type`])
    if (type === 0) return []
    const { major, minor, build } = software[`rom${index}_version`] as Struct
    return [
      {
        type: romTypeName(type),
        version: formatRomVersion([major, minor, build].map(Number)),
        architecture: romArchitecture(Number(software[`rom${index}_arch`])),
      },
    ]
  }).sort((a, b) => (a.type < b.type ? -1 : 1))
}

/** Components that are attributes once they are there, by identifier, in the order of mstflint. */
const tokens: readonly (readonly [identifier: number, name: string])[] = [
  [0x06, 'cs-token'],
  [0x07, 'dbg-token'],
  [0x0d, 'crypto-to-commissioning'],
  [0x0e, 'rmcs-token'],
  [0x0f, 'rmdt-token'],
]

const GA_SECURED = 1

async function readSecurity(
  device: Device,
  firmware: Struct,
  components: readonly FirmwareComponent[],
): Promise<SecurityInfo> {
  const bit = (name: string): boolean => firmware[name] === 1
  const basis = bit('secured') ? 'secure-fw' : bit('signed_fw') ? 'signed-fw' : undefined
  const there = new Set(components.filter(({ status }) => status !== 'absent').map(({ identifier }) => identifier))
  const more = [
    ...(bit('debug') ? ['debug'] : []),
    ...(bit('dev') ? ['dev'] : []),
    ...tokens.flatMap(([identifier, name]) => (there.has(identifier) ? [name] : [])),
  ]
  const lifeCycle = Number(firmware.life_cycle) | (Number(firmware.life_cycle_msb) << 2)
  const isFused = bit('sec_boot') && lifeCycle === GA_SECURED
  return {
    attributes: basis === undefined ? [] : [basis, ...more],
    lifeCycle: lifeCycleName(lifeCycle),
    secureBoot: bit('sec_boot'),
    encryption: bit('encryption'),
    rollback: isFused ? await readRollback(device) : null,
  }
}

async function readRollback(device: Device): Promise<RollbackProtection | null> {
  const values = await registerValuesOrNone(device, 'MFSV')
  if (values === undefined) return null
  return {
    fuses: Number(values.efuses_sec_ver),
    image: Number(values.img_sec_ver),
    programming: values.efuses_prog_method === 1 ? 'automatic' : 'manual',
    allowed: values.efuses_prog_en === 1,
  }
}

const asciiOf = (bytes: unknown): string => asciiText(Buffer.from(bytes as number[])).trim()
