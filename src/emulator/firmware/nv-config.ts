import type { Catalogue } from '../../prm/catalogue'
import type { Codec, Struct } from '../../prm/codec'
import { MalformedData } from '../../prm/errors'
import type { Layout } from '../../prm/layout'
import { nvLayout, nvType, type NvInstance, type NvTlv } from '../../prm/nv'
import type { Profile, Values } from '../profile'
import { Refusal, RegisterStatus, Status } from './refusal'
import { applyValues, numberOf } from './values'

/** Registers of NV configuration (facts: mstconfig, C.2). */
const register = { MNVDA: 0x9024, MNVDI: 0x9025, MNVQC: 0x9030, MNVIA: 0x9033, MNVGC: 0x9034, MNVGN: 0x9035 }

const HEADER = 12
/** MNVGN has its pointer in front of a header, and 12 bytes between. */
const POINTER = 16
/** What a TLV may have in MNVDA, and in MNVGN. */
const MOST_DATA = 256
const MOST_LISTED = 128
const mode = { NEXT: 0, CURRENT: 1, DEFAULT: 2 } as const
const WRITER_ICMD = 5
/** Version of all TLVs. */
const VERSION = 0

interface Item {
  readonly tlv: NvTlv
  readonly layout: Layout
  readonly type: number
  readonly readOnly: boolean
  readonly priority: number
  readonly corrupt: boolean
  readonly wornOut: boolean
  readonly default: Uint8Array
  current: Uint8Array
  next: Uint8Array
  /** Who wrote the next value; undefined as long as it is the default. */
  writer: number | undefined
}

/** Values of the next start that are no defaults, by the type dword: "0x03000080" -> writer and data in hex. */
export type NvState = Record<string, string>

/**
 * NV configuration of one device: each TLV has a default, a current value and one that counts from the next start on. The
 * profile says which there are.
 */
export class NvConfiguration {
  private made: Map<number, Item> | undefined
  changed: ((state: NvState) => void) | undefined

  constructor(
    private readonly profile: Profile,
    private readonly catalogue: Catalogue,
    private readonly codec: Codec,
  ) {}

  /** By their type dwords; made when somebody first wants one, since most runs want none. @throws MalformedData */
  private get items(): Map<number, Item> {
    return (this.made ??= new Map(
      Object.entries(this.profile.nv ?? {}).map(([key, values]) => {
        const item = this.make(key, values)
        return [item.type, item]
      }),
    ))
  }

  private make(key: string, values: Values): Item {
    const { profile } = this
    const [name = '', place = ''] = key.split('/')
    const tlv = this.catalogue.findTlv(name)
    if (tlv?.name !== name) throw new MalformedData(`profile ${profile.name}`, `${name} is no TLV`)
    const layout = nvLayout(tlv)
    const initial = this.data(layout, new Uint8Array(tlv.bytes), values)
    const { current = {}, next = {} } = profile.nvChanged?.[key] ?? {}
    const now = this.data(layout, initial, current)
    return {
      tlv,
      layout,
      type: nvType(tlv, instanceOf(place)),
      readOnly: tlv.capability || profile.nvReadOnly?.includes(name) === true,
      priority: profile.nvPriority?.[name] ?? 0,
      corrupt: profile.nvCorrupt?.includes(name) === true,
      wornOut: profile.nvWornOut?.includes(name) === true,
      default: initial,
      current: now,
      next: this.data(layout, now, next),
      writer: profile.nvChanged?.[key] === undefined ? undefined : WRITER_ICMD,
    }
  }

  /** Whether this register is one of the configuration. */
  has(id: number): boolean {
    return this.profile.nv !== undefined && Object.values(register).includes(id)
  }

