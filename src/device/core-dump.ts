import { MalformedData } from '../prm/errors'
import type { Struct } from '../prm/codec'
import { queryCapabilities } from './capabilities'
import type { Device } from './device'
import { Unsupported } from './errors'
import { memoryProvider, withDeviceMemory, type DeviceMemory } from './registered-memory'
import { PAIR } from './register-diff'
import { accessRegister, registerTarget } from './registers'

/** CR space into memory (facts: dumps, C.4; 0 and 1 go through the tracer). */
const TO_MEMORY = 2
const PAGE = 4096
/** A device that still says more_dump here will never stop: the largest chip has 47 MB of registers. */
const ENDLESS = 256 * 1024 * 1024

export interface CoreDumpOptions {
  /** Bytes of memory that the device may fill with one command; by default what it asks for. */
  readonly size?: number | undefined
}

export interface CoreDumpSummary {
  readonly bytes: number
  readonly pairs: number
  /** CORE_DUMP commands that it took. */
  readonly commands: number
  /** Bytes of registered memory. */
  readonly buffer: number
  /** Of the last answer: where the dump would go on. */
  readonly cookie: bigint
  readonly firstAddress: number | undefined
  readonly lastAddress: number | undefined
}

/**
 * Bytes of memory that the device asks for: 4096 << log_cr_dump_to_mem_size.
 * @throws Unsupported when it cannot dump CR space into memory
 */
export async function coreDumpSize(device: Device): Promise<number> {
  const type = device.catalogue.capability('DEBUG')
  const { values } = await queryCapabilities(device, type, 'current')
  const log = Number(values.log_cr_dump_to_mem_size ?? 0)
  if (log > 0) return PAGE * 2 ** log
  throw new Unsupported(
    'this device does not offer core dumps (its debug capability log_cr_dump_to_mem_size is 0)',
    '--size 2M asks it all the same; regdump reads the registers over PCI',
  )
}

/**
 * All of CR space through registered memory: pairs of address and value, each a big-endian dword. While the device says
 * more_dump, it is asked to go on at its cookie.
 * @param write is given each part, which is overwritten when it is done
 * @throws Unsupported without registered memory; MalformedData for an answer that makes no sense
 */
export async function coreDump(
  device: Device,
  options: CoreDumpOptions,
  write: (pairs: Uint8Array) => void | Promise<void>,
): Promise<CoreDumpSummary> {
  memoryProvider(device)
  const size = options.size ?? (await coreDumpSize(device))
  return withDeviceMemory(device, size, async (memory) => {
    const total = {
      bytes: 0,
      commands: 0,
      first: undefined as number | undefined,
      last: undefined as number | undefined,
    }
    let cookie = 0n
    for (;;) {
      const reply = await dumpPart(device, memory, cookie)
      const filled = checkedSize(reply, memory.bytes.length)
      const part = memory.bytes.subarray(0, filled)
      total.commands++
      total.bytes += filled
      if (filled > 0) {
        total.first ??= dwordAt(part, 0)
        total.last = dwordAt(part, filled - PAIR)
        await write(part)
      }
      const next = BigInt(reply.cookie as bigint)
      if (reply.more_dump === 0) {
        const { bytes, commands, first, last } = total
        const pairs = bytes / PAIR
        return {
          bytes,
          pairs,
          commands,
          buffer: memory.bytes.length,
          cookie: next,
          firstAddress: first,
          lastAddress: last,
        }
      }
      if (filled === 0 || next === cookie || total.bytes > ENDLESS)
        throw new MalformedData(
          'CORE_DUMP',
          `says more_dump for ever: ${filled} bytes more, cookie 0x${next.toString(16)}`,
        )
      cookie = next
    }
  })
}

async function dumpPart(device: Device, { mkey, address, bytes }: DeviceMemory, cookie: bigint): Promise<Struct> {
  const { codec, catalogue } = device
  const target = registerTarget(catalogue, 'CORE_DUMP')
  const request = { core_dump_type: TO_MEMORY, mkey, size: bytes.length, address, cookie }
  const image = await accessRegister(device, target, 'read', codec.encode(target.layout, request))
  return codec.decode(target.layout, image)
}

function checkedSize({ size }: Struct, room: number): number {
  const filled = Number(size)
  if (filled <= room && filled % PAIR === 0) return filled
  throw new MalformedData('CORE_DUMP', `says that it wrote ${filled} bytes into ${room}, in pairs of ${PAIR}`)
}

const dwordAt = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at)
