import { isErrorRatio, type Kind } from './kinds'
import { numberOf } from './rates'
import { outlying, outlyingRates, outlyingRatios, type Spread } from './robust'
import type { FieldTally, GroupTally, RateTally } from './tally'
import type { Scalar } from './values'

/** With fewer devices nobody can say which is the odd one. */
const FEWEST = 3
const FEWEST_MEASURED = 5
/** The share of devices, as a fraction, that makes a value the usual one. With less, a fleet is of two kinds. */
const USUAL = [2, 3] as const
/** Values of one field that are told one by one. */
const MOST_TOLD = 20

export interface FleetDevice {
  /** Name of the bundle, where the name of the host was redacted. */
  readonly host: string
  /** Folder of the device in the bundle, a PCI address as a rule; null for facts of the host. */
  readonly device: string | null
  /** The bundle. */
  readonly file: string
}

export interface FieldValue {
  /** null also where the field, or the thing it is of, is not there. */
  readonly value: Scalar
  readonly absent: boolean
  readonly name: string | null
  readonly count: number
  /** By host, device and file. */
  readonly devices: readonly FleetDevice[]
}

export interface OutlyingField {
  readonly field: string
  /** rate: per second, of a counter. */
  readonly kind: Kind | 'rate'
  readonly unit: string | null
  /** What most devices have; of what is measured the median. */
  readonly usual: {
    readonly value: Scalar
    readonly absent: boolean
    readonly name: string | null
    readonly count: number
  }
  /** Of what is measured: half of the devices lie nearer to the median than this. */
  readonly deviation: number | null
  /** Devices with another value. */
  readonly count: number
  /** The rarest first. */
  readonly values: readonly FieldValue[]
  /** Values beyond those. */
  readonly moreValues: number
}

/** A field without a usual value: the fleet is of two kinds, or more. */
export interface MixedField {
  readonly field: string
  readonly values: readonly Omit<FieldValue, 'devices'>[]
  readonly moreValues: number
}

export interface PopulationReport {
  readonly name: string
  readonly devices: number
  readonly hosts: number
  readonly fields: {
    readonly compared: number
    /** The same on all devices. */
    readonly uniform: number
    readonly outlying: number
    readonly mixed: number
    /** Different by nature: serial numbers, addresses, what is measured, counters. */
    readonly individual: number
    readonly volatile: number
  }
  /** False with fewer than three devices: then there are no outliers. */
  readonly comparable: boolean
  /** Those first that fewest devices have. */
  readonly outliers: readonly OutlyingField[]
  readonly mixed: readonly MixedField[]
}

type Items = ReadonlyMap<
  string,
  {
    readonly present: readonly number[]
    /** Devices of which only part of the item was read. */
    readonly partial: ReadonlySet<number>
    readonly groups: ReadonlyMap<string, GroupTally>
  }
>

