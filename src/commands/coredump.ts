import { coreDump, coreDumpSize } from '../device/core-dump'
import { UsageError } from '../device/errors'
import { PAIR } from '../device/register-diff'
import { memoryProvider } from '../device/registered-memory'
import { hexRows, pairLines } from '../render/dump-text'
import { parseSize } from './sizes'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [name = '']: readonly string[]): Promise<Result> {
  const { own } = context
  const size = own.size === undefined ? undefined : parseSize(own.size, '--size', PAIR)
  const render = renderer(context)
  return withDevice(context, name, async (device) => {
    memoryProvider(device)
    const buffer = size ?? (await coreDumpSize(device))
    let offset = 0
    const summary = await coreDump(device, { size: buffer }, async (pairs) => {
      const part = render?.(pairs, offset)
      if (part !== undefined) await context.write(part)
      offset += pairs.length
    })
    if (context.interactive() && render !== undefined)
      context.note(`${summary.bytes} bytes, ${summary.pairs} registers, ${summary.commands} CORE_DUMP commands`)
    return {
      device: device.identity,
      data: { ...summary, cookie: `0x${summary.cookie.toString(16)}` },
      text: () => '',
    }
  })
}

/** Bytes by default; lines of address and value on request. JSON has a summary only. */
function renderer({ options, width }: Context): ((pairs: Uint8Array, offset: number) => Uint8Array) | undefined {
  if (options.format !== 'text') return undefined
  if (options.hex) return hexRows
  if (options.formatGiven && !options.raw) return pairLines
  if (width > 0 && options.output === undefined)
    throw new UsageError('a core dump is binary: give -o FILE or a pipe, or --format text or --hex for a terminal')
  return (pairs) => pairs
}
