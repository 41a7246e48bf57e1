import { coreDump } from '../device/core-dump'
import type { Device } from '../device/device'
import { UsageError } from '../device/errors'
import { PAIR } from '../device/register-diff'
import { blocksOf, crSpaceOf, pairsOf, planRegisterDump, registerDump, scanRegisters } from '../device/register-dump'
import { parseDump } from '../device/register-dump-files'
import { hexRows, pairLines } from '../render/dump-text'
import { Progress } from '../render/progress'
import { hexString } from '../render/values'
import type { DeviceIdentity } from '../transport/contract'
import { diffDumps } from './regdump-diff'
import { readInput } from './input'
import { refuseDeviceOptions, refuseOptions } from './refuse'
import { withDevice } from './session'
import type { Context, Result } from './types'

/** How the registers were come by. */
type Source = 'table' | 'scan' | 'coredump' | 'file'

export async function run(context: Context, [first = '', ...rest]: readonly string[]): Promise<Result> {
  if (first === 'diff') return diffDumps(context, rest)
  const from = context.own.from as string | undefined
  if (rest.length > 0) throw new UsageError('regdump takes one device; regdump diff takes two or three files')
  if (from !== undefined) {
    if (first !== '') throw new UsageError('--from reads a file: it takes no device')
    refuseOptions(context, ['via', 'scan', 'table'], 'regdump --from')
    refuseDeviceOptions(context, 'regdump --from')
    return convert(context, from)
  }
  if (first === '') throw new UsageError('regdump takes a device, or --from FILE, or diff A B [C]')
  return withDevice(context, first, (device) => dump(context, device))
}

async function dump(context: Context, device: Device): Promise<Result> {
  const source = sourceOf(context, device)
  const { table } = context.own
  if (table !== undefined && source !== 'table') throw new UsageError('--table is for reading by a dump table')
  const plan = source === 'table' ? await planRegisterDump(device, table as string | undefined) : undefined
  const writer = new DumpWriter(context, device.identity, source, plan?.table.name ?? null)
  return writer.collect(async () => {
    if (source === 'coredump') await coreDump(device, {}, (pairs) => writer.add(pairs))
    else if (plan === undefined) await scanRegisters(device, (pairs) => writer.add(pairs))
    else {
      const rows = plan.table.blocks.length + plan.chain.length
      const progress = new Progress('blocks', rows, context.interactive())
      try {
        await registerDump(device, plan, async (block) => {
          await writer.add(pairsOf(block))
          void progress.step()
        })
      } finally {
        progress.stop()
      }
    }
  })
}

/** What was asked for; else the tables, where the door leads into CR space, else a core dump. */
function sourceOf({ own: { via, scan } }: Context, device: Device): Source {
  if (via !== undefined && via !== 'crspace' && via !== 'coredump')
    throw new UsageError(`--via ${via as string}: it is crspace or coredump`)
  if (via === 'coredump' && scan === true)
    throw new UsageError('--scan reads CR space: it does not go with --via coredump')
  if (via === 'coredump') return 'coredump'
  const { crSpace, memory } = device.transport
  if (via === undefined && scan !== true && crSpace === undefined && memory !== undefined) return 'coredump'
  crSpaceOf(device)
  return scan === true ? 'scan' : 'table'
}

/** Dumps of other origin, as lines of mstregdump. */
async function convert(context: Context, from: string): Promise<Result> {
  const [, kind, file = from] = /^(coredump|crdump|text):(.*)$/s.exec(from) ?? []
  const writer = new DumpWriter(context, undefined, 'file', null)
  return writer.collect(() => writer.add(parseDump(readInput(file), kind)))
}

/** Pairs of address and value go out in large pieces as they come; of JSON they are one document. */
class DumpWriter {
  private parts: Uint8Array[] = []
  private held = 0
  private offset = 0
  private total = 0

  constructor(
    private readonly context: Context,
    private readonly device: DeviceIdentity | undefined,
    private readonly source: Source,
    private readonly table: string | null,
  ) {}

  async add(pairs: Uint8Array): Promise<void> {
    this.total += pairs.length
    const isKept = this.context.options.format === 'json'
    if (!isKept && pairs.length >= PIECE) {
      await this.flush()
      for (let at = 0; at < pairs.length; at += PIECE) await this.write(pairs.subarray(at, at + PIECE))
      return
    }
    this.parts.push(pairs.slice())
    this.held += pairs.length
    if (!isKept && this.held >= PIECE) await this.flush()
  }

  async collect(work: () => Promise<void>): Promise<Result> {
    const { format } = this.context.options
    let failure: Error | undefined
    try {
      await work()
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    const all = format === 'json' ? Buffer.concat(this.parts) : undefined
    if (all === undefined) await this.flush()
    if (failure !== undefined && (format !== 'json' || this.total === 0)) throw failure
    return {
      device: this.device,
      data: {
        source: this.source,
        table: this.table,
        registers: this.total / PAIR,
        blocks: all === undefined ? [] : blocksOf(all).map(blockData),
      },
      records: [],
      text: () => '',
      failure,
    }
  }

  private async flush(): Promise<void> {
    const pairs = Buffer.concat(this.parts)
    this.parts = []
    this.held = 0
    if (pairs.length > 0) await this.write(pairs)
  }

  private async write(pairs: Uint8Array): Promise<void> {
    const { context, device } = this
    const { format, raw, hex } = context.options
    if (raw) await context.write(pairs)
    else if (hex) await context.write(hexRows(pairs, this.offset))
    else if (format === 'text') await context.write(pairLines(pairs))
    else for (const block of blocksOf(pairs)) await context.writeRecord(device, blockData(block))
    this.offset += pairs.length
  }
}

/** Bytes of pairs that are written at once. */
const PIECE = 64 * 1024

/** Words are big-endian in the hex digits. */
function blockData({ address, words }: { readonly address: number; readonly words: Uint32Array }): unknown {
  return { address, bytes: hexString(Buffer.from(Uint32Array.from(words).buffer).swap32()) }
}
