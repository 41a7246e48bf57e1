import type { Struct } from '../prm/codec'
import { MalformedData } from '../prm/errors'
import { decodeSegment, type DumpArguments, type MenuRecord } from '../prm/resource-segments'
import { SegmentReader, segmentType } from '../prm/segments'
import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import { UsageError } from './errors'
import { memoryProvider, withDeviceMemory, type DeviceMemory } from './registered-memory'
import { accessRegister, registerTarget } from './registers'

/** Bytes that one command brings without registered memory. */
export const INLINE_BYTES = 208
const DEFAULT_BUFFER = 1 << 20
/** A dump that is longer than this has no end. */
const ENDLESS = 2 ** 31
/** A menu has 65535 records of 52 bytes at the most. */
const LONGEST_MENU = 4 << 20
/** References followed in one dump, at most. */
const MOST_DUMPS = 10_000

/** num_of_obj that stand for more than a number (PRM). */
export const ALL = 0xffff
export const ACTIVE = 0xfffe
export const LAST_NUMBER = 0xfff0

export interface ResourceDumpOptions {
  /** Registered memory where there is some, else inline; or the one that is asked for. */
  readonly via?: 'memory' | 'inline' | undefined
  /** Bytes of registered memory. */
  readonly size?: number | undefined
  /** Another function than the own one. */
  readonly vhca?: number | undefined
  /** Levels of references that are followed; 0 by default. */
  readonly depth?: number | undefined
  /** Bytes after which a dump has no end. */
  readonly most?: number
}

export interface ResourceDumpSummary {
  readonly bytes: number
  readonly commands: number
  /** Dumps: that of the request, and those of the references that were followed. */
  readonly dumps: number
  readonly via: 'memory' | 'inline'
}

/** Hands out dumps one after the other, through the same memory. */
export interface ResourceDumper {
  readonly via: 'memory' | 'inline'
  /** Commands sent so far. */
  readonly commands: number
  /**
   * @param write is given each piece, which is overwritten when it is done
   * @param most bytes after which the dump has no end
   */
  dump(request: DumpArguments, write: (piece: Uint8Array) => void | Promise<void>, most?: number): Promise<void>
}

/**
 * Opens the way by which resources are dumped: registered memory for as long as `use` runs, or the register itself.
 * @throws Unsupported when memory is asked for and there is none
 */
export async function withResourceDumper<T>(
  device: Device,
  options: ResourceDumpOptions,
  use: (dumper: ResourceDumper) => Promise<T>,
): Promise<T> {
  const { via } = options
  if (via === 'memory') memoryProvider(device)
  if (via === 'inline' || device.transport.memory === undefined) return use(new Dumper(device, options, undefined))
  let isRegistered = false
  try {
    return await withDeviceMemory(device, options.size ?? DEFAULT_BUFFER, (memory) => {
      isRegistered = true
      return use(new Dumper(device, options, memory))
    })
  } catch (error) {
    const isFull = error instanceof DeliveryError && error.errno === 'ENOMEM'
    if (isRegistered || via === 'memory' || !isFull) throw error
    return use(new Dumper(device, options, undefined))
  }
}

/** The records of the menu, and the dump that has them. @throws MalformedData when there are none */
export async function readMenu(
  device: Device,
  dumper: ResourceDumper,
): Promise<{ readonly records: readonly MenuRecord[]; readonly bytes: Uint8Array }> {
  const reader = new SegmentReader()
  const found: MenuRecord[] = []
  const pieces: Buffer[] = []
  let seen = false
  const menu = { type: segmentType.MENU, index1: 0, index2: 0, num1: 0, num2: 0 }
  await dumper.dump(
    menu,
    (piece) => {
      pieces.push(Buffer.from(piece))
      for (const segment of reader.push(piece)) {
        const decoded = decodeSegment(device.codec, segment)
        if (decoded.kind === 'error') throw new MalformedData('menu', `firmware says: ${decoded.text}`)
        if (decoded.kind !== 'menu') continue
        if (decoded.announced > decoded.records.length)
          throw new MalformedData('menu', `announces ${decoded.announced} records and has ${decoded.records.length}`)
        seen = true
        found.push(...decoded.records)
      }
    },
    LONGEST_MENU,
  )
  reader.end()
  if (!seen) throw new MalformedData('menu', 'is not in the answer')
  return { records: found, bytes: Buffer.concat(pieces) }
}

/**
 * Dumps what is requested, then what it refers to, level by level, each once.
 * @param write is given the bytes of the wire, piece by piece; each is overwritten when it is done
 * @returns summary
 * @throws FirmwareError, DeliveryError, Interrupted; MalformedData for an answer that makes no sense
 */
export async function dumpResource(
  device: Device,
  dumper: ResourceDumper,
  request: DumpArguments,
  options: ResourceDumpOptions,
  write: (piece: Uint8Array) => void | Promise<void>,
): Promise<ResourceDumpSummary> {
  const { depth = 0 } = options
  const seen = new Set([JSON.stringify(request)])
  const before = dumper.commands
  let bytes = 0
  let dumps = 0
  for (let level = 0, requests = [request]; requests.length > 0; level++) {
    const next: DumpArguments[] = []
    for (const one of requests) {
      const reader = level < depth ? new SegmentReader() : undefined
      await dumper.dump(one, async (piece) => {
        bytes += piece.length
        await write(piece)
        for (const segment of reader?.push(piece) ?? []) {
          if (segment.type !== segmentType.REFERENCE) continue
          const { type, index1, index2, num1, num2 } = decodeSegment(device.codec, segment) as DumpArguments
          const wanted = { type, index1, index2, num1, num2 }
          if (seen.has(JSON.stringify(wanted))) continue
          seen.add(JSON.stringify(wanted))
          if (seen.size > MOST_DUMPS) throw new MalformedData('references', `lead to more than ${MOST_DUMPS} dumps`)
          next.push(wanted)
        }
      })
      dumps++
    }
    requests = next
  }
  return { bytes, commands: dumper.commands - before, dumps, via: dumper.via }
}

