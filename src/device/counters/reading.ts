import type { Struct } from '../../prm/codec'
import type { Device } from '../device'
import { accessRegister, emptyImage, registerTarget } from '../registers'
import { leavesOf, type CounterValue, type Leaf } from './values'

/** Which instance of a group: the port, the priority, the sensor, ... */
export type Labels = Readonly<Record<string, number | string>>

/** What was asked for beside the groups. */
export interface CounterScope {
  /** By default all that the device says it has. */
  readonly ports?: readonly number[]
  /** Other vports, beside or instead of the function's own. */
  readonly vports?: readonly number[]
  /** Sets of Q counters; by default all together where the device sums them up, else set 0. */
  readonly queueCounterSets?: readonly number[]
}

/** What instances there are, asked of the device once. */
export interface Surroundings {
  readonly ports: readonly number[]
  readonly trafficClasses: number
  readonly isInfiniband: boolean
  /** The device sums up its sets of Q counters. */
  readonly sumsQueueCounters: boolean
  /** Whether the device has a capability of GENERAL; undefined where they cannot be read. */
  readonly has: (capability: string) => boolean | undefined
  readonly scope: CounterScope
}

/** A group of values that are read together. */
export interface CounterGroup {
  readonly name: string
  readonly title: string
  /** Register or command it is read with, in words. */
  readonly source: string
  /** Read only when it is asked for by name, and why. */
  readonly onlyByName?: string
  readonly instances: (around: Surroundings, device: Device) => readonly Labels[] | Promise<readonly Labels[]>
  readonly read: (device: Device, labels: Labels, around: Surroundings) => Promise<CounterValue[]>
}

/**
 * Reads a register by the values of its index fields. What was asked for, not what an answer repeats of it, says which member of a union it has.
 * @throws FirmwareError, DeliveryError, Unsupported
 */
export async function readRegister(
  device: Device,
  name: string,
  index: Struct,
): Promise<{ layout: string; image: Uint8Array }> {
  const { codec, catalogue } = device
  const { layout, ...target } = registerTarget(catalogue, name)
  const asked = emptyImage(codec, layout)
  const choose = (image: Uint8Array): void => {
    for (const [field, value] of Object.entries(index)) codec.set(layout, image, field, value)
  }
  choose(asked)
  const image = await accessRegister(device, { layout, ...target }, 'read', asked)
  choose(image)
  return { layout, image }
}

/** Its fields, of those below a union those that the index selects. */
export async function registerLeaves(device: Device, name: string, index: Struct, below?: string): Promise<Leaf[]> {
  const { layout, image } = await readRegister(device, name, index)
  return leavesOf(device.codec, layout, image, below)
}

/** Fields of the outbox of a command, behind status and syndrome. */
export async function commandLeaves(device: Device, name: string, values: Struct): Promise<Leaf[]> {
  const { command, outbox } = await device.command(name, values)
  return leavesOf(device.codec, command.outbox ?? '', outbox).filter(
    ({ name: field }) => field !== 'status' && field !== 'syndrome',
  )
}
