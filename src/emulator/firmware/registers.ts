import type { Catalogue } from '../../prm/catalogue'
import type { Codec } from '../../prm/codec'
import type { Profile, RegisterProfile } from '../profile'
import { Refusal, Status } from './refusal'
import { applyValues, encodeValues } from './values'

/** Written fields of each register instance, as text that survives in a state file: "PTYS/1" -> hex of the image. */
export type RegisterState = Record<string, string>

/** Ids of registers whose contents follow from which registers there are: masks of 128 bits from the least significant. */
const MCAM = 0x907f

/** The access registers of one function: index fields select an instance, read-only fields stay, writes stick. */
export class RegisterFile {
  private readonly images = new Map<string, Uint8Array>()
  private readonly ids: ReadonlySet<number>
  /** Called after every write, with all that differs from the profile. */
  changed: ((state: RegisterState) => void) | undefined

  constructor(
    private readonly profile: Profile,
    private readonly catalogue: Catalogue,
    private readonly codec: Codec,
  ) {
    this.ids = new Set([CORE_DUMP, ...Object.keys(profile.registers).map((name) => catalogue.register(name).id)])
  }

  state(): RegisterState {
    return Object.fromEntries([...this.images].map(([key, image]) => [key, Buffer.from(image).toString('hex')]))
  }

  restore(state: RegisterState): void {
    for (const [key, hex] of Object.entries(state)) this.images.set(key, Uint8Array.from(Buffer.from(hex, 'hex')))
  }

  /**
   * @param image the register as the caller sends it: for a read its index fields count, for a write all
   * @param room bytes there are for the answer
   * @throws Refusal
   */
  access(id: number, method: 'read' | 'write', image: Uint8Array, room: number): Uint8Array {
    const register = this.ids.has(id) ? this.catalogue.findRegister(id) : undefined
    const profile = register === undefined ? undefined : this.profile.registers[register.name]
    if (register?.layout === undefined || profile === undefined) throw new Refusal(Status.BAD_RES, 'register_id')
    const { layout } = register
    const size = this.codec.sizeBytes(layout)
    if (image.length < size) throw new Refusal(Status.BAD_INP_LEN, 'register too short')
    if (room < size) throw new Refusal(Status.BAD_OUTP_LEN, 'register too short')
    const asked = image.subarray(0, size)
    const index = this.indexOf(layout, profile, asked)
    const key = [register.name, ...index].join('/')
    const now = this.images.get(key) ?? this.initial(id, layout, profile, index, asked)
    if (method === 'read') return now.slice()
    if ((profile.writable ?? []).length === 0) throw new Refusal(Status.BAD_PARAM, 'read-only register')
    const next = now.slice()
    for (const field of profile.writable ?? [])
      this.codec.set(layout, next, field, this.codec.get(layout, asked, field))
    this.images.set(key, next)
    this.changed?.(this.state())
    return next.slice()
  }

  private indexOf(layout: string, profile: RegisterProfile, asked: Uint8Array): number[] {
    return Object.entries(profile.index ?? {}).map(([field, allowed]) => {
      const value = Number(this.codec.get(layout, asked, field))
      if (!allowed.includes(value)) throw new Refusal(Status.BAD_INDEX, field)
      return value
    })
  }

  private initial(
    id: number,
    layout: string,
    profile: RegisterProfile,
    index: readonly number[],
    asked: Uint8Array,
  ): Uint8Array {
    const image = encodeValues(this.codec, layout, profile.values)
    applyValues(this.codec, layout, image, profile.instances?.[index.join(',')] ?? {})
    for (const field of Object.keys(profile.index ?? {}))
      this.codec.set(layout, image, field, this.codec.get(layout, asked, field))
    if (id === MCAM) this.maskOfRegisters(image, index[0] ?? 0)
    return image
  }

  /** MCAM group g: bit (id & 0x7f) of 128 for each id in 0x9000 + g * 0x80; the mask lies at byte 8, least dword last. */
  private maskOfRegisters(image: Uint8Array, group: number): void {
    for (const id of this.ids) {
      if (id >>> 7 !== (0x9000 >>> 7) + group) continue
      const bit = id & 0x7f
      const at = 8 + 15 - (bit >>> 3)
      image[at] = (image[at] ?? 0) | (1 << (bit & 7))
    }
  }
}

const CORE_DUMP = 0x402e
