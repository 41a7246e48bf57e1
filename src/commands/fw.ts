import { UsageError } from '../device/errors'
import { queryDevices } from './fw/query'
import type { Context, Result } from './types'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [verb = '', ...rest] = args
  if (verb === 'query') return queryDevices(context, rest)
  throw new UsageError('fw takes query [DEVICE...]')
}
