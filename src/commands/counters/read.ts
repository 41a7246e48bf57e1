import { CounterReader, type CounterScope, type CountersRead, type WantedGroup } from '../../device/counters'
import { describeError } from '../../render/envelope'
import type { DeviceIdentity } from '../../transport/contract'
import { withDevice } from '../session'
import type { Context } from '../types'

/** What was read of one of several devices. */
export interface DeviceRead {
  /** As it was given. */
  readonly name: string
  /** Absent where it could not be opened. */
  readonly identity?: DeviceIdentity
  readonly read: CountersRead
  /** What kept it from being read, or from being read to the end. */
  readonly error?: Error
}

/** Kinds of errors that are of one device, and hide none of the others. */
const ofOneDevice = new Set(['not-found', 'open', 'permission', 'delivery', 'firmware', 'unsupported', 'malformed'])

/** One device. What keeps it from being read is part of the result. @throws UsageError, NameError, Interrupted */
export async function readDevice(
  context: Context,
  name: string,
  wanted: readonly WantedGroup[],
  scope: CounterScope,
): Promise<DeviceRead> {
  let identity: DeviceIdentity | undefined
  try {
    const read = await withDevice(context, name, async (device) => {
      identity = device.identity
      return new CounterReader(device, wanted, scope).read()
    })
    if (read.failure !== undefined && !isOfOneDevice(read.failure)) throw read.failure
    return { name, ...known(identity), read, ...(read.failure === undefined ? {} : { error: read.failure }) }
  } catch (error) {
    if (!(error instanceof Error) || !isOfOneDevice(error)) throw error
    return { name, ...known(identity), read: { readings: [], refused: [] }, error }
  }
}

const isOfOneDevice = (error: Error): boolean => ofOneDevice.has(describeError(error).kind)

const known = (identity: DeviceIdentity | undefined): { identity?: DeviceIdentity } =>
  identity === undefined ? {} : { identity }
