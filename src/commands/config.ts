import { UsageError } from '../device/errors'
import { backupConfiguration, restoreConfiguration } from './config/backup'
import { applyFile, validateFile } from './config/file'
import { queryConfiguration } from './config/query'
import { resetConfiguration } from './config/reset'
import { setParameters } from './config/set'
import { showParameter } from './config/show'
import { refuseOptions } from './refuse'
import type { Context, Result } from './types'

const usage =
  'config takes query DEVICE... [PARAM...], set DEVICE NAME=VALUE..., reset DEVICE [PARAM...], validate FILE [DEVICE...], apply FILE [DEVICE...], backup DEVICE, restore DEVICE FILE, or show PARAM'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [verb = '', ...rest] = args
  const [first, second, third] = rest
  if (verb !== 'query') refuseOptions(context, ['all'], `config ${verb}`)
  if (context.options.dryRun && verb !== 'set' && verb !== 'apply')
    throw new UsageError(`config ${verb} has no --dry-run`)
  if (first === undefined) throw new UsageError(usage)
  if (verb === 'query') return queryConfiguration(context, rest)
  if (verb === 'set') return setParameters(context, first, rest.slice(1))
  if (verb === 'validate') return validateFile(context, first, rest.slice(1))
  if (verb === 'apply') return applyFile(context, first, rest.slice(1))
  if (verb === 'reset') return resetConfiguration(context, first, rest.slice(1))
  if (verb === 'backup' && second === undefined) return backupConfiguration(context, first)
  if (verb === 'restore' && second !== undefined && third === undefined)
    return restoreConfiguration(context, first, second)
  if (verb === 'show' && second === undefined) return showParameter(context, first)
  throw new UsageError(usage)
}
