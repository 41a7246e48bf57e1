import type { Codec } from '../../prm/codec'
import type { Profile, TrafficProfile } from '../profile'
import type { DeviceClock } from './clock'
import { functionCounts, hostCounts, Moment, portCounts, type Count } from './traffic-counts'

/** Sensors of modules begin here. */
const FIRST_MODULE_SENSOR = 64

/**
 * What runs through an emulated device: counters of all registers and commands that tell of it grow with the clock of the device, at
 * the rates of the profile, and agree with one another. With a clock that stands still they are as the profile has them.
 */
export class Traffic {
  private readonly profile: TrafficProfile | undefined

  constructor(
    { traffic }: Profile,
    private readonly codec: Codec,
    private readonly clock: DeviceClock,
  ) {
    this.profile = traffic
  }

  /** Sets the counters in an answer to the read of a register, whose fields already say which. */
  register(name: string, layout: string, image: Uint8Array): void {
    const { profile } = this
    if (profile === undefined) return
    const moment = new Moment(profile, this.clock)
    if (name === 'MTMP') return this.temperature(layout, image, profile, moment)
    if (name !== 'PPCNT' && name !== 'MPCNT') return
    const group = Number(this.codec.get(layout, image, 'grp'))
    const priority = name === 'PPCNT' ? Number(this.codec.get(layout, image, 'prio_tc')) : 0
    const [member = '', counts = {}] = (name === 'PPCNT' ? portCounts : hostCounts)(moment, group, priority) ?? []
    for (const [field, count] of Object.entries(counts))
      this.set(layout, image, `counter_set.${member}.${field}`, count)
  }

  /** The same, in the outbox of a command. */
  command(name: string, layout: string, outbox: Uint8Array): void {
    if (this.profile === undefined) return
    const counts = functionCounts(new Moment(this.profile, this.clock), name) ?? {}
    for (const [field, count] of Object.entries(counts)) this.set(layout, outbox, field, count)
  }

  /** A counter of 64 bits is one field, or a pair of them; one of 32 bits wraps. */
  private set(layout: string, bytes: Uint8Array, path: string, count: Count): void {
    const { codec } = this
    const isPair = pairOf(codec, layout, path)
    if (isPair) {
      codec.set(layout, bytes, `${path}_high`, Number((count >> 32n) & 0xffffffffn))
      codec.set(layout, bytes, `${path}_low`, Number(count & 0xffffffffn))
      return
    }
    const { width } = codec.resolve(layout, path)
    const wrapped = BigInt.asUintN(width, count)
    codec.set(layout, bytes, path, width > 32 ? wrapped : Number(wrapped))
  }

  /** Wanders about what the profile says, in steps of 0.125 degrees, and never above the maximum. */
  private temperature(layout: string, image: Uint8Array, { wander }: TrafficProfile, { seconds }: Moment): void {
    const { codec } = this
    const isModule = Number(codec.get(layout, image, 'sensor_index')) >= FIRST_MODULE_SENSOR
    const [steps, period] = isModule ? wander.module : wander.chip
    const base = Number(codec.get(layout, image, 'temperature'))
    const most = Number(codec.get(layout, image, 'max_temperature'))
    const now = base + Math.round(steps * Math.sin((2 * Math.PI * seconds) / period))
    codec.set(layout, image, 'temperature', Math.min(now, most))
  }
}

function pairOf(codec: Codec, layout: string, path: string): boolean {
  const end = path.lastIndexOf('.')
  const around = end < 0 ? undefined : codec.resolve(layout, path.slice(0, end)).member.plan
  return around?.byName.has(`${path.slice(end + 1)}_high`) === true
}
