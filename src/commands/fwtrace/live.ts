import { setTimeout as sleep } from 'node:timers/promises'
import type { Device } from '../../device/device'
import { Interrupted, Unsupported, UsageError, withHint } from '../../device/errors'
import { checkTracerFree, withFirmwareTracer, type RunningTrace } from '../../device/firmware-tracer'
import {
  findKernelTracer,
  isTracepointOn,
  storedKernelTrace,
  watchKernelTrace,
  type KernelTracer,
} from '../../device/kernel-trace'
import { cleaningUp, memoryProvider } from '../../device/registered-memory'
import {
  clockFrequency,
  readTraceStrings,
  tracerCapabilities,
  type TracerCapabilities,
} from '../../device/trace-strings'
import { TraceDecoder } from '../../prm/firmware-trace/decoder'
import type { KernelLine } from '../../prm/firmware-trace/kernel-lines'
import type { RingPart } from '../../prm/firmware-trace/ring'
import type { StringsDatabase } from '../../prm/firmware-trace/strings'
import { Progress } from '../../render/progress'
import type { Context, Result } from '../types'
import type { TraceOptions } from './options'
import { TraceWriter } from './writer'

/** Milliseconds that the tracer is listened to when nothing else was said: its ring is empty at first. */
const LISTEN = 1000
/** Milliseconds between two looks: when something came, and when nothing did. */
const SOON = 5
const LATER = 50

/** Through the registers where the tracer is free, else as the kernel shows it. */
export async function traceDevice(context: Context, device: Device, options: TraceOptions): Promise<Result> {
  if (options.source === 'kernel') return traceKernel(context, device, options)
  let started = false
  try {
    return await traceRegisters(context, device, options, () => (started = true))
  } catch (error) {
    const goOn = options.source === 'auto' && !context.options.raw && !started && error instanceof Unsupported
    if (!goOn) throw error
    try {
      kernelTracerOf(context, device)
    } catch (other) {
      throw withHint(error, `nor is there another way: ${(other as Error).message}`)
    }
    context.note(`${error.message}; this is what the kernel shows`)
    return traceKernel(context, device, options)
  }
}

async function traceRegisters(
  context: Context,
  device: Device,
  options: TraceOptions,
  onStart: () => void,
): Promise<Result> {
  if (context.options.raw && context.width > 0 && context.options.output === undefined)
    throw new UsageError('a ring is binary: give -o FILE or a pipe')
  memoryProvider(device)
  const capabilities = await tracerCapabilities(device)
  // Before hundreds of commands for the strings, which the kernel does not need.
  await checkTracerFree(device, capabilities)
  const strings = await readStrings(context, device, capabilities)
  const frequency = strings.parameters.frequencyKilohertz
  const writer = new TraceWriter(context, { source: 'registers', device: device.identity, frequency }, options)
  const decoding = new RingWriter(context, writer, strings)
  let end: End | undefined
  try {
    await withFirmwareTracer(device, capabilities, options, async (trace) => {
      onStart()
      end = await endOf(() => listen(context, trace, options, decoding))
      // What came until the end.
      for (const part of trace.look()) await decoding.add(part)
      if (end.failure !== undefined && !isKept(context)) throw end.failure
    })
  } catch (error) {
    // Nor could it be given back: a device that is gone, as a rule. What was read is written all the same.
    if (end === undefined || !isKept(context) || !(error instanceof Error) || isClosedPipe(error)) throw error
    return decoding.result({ failure: end.failure ?? error })
  }
  return decoding.result(end ?? {})
}

/** All strings of the firmware, with a bar where that takes long. */
export async function readStrings(
  context: Context,
  device: Device,
  capabilities: TracerCapabilities,
): Promise<StringsDatabase> {
  const total = capabilities.sections.reduce((sum, { size }) => sum + size, 0)
  const progress = new Progress('bytes of strings', total, context.interactive())
  try {
    return await readTraceStrings(device, capabilities, (bytes) => void progress.step(bytes))
  } finally {
    progress.stop()
  }
}

async function listen(
  context: Context,
  trace: RunningTrace,
  { follow, duration }: TraceOptions,
  decoding: RingWriter,
): Promise<void> {
  const until = performance.now() + (duration ?? (follow ? Number.POSITIVE_INFINITY : LISTEN))
  for (;;) {
    const parts = await trace.poll()
    for (const part of parts) await decoding.add(part)
    if (performance.now() >= until) return
    await rest(context, parts.length > 0 ? SOON : LATER, until)
  }
}

