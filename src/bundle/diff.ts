import { factsOf, hasFacts, type Fact, type IndexFields } from './facts'
import { inBundle } from './json'
import type { BundleDevice, BundleItem, Manifest } from './manifest'
import { matchDevices, type DeviceMatch, type MatchedBy } from './match'
import { growth, integerOf, numberOf, rateOf, secondsBetween } from './rates'
import { readBundle, type BundleLimits, type ReadItem } from './read'
import type { Scalar } from './values'

/** A value of a field in one of two bundles, or "present" for a whole register; null where it is not there. */
export interface Side {
  readonly value: Scalar
  readonly name: string | null
}

export interface FieldDifference {
  readonly field: string
  readonly a: Side | null
  readonly b: Side | null
}

export interface CounterDifference {
  readonly field: string
  readonly unit: string | null
  readonly a: Scalar
  readonly b: Scalar
  /** How much it grew from a to b; null when it is smaller, or no number. */
  readonly delta: string | null
  /** Per second, within each bundle, where it has two readings. */
  readonly rateA: number | null
  readonly rateB: number | null
}

/** A file that only its hash is compared of: a dump, a log. */
export interface ContentDifference {
  readonly item: string
  readonly file: string
  readonly sizeA: number
  readonly sizeB: number
}

/** An item that is not in both. */
export interface UncomparedItem {
  readonly item: string
  readonly a: string
  readonly b: string
}

export interface PairDifference {
  /** Folders of the device; null for what is of the host. */
  readonly a: string | null
  readonly b: string | null
  readonly matchedBy: MatchedBy | 'host'
  /** Fields that were compared. */
  readonly compared: number
  /** Where they say other things of how the device is, or is set up. */
  readonly differences: readonly FieldDifference[]
  readonly counters: readonly CounterDifference[]
  /** What is measured, or of the moment: temperatures, clocks. */
  readonly moment: readonly FieldDifference[]
  readonly contents: readonly ContentDifference[]
  /** Items that only one of them has, or had all of. */
  readonly uncompared: readonly UncomparedItem[]
}

export interface BundleDifference {
  readonly a: Manifest
  readonly b: Manifest
  /** The host first, then device by device. */
  readonly pairs: readonly PairDifference[]
  /** Devices that have no counterpart. */
  readonly unmatched: { readonly a: readonly string[]; readonly b: readonly string[] }
}

export interface DiffOptions {
  /** Which devices: NAME, or NAME_IN_A=NAME_IN_B where they are not told by themselves. */
  readonly devices?: readonly string[]
  readonly indexFields?: IndexFields
  readonly limits?: BundleLimits
}

/** Whether two bundles say the same of host and devices; counters and what is of the moment aside. */
export const isSame = ({ pairs, unmatched }: BundleDifference): boolean =>
  unmatched.a.length + unmatched.b.length === 0 &&
  pairs.every(({ differences, uncompared }) => differences.length + uncompared.length === 0)

/**
 * Compares two bundles device by device.
 * @throws MalformedData when one is damaged; NameError for a device that is not in them
 */
export async function diffBundles(fileA: string, fileB: string, options: DiffOptions = {}): Promise<BundleDifference> {
  const { devices = [], indexFields = () => [], limits } = options
  const [a, b] = [await readBundle(fileA, hasFacts, limits), await readBundle(fileB, hasFacts, limits)]
  const sideA = new BundleSide(fileA, a.manifest, a.items, indexFields)
  const sideB = new BundleSide(fileB, b.manifest, b.items, indexFields)
  const { matches, unmatched } = matchDevices(sideA.identified(), sideB.identified(), devices)
  const host: readonly (DeviceMatch | undefined)[] = devices.length === 0 ? [undefined] : []
  return {
    a: a.manifest,
    b: b.manifest,
    pairs: [...host, ...matches].map((match) => pairDifference(sideA, sideB, match)),
    unmatched,
  }
}

interface Known {
  readonly fact: Fact
  /** Name of the item that says so. */
  readonly item: string
  /** Of a counter that was read twice. */
  readonly rate: number | undefined
}

