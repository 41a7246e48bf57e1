import { asciiText } from '../prm/ascii-text'
import type { Struct } from '../prm/codec'
import { formatVersion } from '../prm/firmware-image/version'
import type { UserContext } from '../transport/contract'
import type { Device } from './device'
import { runningVersion } from './firmware/running-version'
import { registerValues } from './registers'

export interface DeviceInfo {
  readonly context: UserContext
  readonly model?: string
  readonly psid?: string
  readonly firmware?: string
  /** Why something is not known. */
  readonly warnings: readonly string[]
}

/** Bits of UCTX CAP. */
export const uctxCapNames: readonly [bit: number, name: string][] = [
  [1, 'RAW_TX'],
  [2, 'INTERNAL_DEVICE_RESOURCES'],
  [4, 'TOOLS_RESOURCES'],
]

/** By PCI device id. */
const models: Readonly<Record<number, string>> = {
  0x1013: 'ConnectX-4',
  0x1014: 'ConnectX-4 VF',
  0x1015: 'ConnectX-4 Lx',
  0x1016: 'ConnectX-4 Lx VF',
  0x1017: 'ConnectX-5',
  0x1018: 'ConnectX-5 VF',
  0x1019: 'ConnectX-5 Ex',
  0x101a: 'ConnectX-5 Ex VF',
  0x101b: 'ConnectX-6',
  0x101c: 'ConnectX-6 VF',
  0x101d: 'ConnectX-6 Dx',
  0x101e: 'ConnectX Family mlx5Gen VF',
  0x101f: 'ConnectX-6 Lx',
  0x1021: 'ConnectX-7',
  0x1023: 'ConnectX-8',
  0xa2d2: 'BlueField',
  0xa2d6: 'BlueField-2',
  0xa2dc: 'BlueField-3',
}

/** A virtual function, by its PCI device id: its card is that of the physical one. */
export const isVirtualFunction = (deviceId: number | undefined): boolean =>
  deviceId !== undefined && models[deviceId]?.endsWith(' VF') === true

/** The user context, and what else can be read. Only the context can fail it. */
export async function deviceInfo(device: Device): Promise<DeviceInfo> {
  const context = await device.identify()
  const { deviceId } = device.identity
  const model = deviceId === undefined ? undefined : models[deviceId]
  const warnings: string[] = []
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      if ((error as { kind?: string }).kind === 'interrupted') throw error
      warnings.push(`${what} cannot be read: ${(error as Error).message}`)
      return undefined
    }
  }
  let reading: Promise<Struct> | undefined
  const mgir = (): Promise<Struct> => (reading ??= registerValues(device, 'MGIR'))
  const psid = await attempt('the PSID', () => queryPsid(device, mgir))
  const firmware = await attempt('the firmware version', async () =>
    formatVersion(runningVersion((await mgir()).fw_info as Struct)),
  )
  return {
    context,
    ...(model === undefined ? {} : { model }),
    ...(psid === undefined ? {} : { psid }),
    ...(firmware === undefined ? {} : { firmware }),
    warnings,
  }
}

/** QUERY_ADAPTER passes fwctl at its lowest scope; where there are only registers, MGIR has it too. */
async function queryPsid(device: Device, mgir: () => Promise<Struct>): Promise<string> {
  const bytes =
    device.transport.registers === undefined
      ? ((await device.command('QUERY_ADAPTER')).values.query_adapter_struct as Struct).vsd_contd_psid
      : ((await mgir()).fw_info as Struct).psid
  return asciiText(Buffer.from(bytes as number[]))
}
