import type { Command, CommandStatus } from '../prm/layout'

/** What was asked for: which register or object, and what may be missing. */
export interface RefusalContext {
  readonly subject: string
  /** Only asked for when firmware refuses. */
  readonly hint?: () => string | undefined
}

/** The command was delivered, and firmware refused it. */
export class FirmwareError extends Error {
  readonly kind = 'firmware'
  override readonly name = 'FirmwareError'
  /** The outbox, whatever it holds besides status and syndrome. */
  readonly outbox: Uint8Array
  readonly opcode: string
  readonly opMod: number
  readonly status: number
  readonly statusName: string
  readonly syndrome: number
  readonly hint: string | undefined
  constructor(
    command: Pick<Command, 'name' | 'opcode'>,
    opMod: number,
    outbox: Uint8Array,
    status: Pick<CommandStatus, 'name' | 'text'> | undefined,
    about?: RefusalContext,
  ) {
    const code = outbox[0] ?? 0
    const syndrome = new DataView(outbox.buffer, outbox.byteOffset).getUint32(4)
    const text = status?.text ?? 'unknown status'
    super(
      `${about === undefined ? '' : `${about.subject}: `}${command.name}(${hex(command.opcode)}) op_mod(${hex(opMod)}) failed, status ${text}(${hex(code)}), syndrome ${hex(syndrome)}`,
    )
    this.hint = about?.hint?.()
    this.outbox = outbox
    this.opcode = command.name
    this.opMod = opMod
    this.status = code
    this.statusName = status?.name ?? 'UNKNOWN'
    this.syndrome = syndrome
  }
}

/** A register that was delivered says in a state of its own that firmware refused: status and name are those of the state. */
export abstract class RegisterRefusal extends Error {
  readonly kind = 'firmware'
  readonly opcode = 'ACCESS_REG'
  readonly opMod = 0
  abstract readonly status: number
  abstract readonly statusName: string
  abstract readonly syndrome: number
  abstract readonly hint: string | undefined
}

/** Stopped between two commands, by a signal. */
export class Interrupted extends Error {
  readonly kind = 'interrupted'
  override readonly name = 'Interrupted'
  constructor(readonly signal: string) {
    super(`interrupted by ${signal}`)
  }
}

/** What was asked for is not what this device, door or command can do. */
export class Unsupported extends Error {
  readonly kind = 'unsupported'
  override readonly name = 'Unsupported'
  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message)
  }
}

/** Words on the command line that do not go together. */
export class UsageError extends Error {
  readonly kind = 'usage'
  override readonly name = 'UsageError'
  constructor(
    message: string,
    readonly hint?: string,
  ) {
    super(message)
  }
}

/** The same error, that also says what became of what was done before it. */
export const withHint = (error: Error, hint: string): Error => Object.assign(error, { hint })

const hex = (value: number): string => `0x${value.toString(16)}`
