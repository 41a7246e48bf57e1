import type { Struct } from '../../prm/codec'
import type { TracerProfile } from '../profile'
import type { Firmware } from './firmware'
import { Refusal, RegisterStatus, Status } from './refusal'
import { MessageSource, sectionBytes, type FirmwareMessage } from './trace-messages'
import { TraceRing } from './trace-ring'
import { numberOf } from './values'

/** Registers of the tracer and their layouts (facts: dumps, D.1). */
const layouts: Readonly<Record<number, string>> = {
  0x9040: 'mtrc_cap_reg_ext',
  0x9041: 'mtrc_conf_reg_ext',
  0x9042: 'mtrc_stdb_reg_ext',
  0x9043: 'mtrc_ctrl_reg_ext',
}
const [CAP, CONF, STDB] = [0x9040, 0x9041, 0x9042]

const PAGE = 4096
const BLOCK = 256
const TO_MEMORY = 1
const ACTIVE = 1
const TRACE_STATUS = 1
/** Strings are read in multiples of this. */
const STRINGS_UNIT = 64
/** What mlx5_core is among the contexts that may own the tracer. */
const DRIVER = -1

interface Configuration {
  readonly trace_mode: number
  readonly log_trace_buffer_size: number
  readonly trace_mkey: number
}

const unconfigured: Configuration = { trace_mode: 0, log_trace_buffer_size: 0, trace_mkey: 0 }

/**
 * The firmware tracer: one context owns it, says where the ring is, and switches it on. Messages are written when the device is
 * asked something about the tracer; a reader asks for the time anyway.
 */
export class Tracer {
  private owner: number | undefined
  private configuration = unconfigured
  private running: { readonly source: MessageSource; readonly ring: TraceRing } | undefined
  private readonly profile: TracerProfile | undefined

  constructor(
    private readonly firmware: Firmware,
    private readonly options: { readonly traced?: boolean; readonly lossy?: boolean },
  ) {
    this.profile = firmware.profile.tracer
    if (options.traced === true) this.owner = DRIVER
  }

  has(id: number): boolean {
    return this.profile !== undefined && id in layouts
  }

  /** The context that has it is gone. */
  contextGone(uid: number): void {
    if (this.owner === uid) this.release()
  }

  /** 1 when somebody owns it, for the log of what is left. */
  get owned(): number {
    return this.owner === undefined || this.owner === DRIVER ? 0 : 1
  }

  /** What firmware tells mlx5_core, when that traces; from now on. */
  startForDriver(): MessageSource | undefined {
    return this.owner === DRIVER ? this.newSource() : undefined
  }

  /** Ticks, 53 bits. */
  get now(): number {
    return Number(BigInt.asUintN(53, this.firmware.clock.ticks()))
  }

  /** @throws Refusal */
  access(id: number, method: 'read' | 'write', image: Uint8Array, room: number, uid: number): Uint8Array {
    const { codec } = this.firmware
    const layout = layouts[id] ?? ''
    const asked = new Uint8Array(Math.max(codec.sizeBytes(layout), image.length))
    asked.set(image)
    if (id === STDB) return this.strings(codec.decode(layout, asked.subarray(0, 8), { partial: true }), asked, room)
    const values = codec.decode(layout, asked, { partial: true })
    if (method === 'write' && id === CAP) this.own(values, uid)
    else if (method === 'write' && id === CONF) this.configure(values, uid)
    else if (method === 'write') this.control(values, uid)
    this.advance()
    const answer = new Uint8Array(asked.length)
    answer.set(codec.encode(layout, this.values(id, uid)))
    return answer.subarray(0, room)
  }

  private values(id: number, uid: number): Struct {
    if (id === CONF) return { ...this.configuration }
    if (id === CAP) return this.capabilities(uid)
    const { now } = this
    const isActive = this.running !== undefined || this.owner === DRIVER
    return {
      trace_status: isActive ? ACTIVE : 0,
      current_timestamp_52_32: Math.floor(now / 2 ** 32),
      current_timestamp_31_0: now % 2 ** 32,
    }
  }

  private capabilities(uid: number): Struct {
    const { version, firstString, stringCount, logMaxBuffer, sections } = this.described
    return {
      trace_owner: this.owner === uid ? 1 : 0,
      trace_to_memory: 1,
      trc_ver: version,
      num_string_db: sections.length,
      first_string_trace: firstString,
      num_string_trace: stringCount,
      tracer_capabilities: 3,
      log_max_trace_buffer_size: logMaxBuffer,
      string_db_param: Array.from({ length: 8 }, (_, index) => {
        const { base, strings } = sections[index] ?? { base: 0, strings: [] }
        return { string_db_base_address: Number(base), string_db_size: sectionBytes(strings).length }
      }),
    }
  }