/** Which devices of a population differ from the others, and in what. */
export function populationReport(
  name: string,
  members: readonly FleetDevice[],
  devices: readonly number[],
  items: Items,
): PopulationReport {
  const verdicts = new Verdicts(members)
  for (const { present, partial, groups } of items.values())
    for (const group of groups.values()) {
      verdicts.group(present, partial, group)
      for (const field of group.fields()) verdicts.field(field, partial)
      for (const rate of group.ratedFields()) verdicts.rate(rate)
    }
  return {
    name,
    devices: devices.length,
    hosts: new Set(devices.map((device) => members[device]?.host)).size,
    comparable: devices.length >= FEWEST,
    fields: {
      compared: verdicts.compared,
      uniform: verdicts.uniform,
      outlying: verdicts.outliers.length,
      mixed: verdicts.mixed.length,
      individual: verdicts.individual,
      volatile: verdicts.volatile,
    },
    outliers: verdicts.outliers.sort((a, b) => a.count - b.count || compareText(a.field, b.field)),
    mixed: verdicts.mixed.sort((a, b) => compareText(a.field, b.field)),
  }
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** A value of a field, or that it is not there. */
interface Held {
  readonly value: Scalar
  readonly absent: boolean
  readonly holders: readonly number[]
}

class Verdicts {
  compared = 0
  uniform = 0
  individual = 0
  volatile = 0
  readonly outliers: OutlyingField[] = []
  readonly mixed: MixedField[] = []

  constructor(private readonly members: readonly FleetDevice[]) {}

  /** A register that some devices lack, or that only some have. */
  group(present: readonly number[], partial: ReadonlySet<number>, group: GroupTally): void {
    const having = new Set(group.devices)
    const lacking = present.filter((device) => !having.has(device) && !partial.has(device))
    if (lacking.length === 0) return
    this.compared++
    this.judge({ field: group.name, kind: 'state', unit: undefined, names: new Map() }, having.size + lacking.length, [
      { value: 'present', absent: false, holders: group.devices },
      { value: null, absent: true, holders: lacking },
    ])
  }

  field(tally: FieldTally, partial: ReadonlySet<number>): void {
    this.compared++
    const { kind, values, present } = tally
    const absent = tally.absent.filter((device) => !partial.has(device))
    if (kind === 'volatile') this.volatile++
    else if (values === undefined) this.individual++
    else {
      const held = [...values].map(([value, holders]): Held => ({ value, absent: false, holders }))
      if (absent.length > 0) held.push({ value: null, absent: true, holders: absent })
      if (held.length === 1) this.uniform++
      else if (kind === 'gauge' && this.measured(tally, held)) return
      else this.judge(tally, present.length - (tally.absent.length - absent.length), held)
    }
  }

  rate({ field, unit, rates }: RateTally): void {
    if (rates.length < FEWEST_MEASURED) return
    this.compared++
    if (this.spread({ field, kind: 'rate', unit }, outlyingRates(rates), rates.length) === 0) this.individual++
  }

  /** Whether all values are numbers, so that they can be judged by how far they lie from the others. */
  private measured(tally: Described, held: readonly Held[]): boolean {
    const numbers = held.flatMap(({ value, holders }) => {
      const number = numberOf(value)
      return number === undefined ? [] : holders.map((of) => ({ of, value: number }))
    })
    const all = held.reduce((sum, { holders }) => sum + holders.length, 0)
    if (numbers.length < all || all < FEWEST_MEASURED) return false
    const judged = isErrorRatio(tally.field) ? outlyingRatios(numbers) : outlying(numbers)
    if (this.spread(tally, judged, all) === 0) this.individual++
    return true
  }

  private judge(
    tally: Described & { readonly names: ReadonlyMap<Scalar, string> },
    all: number,
    held: readonly Held[],
  ): void {
    const [most] = [...held].sort((a, b) => b.holders.length - a.holders.length || compareHeld(a, b))
    if (most === undefined || all < FEWEST) return
    if (most.holders.length * USUAL[1] >= all * USUAL[0]) return this.odd(tally, most, held)
    if (isIndividual(held, all) || tally.kind === 'counter') {
      this.individual++
      return
    }
    if (held.length > 8 && this.measured(tally, held)) return
    const told = [...held].sort((a, b) => b.holders.length - a.holders.length || compareHeld(a, b))
    this.mixed.push({
      field: tally.field,
      values: told.slice(0, MOST_TOLD).map(({ value, absent, holders }) => ({
        value,
        absent,
        name: tally.names.get(value) ?? null,
        count: holders.length,
      })),
      moreValues: Math.max(0, told.length - MOST_TOLD),
    })
  }

  /** Two thirds have one value: the others are odd. */
  private odd(
    { field, kind, unit, names }: Described & { readonly names: ReadonlyMap<Scalar, string> },
    usual: Held,
    held: readonly Held[],
  ): void {
    const others = held.filter((one) => one !== usual)
    const name = ({ value, absent }: Held): string | null => (absent ? null : (names.get(value) ?? null))
    this.outliers.push({
      field,
      kind,
      unit: unit ?? null,
      usual: { value: usual.value, absent: usual.absent, name: name(usual), count: usual.holders.length },
      deviation: null,
      ...this.told(others, name),
    })
  }

  /** @returns how many outliers there are */
  private spread(
    { field, kind, unit }: Described,
    { median, deviation, outliers }: Spread<number>,
    all: number,
  ): number {
    if (outliers.length === 0) return 0
    const byValue = new Map<number, number[]>()
    for (const { of, value } of outliers) byValue.set(value, [...(byValue.get(value) ?? []), of])
    this.outliers.push({
      field,
      kind,
      unit: unit ?? null,
      usual: { value: median, absent: false, name: null, count: all - outliers.length },
      deviation,
      ...this.told(
        [...byValue].map(([value, holders]) => ({ value, absent: false, holders })),
        () => null,
      ),
    })
    return outliers.length
  }

  private told(
    others: readonly Held[],
    name: (held: Held) => string | null,
  ): Pick<OutlyingField, 'count' | 'values' | 'moreValues'> {
    const sorted = [...others].sort((a, b) => a.holders.length - b.holders.length || compareHeld(a, b))
    return {
      count: others.reduce((sum, { holders }) => sum + holders.length, 0),
      values: sorted.slice(0, MOST_TOLD).map((held) => ({
        value: held.value,
        absent: held.absent,
        name: name(held),
        count: held.holders.length,
        devices: this.devices(held.holders),
      })),
      moreValues: Math.max(0, sorted.length - MOST_TOLD),
    }
  }

  private devices(ordinals: readonly number[]): FleetDevice[] {
    return ordinals
      .flatMap((ordinal) => this.members[ordinal] ?? [])
      .sort(
        (a, b) =>
          compareText(a.host, b.host) || compareText(a.device ?? '', b.device ?? '') || compareText(a.file, b.file),
      )
  }
}

interface Described {
  readonly field: string
  readonly kind: Kind | 'rate'
  readonly unit: string | undefined
}

/** What is not there comes last; numbers go by size. */
function compareHeld(a: Held, b: Held): number {
  if (a.absent || b.absent) return Number(a.absent) - Number(b.absent)
  if (typeof a.value === 'number' && typeof b.value === 'number') return a.value - b.value
  return compareText(String(a.value), String(b.value))
}

/**
 * Nearly every device has its own value: a serial number, an address, a key. The functions of one card share theirs, so that a
 * value may come a few times, but none comes much more often than the others.
 */
function isIndividual(held: readonly Held[], all: number): boolean {
  const most = Math.max(...held.map(({ holders }) => holders.length))
  return held.length >= Math.max(Math.min(all, 4), all / 8) && most * held.length <= 2 * all
}