  /** @throws Refusal */
  access(id: number, method: 'read' | 'write', image: Uint8Array, room: number): Uint8Array {
    const answer = new Uint8Array(Math.max(image.length, room))
    answer.set(image)
    const isRead = method === 'read'
    if (id === register.MNVDA && isRead) this.read(answer, image)
    else if (id === register.MNVDA) this.write(answer, image)
    else if (id === register.MNVDI && !isRead) this.invalidate(image)
    else if (id === register.MNVIA && !isRead) this.invalidateAll(image)
    else if (id === register.MNVQC && isRead) this.query(answer)
    else if (id === register.MNVGC && isRead) answer.set([0, 0, 0, 3], 0)
    else if (id === register.MNVGN && isRead) this.list(answer)
    else throw new Refusal(Status.BAD_OP, 'method', RegisterStatus.BAD_METHOD)
    return answer.subarray(0, room)
  }

  state(): NvState {
    return Object.fromEntries(
      [...this.items.values()]
        .filter(({ writer }) => writer !== undefined)
        .map(({ type, writer = 0, next }) => [hex(type), `${writer}:${Buffer.from(next).toString('hex')}`]),
    )
  }

  /** A start: what was to count from now on counts. @throws MalformedData */
  restore(state: NvState): void {
    for (const item of this.items.values()) {
      item.next = item.default
      item.writer = undefined
    }
    for (const [type, text] of Object.entries(state)) {
      const item = this.items.get(Number(type))
      const [, writer, data = ''] = /^(\d+):((?:[0-9a-f]{2})*)$/.exec(text) ?? []
      if (item === undefined || writer === undefined || data.length !== item.default.length * 2)
        throw new MalformedData(type, 'is the state of an unknown TLV')
      item.next = Uint8Array.from(Buffer.from(data, 'hex'))
      item.writer = Number(writer)
    }
    this.start()
  }

  /** A start of the chip. */
  start(): void {
    for (const item of this.items.values()) item.current = item.next
  }

  private header(image: Uint8Array): Struct {
    if (image.length < HEADER) throw new Refusal(Status.BAD_INP_LEN, 'header too short', RegisterStatus.LEN_TOO_SMALL)
    return this.codec.decode('config_item_ext', image.subarray(0, HEADER))
  }

  private item(image: Uint8Array): Item {
    const type = typeOf(image)
    const item = this.items.get(type)
    if (item === undefined) throw new Refusal(Status.BAD_RES, `no TLV ${hex(type)}`, RegisterStatus.BAD_PARAM)
    return item
  }

  private read(answer: Uint8Array, image: Uint8Array): void {
    const values = this.header(image)
    const item = this.item(image)
    const asked = numberOf(values, 'access_mode')
    const data = { [mode.NEXT]: item.next, [mode.CURRENT]: item.current, [mode.DEFAULT]: item.default }[asked]
    if (data === undefined) throw new Refusal(Status.BAD_PARAM, 'access_mode')
    if (item.corrupt && asked !== mode.DEFAULT)
      throw new Refusal(Status.BAD_RES_STATE, 'damaged section', RegisterStatus.CONFIG_CORRUPT)
    if (data.length > MOST_DATA) throw new Refusal(Status.BAD_PARAM, 'too long', RegisterStatus.LEN_TOO_SMALL)
    answer.fill(0, HEADER)
    answer.set(this.headerOf(item, { access_mode: asked, ovr_en: numberOf(values, 'ovr_en') }))
    answer.set(data.subarray(0, answer.length - HEADER), HEADER)
  }

  private headerOf({ type, writer, next, priority }: Item, more: Struct = {}): Uint8Array {
    const bytes = this.codec.encode('config_item_ext', {
      length: next.length,
      version: VERSION,
      writer_id: writer ?? 0,
      priority,
      ...more,
    })
    new DataView(bytes.buffer).setUint32(4, type)
    return bytes
  }