  /** Nobody is told that it is somebody else's: the bit stays 0. */
  private own(values: Struct, uid: number): void {
    if (numberOf(values, 'trace_owner') === 1) this.owner ??= uid
    else if (this.owner === uid) this.release()
  }

  private configure(values: Struct, uid: number): void {
    this.checkOwner(uid)
    const configuration = {
      trace_mode: numberOf(values, 'trace_mode'),
      log_trace_buffer_size: numberOf(values, 'log_trace_buffer_size'),
      trace_mkey: numberOf(values, 'trace_mkey'),
    }
    if (configuration.trace_mode > TO_MEMORY) throw new Refusal(Status.BAD_PARAM, 'trace_mode')
    if (configuration.log_trace_buffer_size > this.described.logMaxBuffer)
      throw new Refusal(Status.BAD_PARAM, 'log_trace_buffer_size')
    if (configuration.trace_mode === TO_MEMORY) {
      const { length } = this.firmware.objects.mkey(configuration.trace_mkey >>> 8)
      if (length < BigInt(sizeOf(configuration))) throw new Refusal(Status.BAD_PARAM, 'trace_mkey too short')
    }
    this.configuration = configuration
  }

  private control(values: Struct, uid: number): void {
    this.checkOwner(uid)
    if ((numberOf(values, 'modify_field_select') & TRACE_STATUS) === 0) return
    const status = numberOf(values, 'trace_status')
    if (status > ACTIVE) throw new Refusal(Status.BAD_PARAM, 'trace_status')
    if (status === 0) this.running = undefined
    else if (this.configuration.trace_mode !== TO_MEMORY) throw new Refusal(Status.BAD_PARAM, 'not configured')
    else this.running ??= { source: this.newSource(), ring: this.newRing() }
  }

  private newSource(): MessageSource {
    const { GENERAL: general = {} } = this.firmware.profile.capabilities
    const kilohertz = Number(general.device_frequency_khz ?? 1_000_000)
    return new MessageSource(this.described, this.now, kilohertz, this.options.lossy === true)
  }

  private newRing(): TraceRing {
    const { objects } = this.firmware
    const { trace_mkey: mkey } = this.configuration
    const { start } = objects.mkey(mkey >>> 8)
    return new TraceRing(sizeOf(this.configuration) / BLOCK, (offset, block) =>
      objects.writeMemory(mkey, start + BigInt(offset), block),
    )
  }

  /** Writes what happened meanwhile. Without its memory it stops. */
  private advance(): void {
    const { running } = this
    if (running === undefined) return
    const messages: readonly FirmwareMessage[] = running.source.until(this.now)
    try {
      for (const message of messages) running.ring.append(message)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      this.running = undefined
    }
  }

  /** The strings: `read_size` bytes of a section, both methods. */
  private strings(values: Struct, image: Uint8Array, room: number): Uint8Array {
    const size = numberOf(values, 'read_size')
    const offset = numberOf(values, 'start_offset')
    const section = this.described.sections[numberOf(values, 'string_db_index')]
    if (section === undefined) throw new Refusal(Status.BAD_INDEX, 'string_db_index', RegisterStatus.BAD_PARAM)
    const bytes = sectionBytes(section.strings)
    if (size % STRINGS_UNIT !== 0 || offset % STRINGS_UNIT !== 0)
      throw new Refusal(Status.BAD_PARAM, 'not in units of 64')
    if (offset + size > bytes.length) throw new Refusal(Status.BAD_PARAM, 'behind the end of the strings')
    if (8 + size > room) throw new Refusal(Status.BAD_OUTP_LEN, 'register too short')
    const answer = new Uint8Array(Math.max(image.length, 8 + size))
    answer.set(image.subarray(0, 8))
    answer.set(bytes.subarray(offset, offset + size), 8)
    return answer.subarray(0, room)
  }

  private checkOwner(uid: number): void {
    if (this.owner !== uid)
      throw new Refusal(Status.BAD_RES_STATE, 'the tracer is not owned', RegisterStatus.RESOURCE_UNAVAILABLE)
  }

  private release(): void {
    this.owner = undefined
    this.running = undefined
    this.configuration = unconfigured
  }

  private get described(): TracerProfile {
    if (this.profile === undefined) throw new Refusal(Status.BAD_PARAM, 'register_id', RegisterStatus.NOT_SUPPORTED)
    return this.profile
  }
}

const sizeOf = ({ log_trace_buffer_size: log }: Configuration): number => PAGE * 2 ** log
