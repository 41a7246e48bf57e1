import { UsageError } from '../device/errors'
import { traceDevice } from './fwtrace/live'
import { traceFile } from './fwtrace/offline'
import { traceOptions } from './fwtrace/options'
import { saveStrings } from './fwtrace/strings'
import { refuseBytes, refuseDeviceOptions, refuseOptions } from './refuse'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [first = '', second]: readonly string[]): Promise<Result> {
  const from = context.own.from as string | undefined
  const strings = context.own.strings as string | undefined
  if (first === 'strings') {
    if (second === undefined) throw new UsageError('fwtrace strings takes a device')
    return saveStrings(context, second)
  }
  if (second !== undefined) throw new UsageError('fwtrace takes one device')
  const options = traceOptions(context)
  if (from !== undefined) {
    const form = 'fwtrace --from'
    if (first !== '') throw new UsageError('--from reads a file: it takes no device')
    if (strings === undefined)
      throw new UsageError('--from needs --strings FILE', 'mlx5ctl fwtrace strings DEVICE -o FILE saves them')
    refuseOptions(context, ['follow', 'duration', 'source', 'size'], form)
    refuseDeviceOptions(context, form)
    refuseBytes(context, form)
    return traceFile(context, from, strings, options)
  }
  if (strings !== undefined) throw new UsageError('--strings is for --from: a device gives its own')
  if (first === '') throw new UsageError('fwtrace takes a device, or strings DEVICE, or --from FILE --strings FILE')
  return withDevice(context, first, (device) => traceDevice(context, device, options))
}
