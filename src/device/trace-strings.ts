import type { Struct } from '../prm/codec'
import { MalformedData } from '../prm/errors'
import { StringsDatabase, type StringSection } from '../prm/firmware-trace/strings'
import { queryCapabilities } from './capabilities'
import type { Device } from './device'
import { FirmwareError, Unsupported } from './errors'
import { accessRegister, registerTarget, registerValues, type Method } from './registers'

/** What MTRC_CAP says. */
export interface TracerCapabilities {
  /** This function has the tracer. */
  readonly isOwner: boolean
  /** Events can be written into memory of the host. */
  readonly toMemory: boolean
  readonly version: number
  readonly firstString: number
  readonly stringCount: number
  /** Bytes of the largest ring. */
  readonly largestBuffer: number
  readonly sections: readonly { readonly base: number; readonly size: number }[]
}

const PAGE = 4096
/** Bytes of strings that one command reads, as the kernel does it; all are multiples of the last one. */
const CHUNKS = [256, 64] as const
const UNIT = 64
const STRINGS_AT = 8

/** @throws Unsupported when the device has no tracer registers */
export async function tracerCapabilities(device: Device): Promise<TracerCapabilities> {
  let values: Struct
  try {
    values = await registerValues(device, 'MTRC_CAP')
  } catch (error) {
    if (error instanceof FirmwareError)
      throw new Unsupported(`this device does not tell about a firmware tracer: ${error.message}`)
    throw error
  }
  const count = Number(values.num_string_db)
  const list = values.string_db_param as Struct[]
  if (count > list.length)
    throw new MalformedData('MTRC_CAP', `says that there are ${count} string databases, with room for ${list.length}`)
  return {
    isOwner: values.trace_owner === 1,
    toMemory: values.trace_to_memory === 1,
    version: Number(values.trc_ver),
    firstString: Number(values.first_string_trace),
    stringCount: Number(values.num_string_trace),
    largestBuffer: PAGE * 2 ** Math.min(Number(values.log_max_trace_buffer_size), 20),
    sections: list.slice(0, count).map(({ string_db_base_address: base, string_db_size: size }) => ({
      base: Number(base),
      size: Number(size),
    })),
  }
}

/**
 * Reads all strings of the firmware, some hundred commands. Nobody needs to own the tracer for it.
 * @param step is told after each command how many bytes it read
 * @throws FirmwareError, DeliveryError
 */
export async function readTraceStrings(
  device: Device,
  capabilities: TracerCapabilities,
  step: (bytes: number) => void = () => undefined,
): Promise<StringsDatabase> {
  const { version, firstString, stringCount } = capabilities
  const sections: StringSection[] = []
  let method: Method | undefined
  for (const [index, { base, size }] of capabilities.sections.entries()) {
    const bytes = new Uint8Array(size)
    for (let at = 0; at + UNIT <= size;) {
      const length = CHUNKS.find((chunk) => at + chunk <= size) ?? UNIT
      method ??= await workingMethod(device, index, length)
      bytes.set(await readPart(device, method, index, at, length), at)
      step(length)
      at += length
    }
    sections.push({ base, bytes })
  }
  const frequencyKilohertz = await clockFrequency(device)
  return new StringsDatabase(sections, { version, firstString, stringCount, frequencyKilohertz })
}

/**
 * Strings are there to be read, but the kernel asks for them with a write: the other one is tried when firmware refuses a read,
 * or gives nothing.
 */
async function workingMethod(device: Device, index: number, length: number): Promise<Method> {
  const read = await unlessRefused(readPart(device, 'read', index, 0, length))
  if (read === undefined) return 'write'
  if (read.some((byte) => byte !== 0)) return 'read'
  const written = await unlessRefused(readPart(device, 'write', index, 0, length))
  return written?.some((byte) => byte !== 0) === true ? 'write' : 'read'
}

async function unlessRefused<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}

async function readPart(
  device: Device,
  method: Method,
  index: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const target = registerTarget(device.catalogue, 'MTRC_STDB')
  const request = { string_db_index: index, read_size: length, start_offset: offset }
  const image = new Uint8Array(STRINGS_AT + length)
  image.set(device.codec.encode(target.layout, request).subarray(0, STRINGS_AT))
  const answer = await accessRegister(device, target, method, image)
  return answer.subarray(STRINGS_AT, STRINGS_AT + length)
}

/** Kilohertz of the clock of timestamps; undefined over a door without commands, and where the device does not tell. */
export async function clockFrequency(device: Device): Promise<number | undefined> {
  if (device.transport.registers !== undefined) return undefined
  try {
    const { values } = await queryCapabilities(device, device.catalogue.capability('GENERAL'), 'current')
    const kilohertz = Number(values.device_frequency_khz ?? 0)
    return kilohertz > 0 ? kilohertz : undefined
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}