/** One of the two bundles. */
class BundleSide {
  constructor(
    private readonly name: string,
    readonly manifest: Manifest,
    private readonly items: readonly ReadItem[],
    private readonly indexFields: IndexFields,
  ) {}

  itemsOf(folder: string | null): Map<string, BundleItem> {
    return new Map(this.manifest.items.flatMap((item) => (item.device === folder ? [[item.name, item]] : [])))
  }

  /** What the items say, those alone that are given; of two readings of the counters the later one, with the rate. */
  facts(folder: string | null, wanted: ReadonlySet<string>): Map<string, Known> {
    const own = this.items.filter(({ item }) => item.device === folder && wanted.has(item.name))
    const earlier = own.find(({ item }) => item.name === 'counters-1')
    const later = own.find(({ item }) => item.name === 'counters-2')
    const seconds = secondsBetween(earlier?.item, later?.item)
    const facts = new Map<string, Known>()
    for (const { item, bytes } of own)
      for (const fact of inBundle(this.name, () => [...factsOf(item, bytes, this.indexFields)])) {
        const before = item === later?.item && fact.kind === 'counter' ? facts.get(fact.field) : undefined
        const rate = before === undefined ? undefined : rateOf(growth(before.fact.value, fact.value), seconds)
        facts.set(fact.field, { fact, item: item.name, rate })
      }
    return facts
  }

  identified(): { device: BundleDevice; card: string | undefined }[] {
    return this.manifest.devices.map((device) => ({ device, card: this.cardOf(device.folder) }))
  }

  /** What names the card in any slot: its serial number, else its base MAC. */
  private cardOf(folder: string): string | undefined {
    const facts = this.facts(folder, new Set(['info', 'sysfs', 'registers']))
    const text = (field: string): string | undefined => {
      const value = facts.get(field)?.fact.value
      return value === undefined || value === null || value === '' || value === 0 ? undefined : String(value)
    }
    const mac = ['47_32', '31_0'].map((bits) => text(`registers.MGIR.hw_info.manufacturing_base_mac_${bits}`))
    const hasMac = mac.every((half) => half !== undefined)
    return text('info.serial') ?? text('sysfs.serial') ?? text('sysfs.vpd.SN') ?? (hasMac ? mac.join(':') : undefined)
  }
}

function pairDifference(a: BundleSide, b: BundleSide, match: DeviceMatch | undefined): PairDifference {
  const [folderA, folderB] = [match?.a ?? null, match?.b ?? null]
  const [itemsA, itemsB] = [a.itemsOf(folderA), b.itemsOf(folderB)]
  const both = [...itemsA.keys()].filter((name) => isThere(itemsA.get(name)) && isThere(itemsB.get(name)))
  const withFacts = new Set(both.filter((name) => [itemsA, itemsB].every((items) => factual(items.get(name)))))
  const isPart = (item: BundleItem | undefined): boolean => item?.status === 'partial'
  const { unread, ...fields } = compareFacts(
    { facts: a.facts(folderA, withFacts), isPart: (name) => isPart(itemsA.get(name)) },
    { facts: b.facts(folderB, withFacts), isPart: (name) => isPart(itemsB.get(name)) },
  )
  return {
    a: folderA,
    b: folderB,
    matchedBy: match?.by ?? 'host',
    ...fields,
    contents: both.flatMap((name) =>
      withFacts.has(name) ? [] : contentDifference(name, itemsA.get(name), itemsB.get(name)),
    ),
    uncompared: [...new Set([...itemsA.keys(), ...itemsB.keys()])].flatMap((item) => {
      const [one, other] = [statusText(itemsA.get(item)), statusText(itemsB.get(item))]
      return one === other && !unread.has(item) ? [] : [{ item, a: one, b: other }]
    }),
  }
}

const isThere = (item: BundleItem | undefined): boolean => item !== undefined && item.file !== null
const factual = (item: BundleItem | undefined): boolean => item !== undefined && hasFacts(item)

function statusText(item: BundleItem | undefined): string {
  if (item === undefined) return 'absent'
  return item.status === 'ok' ? 'ok' : `${item.status}: ${item.reason ?? item.exit.kind ?? 'no reason'}`
}

