import { MalformedData } from '../prm/errors'
import type { FactGroup } from './facts'
import type { Kind } from './kinds'
import { numberOf } from './rates'
import { joined, membersIn, scalarOf, type Scalar } from './values'

/**
 * Distinct values of one field that are kept. A field with more of them differs from device to device by nature: they are
 * forgotten, whatever the order in which they came, so that memory stays in bounds.
 */
const MOST_VALUES = 2048
const MOST_COUNTS = 256
const MOST_FIELDS = 500_000

/** Values of one field over the devices of a population. The devices are numbered. */
export interface FieldTally {
  readonly field: string
  readonly kind: Kind
  readonly unit: string | undefined
  /** Devices that have the thing that the field is of. */
  readonly present: readonly number[]
  /** Undefined when there were too many. */
  readonly values: ReadonlyMap<Scalar, readonly number[]> | undefined
  readonly names: ReadonlyMap<Scalar, string>
  /** Devices that have the thing, but not the field. */
  readonly absent: readonly number[]
}

/** Per second, of one counter. */
export interface RateTally {
  readonly field: string
  readonly unit: string | undefined
  readonly rates: readonly { readonly of: number; readonly value: number }[]
}

/**
 * What the devices of a population say of one thing: a register, a parameter. The first of them gives the reference; of all others
 * only what differs is kept. So it takes little more memory for a thousand devices than for one, as long as they are alike.
 */
export class GroupTally {
  private readonly present: number[] = []
  private image: string | undefined
  private readonly root = new FieldNode('')
  private readonly leaves: Leaf[] = []
  /** Fields that the first device does not have. */
  private readonly late: Leaf[] = []
  private readonly rates = new Map<string, { unit: string | undefined; rates: { of: number; value: number }[] }>()

  constructor(readonly name: string) {}

  get devices(): readonly number[] {
    return this.present
  }

  add(device: number, group: FactGroup): void {
    const isFirst = this.present.length === 0
    if (isFirst) this.image = group.image
    else if (group.image !== undefined && group.image === this.image) return this.addSame(device)
    this.present.push(device)
    try {
      this.walk(this.root, group.values, { device, group, isFirst })
    } finally {
      for (const leaf of this.leaves) if (leaf.seen !== device) leaf.addAbsent(device)
    }
  }

  /** A device that says what the first one says. */
  addSame(device: number): void {
    this.present.push(device)
    for (const leaf of this.late) leaf.addAbsent(device)
  }

  addRate(device: number, path: string, unit: string | undefined, value: number): void {
    const known = this.rates.get(path)
    if (known === undefined) this.rates.set(path, { unit, rates: [{ of: device, value }] })
    else known.rates.push({ of: device, value })
  }

  *fields(): Generator<FieldTally> {
    for (const leaf of this.leaves)
      yield {
        field: joined(this.name, leaf.path),
        kind: leaf.kind,
        unit: leaf.unit,
        present: this.present,
        values: leaf.values(this.present),
        names: leaf.names,
        absent: leaf.absent,
      }
  }

  *ratedFields(): Generator<RateTally> {
    for (const [path, { unit, rates }] of this.rates) yield { field: joined(this.name, path), unit, rates }
  }

  private walk(node: FieldNode, value: unknown, from: Walk): void {
    const scalar = scalarOf(value)
    if (scalar !== undefined) return this.addValue(node, scalar, from)
    if (Array.isArray(value)) for (const [name, member] of membersIn(value)) this.walk(node.child(name), member, from)
    else if (typeof value === 'object')
      for (const name in value) this.walk(node.child(name), (value as Record<string, unknown>)[name], from)
  }

  private addValue(node: FieldNode, value: Scalar, { device, group, isFirst }: Walk): void {
    if (node.leaf !== undefined) return node.leaf.add(device, value, group)
    if (this.leaves.length >= MOST_FIELDS) throw new MalformedData(this.name.slice(0, 60), 'has too many fields')
    const earlier = isFirst ? [] : this.present.slice(0, -1)
    const leaf = new Leaf(node.path, group.kindOf(node.path), group.unitOf(node.path), value, earlier)
    leaf.add(device, value, group)
    this.leaves.push(leaf)
    if (!isFirst) this.late.push(leaf)
    node.leaf = leaf
  }
}

interface Walk {
  readonly device: number
  readonly group: FactGroup
  readonly isFirst: boolean
}

class FieldNode {
  leaf: Leaf | undefined
  private children: Map<string, FieldNode> | undefined

  constructor(readonly path: string) {}

  child(name: string): FieldNode {
    this.children ??= new Map()
    let child = this.children.get(name)
    if (child === undefined) this.children.set(name, (child = new FieldNode(joined(this.path, name))))
    return child
  }
}

/** One field: who has another value than the reference, and who has none. */
class Leaf {
  /** The device that had it last. */
  seen = -1
  readonly names = new Map<Scalar, string>()
  private others: Map<Scalar, number | number[]> | undefined = new Map()
  private without: number[]

  constructor(
    readonly path: string,
    readonly kind: Kind,
    readonly unit: string | undefined,
    private readonly reference: Scalar,
    earlier: number[],
  ) {
    this.without = earlier
  }

  get absent(): readonly number[] {
    return this.without
  }

  add(device: number, value: Scalar, group: FactGroup): void {
    this.seen = device
    if (this.kind === 'volatile' || this.others === undefined) return
    const isNew = value === this.reference ? this.names.size === 0 : !this.others.has(value)
    if (isNew) {
      const name = group.nameOf(this.path)
      if (name !== undefined) this.names.set(value, name)
    }
    if (value === this.reference) return
    const holders = this.others.get(value)
    if (holders === undefined) this.others.set(value, device)
    else if (typeof holders === 'number') this.others.set(value, [holders, device])
    else holders.push(device)
    if (this.others.size >= this.most) {
      this.others = undefined
      this.names.clear()
    }
  }

  addAbsent(device: number): void {
    this.without.push(device)
  }

  /** Every value with its devices, those with the reference included. */
  values(present: readonly number[]): Map<Scalar, readonly number[]> | undefined {
    if (this.others === undefined) return undefined
    const others = [...this.others].map(([value, holders]): [Scalar, readonly number[]] => [
      value,
      typeof holders === 'number' ? [holders] : holders,
    ])
    const elsewhere = new Set([...this.without, ...others.flatMap(([, holders]) => holders)])
    const same = present.filter((device) => !elsewhere.has(device))
    return new Map(same.length === 0 ? others : [[this.reference, same], ...others])
  }

  /** What is measured is judged by all of its values, which are numbers, and few for each device. */
  private get most(): number {
    if (this.kind === 'gauge' && numberOf(this.reference) !== undefined) return Number.POSITIVE_INFINITY
    return this.kind === 'counter' ? MOST_COUNTS : MOST_VALUES
  }
}
