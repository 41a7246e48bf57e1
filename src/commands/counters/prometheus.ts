import type { CounterReading, CounterValue, Unit } from '../../device/counters'
import type { Sample } from '../../render/prometheus'
import type { DeviceRead } from './read'

/**
 * Metrics of what was read (facts: users and anchors, 5): base units, _total behind counters, texts of an instance as labels of one
 * _info. The label `device` is the name that the device was given under, so that it is the same when the device cannot be opened.
 * Prometheus has doubles: counters beyond 2^53 lose their last digits.
 */
export function samplesOf(devices: readonly DeviceRead[]): Sample[] {
  return devices.flatMap((read) => [
    ...scrapeSamples(read),
    ...read.read.readings.flatMap(readingSamples(baseLabels(read))),
  ])
}

type Labels = Readonly<Record<string, string>>

function baseLabels({ name, identity }: DeviceRead): Labels {
  return { device: name, ...(identity?.pci === undefined ? {} : { pci: identity.pci }) }
}

function scrapeSamples({ name, error, read }: DeviceRead): Sample[] {
  const labels = { device: name }
  const refused = new Set(read.refused.map(({ group }) => group.name)).size
  return [
    {
      name: 'mlx5_scrape_success',
      help: 'whether the device could be read: 0 when something kept it from being read to the end',
      type: 'gauge',
      labels,
      value: error === undefined ? 1 : 0,
    },
    {
      name: 'mlx5_scrape_refused_groups',
      help: 'groups of counters that the device, or the door to it, does not give',
      type: 'gauge',
      labels,
      value: refused,
    },
  ]
}

const readingSamples =
  (base: Labels) =>
  ({ group, labels, values }: CounterReading): Sample[] => {
    const own: Labels = { ...base, ...texts(labels) }
    const infos = values.filter(({ type }) => type === 'info')
    const info: Sample = {
      name: `mlx5_${group.name}_info`,
      help: `${group.title}, in words (${group.source})`,
      type: 'gauge',
      labels: { ...own, ...Object.fromEntries(infos.map(({ name, value }) => [metricWords(name), String(value)])) },
      value: 1,
    }
    const numbers = values.filter(({ type }) => type !== 'info').map((value) => sampleOf(group, own, value))
    return [...numbers, ...(infos.length === 0 ? [] : [info])]
  }

const texts = (labels: CounterReading['labels']): Labels =>
  Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]))

function sampleOf(
  { name: group, title, source }: CounterReading['group'],
  labels: Labels,
  { name, value, type, unit }: CounterValue,
): Sample {
  const { stem, place } = withoutPlace(name)
  const { suffix, factor, instead } = units[unit ?? 'packets']
  const words = metricWords(stem).replace(instead, '')
  const full = withGroup(group, suffix === '' || words.endsWith(`_${suffix}`) ? words : `${words}_${suffix}`)
  return {
    name: type === 'counter' && !full.endsWith('_total') ? `${full}_total` : full,
    help: `${title}: ${stem} (${source})`,
    type: type === 'counter' ? 'counter' : 'gauge',
    labels: { ...labels, ...place },
    value: scaled(Number(value), factor),
  }
}

/** An element of an array, or a lane, is a label. */
function withoutPlace(name: string): { stem: string; place: Labels } {
  const [, element, index] = /^(.*)\[(\d+)\]$/.exec(name) ?? []
  if (element !== undefined && index !== undefined) return { stem: element, place: { index } }
  const [, laned, lane] = /^(.*_lane)(\d+)$/.exec(name) ?? []
  if (laned !== undefined && lane !== undefined) return { stem: laned, place: { lane } }
  return { stem: name, place: {} }
}

/** Words of a name in lower case. A type or an abbreviated unit in it is what promtool objects to. */
function metricWords(name: string): string {
  return name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '' && word !== 'counter' && word !== 'count')
    .map((word) => (word === 'sec' ? 'seconds' : word))
    .join('_')
}

/** The group is not said twice. */
const withGroup = (group: string, name: string): string =>
  name === group || name.startsWith(`${group}_`) ? `mlx5_${name}` : `mlx5_${group}_${name}`

interface Base {
  readonly suffix: string
  readonly factor: number
  /** What of the name says the unit that it no longer is. */
  readonly instead: RegExp
}

const base = (suffix: string, factor = 1, instead = /$^/): Base => ({ suffix, factor, instead })

const units: Readonly<Record<Unit, Base>> = {
  bytes: base('bytes', 1, /_octets$/),
  dwords: base('bytes', 4, /_dwords?$/),
  bits: base('bytes', 1 / 8, /_bits$/),
  packets: base(''),
  seconds: base('seconds'),
  milliseconds: base('seconds', 1e-3),
  microseconds: base('seconds', 1e-6),
  celsius: base('celsius'),
  volts: base('volts'),
  watts: base('watts'),
  // Of a logarithm there is no base unit to multiply into.
  dbm: base('dbm'),
  amperes: base('amperes'),
  metres: base('meters'),
  ratio: base('ratio'),
  percent: base('ratio', 1e-2),
  bits_per_second: base('bytes_per_second', 1 / 8),
}

/** What is not exact in binary is rounded to what was meant. */
const scaled = (value: number, factor: number): number =>
  factor === 1 ? value : Number((value * factor).toPrecision(15))