class Dumper implements ResourceDumper {
  commands = 0
  readonly via: 'memory' | 'inline'

  constructor(
    private readonly device: Device,
    private readonly options: ResourceDumpOptions,
    private readonly memory: DeviceMemory | undefined,
  ) {
    this.via = memory === undefined ? 'inline' : 'memory'
  }

  async dump(
    request: DumpArguments,
    write: (piece: Uint8Array) => void | Promise<void>,
    most = this.options.most ?? ENDLESS,
  ): Promise<void> {
    let total = 0
    for (let going: Struct = start(request); ;) {
      const reply = await this.command(request, going)
      const piece = this.pieceOf(reply)
      total += piece.length
      if (piece.length > 0) await write(piece)
      if (reply.more_dump === 0) return
      if (piece.length === 0 || total > most)
        throw new MalformedData('RESOURCE_DUMP', `says more_dump for ever, after ${total} bytes`)
      going = reply
    }
  }

  private async command({ type }: DumpArguments, going: Struct): Promise<Struct> {
    const { codec, catalogue } = this.device
    const target = registerTarget(catalogue, 'RESOURCE_DUMP')
    const { vhca } = this.options
    const { more_dump, seq_num, index1, index2, num_of_obj1, num_of_obj2, device_opaque } = going
    const image = codec.encode(target.layout, {
      more_dump: more_dump ?? 0,
      seq_num: seq_num ?? 0,
      segment_type: type,
      index1: index1 ?? 0,
      index2: index2 ?? 0,
      num_of_obj1: num_of_obj1 ?? 0,
      num_of_obj2: num_of_obj2 ?? 0,
      device_opaque: device_opaque ?? 0n,
      ...(vhca === undefined ? {} : { vhca_id_valid: 1, vhca_id: vhca }),
      ...(this.memory === undefined
        ? { inline_dump: 1 }
        : { mkey: this.memory.mkey, size: this.memory.bytes.length, address: this.memory.address }),
    })
    const hint = (): string => 'the device may have no resource dump: mlx5ctl cap DEVICE DEBUG says so (resource_dump)'
    this.commands++
    const bytes = await accessRegister(this.device, target, 'read', image, hint)
    const reply = codec.decode(target.layout, bytes)
    checkSequence(Number(seq_num ?? 0), Number(reply.seq_num))
    return reply
  }

  /** @throws MalformedData when more was written than there is room for */
  private pieceOf({ size, inline_data: words }: Struct): Uint8Array {
    const filled = Number(size)
    const room = this.memory === undefined ? INLINE_BYTES : this.memory.bytes.length
    if (filled > room || filled % 4 !== 0)
      throw new MalformedData('RESOURCE_DUMP', `says that it wrote ${filled} bytes into ${room}, in dwords`)
    if (this.memory !== undefined) return this.memory.bytes.subarray(0, filled)
    const piece = Buffer.alloc(INLINE_BYTES)
    for (const [index, word] of (words as number[]).entries()) piece.writeUInt32BE(word, index * 4)
    return piece.subarray(0, filled)
  }
}

function start({ index1, index2, num1, num2 }: DumpArguments): Struct {
  return { index1, index2, num_of_obj1: num1, num_of_obj2: num2 }
}

/** Four bits, one up with each command; firmware that does not count leaves 0. */
function checkSequence(sent: number, received: number): void {
  const expected = (sent + 1) & 0xf
  if (received === expected || (sent === 0 && received === 0)) return
  throw new MalformedData(
    'RESOURCE_DUMP',
    `answers with sequence number ${received}; ${expected} was expected: part is missing`,
  )
}

/**
 * Which record of the menu a name or number means, with the arguments checked as the menu allows.
 * @throws UsageError, NameError
 */
export function checkedRequest(
  record: MenuRecord,
  given: Omit<DumpArguments, 'type'>,
  present: ReadonlySet<string>,
): DumpArguments {
  const what = `${record.name} (0x${record.type.toString(16)})`
  for (const which of ['index1', 'index2', 'num1', 'num2'] as const) {
    const rule = record[which]
    const name = 'name' in rule && rule.name !== 'N/A' ? `${which} (${rule.name})` : which
    if (present.has(which) && !rule.supported && given[which] > 1) throw new UsageError(`${what} takes no ${name}`)
    if (present.has(which) && !rule.supported && which.startsWith('index'))
      throw new UsageError(`${what} takes no ${name}`)
    if (!present.has(which) && rule.required)
      throw new UsageError(`${what} needs --${which} ${'name' in rule ? rule.name : ''}`.trim())
  }
  for (const which of ['num1', 'num2'] as const) {
    const { all, active } = record[which]
    if (given[which] === ALL && !all) throw new UsageError(`${what} cannot dump all by --${which}`)
    if (given[which] === ACTIVE && !active) throw new UsageError(`${what} cannot dump the active ones by --${which}`)
  }
  return { type: record.type, ...given }
}
