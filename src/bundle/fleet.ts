import path from 'node:path'
import { MalformedData } from '../prm/errors'
import { dataKey, dataOf, groupsOf, itemField, type FactGroup, type IndexFields } from './facts'
import type { BundleDevice, BundleItem, Manifest } from './manifest'
import { Population } from './population'
import { growth, rateOf, secondsBetween } from './rates'
import type { ReadItem } from './read'
import { populationReport, type FleetDevice, type PopulationReport } from './report'
import { leavesIn, membersOf, textOf, type Scalar } from './values'

/** Which devices are compared with one another: those of the same PSID, of the same model, or all. */
export const groupings = ['psid', 'model', 'none'] as const
export type Grouping = (typeof groupings)[number]

/** An item that could not be understood. */
export interface UnreadableItem {
  readonly file: string
  readonly item: string
  readonly reason: string
}

/** Name of the population of hosts. */
const HOSTS = 'hosts'

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** All that is known of the devices of many bundles. */
export class Fleet {
  readonly unreadable: UnreadableItem[] = []
  deviceCount = 0
  private readonly members: FleetDevice[] = []
  private readonly populations = new Map<string, Population>()

  constructor(
    private readonly by: Grouping,
    private readonly indexFields: IndexFields,
  ) {}

  add(file: string, manifest: Manifest, items: readonly ReadItem[]): void {
    const isRedacted = manifest.redacted.includes('hostname')
    const host = isRedacted ? path.basename(file, '.tar.gz') : manifest.host
    for (const device of [null, ...manifest.devices]) {
      const folder = device?.folder ?? null
      const own = items.filter(({ item }) => item.device === folder)
      const ordinal = this.members.push({ host, device: folder, file }) - 1
      const name = device === null ? HOSTS : populationName(this.by, device, own)
      const population = this.populations.get(name) ?? new Population()
      this.populations.set(name, population)
      population.devices.push(ordinal)
      population.add(ordinal, 'bundle', plainGroup('bundle', summaryOf(manifest, device)))
      if (device !== null) this.deviceCount++
      this.addItems(population, ordinal, own)
    }
  }

  report(): PopulationReport[] {
    const names = [...this.populations.keys()].sort(
      (a, b) => Number(a === HOSTS) - Number(b === HOSTS) || compareText(a, b),
    )
    return names.flatMap((name) => {
      const population = this.populations.get(name)
      return population === undefined
        ? []
        : [populationReport(name, this.members, population.devices, population.items)]
    })
  }

  /** An item that cannot be understood leaves the others as they are. */
  private addItems(population: Population, ordinal: number, items: readonly ReadItem[]): void {
    for (const one of items) {
      if (isEarlierReading(one.item, items)) continue
      try {
        const earlier = items.find(({ item: { name } }) => one.item.name === 'counters-2' && name === 'counters-1')
        if (one.item.status === 'partial') population.addPartial(ordinal, itemField(one.item))
        if (earlier === undefined) this.addItem(population, ordinal, one)
        else this.addCounters(population, ordinal, earlier, one)
      } catch (error) {
        if (!(error instanceof MalformedData)) throw error
        const { file = '' } = this.members[ordinal] ?? {}
        this.unreadable.push({ file, item: one.item.file ?? one.item.name, reason: error.message })
      }
    }
  }

  private addItem(population: Population, ordinal: number, { item, bytes }: ReadItem): void {
    const key = dataKey(bytes)
    if (population.isKnown(itemField(item), key)) return population.addSame(ordinal, itemField(item))
    for (const group of groupsOf(item, bytes, this.indexFields)) population.add(ordinal, itemField(item), group)
    population.know(itemField(item), key, ordinal)
  }

  /** The later reading, and how fast each counter went up since the earlier one. */
  private addCounters(population: Population, ordinal: number, earlier: ReadItem, { item, bytes }: ReadItem): void {
    const before = this.readings(earlier)
    const seconds = secondsBetween(earlier.item, item)
    for (const group of groupsOf(item, bytes, this.indexFields)) {
      const tally = population.add(ordinal, itemField(item), group)
      for (const [field, value] of leavesIn(group.values)) {
        if (group.kindOf(field) !== 'counter') continue
        const rate = rateOf(growth(before.get(`${group.name}\n${field}`), value), seconds)
        if (rate !== undefined) tally.addRate(ordinal, field, group.unitOf(field), rate)
      }
    }
  }

  private readings({ item, bytes }: ReadItem): Map<string, Scalar> {
    const readings = new Map<string, Scalar>()
    for (const group of groupsOf(item, bytes, this.indexFields))
      for (const [field, value] of leavesIn(group.values)) readings.set(`${group.name}\n${field}`, value)
    return readings
  }
}

/** Of two readings of the counters the later one counts; the earlier one is for rates. */
function isEarlierReading({ name }: BundleItem, items: readonly ReadItem[]): boolean {
  return name === 'counters-1' && items.some(({ item }) => item.name === 'counters-2')
}

/** What the manifest says of a device, or of the host: how each item went, and the hash of what no facts are made of. */
function summaryOf({ tool, items }: Manifest, device: BundleDevice | null): unknown {
  const own = items.filter((item) => item.device === (device?.folder ?? null))
  const { driver, transport, deviceId, vendorId } = membersOf(device?.identity)
  return {
    tool: tool.version,
    ...(device === null ? {} : { device: { driver, transport, deviceId, vendorId } }),
    items: Object.fromEntries(
      own.map(({ name, status, exit }) => [name, status === 'ok' ? status : `${status} (${exit.kind ?? exit.code})`]),
    ),
    content: Object.fromEntries(own.flatMap((item) => (isText(item) ? [[item.name, item.sha256]] : []))),
  }
}

/** Texts are compared by their hash; dumps, and what else has no facts, differ always. */
const isText = ({ device, file }: BundleItem): boolean => device === null && file !== null && file.endsWith('.txt')

function plainGroup(name: string, values: unknown): FactGroup {
  return { name, values, image: undefined, kindOf: () => 'state', nameOf: () => undefined, unitOf: () => undefined }
}

/** "ConnectX-6 Dx MT_0000000359", by what info says. */
function populationName(by: Grouping, { identity }: BundleDevice, items: readonly ReadItem[]): string {
  if (by === 'none') return 'all devices'
  const info = membersOf(infoOf(items))
  const { deviceId } = membersOf(identity)
  const model =
    textOf(info.model) ?? (typeof deviceId === 'number' ? `device 0x${deviceId.toString(16)}` : 'model unknown')
  return by === 'model' ? model : `${model} ${textOf(info.psid) ?? '(PSID unknown)'}`
}

function infoOf(items: readonly ReadItem[]): unknown {
  const info = items.find(({ item }) => item.name === 'info')
  try {
    return info === undefined ? undefined : dataOf(info.item.file ?? '', info.bytes)
  } catch (error) {
    if (error instanceof MalformedData) return undefined
    throw error
  }
}
