import type { Catalogue } from '../../prm/catalogue'
import type { Codec, Struct } from '../../prm/codec'
import type { Command } from '../../prm/layout'
import type { Profile } from '../profile'
import { queryCapabilities } from './capabilities'
import { DeviceClock } from './clock'
import { coreDump } from './core-dump'
import { CrSpace } from './cr-space'
import { diagnosticCommands, DiagnosticCounters, type Loss } from './diagnostic-counters'
import { ObjectTable, type HostMemory, type LeakCounts } from './objects'
import { objectCommands } from './object-commands'
import { NvConfiguration } from './nv-config'
import { Refusal, Status, syndrome } from './refusal'
import { ResourceDump } from './resource-dump'
import { CORE_DUMP, RegisterFile, RESOURCE_DUMP } from './registers'
import { Tracer } from './tracer'
import { Traffic } from './traffic'
import { UpdateControl, type Owner } from './update/control'
import { Flash } from './update/flash'
import type { ChipFacts } from './update/image-check'
import { MFSV, MGIR, VersionOverlay } from './update/overlay'
import { MFRL, ResetControl } from './update/reset'
import { encodeValues, numberOf } from './values'

/** What a command's handler is given. */
export interface Request {
  readonly command: Command
  readonly uid: number
  readonly opMod: number
  readonly inbox: Uint8Array
  /** The inbox decoded by its layout; empty where there is none. */
  readonly values: Struct
  readonly outboxLength: number
}

/** What goes wrong in the chip itself, and its clock. */
export interface FirmwareOptions {
  /** Its clock stands still. */
  readonly frozen?: boolean
  /** Nanoseconds of a monotonic clock, for tests. */
  readonly now?: () => bigint
  /** mlx5_core has the firmware tracer; the tracer loses events. */
  readonly traced?: boolean
  readonly lossy?: boolean
  /** Rounds of diagnostic counters that are not taken. */
  readonly losses?: readonly Loss[]
  /** error_code that an update ends with. */
  readonly updateError?: number | undefined
  /** reset_state that a reset ends in, in place of happening. */
  readonly resetState?: number | undefined
}

/** What it gives back: values for the outbox layout, or the bytes behind the 16-byte header. */
export type Answer = Struct | Uint8Array

export type Handler = (firmware: Firmware, request: Request) => Answer

const HEADER = 16
const MGIR_BYTES = 0xa0

/**
 * The firmware of one emulated function: a synchronous function from inbox to outbox, with state. It knows what the profile
 * says, keeps objects by the uid that made them, and refuses as firmware does, with a status and a syndrome.
 */
export class Firmware {
  readonly objects = new ObjectTable()
  readonly clock: DeviceClock
  readonly traffic: Traffic
  readonly registers: RegisterFile
  readonly crSpace: CrSpace
  readonly configuration: NvConfiguration
  readonly tracer: Tracer
  readonly diagnostics: DiagnosticCounters
  readonly flash: Flash
  private readonly resourceDump: ResourceDump
  private readonly update: UpdateControl
  private readonly versions: VersionOverlay
  private readonly reset: ResetControl

  constructor(
    readonly profile: Profile,
    readonly catalogue: Catalogue,
    readonly codec: Codec,
    options: FirmwareOptions = {},
  ) {
    const { GENERAL: general = {} } = profile.capabilities
    const now = options.frozen === true ? { now: () => 0n } : options.now === undefined ? {} : { now: options.now }
    this.clock = new DeviceClock(Number(general.device_frequency_khz ?? 1_000_000), now)
    this.traffic = new Traffic(profile, codec, this.clock)
    this.registers = new RegisterFile(profile, catalogue, codec, this.traffic)
    this.crSpace = new CrSpace(profile, catalogue)
    this.configuration = new NvConfiguration(profile, catalogue, codec)
    this.resourceDump = new ResourceDump(this)
    this.tracer = new Tracer(this, options)
    const fastest = profile.diagnosticCounters?.fastestTicks ?? 1
    this.diagnostics = new DiagnosticCounters(this.clock, fastest, options.losses ?? [])
    this.flash = new Flash(profile, () => this.chipFacts())
    this.update = new UpdateControl(codec, this.clock, this.flash, options.updateError)
    this.versions = new VersionOverlay(codec, this.flash, this.update, this.clock)
    this.reset = new ResetControl(codec, () => this.start(), options.resetState)
  }

