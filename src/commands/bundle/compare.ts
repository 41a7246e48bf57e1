import { compareBundles, type Comparison } from '../../bundle/compare'
import { groupings, type Grouping } from '../../bundle/fleet'
import type { FieldValue, FleetDevice, MixedField, OutlyingField, PopulationReport } from '../../bundle/report'
import { Interrupted, UsageError } from '../../device/errors'
import { MalformedData } from '../../prm/errors'
import { columns } from '../../render/columns'
import { Progress } from '../../render/progress'
import { shownText } from '../../render/shown'
import type { Context, Result } from '../types'
import { perSecond, valueText } from './diff'
import { indexFieldsOf } from './files'

/** Fields of a population, and devices of a value, that text shows. */
const SHOWN_FIELDS = 50
const SHOWN_DEVICES = 4

/** Which devices of a fleet differ from those of their kind, and in what. */
export async function compareFiles(context: Context, words: readonly string[]): Promise<Result> {
  const files = [...new Set(words)]
  if (files.includes('-')) throw new UsageError('bundle compare takes files, and not stdin')
  const by = groupingOf(context.own.by)
  const limit = limitOf(context.own.limit)
  const { signal } = context
  const progress = new Progress('bundles', files.length, context.interactive())
  let found: Comparison
  try {
    found = await compareBundles(files, {
      by,
      indexFields: indexFieldsOf(),
      onBundle: () => void progress.step(),
      stop: () => {
        if (signal.aborted) throw new Interrupted(String(signal.reason))
      },
    })
  } finally {
    progress.stop()
  }
  if (found.bundles === 0) throw nothingLeft(found)
  const populations = found.populations.map((population) => limited(population, limit))
  const { bundles, devices, skipped, unreadable } = found
  return {
    data: { by, bundles, devices, skipped, unreadable, populations },
    records: populations.flatMap(records),
    text: () => text({ ...found, populations: found.populations }, limit ?? SHOWN_FIELDS),
    warnings: [
      ...skipped.map(({ file, reason }) => `${file} was skipped: ${reason}`),
      ...unreadable.map(({ file, reason }) => `${file}: ${reason}; this item was skipped`),
    ],
    partial: skipped.length + unreadable.length > 0,
  }
}

function groupingOf(value: unknown): Grouping {
  const by = groupings.find((one) => one === (value ?? 'psid'))
  if (by === undefined) throw new UsageError(`--by takes ${groupings.join(', ')}`)
  return by
}

function limitOf(value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || !/^[1-9]\d{0,8}$/.test(value))
    throw new UsageError('--limit takes a number of fields')
  return Number(value)
}

function nothingLeft({ skipped }: Comparison): Error {
  const [first] = skipped
  return new MalformedData(
    first?.file ?? '',
    `${first?.reason ?? ''}${skipped.length > 1 ? `; the other ${skipped.length - 1} cannot be read either` : ''}`,
  )
}

function limited(population: PopulationReport, limit: number | undefined): PopulationReport {
  if (limit === undefined) return population
  return { ...population, outliers: population.outliers.slice(0, limit), mixed: population.mixed.slice(0, limit) }
}

function records({ name, outliers, mixed }: PopulationReport): unknown[] {
  return [
    ...outliers.map((one) => ({ type: 'outlier', population: name, ...one })),
    ...mixed.map((one) => ({ type: 'mixed', population: name, ...one })),
  ]
}

function text({ bundles, devices, populations }: Comparison, limit: number): string {
  const title = `${counted(bundles, 'bundle')}, ${counted(devices, 'device')}\n`
  return [title, ...populations.filter(({ devices }) => devices > 0).map((one) => populationText(one, limit))].join(
    '\n',
  )
}

function populationText(
  { name, devices, hosts, comparable, fields, outliers, mixed }: PopulationReport,
  limit: number,
): string {
  const members =
    name === 'hosts'
      ? counted(devices, 'host')
      : `${shownText(name)}: ${counted(devices, 'device')} in ${counted(hosts, 'host')}`
  if (!comparable) return `${members}\n  too few to tell which is the odd one\n`
  const { compared, uniform, individual, volatile } = fields
  const counts = `  ${compared} fields: ${uniform} the same everywhere, ${individual + volatile} different by nature, ${mixed.length} mixed, ${outliers.length} with outliers\n`
  const names = namesOf(outliers)
  const rows = outliers.slice(0, limit).flatMap((one) => outlierRows(one, names))
  return [
    `${members}\n${counts}`,
    rows.length === 0 ? '' : `  outliers\n${columns(rows)}`,
    more(outliers.length, limit),
    mixed.length === 0 ? '' : `  mixed: no value that most have\n${columns(mixed.slice(0, limit).map(mixedRow))}`,
    more(mixed.length, limit),
  ].join('')
}

const counted = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`

const more = (all: number, limit: number): string =>
  all > limit ? `    and ${all - limit} more fields (--limit N shows more, -j all)\n` : ''

/** FIELD  value (2)  usual value (998)  host device, ... */
function outlierRows(
  { field, kind, unit, usual, values, moreValues, deviation }: OutlyingField,
  names: (device: FleetDevice) => string,
): string[][] {
  const valueOf = ({ value, absent, name }: Omit<FieldValue, 'devices' | 'count'>): string =>
    absent
      ? '(absent)'
      : kind === 'rate' && typeof value === 'number'
        ? perSecond(value)
        : `${valueText(value, name)}${unit === null || kind === 'state' ? '' : ` ${unit}`}`
  const against = `usual ${valueOf(usual)}${deviation === null ? ` on ${usual.count}` : ''}`
  const rows = values.map((one, index) => [
    index === 0 ? `    ${field}` : '',
    valueOf(one),
    index === 0 ? against : '',
    devicesText(one.devices, names),
  ])
  return [...rows, ...(moreValues === 0 ? [] : [['', `and ${moreValues} more values`]])].map((row) =>
    row.map(shownText),
  )
}

function devicesText(devices: readonly FleetDevice[], names: (device: FleetDevice) => string): string {
  const shown = devices.slice(0, SHOWN_DEVICES).map(names).join(', ')
  return devices.length > SHOWN_DEVICES ? `${shown} and ${devices.length - SHOWN_DEVICES} more` : shown
}

/** Host and device; the file as well where several bundles have that device. */
function namesOf(outliers: readonly OutlyingField[]): (device: FleetDevice) => string {
  const files = new Map<string, string>()
  const ambiguous = new Set<string>()
  const short = ({ host, device }: FleetDevice): string => (device === null ? host : `${host} ${device}`)
  for (const { values } of outliers)
    for (const { devices } of values)
      for (const device of devices) {
        const name = short(device)
        if ((files.get(name) ?? device.file) !== device.file) ambiguous.add(name)
        files.set(name, device.file)
      }
  return (device) => (ambiguous.has(short(device)) ? `${short(device)} (${device.file})` : short(device))
}

function mixedRow({ field, values, moreValues }: MixedField): string[] {
  const shown = values
    .slice(0, 4)
    .map(({ value, absent, name, count }) => `${absent ? '(absent)' : valueText(value, name)} on ${count}`)
  const left = Math.max(0, values.length - 4) + moreValues
  return [`    ${field}`, `${shown.join(', ')}${left > 0 ? `, and ${left} more values` : ''}`].map(shownText)
}
