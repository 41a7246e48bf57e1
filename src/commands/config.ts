import { UsageError } from '../device/errors'
import { queryConfiguration } from './config/query'
import { showParameter } from './config/show'
import type { Context, Result } from './types'

const usage = 'config takes query DEVICE... [PARAM...], or show PARAM'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [verb = '', ...rest] = args
  const [first, second] = rest
  if (verb === 'query' && first !== undefined) return queryConfiguration(context, rest)
  if (verb === 'show' && first !== undefined && second === undefined) return showParameter(context, first)
  throw new UsageError(usage)
}