/** Waits; what was written goes out, and a signal ends it. @throws Interrupted */
async function rest(context: Context, milliseconds: number, until: number): Promise<void> {
  await context.write('')
  const { signal } = context
  try {
    await sleep(Math.min(milliseconds, Math.max(1, until - performance.now())), undefined, { signal })
  } catch (error) {
    if (signal.aborted) throw new Interrupted(String(signal.reason))
    throw error
  }
}

interface End {
  readonly endedBy?: string
  readonly failure?: Error
}

const isClosedPipe = (error: unknown): boolean => (error as NodeJS.ErrnoException | null)?.code === 'EPIPE'

/** A signal is the end of a trace, not a failure of it. Of JSON and trace files what there was is written in spite of one. */
async function endOf(work: () => Promise<void>): Promise<End> {
  try {
    await work()
    return {}
  } catch (error) {
    if (error instanceof Interrupted) return { endedBy: error.signal }
    if (isClosedPipe(error)) throw error
    return { failure: error instanceof Error ? error : new Error(String(error)) }
  }
}

const isKept = ({ options: { format } }: Context): boolean => format === 'json' || format === 'trace'

/** From blocks to what is written of them. */
class RingWriter {
  private readonly decoder: TraceDecoder

  constructor(
    private readonly context: Context,
    private readonly writer: TraceWriter,
    strings: StringsDatabase,
  ) {
    this.decoder = new TraceDecoder(strings)
  }

  async add({ overwritten, bytes }: RingPart): Promise<void> {
    if (overwritten > 0) {
      this.decoder.gap()
      await this.writer.overwritten(overwritten)
    }
    const messages = this.decoder.push(bytes)
    if (this.context.options.raw) await this.writer.raw(bytes)
    else await this.writer.messages(messages)
  }

  async result(end: End): Promise<Result> {
    if (!this.context.options.raw) await this.writer.messages(this.decoder.finish())
    return this.writer.result(this.decoder.counts, end)
  }
}

async function traceKernel(context: Context, device: Device, options: TraceOptions): Promise<Result> {
  const { tracer, pci } = kernelTracerOf(context, device)
  const needsFrequency = options.realTime || context.options.format === 'trace'
  const frequency = needsFrequency ? await clockFrequency(device) : undefined
  const writer = new TraceWriter(context, { source: 'kernel', device: device.identity, frequency }, options)
  const take = async (lines: readonly KernelLine[]): Promise<void> => {
    for (const line of lines) if (line.kind === 'lost') await writer.lostByKernel(line.events)
    await writer.messages(
      lines.flatMap((line) => (line.kind === 'message' && line.device === pci ? [line.message] : [])),
    )
  }
  const isStored = !options.follow && options.duration === undefined
  const end = await endOf(() =>
    isStored
      ? storedKernelTrace(tracer, () => device.checkpoint(), take)
      : watch(context, device, tracer, options, take),
  )
  if (end.failure !== undefined && !isKept(context)) throw end.failure
  const isOff = isStored && !isTracepointOn(tracer)
  const more = isOff
    ? ["the kernel's tracepoint is off, so that it keeps nothing; --follow and --duration switch it on"]
    : []
  return writer.result(undefined, { ...end, more })
}

async function watch(
  context: Context,
  device: Device,
  tracer: KernelTracer,
  { duration }: TraceOptions,
  take: (lines: readonly KernelLine[]) => Promise<void>,
): Promise<void> {
  const until = performance.now() + (duration ?? Number.POSITIVE_INFINITY)
  const undo: (() => Promise<void>)[] = []
  await cleaningUp(undo, async () => {
    const trace = await watchKernelTrace(tracer, () => device.checkpoint())
    undo.push(async () => trace.close())
    for (;;) {
      await device.checkpoint()
      const lines = await trace.look()
      await take(lines)
      if (performance.now() >= until) return
      await rest(context, lines.length > 0 ? SOON : LATER, until)
    }
  })
}

/** @throws Unsupported where this device has no place in the kernel's trace */
function kernelTracerOf({ options }: Context, { identity }: Device): { tracer: KernelTracer; pci: string } {
  const { transport, pci } = identity
  if (transport === 'emu' || transport === 'replay')
    throw new Unsupported('a device in this process has no trace of a kernel', 'mlx5ctl emulate has devices with one')
  if (pci === undefined)
    throw new Unsupported("the kernel's trace goes by PCI addresses, and that of this device is not known")
  return { tracer: findKernelTracer(options.sysfsRoot), pci }
}
