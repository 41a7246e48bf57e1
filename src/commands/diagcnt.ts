import { readDiagnosticCapabilities, stopDiagnosticCounters, stopped } from '../device/diagnostic-counters'
import { UsageError } from '../device/errors'
import { dumpSamples } from './diagcnt/dump'
import { setSampling } from './diagcnt/set'
import { streamSamples } from './diagcnt/stream'
import { capabilityData, capabilityText, dryRun } from './diagcnt/view'
import { refuseBytes, refuseOptions } from './refuse'
import { withDevice } from './session'
import type { Context, Result } from './types'

const usage =
  'diagcnt takes cap DEVICE, set DEVICE ID..., dump DEVICE, stream DEVICE [ID...], or stop DEVICE; all stands for every counter'

/** Options of the forms; what is of another form is refused. */
const ring = ['sync', 'samples', 'logSamples', 'period', 'logPeriod']
const own: Readonly<Record<string, readonly string[]>> = {
  cap: [],
  set: [...ring, 'clear', 'single', 'repetitive', 'onDemand'],
  dump: ['samples', 'index'],
  stream: [...ring, 'duration', 'count'],
  stop: [],
}

export async function run(context: Context, [verb = '', name, ...ids]: readonly string[]): Promise<Result> {
  const known = Object.hasOwn(own, verb) ? own[verb] : undefined
  if (known === undefined || name === undefined) throw new UsageError(usage)
  const others = Object.values(own).flat()
  refuseOptions(
    context,
    others.filter((option) => !known.includes(option)),
    `diagcnt ${verb}`,
  )
  checkForms(context, verb)
  if (ids.length > 0 && verb !== 'set' && verb !== 'stream') throw new UsageError(`diagcnt ${verb} takes one device`)
  if (verb === 'set') return setSampling(context, name, ids)
  if (verb === 'dump') return dumpSamples(context, name)
  if (verb === 'stream') return streamSamples(context, name, ids)
  return verb === 'cap' ? capabilities(context, name) : stop(context, name)
}

/** @throws UsageError for a format or an option that this form cannot heed */
function checkForms(context: Context, verb: string): void {
  const { format, raw, dryRun: isDry } = context.options
  const isTable = format === 'csv' || format === 'trace'
  if (isTable && verb !== 'stream' && !(verb === 'dump' && format === 'csv'))
    throw new UsageError(`diagcnt ${verb} has no --format ${format}`)
  if (isTable && raw) throw new UsageError(`--raw and --format ${format} exclude each other`)
  if (verb === 'cap') refuseBytes(context, 'diagcnt cap')
  if (isDry && (verb === 'cap' || verb === 'dump'))
    throw new UsageError(`diagcnt ${verb} has no --dry-run: it only reads`)
  if (raw && !isDry && (verb === 'set' || verb === 'stop'))
    throw new UsageError(`diagcnt ${verb} has --raw only with --dry-run`)
}

function capabilities(context: Context, name: string): Promise<Result> {
  return withDevice(context, name, async (device) => {
    const found = await readDiagnosticCapabilities(device)
    return {
      device: device.identity,
      data: capabilityData(found),
      records: capabilityData(found).counters,
      text: () => capabilityText(found),
    }
  })
}

function stop(context: Context, name: string): Promise<Result> {
  return withDevice(context, name, async (device) => {
    if (context.options.dryRun) return dryRun(device, stopped)
    await stopDiagnosticCounters(device)
    return {
      device: device.identity,
      data: { stopped: true },
      text: () => 'diagnostic counters are stopped, and the ring of the device is empty\n',
    }
  })
}
