import type { Catalogue } from '../prm/catalogue'
import type { Codec, Struct } from '../prm/codec'
import { NameError, ValueError } from '../prm/errors'
import type { Command, Scope } from '../prm/layout'
import {
  DeliveryError,
  type DeviceIdentity,
  type RegisterReply,
  type Transport,
  type UserContext,
} from '../transport/contract'
import { FirmwareError, Interrupted, Unsupported, UsageError, type RefusalContext } from './errors'

export interface DeviceOptions {
  /** Scopes 2 and 3 of fwctl taint the kernel, even when refused. */
  readonly allowTaint?: boolean
  /** Takes effect between commands, never inside one. */
  readonly signal?: AbortSignal
  /** Milliseconds for all commands together; takes effect between commands. */
  readonly timeout?: number | undefined
  /** Called after every command. */
  readonly onCommand?: (event: CommandEvent) => void
}

export interface CommandEvent {
  readonly command: Command
  readonly opMod: number
  readonly scope: Scope | null
  /** Which register or object, where it was said. */
  readonly subject: string | undefined
  /** Firmware status, or the errno of a failed delivery. */
  readonly status: number | string
  readonly milliseconds: number
}

export interface CommandResult {
  readonly command: Command
  readonly inbox: Uint8Array
  readonly outbox: Uint8Array
  /** The outbox decoded; empty where no layout is known. */
  readonly values: Struct
}

export interface ExecuteOptions {
  /** Bytes of outbox; by default what its layout has, or 16 where there is none. */
  readonly outboxLength?: number | undefined
  /** Cleaning up: goes on after a signal or a timeout. */
  readonly cleanup?: boolean
  /** What a refusal by firmware says beside the command. */
  readonly about?: RefusalContext
  /** Leaves the outbox as it is, and `values` empty: for long answers that are read another way. */
  readonly undecoded?: boolean
}

const HEADER = 16
/** Milliseconds after which signals are let in. */
const TURN = 20

/** One device over any transport: commands by name, firmware's refusals as errors. */
export class Device {
  private readonly started = Date.now()
  private lastTurn = 0

  constructor(
    readonly transport: Transport,
    readonly catalogue: Catalogue,
    readonly codec: Codec,
    private readonly options: DeviceOptions = {},
  ) {}

  get identity(): DeviceIdentity {
    return this.transport.device
  }

  identify(): Promise<UserContext> {
    return this.transport.identify()
  }

  /**
   * Builds the inbox from named values, runs the command and decodes the outbox.
   * @example (await device.command('QUERY_HCA_CAP', { op_mod: 1 })).values
   * @throws FirmwareError, DeliveryError, NameError, ValueError
   */
  command(nameOrOpcode: string | number, values: Struct = {}, options: ExecuteOptions = {}): Promise<CommandResult> {
    const command = this.catalogue.command(nameOrOpcode)
    return this.run(command, encodeInbox(this.codec, command, values), options)
  }

  /** Runs a command with an inbox that is ready. Its opcode is set to the command's. */
  async run(command: Command, inbox: Uint8Array, options: ExecuteOptions = {}): Promise<CommandResult> {
    const opMod = opModOf(inbox)
    const scope = scopeOf(command, opMod)
    this.checkTaint(command, scope)
    if (options.cleanup !== true) this.checkInterrupted()
    const outboxLength = options.outboxLength ?? defaultOutboxLength(this.codec, command)
    const subject = options.about?.subject
    const outbox = await this.timed({ command, opMod, scope, subject }, () =>
      this.transport.execute({ inbox, outboxLength, scope }),
    )
    const status = outbox[0] ?? 0
    if (status !== 0) throw new FirmwareError(command, opMod, outbox, this.catalogue.status(status), options.about)
    const { outbox: layout } = command
    const values =
      layout === undefined || options.undecoded === true ? {} : this.codec.decode(layout, outbox, { partial: true })
    return { command, inbox, outbox, values }
  }

