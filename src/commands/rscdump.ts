import type { Device } from '../device/device'
import { UsageError } from '../device/errors'
import {
  ACTIVE,
  ALL,
  checkedRequest,
  dumpResource,
  LAST_NUMBER,
  readMenu,
  withResourceDumper,
  type ResourceDumpOptions,
  type ResourceDumpSummary,
} from '../device/resource-dump'
import { NameError } from '../prm/errors'
import { nearest } from '../prm/nearest'
import type { DumpArguments, MenuRecord } from '../prm/resource-segments'
import { SegmentReader } from '../prm/segments'
import { parseInteger } from '../prm/value-text'
import { hexRows } from '../render/dump-text'
import { Progress } from '../render/progress'
import { JsonSegments, menuTable, SegmentView } from './segment-view'
import { refuseOptions } from './refuse'
import { parseSize } from './sizes'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [first = '', second, ...rest]: readonly string[]): Promise<Result> {
  if (second === undefined || rest.length > 0)
    throw new UsageError('rscdump takes menu DEVICE, or DEVICE SEGMENT; mlx5ctl help rscdump has examples')
  const options = optionsOf(context)
  if (first === 'menu') return showMenu(context, second, options)
  const given = argumentsOf(context)
  return withDevice(context, first, (device) => dump(context, device, second, given, options))
}

async function showMenu(context: Context, name: string, options: ResourceDumpOptions): Promise<Result> {
  refuseOptions(context, [...numbers, 'depth'], 'rscdump menu')
  return withDevice(context, name, async (device) => {
    const { bytes, records } = await withResourceDumper(device, options, (dumper) => readMenu(device, dumper))
    return {
      device: device.identity,
      data: { records },
      records,
      text: () => menuTable(records),
      raw: () => bytes,
      hex: () => Buffer.from(hexRows(bytes)).toString('latin1'),
    }
  })
}

type Given = { readonly values: Omit<DumpArguments, 'type'>; readonly present: ReadonlySet<string> }

async function dump(
  context: Context,
  device: Device,
  segment: string,
  { values, present }: Given,
  options: ResourceDumpOptions,
): Promise<Result> {
  return withResourceDumper(device, options, async (dumper) => {
    const { records: menu } = await readMenu(device, dumper)
    const request = checkedRequest(recordFor(menu, segment), values, present)
    const writer = new DumpWriter(context, device, menu)
    const progress = new Progress('bytes', undefined, context.interactive())
    let summary: ResourceDumpSummary | undefined
    let failure: Error | undefined
    try {
      summary = await dumpResource(device, dumper, request, options, async (piece) => {
        await writer.add(piece)
        void progress.step(piece.length)
      })
      writer.end()
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
      if (!writer.keeps || failure instanceof UsageError) throw failure
    } finally {
      progress.stop()
    }
    return writer.result({ ...request, ...(summary ?? { via: dumper.via, commands: dumper.commands }) }, failure)
  })
}

/** By name or number. @throws NameError with the names that resemble it */
function recordFor(menu: readonly MenuRecord[], text: string): MenuRecord {
  const number = parseInteger(text)
  const found = menu.find(({ type, name }) =>
    number === undefined ? name.toLowerCase() === text.toLowerCase() : BigInt(type) === number,
  )
  if (found !== undefined) return found
  const like = nearest(
    text,
    menu.map(({ name }) => name),
  )
  const hint = like.length === 0 ? 'rscdump menu DEVICE lists them' : `did you mean ${like.join(', ')}?`
  throw new NameError(`this device dumps no segment ${text}; ${hint}`, like)
}

/** Bytes as they come; or segments, decoded as soon as each is whole. JSON keeps them all. */
class DumpWriter {
  private readonly reader = new SegmentReader()
  private readonly view: SegmentView
  private readonly segments = new JsonSegments()
  private offset = 0

  constructor(
    private readonly context: Context,
    private readonly device: Device,
    menu: readonly MenuRecord[],
  ) {
    this.view = new SegmentView(device, menu)
  }

  /** Whether there is something to show when the dump fails, that is not written yet. */
  get keeps(): boolean {
    return this.segments.list.length > 0
  }

  async add(piece: Uint8Array): Promise<void> {
    const { context, view, device } = this
    const { raw, hex, format } = context.options
    if (raw) await context.write(piece)
    if (hex) await context.write(hexRows(piece, this.offset))
    this.offset += piece.length
    for (const segment of this.reader.push(piece)) {
      if (raw || hex) view.note(segment)
      else if (format === 'text') for (const part of view.text(segment)) await context.write(part)
      else if (format === 'ndjson') await context.writeRecord(device.identity, view.json(segment))
      else this.segments.add(segment, view)
    }
  }

  /** @throws MalformedData when the last segment is not whole */
  end(): void {
    this.reader.end()
  }

  result(summary: object, failure: Error | undefined): Result {
    const { errors, notices } = this.view
    return {
      device: this.device.identity,
      data: { ...summary, segments: this.segments.list },
      records: [],
      text: () => '',
      warnings: [
        ...errors.map((text) => `firmware ended the dump with an error: ${text}`),
        ...notices.map((text) => `firmware notes: ${text}`),
      ],
      partial: errors.length > 0,
      failure,
    }
  }
}

const numbers = ['index1', 'index2', 'num1', 'num2'] as const

function argumentsOf({ own }: Context): Given {
  const values = { index1: 0, index2: 0, num1: 0, num2: 0 }
  const present = new Set<string>()
  for (const name of numbers) {
    const text = own[name]
    if (typeof text !== 'string') continue
    present.add(name)
    values[name] = name.startsWith('index') ? numberIn(text, name, 0xffffffff) : objectsIn(text, name)
  }
  return { values, present }
}

function objectsIn(text: string, name: string): number {
  if (text === 'all') return ALL
  if (text === 'active') return ACTIVE
  return numberIn(text, name, LAST_NUMBER, ', all or active')
}

function numberIn(text: string, name: string, most: number, orElse = ''): number {
  const number = parseInteger(text)
  if (number !== undefined && number >= 0n && number <= BigInt(most)) return Number(number)
  throw new UsageError(`--${name} ${text}: it is a number up to 0x${most.toString(16)}${orElse}`)
}

function optionsOf({ own }: Context): ResourceDumpOptions {
  const { via, size, vhcaId, depth } = own
  if (via !== undefined && via !== 'memory' && via !== 'inline')
    throw new UsageError(`--via ${via as string}: it is memory or inline`)
  if (via === 'inline' && size !== undefined)
    throw new UsageError('--size is of registered memory: it does not go with --via inline')
  return {
    via,
    size: size === undefined ? undefined : parseSize(size, '--size', 4096),
    vhca: vhcaId === undefined ? undefined : numberIn(vhcaId as string, 'vhca-id', 0xffff),
    depth:
      depth === undefined
        ? 0
        : depth === 'all'
          ? Number.POSITIVE_INFINITY
          : numberIn(depth as string, 'depth', 1000, ' or all'),
  }
}
