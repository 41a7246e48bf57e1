import { printable } from './format'
import type { TraceMessage } from './decoder'

/** A line of the kernel's trace, as far as it concerns this. */
export type KernelLine =
  | { readonly kind: 'message'; readonly device: string; readonly message: TraceMessage }
  /** The kernel lost events: so many, where it tells. */
  | { readonly kind: 'lost'; readonly events: number | undefined }

/** The tracepoint, under its name of today and its former one, behind what the kernel puts before it (facts: dumps, D.4). */
const event =
  /^.{0,160}?\s\d[\d.]*: (?:mlx5_fw|fw_tracer): (\S{1,64}) \[0x([0-9a-f]{1,16})\] ([01]) \[0x([0-9a-f]{1,2})\](?: (.*))?$/s
const lost = /^CPU:\d+ \[LOST (?:(\d+) )?EVENTS\]/

/** @returns undefined for a line of anything else */
export function parseKernelLine(line: string): KernelLine | undefined {
  const found = event.exec(line)
  if (found !== null) {
    const [, device = '', time = '', flag, id = '', text = ''] = found
    const message: TraceMessage = {
      timestamp: Number(BigInt.asUintN(53, BigInt(`0x${time}`))),
      lost: flag === '1',
      eventId: Number(`0x${id}`),
      text: printable(text),
      kind: kindOf(text),
    }
    return { kind: 'message', device, message }
  }
  const loss = lost.exec(line)
  return loss === null ? undefined : { kind: 'lost', events: loss[1] === undefined ? undefined : Number(loss[1]) }
}

/** What the kernel could not decode looks like this. */
function kindOf(text: string): TraceMessage['kind'] {
  if (text.startsWith('BAD_FORMAT: ')) return 'bad-format'
  return /^0x[0-9a-f]{16}$/.test(text) ? 'raw' : 'message'
}