  /** All of it or nothing: the length must be that of the TLV, and every value one that it can have. */
  private write(answer: Uint8Array, image: Uint8Array): void {
    const values = this.header(image)
    const item = this.item(image)
    const length = numberOf(values, 'length')
    if (item.readOnly) throw new Refusal(Status.BAD_PARAM, 'read-only TLV', RegisterStatus.BAD_METHOD)
    if (item.wornOut) throw new Refusal(Status.LIM, 'erased too often', RegisterStatus.ERASE_EXCEEDED)
    // MNVDA writes with the priority of a user, 0.
    if (item.priority > 0)
      throw new Refusal(Status.BAD_PARAM, 'written with a higher priority', RegisterStatus.BAD_CONFIG)
    if (length < item.default.length || image.length < HEADER + length)
      throw new Refusal(Status.BAD_PARAM, 'TLV too short', RegisterStatus.LEN_TOO_SMALL)
    if (length > item.default.length) throw new Refusal(Status.BAD_PARAM, 'TLV too long', RegisterStatus.BAD_CONFIG)
    const data = image.slice(HEADER, HEADER + length)
    const [decoded, before] = [data, item.default].map((one) => this.codec.decode(item.layout, one))
    for (const { name, values: known, count } of item.tlv.parameters) {
      const value = decoded?.[name]
      if (known === undefined || count !== undefined || typeof value !== 'number' || value === before?.[name]) continue
      if (!Object.values(known).includes(value))
        throw new Refusal(Status.BAD_PARAM, `value of ${name}`, RegisterStatus.BAD_CONFIG)
    }
    item.next = data
    item.writer = numberOf(values, 'writer_id')
    answer.fill(0, HEADER + length)
    this.changed?.(this.state())
  }

  private invalidate(image: Uint8Array): void {
    this.header(image)
    const item = this.item(image)
    if (item.readOnly) throw new Refusal(Status.BAD_PARAM, 'read-only TLV', RegisterStatus.BAD_METHOD)
    item.next = item.default
    item.writer = undefined
    this.changed?.(this.state())
  }

  /** Target 0 is all. */
  private invalidateAll(image: Uint8Array): void {
    if (((image[3] ?? 0) & 7) !== 0) throw new Refusal(Status.BAD_PARAM, 'target')
    for (const item of this.items.values()) {
      if (item.readOnly) continue
      item.next = item.default
      item.writer = undefined
    }
    this.changed?.(this.state())
  }

  /** Which TLVs there are; type 0 is asked to see whether there are any at all. */
  private query(answer: Uint8Array): void {
    if (answer.length < 8) throw new Refusal(Status.BAD_INP_LEN, 'register too short', RegisterStatus.LEN_TOO_SMALL)
    const item = this.items.get(new DataView(answer.buffer, answer.byteOffset).getUint32(0))
    answer.fill(0, 4)
    if (item !== undefined) answer[7] = (VERSION << 4) | (item.readOnly ? 1 : 3)
  }

  /** What is stored, one TLV after the other, each with the pointer to the next; behind the last one comes pointer 0 alone. */
  private list(answer: Uint8Array): void {
    const view = new DataView(answer.buffer, answer.byteOffset, answer.length)
    const stored = [...this.items.values()].filter(
      ({ writer, next }) => writer !== undefined && next.length <= MOST_LISTED,
    )
    const at = view.getUint32(0)
    const item = stored[at]
    if (at > 0 && at === stored.length) {
      answer.fill(0)
      return
    }
    if (item === undefined) throw new Refusal(Status.BAD_RES, 'nothing is stored', RegisterStatus.RESOURCE_UNAVAILABLE)
    if (answer.length < POINTER + HEADER + item.next.length)
      throw new Refusal(Status.BAD_PARAM, 'register too short', RegisterStatus.LEN_TOO_SMALL)
    answer.fill(0)
    view.setUint32(0, at + 1)
    answer.set(this.headerOf(item), POINTER)
    answer.set(item.next, POINTER + HEADER)
  }

  private data(layout: Layout, base: Uint8Array, values: Values): Uint8Array {
    const bytes = base.slice()
    applyValues(this.codec, layout, bytes, values)
    return bytes
  }
}

function instanceOf(place: string): NvInstance {
  const [, kind, number] = /^([pm])(\d+)$/.exec(place) ?? []
  if (kind === 'p') return { port: Number(number) }
  return kind === 'm' ? { module: Number(number) } : {}
}

const typeOf = (image: Uint8Array): number => new DataView(image.buffer, image.byteOffset).getUint32(4)
const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
