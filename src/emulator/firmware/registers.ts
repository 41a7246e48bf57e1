import { readBig, writeBig } from '../../prm/bits'
import type { Catalogue } from '../../prm/catalogue'
import type { Codec, FieldRange } from '../../prm/codec'
import { MalformedData } from '../../prm/errors'
import type { Register } from '../../prm/layout'
import type { Profile, RegisterProfile } from '../profile'
import { answerText } from './device-texts'
import { ModuleMemory } from './modules'
import { Refusal, RegisterStatus, Status } from './refusal'
import type { Traffic } from './traffic'
import { applyValues } from './values'

/**
 * Contents that differ from the profile, as text that survives in a state file: "PTYS/1,0" -> hex of the image, the index fields
 * in the order of the layout. "PTYS/*" stands for every instance, "0x5024/*" for a register that the
 * catalogue does not know, byte for byte.
 */
export type RegisterState = Record<string, string>

/** Registers that say which registers there are: group g has a bit for each id from `first` + g * 128, the last bit the lowest. */
const masks: Readonly<Record<number, number>> = { 0x4019: 0x4000, 0x507f: 0x5000, 0x907f: 0x9000 }
const MASK_AT = 8
const GROUPS = 4

export const CORE_DUMP = 0x402e
export const RESOURCE_DUMP = 0xc000
const MCIA = 0x9014
const MQIS = 0x9064

/**
 * The access registers of one function. Index fields select an instance, fields that may be written stick, all others stay.
 * What the profile has no values for reads as zero.
 */
export class RegisterFile {
  private readonly images = new Map<string, Uint8Array>()
  private readonly modules: ModuleMemory
  /** Called after every write, with all that differs from the profile. */
  changed: ((state: RegisterState) => void) | undefined

  constructor(
    private readonly profile: Profile,
    private readonly catalogue: Catalogue,
    private readonly codec: Codec,
    private readonly traffic: Traffic,
  ) {
    this.modules = new ModuleMemory(profile.module)
  }

  state(): RegisterState {
    return Object.fromEntries([...this.images].map(([key, image]) => [key, Buffer.from(image).toString('hex')]))
  }

  /** @throws MalformedData for a register that is none */
  restore(state: RegisterState): void {
    for (const [key, hex] of Object.entries(state)) {
      const name = key.slice(0, key.indexOf('/'))
      const known = this.catalogue.registers().some((register) => register.name === name)
      if (!known && !/^0x[0-9a-f]{1,4}$/.test(name)) throw new MalformedData(key, 'is the state of an unknown register')
      this.images.set(key, Uint8Array.from(Buffer.from(hex, 'hex')))
    }
  }

  /**
   * @param image the register as the caller sends it: for a read its index fields count, for a write all. Firmware takes an
   *   image that is shorter or longer than its own: tools of another age have other sizes.
   * @param room bytes there are for the answer
   * @returns the register, `room` bytes at the most
   * @throws Refusal
   */
  access(id: number, method: 'read' | 'write', image: Uint8Array, room: number): Uint8Array {
    const unknown = this.images.get(`0x${id.toString(16)}/*`)
    if (unknown !== undefined && method === 'read') return unknown.slice(0, Math.min(room, image.length))
    const register = this.catalogue.findRegister(id)
    if (register?.layout === undefined || !this.has(register))
      throw new Refusal(Status.BAD_PARAM, 'register_id', RegisterStatus.NOT_SUPPORTED)
    const { layout } = register
    const asked = new Uint8Array(Math.max(this.codec.sizeBytes(layout), image.length))
    asked.set(image)
    const fields = this.codec.ranges(layout, asked)
    const index = this.index(register, fields, asked)
    const key = `${register.name}/${index.join(',')}`
    const now = this.images.get(key) ?? this.initial(register, asked)
    if (method === 'write') this.write(register, key, fields, asked, now)
    const answer = this.answer(register, fields, asked, this.images.get(key) ?? now)
    return answer.subarray(0, room)
  }

  /** Whether the state says what a register reads as, whatever the device is. */
  isGiven(id: number): boolean {
    const name = this.catalogue.findRegister(id)?.name ?? `0x${id.toString(16)}`
    return this.images.has(`${name}/*`)
  }

  /** Whether the device has a register: one that the profile has values for, or one of all but those it excludes. */
  private has({ name, layout }: Register): boolean {
    const { registers, registersExcept } = this.profile
    return name in registers || (layout !== undefined && registersExcept?.includes(name) === false)
  }

