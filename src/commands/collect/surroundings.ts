import type { DeviceIdentity } from '../../transport/contract'
import type { GlobalOptions } from '../types'

/** What an item that is no command of this tool is made with. */
export interface Surroundings {
  readonly options: Pick<GlobalOptions, 'devRoot' | 'sysfsRoot'>
  readonly signal: AbortSignal
  /** Milliseconds that it may take. */
  readonly timeout: number
  /** Name of the device as it was asked for; empty for what is of the host. */
  readonly name: string
  /** Undefined where it could not be opened. */
  readonly identity: DeviceIdentity | undefined
  /** PCI addresses of all devices that are collected. */
  readonly addresses: readonly string[]
}

/** What such an item gives; with a failure it is a part. */
export interface Produced {
  readonly text: string
  readonly failure?: Error | undefined
}
