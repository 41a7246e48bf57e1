import type { Caller } from './caller'
import type { Faults } from './faults'
import type { Firmware } from './firmware/firmware'

/** One emulated function: firmware, its faults, and where it sits. */
export interface Machine {
  readonly firmware: Firmware
  readonly faults: Faults
  readonly pci: string
  /** Counted from 0, for the names of nodes. */
  readonly index: number
  readonly log: Log
}

/** Writes what happens at the driver, one record each. */
export type Log = (event: string, details: Readonly<Record<string, unknown>>) => void

/** What an ioctl gives back: the bytes that the kernel copies out, where the request's number says so. */
export type IoctlResult = Uint8Array | undefined

/** One open file of an emulated driver. */
export interface OpenFile {
  /** @throws Errno */
  ioctl(caller: Caller, request: number, argument: bigint, input: Uint8Array): IoctlResult | Promise<IoctlResult>
  /** The last descriptor is gone: the process closed it, or died. */
  release(): void
}

/** A driver that makes open files. @throws Errno */
export type OpenDriver = (machine: Machine, caller: Caller) => OpenFile

export const opcodeOf = (inbox: Uint8Array): number => ((inbox[0] ?? 0) << 8) | (inbox[1] ?? 0)

/** Runs a command with the machine's faults; the uid in the inbox is overwritten, as both drivers do. */
export async function runCommand(
  { firmware, faults }: Pick<Machine, 'firmware' | 'faults'>,
  uid: number,
  inbox: Uint8Array,
  outboxLength: number,
): Promise<{ outbox: Uint8Array; errno?: string }> {
  const { delay, errno, status, short } = faults.next()
  if (delay !== undefined) await new Promise((resolve) => setTimeout(resolve, delay))
  if (faults.unplugged) return { outbox: inbox, errno: 'ENODEV' }
  if (errno !== undefined) return { outbox: inbox, errno }
  inbox[2] = uid >>> 8
  inbox[3] = uid & 0xff
  if (status !== undefined) {
    // Refused: nothing was done.
    const refused = new Uint8Array(outboxLength)
    refused.set([status, 0, 0, 0, 0, 0xfa, 0x17, 0x01])
    return { outbox: refused }
  }
  const outbox = firmware.execute(inbox, outboxLength)
  return { outbox: short === true ? outbox.fill(0, 16) : outbox }
}

export function commandName(machine: Machine, inbox: Uint8Array): string {
  const opcode = opcodeOf(inbox)
  return machine.firmware.catalogue.findCommand(opcode)?.name ?? `0x${opcode.toString(16)}`
}

/** Name of a register, for the log. */
export function registerName(firmware: Firmware, id: number): string {
  return firmware.catalogue.findRegister(id)?.name ?? `0x${id.toString(16)}`
}

/** Little-endian views of structures that cross the call. */
export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
