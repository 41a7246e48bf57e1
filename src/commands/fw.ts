import { UsageError } from '../device/errors'
import { refuseBytes, refuseOptions } from './refuse'
import type { Context, Result } from './types'

type Work = (context: Context, args: readonly string[]) => Promise<Result>

interface Verb {
  /** Modules are loaded when they run. */
  readonly load: () => Promise<Work>
  /** Options of fw that it heeds. */
  readonly options: readonly string[]
  readonly hasXml?: boolean
  readonly hasDryRun?: boolean
}

const verbs: Readonly<Record<string, Verb>> = {
  query: { load: async () => (await import('./fw/query')).queryDevices, options: [], hasXml: true },
  show: { load: async () => (await import('./fw/show')).showFiles, options: ['sections', 'psid'] },
  check: { load: async () => (await import('./fw/check')).checkDevices, options: ['from'], hasXml: true },
  update: {
    load: async () => (await import('./fw/update')).updateDevices,
    options: ['from', 'forceRelease'],
    hasDryRun: true,
  },
  reset: {
    load: async () => (await import('./fw/reset')).resetDevice,
    options: ['level', 'type', 'sync'],
    hasDryRun: true,
  },
}

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [name = '', ...rest] = args
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
  if (verb === undefined) throw new UsageError(`fw has no ${name}`, `it has ${Object.keys(verbs).join(', ')}`)
  const form = `fw ${name}`
  const others = Object.keys(context.own).filter((option) => !verb.options.includes(option))
  refuseOptions(context, others, form)
  refuseBytes(context, form)
  if (context.options.format === 'xml' && verb.hasXml !== true) throw new UsageError(`${form} has no --format xml`)
  if (context.options.dryRun && verb.hasDryRun !== true) throw new UsageError(`${form} has no --dry-run`)
  return (await verb.load())(context, rest)
}
