import type { Catalogue } from '../prm/catalogue'
import type { Struct, Value } from '../prm/codec'
import type { CapabilityType, Command } from '../prm/layout'
import type { Device } from './device'
import { FirmwareError } from './errors'

export interface Capabilities {
  readonly type: CapabilityType
  readonly mode: 'current' | 'maximum'
  /** The 4096 bytes of the capability union. */
  readonly bytes: Uint8Array
  /** Decoded; empty where no layout is known. */
  readonly values: Struct
}

const HEADER = 16
const BODY = 4096

/** op_mod of QUERY_HCA_CAP: (type << 1) | mode, mode 0 the maximum, 1 the current value. */
export function capabilityOpMod(type: CapabilityType, mode: Capabilities['mode']): number {
  return (type.type << 1) | (mode === 'current' ? 1 : 0)
}

/**
 * Of an answer to QUERY_HCA_CAP only the alternative of the union that the op_mod asked for means anything.
 * @returns its name; undefined for other commands, and for types without a layout
 */
export function capabilityMember(catalogue: Catalogue, command: Command, opMod: number): string | undefined {
  if (command.outbox !== 'query_hca_cap_out') return undefined
  const type = catalogue.capabilities().find((entry) => entry.type === opMod >> 1)
  if (type?.layout === undefined) return undefined
  return catalogue.layout('hca_cap_union').fields.find((field) => field.layout === type.layout)?.name
}

/** Leaves the meaningless alternatives out of a decoded answer. */
export function selectCapability(values: Struct, member: string | undefined): Struct {
  const union = values.capability
  const chosen = member === undefined ? undefined : (union as Struct | undefined)?.[member]
  return member === undefined || chosen === undefined ? values : { ...values, capability: { [member]: trim(chosen) } }
}

const trim = (value: Value): Value => (isStruct(value) ? trimCounters(value) : value)

function isStruct(value: Value): value is Struct {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** One type of capabilities. @throws FirmwareError when the device does not have it */
export async function queryCapabilities(
  device: Device,
  type: CapabilityType,
  mode: Capabilities['mode'],
): Promise<Capabilities> {
  const { outbox } = await device.command(
    'QUERY_HCA_CAP',
    { op_mod: capabilityOpMod(type, mode) },
    { outboxLength: HEADER + BODY },
  )
  const bytes = outbox.subarray(HEADER)
  const values = type.layout === undefined ? {} : device.codec.decode(type.layout, bytes)
  return { type, mode, bytes, values: trimCounters(values) }
}

/** True when firmware says that it does not know a type: bad parameter. */
export function isUnknownType(error: unknown): error is FirmwareError {
  return error instanceof FirmwareError && error.statusName === 'BAD_PARAM_ERR'
}

/** The list of diagnostic counters has room for 1008 and no count of its own: entries without an id are not there. */
function trimCounters(values: Struct): Struct {
  const { diagnostic_counter: list } = values
  if (!Array.isArray(list)) return values
  const present = (list as Struct[]).filter((entry) => entry.counter_id !== 0)
  return { ...values, diagnostic_counter: present }
}
