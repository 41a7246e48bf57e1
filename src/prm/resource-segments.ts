import type { Catalogue } from './catalogue'
import type { Codec, Struct } from './codec'
import { MalformedData } from './errors'
import { LAST_RESOURCE, segmentType, type Segment } from './segments'
import { asciiText } from './ascii-text'

/** What may be dumped, and with which arguments. */
export interface MenuRecord {
  readonly type: number
  readonly name: string
  readonly index1: IndexRule
  readonly index2: IndexRule
  readonly num1: NumberRule
  readonly num2: NumberRule
}

interface IndexRule {
  readonly name: string
  readonly supported: boolean
  readonly required: boolean
}

interface NumberRule {
  readonly supported: boolean
  readonly required: boolean
  readonly all: boolean
  readonly active: boolean
}

/** Arguments of a dump, as a command and a reference carry them. */
export interface DumpArguments {
  readonly type: number
  readonly index1: number
  readonly index2: number
  readonly num1: number
  readonly num2: number
}

export type DecodedSegment =
  | { readonly kind: 'info'; readonly dumpVersion: number; readonly hwVersion: number; readonly fwVersion: string }
  | ({ readonly kind: 'command'; readonly vhca: number } & DumpArguments)
  | ({ readonly kind: 'reference' } & DumpArguments)
  | { readonly kind: 'terminate' }
  | { readonly kind: 'error' | 'notice'; readonly syndrome: number; readonly text: string }
  | { readonly kind: 'menu'; readonly records: readonly MenuRecord[]; readonly announced: number }
  | {
      readonly kind: 'resource'
      /** Goes on with the segment of the same type before it. */
      readonly aggregate: boolean
      readonly index1: number
      readonly index2: number
      readonly payload: Uint8Array
    }
  | { readonly kind: 'unknown' }

const RESOURCE_HEADER = 16
const MENU_HEADER = 8

/**
 * Decodes one segment by the layouts of the catalogue. A type between the resources and the known ones is 'unknown'.
 * @throws MalformedData for a segment that is too short for its type
 */
export function decodeSegment(codec: Codec, { type, bytes, offset }: Segment): DecodedSegment {
  const decoded = (layout: string): Struct => {
    const size = codec.sizeBytes(layout)
    if (bytes.length < size)
      throw new MalformedData(
        `segment 0x${type.toString(16)}`,
        `has ${bytes.length} bytes; ${layout} has ${size}`,
        offset,
      )
    return codec.decode(layout, bytes.subarray(0, size))
  }
  if (type <= LAST_RESOURCE) return resource(type, bytes, offset)
  switch (type) {
    case segmentType.INFO: {
      const { dump_version, hw_version, fw_version } = decoded('resource_dump_info_segment')
      return {
        kind: 'info',
        dumpVersion: Number(dump_version),
        hwVersion: Number(hw_version),
        fwVersion: firmwareVersion(Number(fw_version)),
      }
    }
    case segmentType.COMMAND: {
      const values = decoded('resource_dump_command_segment')
      return { kind: 'command', vhca: Number(values.vhca_id), ...argumentsOf(values, values.segment_called) }
    }
    case segmentType.REFERENCE: {
      // Has the layout of a command, but its type where that one has the function.
      const values = decoded('resource_dump_command_segment')
      return { kind: 'reference', ...argumentsOf(values, values.vhca_id) }
    }
    case segmentType.ERROR:
    case segmentType.NOTICE: {
      const { syndrome_id: syndrome } = decoded('resource_dump_error_segment')
      const kind = type === segmentType.ERROR ? 'error' : 'notice'
      return { kind, syndrome: Number(syndrome), text: asciiText(bytes.subarray(RESOURCE_HEADER)) }
    }
    case segmentType.MENU:
      return menu(codec, bytes, decoded('resource_dump_menu_segment'))
    case segmentType.TERMINATE:
      return { kind: 'terminate' }
    default:
      return { kind: 'unknown' }
  }
}

