import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { loadAddon, type Addon } from '../native'
import type { DeviceIdentity, Transport } from './contract'
import { openError } from './errno'

export interface NodeOptions {
  readonly sysfsRoot?: string
  /** In place of the real one, for tests. */
  readonly addon?: Addon
}

/** Opens a driver's node and makes a transport of it; closed again when that fails. @throws OpenError */
export async function openNode(
  kind: 'mlx5ctl' | 'fwctl',
  device: DeviceIdentity,
  options: NodeOptions,
  make: (addon: Addon, file: FileHandle) => Promise<Transport>,
): Promise<Transport> {
  const addon = options.addon ?? loadAddon()
  let file: FileHandle
  try {
    file = await open(device.node, constants.O_RDWR)
  } catch (error) {
    throw openError(kind, device.node, error, options.sysfsRoot)
  }
  try {
    return await make(addon, file)
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Structures of both drivers are little-endian. */
export function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
