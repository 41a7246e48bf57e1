import { UsageError } from '../device/errors'
import { compareFiles } from './bundle/compare'
import { diffFiles } from './bundle/diff'
import { showFiles } from './bundle/show'
import { verifyFiles } from './bundle/verify'
import { refuseBytes, refuseDeviceOptions, refuseOptions } from './refuse'
import type { Context, Result } from './types'

const usage = 'bundle takes show FILE... [ITEM], verify FILE..., diff A B, or compare FILE...'

/** Options of each verb, beside those of every command. */
const options: Readonly<Record<string, readonly string[]>> = {
  show: [],
  verify: [],
  diff: ['device', 'all', 'dumps'],
  compare: ['by', 'limit'],
}

export async function run(context: Context, [verb = '', ...files]: readonly string[]): Promise<Result> {
  const own = Object.hasOwn(options, verb) ? options[verb] : undefined
  if (own === undefined) throw new UsageError(usage)
  const foreign = Object.values(options)
    .flat()
    .filter((option) => !own.includes(option))
  refuseOptions(context, foreign, `bundle ${verb}`)
  refuseDeviceOptions(context, `bundle ${verb}`)
  if (verb !== 'show') refuseBytes(context, `bundle ${verb}`)
  if (files.length === 0) throw new UsageError(usage)
  if (verb === 'show') return showFiles(context, files)
  if (verb === 'verify') return verifyFiles(context, files)
  return verb === 'diff' ? diffFiles(context, files) : compareFiles(context, files)
}
