import { UsageError } from '../device/errors'
import { dumpRegisters } from './reg/dump'
import { getRegister } from './reg/get'
import { listRegisters, showRegister } from './reg/list'
import { setRegister } from './reg/set'
import type { Context, Result } from './types'

const usage =
  'reg takes list, show REG, get DEVICE REG [FIELD=VALUE...], set DEVICE REG FIELD=VALUE..., or dump DEVICE [REG...]'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [verb = '', ...rest] = args
  const [first, second] = rest
  if (verb === 'list' && first === undefined) return listRegisters()
  if (verb === 'show' && first !== undefined && second === undefined) return showRegister(first)
  if (verb === 'get' && first !== undefined) return getRegister(context, first, rest.slice(1))
  if (verb === 'set' && first !== undefined) return setRegister(context, first, rest.slice(1))
  if (verb === 'dump' && first !== undefined) return dumpRegisters(context, first, rest.slice(1))
  throw new UsageError(usage)
}