  /** CREATE_UCTX; 0 when there is none left. */
  createContext(): number {
    return this.objects.createContext()
  }

  /** DESTROY_UCTX: all that the context made goes with it. Returns how much that was. */
  destroyContext(uid: number): LeakCounts {
    this.tracer.contextGone(uid)
    return this.objects.destroyContext(uid)
  }

  /** CREATE_UMEM, as the driver sends it. @throws Refusal */
  createUmem(uid: number, memory: HostMemory, address: bigint, length: number): number {
    return this.objects.createUmem(uid, { memory, address, length })
  }

  /** DESTROY_UMEM, as the driver sends it. @throws Refusal */
  destroyUmem(uid: number, id: number): void {
    this.objects.destroyUmem(uid, id)
  }

  /** What CR space and MGIR give as the id of the chip. */
  get hardwareId(): number {
    return this.profile.identity.hardwareId
  }

  /**
   * An access register, through whatever door.
   * @param owner who holds the handle of an update; uid: whose context, 0 where there is none
   * @throws Refusal
   */
  accessRegister(
    id: number,
    method: 'read' | 'write',
    image: Uint8Array,
    room: number,
    { owner = 'icmd', uid = 0 }: { readonly owner?: Owner; readonly uid?: number } = {},
  ): Uint8Array {
    if (this.registers.isGiven(id)) return this.registers.access(id, method, image, room)
    if (this.tracer.has(id)) return this.tracer.access(id, method, image, room, uid)
    if (id === CORE_DUMP) return coreDump(this, image, room)
    if (id === RESOURCE_DUMP && this.profile.resourceDump !== undefined) return this.resourceDump.answer(image, room)
    if (this.configuration.has(id)) return this.configuration.access(id, method, image, room)
    if (this.update.has(id)) return this.update.access(id, method, image, room, owner)
    if (id === MFRL) return this.accessReset(method, image, room)
    const answer = this.registers.access(id, method, image, room)
    if (method === 'read') this.versions.apply(id, answer)
    return answer
  }

  /** What the boot code compares an image with: the board, and what MGIR and MFSV tell. */
  private chipFacts(): ChipFacts {
    const { psid, hardwareId } = this.profile.identity
    const word = (id: number, at: number): number =>
      Buffer.from(this.registers.access(id, 'read', new Uint8Array(MGIR_BYTES), MGIR_BYTES)).readUInt32BE(at)
    return { psid, hardwareId, revision: (word(MGIR, 0) >>> 16) & 0xff, fuses: word(MFSV, 8) }
  }

  private accessReset(method: 'read' | 'write', image: Uint8Array, room: number): Uint8Array {
    const can = this.registers.access(MFRL, 'read', image, Math.max(room, image.length))
    if (method === 'write') this.reset.write(image, can)
    this.reset.apply(can)
    return can.subarray(0, room)
  }

  /** A start of the chip: settings and images that waited for it count, and what was under way is gone. */
  private start(): void {
    this.configuration.start()
    this.flash.start()
    this.update.start()
    this.versions.start()
  }

  /** The outbox, of exactly `outboxLength` bytes. The inbox has at least 16 bytes. */
  execute(inbox: Uint8Array, outboxLength: number): Uint8Array {
    const view = new DataView(inbox.buffer, inbox.byteOffset, inbox.length)
    const opcode = view.getUint16(0)
    try {
      return this.answer(opcode, view.getUint16(2), view.getUint16(6), inbox, outboxLength)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return refused(error.status, syndrome(opcode, error.message), outboxLength, error.image)
    }
  }

  private answer(opcode: number, uid: number, opMod: number, inbox: Uint8Array, outboxLength: number): Uint8Array {
    const command = this.catalogue.findCommand(opcode)
    const handler = command === undefined ? undefined : this.handler(command)
    if (command === undefined || handler === undefined) throw new Refusal(Status.BAD_OP, 'opcode')
    const { inbox: inLayout, outbox: outLayout } = command
    if (inLayout !== undefined && inbox.length < this.codec.sizeBytes(inLayout))
      throw new Refusal(Status.BAD_INP_LEN, 'inbox too short')
    if (outLayout !== undefined && outboxLength < this.codec.sizeBytes(outLayout))
      throw new Refusal(Status.BAD_OUTP_LEN, 'outbox too short')
    const values = inLayout === undefined ? {} : this.codec.decode(inLayout, inbox, { partial: true })
    const answer = handler(this, { command, uid, opMod, inbox, values, outboxLength })
    return this.outbox(outLayout, answer, outboxLength)
  }

