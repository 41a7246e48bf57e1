import type { Struct } from '../prm/codec'
import { RingReader, type RingPart } from '../prm/firmware-trace/ring'
import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import { Unsupported } from './errors'
import { cleaningUp, memoryProvider, withDeviceMemory, type DeviceMemory } from './registered-memory'
import { accessRegister, registerTarget, registerValues } from './registers'
import type { TracerCapabilities } from './trace-strings'

export interface TracerOptions {
  /** Bytes of the ring, rounded up to a power of two of pages. */
  readonly size?: number | undefined
}

/** A trace that runs. */
export interface RunningTrace {
  /** Bytes of the ring. */
  readonly size: number
  /**
   * Asks the device for its time, and gives what it wrote since the last call.
   * @throws Interrupted, FirmwareError; DeliveryError, also when somebody else switched the trace off
   */
  poll(): Promise<RingPart[]>
  /** What it wrote, without asking the device anything. */
  look(): RingPart[]
}

/** As the kernel has it. */
const DEFAULT_SIZE = 256 * 1024
const PAGE = 4096
const TO_MEMORY = 1
const ACTIVE = 1
/** Bit of modify_field_select. */
const TRACE_STATUS = 1

const hint = 'the kernel shows the same messages: --source kernel'

/** Somebody else has the tracer: as a rule mlx5_core. */
function owned(what: string): Unsupported {
  return new Unsupported(`the firmware tracer is not free: ${what}`, hint)
}

/**
 * Nobody has the tracer, as far as one can see without taking it.
 * @throws Unsupported when somebody has it, without registered memory, or where the device traces into none
 */
export async function checkTracerFree(device: Device, { toMemory, isOwner }: TracerCapabilities): Promise<void> {
  memoryProvider(device)
  if (!toMemory) throw new Unsupported('this device cannot trace into memory', hint)
  if (isOwner) throw owned('a driver of this function has it')
  if ((await registerValues(device, 'MTRC_CTRL')).trace_status === ACTIVE) throw owned('a trace is running')
}

/**
 * Takes the tracer, lets firmware write its events into registered memory for as long as `use` runs, and gives all back: trace
 * off, ownership, memory key, memory and PD, in this order, whatever happens (facts: dumps, D.1, D.2). A tracer that somebody has
 * is left alone: it has one owner for the whole device, and mlx5_core may be on the same function.
 * @throws Unsupported when somebody has it, or without registered memory; FirmwareError, DeliveryError
 */
export async function withFirmwareTracer<T>(
  device: Device,
  capabilities: TracerCapabilities,
  options: TracerOptions,
  use: (trace: RunningTrace) => Promise<T>,
): Promise<T> {
  await checkTracerFree(device, capabilities)
  const size = ringSize(options.size ?? Math.min(DEFAULT_SIZE, capabilities.largestBuffer), capabilities)
  return withDeviceMemory(device, size, (memory) => {
    const undo: (() => Promise<unknown>)[] = []
    return cleaningUp(undo, async () => {
      undo.unshift(() => write(device, 'MTRC_CAP', { trace_owner: 0 }, true))
      const granted = await write(device, 'MTRC_CAP', { trace_owner: 1 })
      if (granted.trace_owner !== 1) {
        undo.length = 0
        throw owned('the device does not grant it')
      }
      await write(device, 'MTRC_CONF', {
        trace_mode: TO_MEMORY,
        log_trace_buffer_size: Math.log2(size / PAGE),
        trace_mkey: memory.mkey,
      })
      const status = { modify_field_select: TRACE_STATUS, trace_status: 0 }
      undo.unshift(() => write(device, 'MTRC_CTRL', status, true))
      await write(device, 'MTRC_CTRL', { ...status, trace_status: ACTIVE, arm_event: 1 })
      return use(runningTrace(device, memory, size))
    })
  })
}

/** A power of two of pages that the device takes. @throws Unsupported */
function ringSize(wanted: number, { largestBuffer }: TracerCapabilities): number {
  const size = PAGE * 2 ** Math.ceil(Math.log2(Math.max(wanted, PAGE) / PAGE))
  if (size > largestBuffer) throw new Unsupported(`a ring of ${size} bytes: the device takes up to ${largestBuffer}`)
  return size
}

function runningTrace(device: Device, { bytes }: DeviceMemory, size: number): RunningTrace {
  const reader = new RingReader(bytes.subarray(0, size))
  return {
    size,
    poll: async () => {
      const { trace_status: status } = await registerValues(device, 'MTRC_CTRL')
      if (status === ACTIVE) return reader.poll()
      throw new DeliveryError('the trace was switched off by somebody else', 'ECANCELED', { hint })
    },
    look: () => reader.poll(),
  }
}

async function write(device: Device, name: string, values: Struct, cleanup = false): Promise<Struct> {
  const { codec, catalogue } = device
  const target = registerTarget(catalogue, name)
  const image = codec.encode(target.layout, values)
  return codec.decode(target.layout, await accessRegister(device, target, 'write', image, undefined, { cleanup }), {
    partial: true,
  })
}