  private profileOf({ name }: Register): RegisterProfile | undefined {
    return this.profile.registers[name]
  }

  /** Values of the fields that select an instance. @throws Refusal for an instance that is not there */
  private index(register: Register, fields: readonly FieldRange[], asked: Uint8Array): (number | bigint)[] {
    const allowed = this.images.has(`${register.name}/*`) ? {} : (this.profileOf(register)?.index ?? {})
    for (const [name, values] of Object.entries(allowed)) {
      const value = Number(this.codec.get(register.layout ?? '', asked, name))
      if (!values.includes(value)) throw new Refusal(Status.BAD_INDEX, name, RegisterStatus.BAD_PARAM)
    }
    return fields
      .filter(({ path, access }) => access === 'INDEX' || path in allowed)
      .map(({ value }) => (value instanceof Uint8Array ? BigInt(`0x${Buffer.from(value).toString('hex')}`) : value))
  }

  private initial(register: Register, asked: Uint8Array): Uint8Array {
    const layout = register.layout ?? ''
    const image = new Uint8Array(asked.length)
    const everywhere = this.images.get(`${register.name}/*`)
    if (everywhere !== undefined) image.set(everywhere.subarray(0, image.length))
    const profile = everywhere === undefined ? this.profileOf(register) : undefined
    if (profile !== undefined) {
      const index = Object.keys(profile.index ?? {}).map((name) => Number(this.codec.get(layout, asked, name)))
      applyValues(this.codec, layout, image, profile.values)
      applyValues(this.codec, layout, image, profile.instances?.[index.join(',')] ?? {})
      for (const name of profile.echo ?? []) this.codec.set(layout, image, name, this.codec.get(layout, asked, name))
    }
    const first = masks[register.id]
    if (first !== undefined && everywhere === undefined) this.maskOfRegisters(image, asked[3] ?? 0, first)
    return image
  }

  private write(
    register: Register,
    key: string,
    fields: readonly FieldRange[],
    asked: Uint8Array,
    now: Uint8Array,
  ): void {
    const listed = new Set(this.profileOf(register)?.writable ?? [])
    const sticks = fields.filter(({ path, access }) => access === 'RW' || listed.has(path.replace(/\[\d+\]$/, '')))
    const taken = fields.some(({ access }) => access === 'WO' || access === 'OP')
    if (sticks.length === 0 && !taken)
      throw new Refusal(Status.BAD_PARAM, 'read-only register', RegisterStatus.BAD_METHOD)
    const next = now.slice()
    for (const field of sticks) copyBits(asked, next, field)
    this.images.set(key, next)
    this.changed?.(this.state())
  }

  /** What selects and what orders is given back as it came; what is write-only reads as zero. */
  private answer(register: Register, fields: readonly FieldRange[], asked: Uint8Array, now: Uint8Array): Uint8Array {
    const answer = now.slice()
    const allowed = this.profileOf(register)?.index ?? {}
    for (const field of fields) {
      if (field.access === 'INDEX' || field.access === 'OP' || field.path in allowed) copyBits(asked, answer, field)
      else if (field.access === 'WO') writeBig(answer, field.offset, field.width, 0n)
    }
    this.answerSpecially(register, asked, answer)
    return answer
  }

  /** Registers that are windows onto something larger. */
  private answerSpecially({ id, name, layout = '' }: Register, asked: Uint8Array, answer: Uint8Array): void {
    if (this.images.has(`${name}/*`)) return
    this.traffic.register(name, layout, answer)
    if (id === MCIA) this.modules.answer(this.codec, layout, answer)
    if (id !== MQIS) return
    this.codec.set(layout, answer, 'read_length', this.codec.get(layout, asked, 'read_length'))
    answerText(this.codec, layout, answer, this.profile.texts ?? {})
  }

  private maskOfRegisters(image: Uint8Array, group: number, first: number): void {
    if (group >= GROUPS) return
    const there = this.catalogue.registers().filter((register) => register.id === CORE_DUMP || this.has(register))
    for (const { id } of there) {
      if (id >>> 7 !== (first >>> 7) + group) continue
      const bit = id & 0x7f
      const at = MASK_AT + 15 - (bit >>> 3)
      image[at] = (image[at] ?? 0) | (1 << (bit & 7))
    }
  }
}

function copyBits(from: Uint8Array, to: Uint8Array, { offset, width }: FieldRange): void {
  writeBig(to, offset, width, readBig(from, offset, width))
}
