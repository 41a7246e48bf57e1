import { Device, type CommandEvent } from '../device/device'
import { UsageError } from '../device/errors'
import { openCatalogue, type Catalogue } from '../prm/catalogue'
import { Codec } from '../prm/codec'
import type { Transport, TransportKind } from '../transport/contract'
import { openTransport, Tapes } from '../transport/open'
import type { Context, GlobalOptions } from './types'

export interface Facts {
  readonly catalogue: Catalogue
  readonly codec: Codec
}

/** Catalogue and codec for commands without a device. */
export function openFacts(): Facts {
  const catalogue = openCatalogue()
  return { catalogue, codec: new Codec(catalogue) }
}

/** Opens the device that the options describe, hands it on, and closes it whatever happens; one that is open stays so. */
export async function withDevice<T>(
  context: Context,
  name: string,
  use: (device: Device) => Promise<T>,
  { catalogue, codec }: Facts = openFacts(),
): Promise<T> {
  const { options, opened } = context
  const transport = opened ?? (await openDevice(context, name))
  const device = new Device(transport, catalogue, codec, {
    allowTaint: options.allowTaint,
    signal: context.signal,
    ...(options.timeout === undefined ? {} : { timeout: options.timeout * 1000 }),
    ...(options.verbose ? { onCommand: (event) => context.note(eventText(event)) } : {}),
  })
  try {
    return await use(device)
  } finally {
    if (opened === undefined) await device.close()
  }
}

/** By the options; whoever opens it closes it. @throws OpenError */
export async function openDevice({ options }: Pick<Context, 'options'>, name: string): Promise<Transport> {
  const isEmulated = name.startsWith('emu:')
  if (!isEmulated && (options.fault !== undefined || options.emuState !== undefined))
    throw new UsageError('--fault and --emu-state are for emulated devices (emu:..., emulate)')
  return openTransport(name, {
    transport: transportKind(options.transport),
    devRoot: options.devRoot,
    sysfsRoot: options.sysfsRoot,
    stateFile: options.emuState,
    fault: options.fault,
    clearSemaphore: options.clearSemaphore,
    record: options.record,
    tapes: tapesOf(options),
  })
}

/** By the options of a command line, of which every run has its own. */
const tapes = new WeakMap<GlobalOptions, Tapes>()

function tapesOf(options: GlobalOptions): Tapes {
  const known = tapes.get(options) ?? new Tapes()
  tapes.set(options, known)
  return known
}

function transportKind(text: string | undefined): TransportKind | undefined {
  if (text === undefined || text === 'mlx5ctl' || text === 'fwctl' || text === 'pci') return text
  throw new UsageError(`--transport ${text}: it is mlx5ctl, fwctl or pci`)
}

function eventText({ command, opMod, scope, subject, status, milliseconds }: CommandEvent): string {
  const scoped = scope === null ? '' : ` scope ${scope}`
  const result = typeof status === 'number' ? `status 0x${status.toString(16)}` : status
  const about = subject === undefined ? '' : ` ${subject}`
  return `${command.name}${about} op_mod 0x${opMod.toString(16)}${scoped}: ${result}, ${milliseconds.toFixed(2)} ms`
}
