import type { Codec, Struct } from '../../prm/codec'
import type { DumpedResource } from '../profile'
import type { Firmware } from './firmware'
import { Refusal, Status } from './refusal'
import { encodeValues, numberOf } from './values'

/** Types of the segments that are no resources (facts: dumps, C.2). */
const segment = {
  NOTICE: 0xfff9,
  COMMAND: 0xfffa,
  TERMINATE: 0xfffb,
  ERROR: 0xfffc,
  REFERENCE: 0xfffd,
  INFO: 0xfffe,
  MENU: 0xffff,
} as const

const LAYOUT = 'resource_dump_ext'
/** num_of_obj that mean more than a number. */
const ALL = 0xffff
const ACTIVE = 0xfffe
const INLINE_BYTES = 208
const HEADER = 16
/** Dwords of payload that one segment carries; what is longer goes on in further segments, marked as such. */
const LONGEST = 16384
const TEXT = 32

/** What a dump is of. */
interface Wanted {
  readonly type: number
  readonly index1: number
  readonly index2: number
  readonly num1: number
  readonly num2: number
  readonly vhca: number
}

/**
 * RESOURCE_DUMP: a stream of segments, handed out in pieces. Where it goes on stands in device_opaque: the device keeps nothing
 * between two commands but the stream that it made last (facts: dumps, C.1).
 */
export class ResourceDump {
  private made: { readonly key: string; readonly stream: Uint8Array } | undefined

  constructor(private readonly firmware: Firmware) {}

  /** @throws Refusal */
  answer(image: Uint8Array, room: number): Uint8Array {
    const { codec } = this.firmware
    const length = codec.sizeBytes(LAYOUT)
    if (image.length < length) throw new Refusal(Status.BAD_INP_LEN, 'register too short')
    if (room < length) throw new Refusal(Status.BAD_OUTP_LEN, 'register too short')
    const request = codec.decode(LAYOUT, image.subarray(0, length))
    const stream = this.stream(wantedBy(request))
    const from = numberOf(request, 'device_opaque')
    if (from > stream.length || (numberOf(request, 'more_dump') === 0 && from !== 0))
      throw new Refusal(Status.BAD_PARAM, 'device_opaque')
    const inline = numberOf(request, 'inline_dump') === 1
    const capacity = inline ? INLINE_BYTES : numberOf(request, 'size') & ~3
    if (capacity === 0) throw new Refusal(Status.BAD_PARAM, 'size')
    const piece = stream.subarray(from, from + capacity)
    const data = new Uint8Array(INLINE_BYTES)
    if (inline) data.set(piece)
    else this.firmware.objects.writeMemory(numberOf(request, 'mkey'), BigInt(numberOf(request, 'address')), piece)
    const end = from + piece.length
    const reply = codec.encode(LAYOUT, {
      ...request,
      more_dump: end < stream.length ? 1 : 0,
      seq_num: (numberOf(request, 'seq_num') + 1) & 0xf,
      size: piece.length,
      device_opaque: BigInt(end),
      inline_data: [],
    })
    reply.set(data, reply.length - INLINE_BYTES)
    return reply
  }

  private stream(wanted: Wanted): Uint8Array {
    const key = JSON.stringify(wanted)
    if (this.made?.key !== key) this.made = { key, stream: new StreamMaker(this.firmware).make(wanted) }
    return this.made.stream
  }
}

function wantedBy(request: Struct): Wanted {
  return {
    type: numberOf(request, 'segment_type'),
    index1: numberOf(request, 'index1'),
    index2: numberOf(request, 'index2'),
    num1: numberOf(request, 'num_of_obj1'),
    num2: numberOf(request, 'num_of_obj2'),
    vhca: numberOf(request, 'vhca_id_valid') === 1 ? numberOf(request, 'vhca_id') : 0,
  }
}

class StreamMaker {
  private readonly codec: Codec
  private readonly menu: readonly DumpedResource[]
  private readonly parts: Uint8Array[] = []

