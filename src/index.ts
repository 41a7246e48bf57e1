/** The library: open a device by any of its names, run commands by name, decode bytes by layout. */
import { Device, type DeviceOptions } from './device/device'
import { openCatalogue } from './prm/catalogue'
import { Codec } from './prm/codec'
import { openTransport, type OpenOptions } from './transport/open'

/**
 * Opens a device: a node, a PCI address, an RDMA or network name, emu:PROFILE, replay:FILE.
 * @example
 * const device = await open('emu:connectx6dx')
 * const { values } = await device.command('QUERY_ISSI')
 * await device.close()
 * @throws OpenError
 */
export async function open(name: string, options: OpenOptions & DeviceOptions = {}): Promise<Device> {
  const catalogue = openCatalogue()
  const transport = await openTransport(name, options)
  return new Device(transport, catalogue, new Codec(catalogue), options)
}

export { capabilityOpMod, queryCapabilities, type Capabilities } from './device/capabilities'
export { Device, type CommandEvent, type CommandResult, type DeviceOptions, type ExecuteOptions } from './device/device'
export { FirmwareError, Interrupted, Unsupported, UsageError } from './device/errors'
export { deviceInfo, type DeviceInfo } from './device/info'
export { withDeviceMemory, type DeviceMemory } from './device/registered-memory'
export { Catalogue, openCatalogue, type CatalogueFile } from './prm/catalogue'
export { Codec, type FieldRange, type Struct, type Value } from './prm/codec'
export { MalformedData, NameError, ValueError } from './prm/errors'
export { parseBytes, type InputBytes } from './prm/input-bytes'
export { importHeaders, type HeaderImport } from './prm/import/headers'
export type { CapabilityType, Command, CommandScope, Enumeration, Field, Layout, Register, Scope } from './prm/layout'
export {
  DeliveryError,
  OpenError,
  type DeviceIdentity,
  type ExecuteRequest,
  type RegisteredMemory,
  type Transport,
  type UserContext,
} from './transport/contract'
export { listDevices, type DeviceEntry, type Door } from './transport/discover'
export { openTransport, type OpenOptions } from './transport/open'
export { recordTransport } from './transport/recording'
export { openReplay } from './transport/replay'
