import type { Struct } from '../../prm/codec'
import type { Device } from '../device'
import { nvLayout } from '../../prm/nv'
import { FirmwareError } from '../errors'
import { itemOf, NvConfiguration, type NvColumn } from '../nv-config'

/** The first of the addresses that a device gives to its functions. */
export interface BaseAddress {
  /** 12 hex digits of a MAC, 16 of a GUID; undefined where the device tells none. */
  readonly base: string | undefined
  /** As it left the factory. */
  readonly original: string | undefined
  /** How many there are from it on. */
  readonly count: number | undefined
}

export interface BaseAddresses {
  readonly mac: BaseAddress
  readonly guid: BaseAddress
}

const MAC_DIGITS = 12
const GUID_DIGITS = 16

/**
 * Base MAC and GUID, by the NV configuration: nv_base_mac_guid (type 2) as it will count from the next start on and by default,
 * and how many there are by nv_base_mac_guid_cap (type 3), as mstflint asks for them. MGIR has the MAC of the factory.
 * @param hardware hw_info of MGIR
 */
export async function readBaseAddresses(device: Device, hardware: Struct): Promise<BaseAddresses> {
  const [next, factory] = [await readTlv(device, 'nv_base_mac_guid', 'next'), await readDefault(device)]
  const counts = await readTlv(device, 'nv_base_mac_guid_cap', 'next')
  const burnt =
    (BigInt(Number(hardware.manufacturing_base_mac_47_32)) << 32n) |
    BigInt(Number(hardware.manufacturing_base_mac_31_0))
  return {
    mac: {
      base: hexOf(next?.base_mac, MAC_DIGITS),
      original: burnt === 0n ? undefined : burnt.toString(16).padStart(MAC_DIGITS, '0'),
      count: numberOf(counts?.num_of_allocated_macs),
    },
    guid: {
      base: hexOf(next?.base_guid, GUID_DIGITS),
      original: hexOf(factory?.base_guid, GUID_DIGITS),
      count: numberOf(counts?.num_of_allocated_guids),
    },
  }
}

const readDefault = (device: Device): Promise<Struct | undefined> => readTlv(device, 'nv_base_mac_guid', 'default')

async function readTlv(device: Device, name: string, column: NvColumn): Promise<Struct | undefined> {
  const tlv = device.catalogue.findTlv(name)
  if (tlv === undefined) return undefined
  const configuration = new NvConfiguration(device)
  try {
    const data = await configuration.read(itemOf(tlv, {}), column)
    return device.codec.decode(nvLayout(tlv), data)
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}

/** Digits of 8 bytes, without what is in front of them; undefined for zero, which is no address. */
function hexOf(bytes: unknown, digits: number): string | undefined {
  if (!Array.isArray(bytes)) return undefined
  const text = Buffer.from(bytes as number[]).toString('hex')
  return /^0*$/.test(text) ? undefined : text.slice(-digits)
}

const numberOf = (value: unknown): number | undefined => (value === undefined ? undefined : Number(value))