  constructor(private readonly firmware: Firmware) {
    this.codec = firmware.codec
    this.menu = firmware.profile.resourceDump ?? []
  }

  /** @throws Refusal for a type that is not in the menu */
  make(wanted: Wanted): Uint8Array {
    const resource = this.menu.find(({ type }) => type === wanted.type)
    if (wanted.type !== segment.MENU && resource === undefined) throw new Refusal(Status.BAD_PARAM, 'segment_type')
    this.head(wanted)
    const wrong = resource === undefined ? undefined : this.body(resource, wanted)
    if (resource === undefined) this.menuSegment()
    if (wrong !== undefined) this.text(segment.ERROR, wrong)
    else this.put('resource_dump_terminate_segment', segment.TERMINATE, {})
    return Buffer.concat(this.parts)
  }

  private head({ type, index1, index2, num1, num2, vhca }: Wanted): void {
    const [major = 0, minor = 0, sub = 0] = this.firmware.flash.version.split('.').map(Number)
    this.put('resource_dump_info_segment', segment.INFO, {
      dump_version: 1,
      hw_version: this.firmware.hardwareId,
      fw_version: ((major << 24) | (minor << 16) | sub) >>> 0,
    })
    this.put('resource_dump_command_segment', segment.COMMAND, {
      segment_called: type,
      vhca_id: vhca,
      index1,
      index2,
      num_of_obj1: num1,
      num_of_obj2: num2,
    })
  }

  private menuSegment(): void {
    const record = 'resource_dump_menu_record'
    const size = this.codec.sizeBytes(record)
    const header = this.codec.encode('resource_dump_menu_segment', {
      segment_header: { length_dw: 2 + (this.menu.length * size) / 4, segment_type: segment.MENU },
      num_of_records: this.menu.length,
    })
    this.parts.push(header.subarray(0, 8), ...this.menu.map((one) => encodeValues(this.codec, record, menuValues(one))))
  }

  /** Returns what is wrong with the arguments. */
  private body(resource: DumpedResource, { index1, index2, num1, num2, vhca }: Wanted): string | undefined {
    if (vhca !== 0) return 'no such function'
    if (resource.index1 === undefined && index1 !== 0) return 'index1 not supported'
    if (resource.index2 === undefined && index2 !== 0) return 'index2 not supported'
    if (!supports(resource.num1, num1)) return 'num_of_obj1 not supported'
    if (!supports(resource.num2, num2)) return 'num_of_obj2 not supported'
    const objects = this.objectsOf(resource, index1, num1)
    if (objects.length === 0 && resource.notice !== undefined) this.text(segment.NOTICE, resource.notice)
    else if (objects.length === 0) return `no such ${resource.index1 ?? 'object'}`
    for (const object of objects) {
      const entries = this.entriesOf(resource, index2, num2)
      if (entries.length === 0) return `no such ${resource.index2 ?? 'entry'}`
      for (const entry of entries) this.resource(resource, object, entry)
      for (const name of resource.references ?? []) this.reference(name, object)
    }
    return undefined
  }

  private objectsOf({ objects, count, everything }: DumpedResource, first: number, number: number): number[] {
    const there =
      objects === undefined
        ? Array.from({ length: count ?? 1 }, (_, index) => index)
        : Object.keys(this.firmware.profile.objects[objects]?.instances ?? {}).map(Number)
    if (everything === true || number === ALL || number === ACTIVE) return there
    return there.filter((one) => one >= first && one < first + Math.max(1, number))
  }