  private handler(command: Command): Handler | undefined {
    const own = handlers[command.name]
    if (own !== undefined) return own
    if (this.profile.objects[command.name] !== undefined) return queryObject
    const fixed = this.profile.answers[command.name]
    return fixed === undefined ? undefined : fixedAnswer
  }

  private outbox(layout: string | undefined, answer: Answer, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    const body = answer instanceof Uint8Array ? answer : undefined
    if (body !== undefined) bytes.set(body.subarray(0, length - HEADER), HEADER)
    else if (layout !== undefined) bytes.set(this.codec.encode(layout, answer as Struct).subarray(0, length))
    return bytes
  }
}

const handlers: Readonly<Record<string, Handler | undefined>> = {
  ...objectCommands,
  ...diagnosticCommands,
  QUERY_HCA_CAP: queryCapabilities,
  NOP: () => ({}),
  QUERY_GENERAL_OBJECT: queryGeneralObject,
  ACCESS_REG: accessRegister,
  ACCESS_REGISTER_USER: accessRegister,
  SET_ISSI: (_, { values }) => {
    if (numberOf(values, 'current_issi') !== 1) throw new Refusal(Status.BAD_PARAM, 'issi')
    return {}
  },
}

/** One answer whatever was asked; what the profile does not list under vports and functions is not there. */
function fixedAnswer(firmware: Firmware, { command, values, opMod }: Request): Answer {
  if (opMod !== 0 && command.name !== 'QUERY_PAGES') throw new Refusal(Status.BAD_PARAM, 'op_mod')
  if (numberOf(values, 'other_vport') === 1 || numberOf(values, 'vport_number') !== 0)
    throw new Refusal(Status.BAD_INDEX, 'vport_number')
  if (command.outbox === undefined) return {}
  const outbox = encodeValues(firmware.codec, command.outbox, firmware.profile.answers[command.name] ?? {})
  firmware.traffic.command(command.name, command.outbox, outbox)
  return firmware.codec.decode(command.outbox, outbox)
}

/** An object of the profile, by the field of the inbox that says which. */
function queryObject(firmware: Firmware, { command, values }: Request): Answer {
  const { field = '', instances = {} } = firmware.profile.objects[command.name] ?? {}
  const found = instances[String(numberOf(values, field))]
  if (found === undefined) throw new Refusal(Status.BAD_RES, field)
  if (command.outbox === undefined) return {}
  return firmware.codec.decode(command.outbox, encodeValues(firmware.codec, command.outbox, found))
}

/** obj_type stands where op_mod is, obj_id behind it; the object follows the header of the outbox. */
function queryGeneralObject(firmware: Firmware, { opMod, values, outboxLength }: Request): Answer {
  const type = firmware.catalogue.objects().find((object) => object.type === opMod)
  const instances = type === undefined ? undefined : firmware.profile.generalObjects[type.name]
  if (type?.layout === undefined || instances === undefined) throw new Refusal(Status.BAD_PARAM, 'obj_type')
  const found = instances[String(numberOf(values, 'obj_id'))]
  if (found === undefined) throw new Refusal(Status.BAD_RES, 'obj_id')
  const body = encodeValues(firmware.codec, type.layout, found)
  if (outboxLength < HEADER + body.length) throw new Refusal(Status.BAD_OUTP_LEN, 'outbox too short')
  return body
}

/** op_mod 0 writes, 1 reads; the register's image begins at byte 16 in both directions. */
function accessRegister(firmware: Firmware, { opMod, uid, inbox, values, outboxLength }: Request): Answer {
  if (opMod > 1) throw new Refusal(Status.BAD_PARAM, 'op_mod')
  const id = numberOf(values, 'register_id')
  const method = opMod === 1 ? 'read' : 'write'
  return firmware.accessRegister(id, method, inbox.subarray(HEADER), outboxLength - HEADER, { owner: 'command', uid })
}

function refused(status: number, code: number, length: number, image: Uint8Array | undefined): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes[0] = status
  new DataView(bytes.buffer).setUint32(4, code)
  if (image !== undefined) bytes.set(image.subarray(0, length - HEADER), HEADER)
  return bytes
}
