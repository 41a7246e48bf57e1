import type { CounterReading, CountersRead, CounterValue, Labels, RefusedCounters } from '../../device/counters'
import { FirmwareError } from '../../device/errors'
import { columns } from '../../render/columns'
import { refusalData } from '../refusals'

/** "per_priority port=1 priority=3" */
export function heading({ group, labels }: Pick<CounterReading, 'group' | 'labels'>): string {
  return [group.name, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)].join(' ')
}

export function readingData({ group, labels, values }: CounterReading): Record<string, unknown> {
  return {
    group: group.name,
    title: group.title,
    labels,
    values: values.map(({ name, value, type, unit }) => ({ name, value, type, unit })),
  }
}

export function refusedData({ group, labels, error }: RefusedCounters): Record<string, unknown> {
  const of = error instanceof FirmwareError ? refusalData(error) : { status: null, statusName: null, syndrome: null }
  return { group: group.name, labels, reason: error.message, ...of }
}

export function countersData({ readings, refused }: CountersRead): Record<string, unknown> {
  return { groups: readings.map(readingData), refused: refused.map(refusedData) }
}

const isZero = ({ value }: CounterValue): boolean => value === 0 || value === 0n || value === '0'

/** Groups with their values in the order of the layouts, all in one pair of columns. */
export function countersText(readings: readonly CounterReading[], nonzero: boolean): string {
  const shown = readings
    .map((reading) => ({ reading, values: reading.values.filter((value) => !nonzero || !isZero(value)) }))
    .filter(({ values }) => !nonzero || values.length > 0)
  const widest = Math.max(0, ...shown.flatMap(({ values }) => values.map(({ name }) => name.length)))
  return shown
    .map(({ reading, values }) => {
      const rows = values.map((value) => [`  ${value.name.padEnd(widest)}`, valueText(value)])
      return `${heading(reading)}\n${columns(rows)}`
    })
    .join('\n')
}

/** A unit that the name does not say by itself stands behind the value. */
function valueText({ name, value, unit }: CounterValue): string {
  const text = String(value)
  const isSaid = unit === 'packets' || (unit === 'bytes' && /octets|bytes/i.test(name))
  return unit === null || isSaid ? text : `${text} ${unitSigns[unit]}`
}

const unitSigns: Readonly<Record<Exclude<CounterValue['unit'], null>, string>> = {
  bytes: 'bytes',
  dwords: 'dwords',
  bits: 'bits',
  packets: 'packets',
  seconds: 's',
  milliseconds: 'ms',
  microseconds: 'us',
  celsius: 'C',
  volts: 'V',
  watts: 'W',
  dbm: 'dBm',
  amperes: 'A',
  metres: 'm',
  ratio: '',
  percent: '%',
  bits_per_second: 'bit/s',
}

/** Groups that were refused, by what they have in common: one sentence for all instances of a group. */
export function refusalWarnings(refused: readonly RefusedCounters[], askedByName: boolean): string[] {
  if (refused.length === 0) return []
  if (!askedByName) {
    const names = [...new Set(refused.map(({ group }) => group.name))]
    return [`this device, or the door to it, does not give ${names.join(', ')}`]
  }
  const byText = new Map<string, string[]>()
  for (const { group, labels, error } of refused) {
    const text = `${group.name}: ${error.message}`
    byText.set(text, [...(byText.get(text) ?? []), labelText(labels)])
  }
  return [...byText].map(([text, instances]) => {
    const named = instances.filter((one) => one !== '')
    return named.length === 0 ? text : `${text} (${named.join('; ')})`
  })
}

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
