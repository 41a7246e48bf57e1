import { UsageError } from '../device/errors'
import type { Context, Result } from './types'

type Verb = (context: Context, args: readonly string[]) => Promise<Result>

/** What each verb is; modules are loaded when they run. */
const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
  query: async () => (await import('./fw/query')).queryDevices,
  show: async () => (await import('./fw/show')).showFiles,
}

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [verb = '', ...rest] = args
  const load = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined
  if (load === undefined) throw new UsageError(`fw has no ${verb}`, `it has ${Object.keys(verbs).join(', ')}`)
  return (await load())(context, rest)
}