  private entriesOf({ entries }: DumpedResource, first: number, number: number): number[] {
    if (entries === undefined) return [0]
    const end = number === ALL ? entries : Math.min(entries, first + Math.max(1, number))
    return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index)
  }

  private resource({ type, query, dwords = 0 }: DumpedResource, object: number, entry: number): void {
    const payload = query === undefined ? contents(type, object, entry, dwords) : this.outbox(query, object)
    for (let at = 0; at < payload.length; at += LONGEST * 4) {
      const piece = payload.subarray(at, at + LONGEST * 4)
      const header = Buffer.alloc(HEADER)
      header.writeUInt16BE(HEADER / 4 + piece.length / 4, 0)
      header.writeUInt16BE(type, 2)
      header.writeUInt32BE(at === 0 ? 0 : 1, 4)
      header.writeUInt32BE(object, 8)
      header.writeUInt32BE(entry, 12)
      this.parts.push(header, piece)
    }
  }

  /** What the command of that name answers about an object of the profile. */
  private outbox(query: string, object: number): Uint8Array {
    const { catalogue, profile } = this.firmware
    const layout = catalogue.command(query).outbox ?? ''
    const values = profile.objects[query]?.instances[String(object)] ?? profile.answers[query] ?? {}
    return encodeValues(this.codec, layout, values)
  }

  private reference(name: string, object: number): void {
    const to = this.menu.find((one) => one.name === name)
    if (to === undefined) return
    const bytes = this.codec.encode('resource_dump_command_segment', {
      segment_header: { length_dw: 5, segment_type: segment.REFERENCE },
      // Where a command has the type it was called with, a reference has nothing, and its type behind it.
      vhca_id: to.type,
      index1: object,
      num_of_obj2: to.num2 === undefined ? 0 : ALL,
    })
    this.parts.push(bytes)
  }

  private text(type: number, text: string): void {
    const bytes = Buffer.alloc(HEADER + TEXT)
    bytes.writeUInt16BE(bytes.length / 4, 0)
    bytes.writeUInt16BE(type, 2)
    bytes.writeUInt16BE(text.length, 6)
    bytes.write(text, HEADER, TEXT, 'latin1')
    this.parts.push(bytes)
  }

  private put(layout: string, type: number, values: Struct): void {
    const length = this.codec.sizeBytes(layout) / 4
    this.parts.push(this.codec.encode(layout, { segment_header: { length_dw: length, segment_type: type }, ...values }))
  }
}

function supports(special: readonly string[] | undefined, number: number): boolean {
  if (number === ALL) return special?.includes('all') === true
  if (number === ACTIVE) return special?.includes('active') === true
  return number <= 1 || special !== undefined
}

function menuValues({ type, name, index1, index2, must, num1, num2 }: DumpedResource): Record<string, number | string> {
  const bit = (value: boolean | undefined): number => (value === true ? 1 : 0)
  return {
    segment_type: type,
    segment_name: name,
    index1_name: index1 ?? 'N/A',
    index2_name: index2 ?? 'N/A',
    support_index1: bit(index1 !== undefined),
    must_have_index1: bit(must?.includes('index1')),
    support_index2: bit(index2 !== undefined),
    must_have_index2: bit(must?.includes('index2')),
    support_num_of_obj1: bit(num1 !== undefined),
    num_of_obj1_supports_all: bit(num1?.includes('all')),
    num_of_obj1_supports_active: bit(num1?.includes('active')),
    support_num_of_obj2: bit(num2 !== undefined),
    num_of_obj2_supports_all: bit(num2?.includes('all')),
    num_of_obj2_supports_active: bit(num2?.includes('active')),
  }
}

/** Stable contents that depend on what it is, its index and the place: three of four dwords are 0. */
function contents(type: number, object: number, entry: number, dwords: number): Uint8Array {
  const bytes = Buffer.alloc(dwords * 4)
  const seed = Math.imul(type, 0x9e3779b1) ^ Math.imul(object + 1, 0x85ebca6b) ^ Math.imul(entry + 1, 0xc2b2ae35)
  for (let index = 0; index < dwords; index++) {
    let mixed = Math.imul(seed ^ index, 0x27d4eb2f)
    mixed = (mixed ^ (mixed >>> 15)) >>> 0
    if ((mixed & 3) === 0) bytes.writeUInt32BE(mixed, index * 4)
  }
  return bytes
}
