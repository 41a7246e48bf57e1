import { UsageError } from '../device/errors'
import { ACTIVE, ALL } from '../device/resource-dump'
import type { Catalogue } from '../prm/catalogue'
import type { Codec } from '../prm/codec'
import {
  decodeSegment,
  payloadLayout,
  SegmentNames,
  type DecodedSegment,
  type DumpArguments,
  type MenuRecord,
} from '../prm/resource-segments'
import type { Segment } from '../prm/segments'
import { columns, fieldRows } from '../render/columns'
import { hexRows } from '../render/dump-text'
import { flatten, hexString, toJson } from '../render/values'
import { enumNamer } from './naming'

/** Segments of resource dumps, as text and as JSON. */
export class SegmentView {
  /** Sentences of firmware: errors end a dump, notices do not. */
  readonly errors: string[] = []
  readonly notices: string[] = []
  private readonly names: SegmentNames

  /** @param menu of the device, where it is known: types of resources are its own */
  constructor(
    private readonly facts: { readonly catalogue: Catalogue; readonly codec: Codec },
    menu: readonly MenuRecord[] = [],
  ) {
    this.names = new SegmentNames(facts.codec)
    this.names.learn(menu)
  }

  /** Looks at a segment for what the user must be told, whatever is printed. @throws MalformedData */
  note(segment: Segment): DecodedSegment {
    const decoded = decodeSegment(this.facts.codec, segment)
    if (decoded.kind === 'menu') this.names.learn(decoded.records)
    if (decoded.kind === 'error' || decoded.kind === 'notice') {
      const said = `${decoded.text} (syndrome 0x${decoded.syndrome.toString(16)})`
      const list = decoded.kind === 'error' ? this.errors : this.notices
      if (list.length < MOST_TOLD) list.push(said)
    }
    return decoded
  }

  /** @throws MalformedData */
  text(segment: Segment): (string | Uint8Array)[] {
    const decoded = this.note(segment)
    switch (decoded.kind) {
      case 'info': {
        const { dumpVersion, hwVersion, fwVersion } = decoded
        return [`info       dump version ${dumpVersion}, hardware 0x${hwVersion.toString(16)}, firmware ${fwVersion}\n`]
      }
      case 'command':
        return [`command    ${this.call(decoded)}, vhca ${decoded.vhca}\n`]
      case 'reference':
        return [`reference  ${this.call(decoded)}\n`]
      case 'terminate':
        return ['terminate\n']
      case 'error':
      case 'notice':
        return [`${decoded.kind.padEnd(10)} ${decoded.text} (syndrome 0x${decoded.syndrome.toString(16)})\n`]
      case 'menu':
        return [`menu       ${decoded.records.length} of ${decoded.announced} records\n`, menuTable(decoded.records)]
      case 'resource': {
        const { index1, index2, aggregate, payload } = decoded
        const goesOn = aggregate ? ', goes on' : ''
        const title = `${this.title(segment.type)} index1 ${index1} index2 ${index2}, ${payload.length} bytes${goesOn}`
        return [`resource   ${title}\n`, this.payload(segment.type, payload)]
      }
      default:
        return [`unknown    ${this.title(segment.type)}, ${segment.bytes.length} bytes\n`, hexRows(segment.bytes)]
    }
  }

  /** @throws MalformedData */
  json(segment: Segment): Record<string, unknown> {
    const decoded = this.note(segment)
    const { type, offset, bytes } = segment
    const base = { kind: decoded.kind, type, name: this.names.of(type) ?? null, offset, length: bytes.length }
    switch (decoded.kind) {
      case 'command':
      case 'reference': {
        const { type: called, index1, index2, num1, num2 } = decoded
        const vhca = decoded.kind === 'command' ? { vhca: decoded.vhca } : {}
        return { ...base, called, calledName: this.names.of(called) ?? null, index1, index2, num1, num2, ...vhca }
      }
      case 'resource': {
        const { index1, index2, aggregate, payload } = decoded
        const layout = this.layoutOf(type, payload)
        const values = layout === undefined ? null : toJson(this.facts.codec.decode(layout, payload))
        return { ...base, index1, index2, aggregate, payload: hexString(payload), layout: layout ?? null, values }
      }
      case 'unknown':
        return { ...base, bytes: hexString(bytes) }
      default:
        return { ...base, ...decoded }
    }
  }

  private payload(type: number, payload: Uint8Array): string | Uint8Array {
    const layout = this.layoutOf(type, payload)
    if (layout === undefined) return hexRows(payload)
    const { codec } = this.facts
    return fieldRows(flatten(codec.decode(layout, payload), enumNamer(codec, layout)), '  ')
  }

  private layoutOf(type: number, payload: Uint8Array): string | undefined {
    const layout = payloadLayout(this.facts.catalogue, this.names.of(type))
    return layout !== undefined && payload.length >= this.facts.codec.sizeBytes(layout) ? layout : undefined
  }

  private title(type: number): string {
    const number = `0x${type.toString(16)}`
    const name = this.names.of(type)
    return name === undefined ? number : `${name} (${number})`
  }

  private call({ type, index1, index2, num1, num2 }: DumpArguments): string {
    return `${this.title(type)} index1 ${index1} index2 ${index2} num1 ${numberText(num1)} num2 ${numberText(num2)}`
  }
}

const MOST_TOLD = 10

/** Segments that are kept for one JSON document, and bytes of them: more makes a document that nothing can hold. */
const MOST_SEGMENTS = 500_000
const MOST_BYTES = 64 << 20

/** Segments on their way into one JSON document. */
export class JsonSegments {
  readonly list: unknown[] = []
  private bytes = 0

  /** @throws UsageError when it gets too long */
  add(segment: Segment, view: SegmentView): void {
    this.bytes += segment.bytes.length
    if (this.bytes > MOST_BYTES || this.list.length >= MOST_SEGMENTS)
      throw new UsageError('the dump is too long for one JSON document', 'use --format ndjson')
    this.list.push(view.json(segment))
  }
}

const numberText = (number: number): string => (number === ALL ? 'all' : number === ACTIVE ? 'active' : String(number))

/** Of each argument: "-" where there is none, its name, "!" where it must be given, and what else than a number it takes. */
export function menuTable(records: readonly MenuRecord[]): string {
  const index = ({ name, supported, required }: MenuRecord['index1']): string =>
    supported ? `${name}${required ? '!' : ''}` : '-'
  const number = ({ supported, required, all, active }: MenuRecord['num1']): string =>
    supported ? `N${required ? '!' : ''}${all ? '|all' : ''}${active ? '|active' : ''}` : '-'
  return columns([
    ['TYPE', 'NAME', 'INDEX1', 'NUM1', 'INDEX2', 'NUM2'],
    ...records.map(({ type, name, index1, index2, num1, num2 }) => [
      `0x${type.toString(16)}`,
      name,
      index(index1),
      number(num1),
      index(index2),
      number(num2),
    ]),
  ])
}
