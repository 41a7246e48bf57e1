import { stringsOf, type FirmwareMessage, type MessageSource } from './firmware/trace-messages'
import type { Machine } from './machine'

/** Lines that the kernel keeps of each buffer. */
const MOST_LINES = 8192

/** One buffer of the kernel's tracing: the one of all, or an instance. */
export class TraceBuffer {
  enabled = false
  lines: string[] = []
  /** Lines that did not fit. */
  lost = 0
}

/**
 * What mlx5_core makes of the firmware's messages, when it has the tracer: lines of its tracepoint, in every buffer in which that
 * is on (facts: dumps, D.4).
 */
export class KernelTrace {
  readonly shared = new TraceBuffer()
  readonly instances = new Map<string, TraceBuffer>()
  private readonly sources = new Map<Machine, MessageSource>()

  constructor(private readonly machines: readonly Machine[]) {}

  /** Firmware begins when somebody listens first: what it told nobody before is gone. */
  enable(buffer: TraceBuffer, on: boolean): void {
    this.advance()
    buffer.enabled = on
    if (!on) return
    for (const machine of this.machines) {
      const source = this.sources.get(machine) ?? machine.firmware.tracer.startForDriver()
      if (source !== undefined) this.sources.set(machine, source)
    }
  }

  /** Brings the lines of what happened meanwhile. */
  advance(): void {
    for (const [machine, source] of this.sources) {
      if (machine.faults.unplugged) continue
      const { tracer, profile } = machine.firmware
      const first = profile.tracer === undefined ? undefined : stringsOf(profile.tracer)[0]?.address
      const lines = source.until(tracer.now).map((message) => lineOf(machine, message, first))
      for (const buffer of [this.shared, ...this.instances.values()]) if (buffer.enabled) append(buffer, lines)
    }
  }
}

function append(buffer: TraceBuffer, lines: readonly string[]): void {
  buffer.lines.push(...lines)
  const excess = buffer.lines.length - MOST_LINES
  if (excess <= 0) return
  buffer.lost += excess
  buffer.lines = buffer.lines.slice(excess)
}

/** Task, processor, flags and time as the kernel puts them before an event. */
function lineOf(machine: Machine, message: FirmwareMessage, first: number | undefined): string {
  const seconds = machine.firmware.clock.seconds() + message.number * 1e-6
  const { time, lost, eventId, address, string, parameters } = message
  const text = address === first ? raw(message) : kernelText(string, parameters)
  return `    kworker/u16:2-412     [003] ..... ${seconds.toFixed(6).padStart(12)}: mlx5_fw: ${machine.pci} [0x${time.toString(16)}] ${lost ? 1 : 0} [0x${eventId.toString(16)}] ${text}`
}

/** A string at the very beginning of its section is not found by the kernel: the bytes of its event, as a little-endian host has them. */
function raw({ time, lost, eventId, number, address }: FirmwareMessage): string {
  const event = Buffer.alloc(8)
  event.writeUInt32BE((lost ? 2 ** 31 : 0) + (time % 128) * 2 ** 24 + eventId * 2 ** 16 + number * 8)
  event.writeUInt32BE(address, 4)
  return `0x${event.readBigUInt64LE().toString(16).padStart(16, '0')}`
}

/** The kernel's printf, as far as its decoder lets it. A %llx became %x%x before. */
export function kernelText(string: string, parameters: readonly number[]): string {
  if (/%(?!%|[\d#.l]*[xXdiuc])/.test(string.replaceAll('%%', ''))) return `BAD_FORMAT: ${string}`
  let at = 0
  return string
    .replaceAll('%llx', '%x%x')
    .replace(/%%|%([#0]*)(\d*)(?:\.(\d*))?(l*)([xXdiuc])/g, (whole, flags, width, precision, long, letter) =>
      whole === '%%'
        ? '%'
        : one(String(flags), Number(width), Number(precision ?? 0), long !== '', String(letter), parameters[at++] ?? 0),
    )
}

function one(flags: string, width: number, precision: number, long: boolean, letter: string, value: number): string {
  if (letter === 'c') return String.fromCharCode(value % 256).padStart(width)
  const isSigned = !long && 'di'.includes(letter) && value >= 2 ** 31
  const base = letter.toLowerCase() === 'x' ? 16 : 10
  const plain = (isSigned ? 2 ** 32 - value : value).toString(base).padStart(precision, '0')
  const digits = letter === 'X' ? plain.toUpperCase() : plain
  const sign = isSigned ? '-' : base === 16 && flags.includes('#') ? `0${letter}` : ''
  if (flags.includes('0')) return sign + digits.padStart(width - sign.length, '0')
  return (sign + digits).padStart(width)
}