function resource(type: number, bytes: Uint8Array, offset: number): DecodedSegment {
  if (bytes.length < RESOURCE_HEADER)
    throw new MalformedData(
      `segment 0x${type.toString(16)}`,
      `has ${bytes.length} bytes; the header of a resource has ${RESOURCE_HEADER}`,
      offset,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    kind: 'resource',
    aggregate: (view.getUint32(4) & 1) === 1,
    index1: view.getUint32(8),
    index2: view.getUint32(12),
    payload: bytes.subarray(RESOURCE_HEADER),
  }
}

/** Records that the segment has room for; the count that it announces may be another. */
function menu(codec: Codec, bytes: Uint8Array, { num_of_records: announced }: Struct): DecodedSegment {
  const layout = 'resource_dump_menu_record'
  const size = codec.sizeBytes(layout)
  const there = Math.floor((bytes.length - MENU_HEADER) / size)
  const count = Math.min(Number(announced), there)
  const records = Array.from({ length: count }, (_, index) => {
    const record = bytes.subarray(MENU_HEADER + index * size, MENU_HEADER + (index + 1) * size)
    return menuRecord(codec.decode(layout, record), record)
  })
  return { kind: 'menu', records, announced: Number(announced) }
}

const NAME = 16

function menuRecord(values: Struct, record: Uint8Array): MenuRecord {
  const is = (name: string): boolean => values[name] === 1
  const name = (index: number): string => asciiText(record.subarray(4 + index * NAME, 4 + (index + 1) * NAME))
  const index = (which: 1 | 2): IndexRule => ({
    name: name(which),
    supported: is(`support_index${which}`),
    required: is(`must_have_index${which}`),
  })
  const number = (which: 1 | 2): NumberRule => ({
    supported: is(`support_num_of_obj${which}`),
    required: is(`must_have_num_of_obj${which}`),
    all: is(`num_of_obj${which}_supports_all`),
    active: is(`num_of_obj${which}_supports_active`),
  })
  return {
    type: Number(values.segment_type),
    name: name(0),
    index1: index(1),
    index2: index(2),
    num1: number(1),
    num2: number(2),
  }
}

function argumentsOf(values: Struct, type: unknown): DumpArguments {
  return {
    type: Number(type),
    index1: Number(values.index1),
    index2: Number(values.index2),
    num1: Number(values.num_of_obj1),
    num2: Number(values.num_of_obj2),
  }
}

/** major[31:24], minor[23:16], sub[15:0] */
const firmwareVersion = (word: number): string =>
  `${word >>> 24}.${String((word >>> 16) & 0xff).padStart(2, '0')}.${String(word & 0xffff).padStart(4, '0')}`

/** Outboxes of commands that resources of these names have as their payload. */
const commandsOfResources: Readonly<Record<string, string>> = {
  PRM_QUERY_QP: 'QUERY_QP',
  PRM_QUERY_CQ: 'QUERY_CQ',
  PRM_QUERY_MKEY: 'QUERY_MKEY',
  QUERY_VNIC_ENV: 'QUERY_VNIC_ENV',
  QUERY_FT: 'QUERY_FLOW_TABLE',
  QUERY_FT_ALL: 'QUERY_FLOW_TABLE',
  QUERY_FG: 'QUERY_FLOW_GROUP',
  QUERY_FG_ALL: 'QUERY_FLOW_GROUP',
  QUERY_FTE: 'QUERY_FLOW_TABLE_ENTRY',
  QUERY_FTE_ALL: 'QUERY_FLOW_TABLE_ENTRY',
}

/** Layout of the payload of a resource, by its name; undefined where the catalogue has none. */
export function payloadLayout(catalogue: Catalogue, name: string | undefined): string | undefined {
  const command = commandsOfResources[name ?? '']
  return command === undefined ? undefined : catalogue.command(command).outbox
}

/** Names of the types of segments: those that a device's own menu gives come before the ones that are known of another. */
export class SegmentNames {
  private readonly own = new Map<number, string>()

  constructor(private readonly codec: Codec) {}

  learn(records: readonly MenuRecord[]): void {
    for (const { type, name } of records) this.own.set(type, name)
  }

  of(type: number): string | undefined {
    return this.own.get(type) ?? this.codec.enumName('resource_dump_segment_type', type)
  }
}