function contentDifference(name: string, a: BundleItem | undefined, b: BundleItem | undefined): ContentDifference[] {
  if (a?.sha256 === b?.sha256) return []
  return [{ item: name, file: a?.file ?? '', sizeA: a?.size ?? 0, sizeB: b?.size ?? 0 }]
}

interface SideFacts {
  readonly facts: ReadonlyMap<string, Known>
  /** Whether only part of an item was read: what it lacks is then no difference. */
  readonly isPart: (item: string) => boolean
}

/** @returns unread: items that lack something in one bundle because only part of them was read there */
function compareFacts(
  { facts: a, isPart: isPartOfA }: SideFacts,
  { facts: b, isPart: isPartOfB }: SideFacts,
): Pick<PairDifference, 'compared' | 'differences' | 'counters' | 'moment'> & { unread: ReadonlySet<string> } {
  const differences: FieldDifference[] = []
  const counters: CounterDifference[] = []
  const moment: FieldDifference[] = []
  const groups = [groupsIn(a), groupsIn(b)] as const
  const told = new Set<string>()
  const unread = new Set<string>()
  let compared = 0
  for (const field of inOrder(a, b)) {
    const [one, other] = [a.get(field), b.get(field)]
    if ((one === undefined && isPartOfA(other?.item ?? '')) || (other === undefined && isPartOfB(one?.item ?? ''))) {
      unread.add((one ?? other)?.item ?? '')
      continue
    }
    compared++
    const { group = '' } = (one ?? other)?.fact ?? {}
    if (!groups.every((known) => known.has(group))) {
      if (!told.has(group)) differences.push({ field: group, ...wholly(groups[0].has(group)) })
      told.add(group)
      continue
    }
    if (one !== undefined && other !== undefined && one.fact.value === other.fact.value && !isMoving(one, other))
      continue
    if (one === undefined || other === undefined) differences.push({ field, a: sideOf(one), b: sideOf(other) })
    else if (one.fact.kind === 'counter') counters.push(counterDifference(field, one, other))
    else {
      const list = one.fact.kind === 'state' ? differences : moment
      list.push({ field, a: sideOf(one), b: sideOf(other) })
    }
  }
  return { compared, differences, counters, moment, unread }
}

const groupsIn = (facts: ReadonlyMap<string, Known>): ReadonlySet<string> =>
  new Set([...facts.values()].map(({ fact }) => fact.group))

/** A register or a parameter that only one of them has is told as such, and not field by field. */
function wholly(inA: boolean): Pick<FieldDifference, 'a' | 'b'> {
  const present: Side = { value: 'present', name: null }
  return inA ? { a: present, b: null } : { a: null, b: present }
}

/** Counters that go up in one bundle and not in the other are told, also where they happen to be equal. */
const isMoving = (a: Known, b: Known): boolean => (a.rate ?? 0) !== (b.rate ?? 0)

/** Fields of a in their order, each of b that a lacks behind its predecessor. */
function inOrder(a: ReadonlyMap<string, Known>, b: ReadonlyMap<string, Known>): string[] {
  const behind = new Map<string | undefined, string[]>()
  let last: string | undefined
  for (const field of b.keys())
    if (a.has(field)) last = field
    else behind.set(last, [...(behind.get(last) ?? []), field])
  return [...(behind.get(undefined) ?? []), ...[...a.keys()].flatMap((field) => [field, ...(behind.get(field) ?? [])])]
}

const sideOf = (known: Known | undefined): Side | null =>
  known === undefined ? null : { value: known.fact.value, name: known.fact.name ?? null }

function counterDifference(
  field: string,
  { fact: a, rate: rateA }: Known,
  { fact: b, rate: rateB }: Known,
): CounterDifference {
  const whole = growth(a.value, b.value)?.toString()
  const [from, to] = [numberOf(a.value), numberOf(b.value)]
  const fraction = integerOf(a.value) === undefined && from !== undefined && to !== undefined && to >= from
  return {
    field,
    unit: a.unit ?? b.unit ?? null,
    a: a.value,
    b: b.value,
    delta: whole ?? (fraction ? String(to - from) : null),
    rateA: rateA ?? null,
    rateB: rateB ?? null,
  }
}