  /**
   * An access register of a transport that has no command mailbox, whatever its status says.
   * @throws DeliveryError, Interrupted; Unsupported where registers go through commands
   */
  async accessRegister(
    id: number,
    method: 'read' | 'write',
    image: Uint8Array,
    { subject, cleanup }: { readonly subject?: string; readonly cleanup?: boolean } = {},
  ): Promise<RegisterReply> {
    const { registers } = this.transport
    const opMod = method === 'read' ? 1 : 0
    if (registers === undefined) throw new Unsupported('this transport has no registers of its own')
    if (image.length > registers.limit)
      throw new Unsupported(`a register of ${image.length} bytes: this door carries ${registers.limit}`)
    if (cleanup !== true) this.checkInterrupted()
    const command = this.catalogue.command('ACCESS_REG')
    let reply: RegisterReply | undefined
    await this.timed({ command, opMod, scope: null, subject }, async () => {
      reply = await registers.access(id, method, image)
      return Uint8Array.of(reply.status)
    })
    if (reply === undefined) throw new Error('the register was not accessed')
    return reply
  }

  close(): Promise<void> {
    return this.transport.close()
  }

  private async timed(
    what: Omit<CommandEvent, 'status' | 'milliseconds'>,
    work: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const start = performance.now()
    const tell = (status: number | string): void =>
      this.options.onCommand?.({ ...what, status, milliseconds: performance.now() - start })
    try {
      const outbox = await work()
      tell(outbox[0] ?? 0)
      return outbox
    } catch (error) {
      tell(error instanceof DeliveryError ? error.errno : 'error')
      throw error
    }
  }

  /**
   * Between two steps of what takes long and sends no commands: lets signals in, now and then.
   * @throws Interrupted; DeliveryError when the time is over
   */
  async checkpoint(): Promise<void> {
    const now = performance.now()
    if (now - this.lastTurn > TURN) {
      this.lastTurn = now
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.checkInterrupted()
  }

  private checkInterrupted(): void {
    const { signal, timeout } = this.options
    if (signal?.aborted === true) throw new Interrupted(String(signal.reason))
    if (timeout !== undefined && Date.now() - this.started > timeout)
      throw new DeliveryError(`the time of ${timeout / 1000} s is over`, 'ETIMEDOUT', { hint: 'see --timeout' })
  }

  private checkTaint(command: Command, scope: Scope | null): void {
    if (this.identity.transport !== 'fwctl' || scope === null || scope < 2 || this.options.allowTaint === true) return
    throw new UsageError(
      `${command.name} needs fwctl scope ${scope}, which taints the kernel (flag J) until the next boot`,
      'give --allow-taint if that is all right, or use the mlx5ctl driver',
    )
  }
}

/** The opcode is set here; uid belongs to the driver. @throws ValueError, NameError */
export function encodeInbox(codec: Codec, command: Command, values: Struct, length?: number): Uint8Array {
  if ('uid' in values) throw new ValueError('uid', 'is set by the driver')
  const { inbox: layout } = command
  if (layout === undefined) {
    const given = Object.keys(values).filter((name) => name !== 'op_mod')
    if (given.length > 0)
      throw new NameError(`${command.name} has no known inbox layout: ${given.join(', ')} cannot be placed`)
    const bytes = new Uint8Array(Math.max(length ?? 0, HEADER))
    const view = new DataView(bytes.buffer)
    view.setUint16(0, command.opcode)
    view.setUint16(6, Number(values.op_mod ?? 0))
    return bytes
  }
  const bytes = codec.encode(layout, values, length === undefined ? {} : { length })
  const inbox = bytes.length >= HEADER ? bytes : Uint8Array.from({ length: HEADER }, (_, index) => bytes[index] ?? 0)
  new DataView(inbox.buffer, inbox.byteOffset).setUint16(0, command.opcode)
  return inbox
}

export function defaultOutboxLength(codec: Codec, command: Command): number {
  return command.outbox === undefined ? HEADER : Math.max(HEADER, codec.sizeBytes(command.outbox))
}

export function opModOf(inbox: Uint8Array): number {
  return ((inbox[6] ?? 0) << 8) | (inbox[7] ?? 0)
}

/** op_mod 0 of the access-register commands writes, anything else reads. */
export function scopeOf(command: Command, opMod: number): Scope | null {
  const { scope } = command
  if (scope === null || typeof scope === 'number') return scope
  return opMod === 0 ? scope.write : scope.read
}
