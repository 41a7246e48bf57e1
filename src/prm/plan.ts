import { MalformedData } from './errors'
import { isReserved, type Access, type Expression, type Layout } from './layout'

/**
 * A layout made ready for work: anonymous aggregates are promoted into the parent's name space, nested layouts are
 * looked up, and everything a catalogue from outside could get wrong has been refused.
 */
export interface Plan {
  readonly name: string
  readonly kind: Layout['kind']
  /** Bits, open-ended tails excluded. */
  readonly bits: number
  readonly members: readonly Member[]
  readonly byName: ReadonlyMap<string, Member>
  /** True when some member, here or below, is open-ended. */
  readonly open: boolean
}

export interface Member {
  readonly name: string
  /** Bits from the start of the plan. */
  readonly offset: number
  /** Bits of one element. */
  readonly width: number
  readonly reserved: boolean
  /** Members of a union overlap; their tails may have a remainder. */
  readonly inUnion: boolean
  readonly count: number | null | undefined
  readonly stride: number
  readonly plan: Plan | undefined
  readonly enum: string | undefined
  readonly access: Access | undefined
  /** Elements that there are of an open end. */
  readonly used: Expression | undefined
  readonly when: Expression | undefined
  /** Of a union: the path of the selector, and the member that each of its values selects. */
  readonly select: { readonly by: string; readonly members: ReadonlyMap<bigint, string> } | undefined
}

/** Deepest nesting accepted; the kernel's headers reach 7. */
const MAX_DEPTH = 32
/** Largest layout accepted, in bits: 16 MiB. */
const MAX_BITS = 2 ** 27
/** Members over all nested plans of one layout. */
const MAX_MEMBERS = 200_000

interface LayoutSource {
  layout(name: string): Layout
}

/** Builds plans and keeps them. */
export class Planner {
  private readonly plans = new Map<string, Plan>()
  private readonly foreign = new WeakMap<Layout, Plan>()
  constructor(private readonly source: LayoutSource) {}

  /** @throws MalformedData when the layout is not one that can be; NameError when it, or one below it, is unknown */
  plan(layout: string | Layout): Plan {
    if (typeof layout !== 'string') {
      const known = this.foreign.get(layout) ?? this.build(layout, [])
      this.foreign.set(layout, known)
      return known
    }
    return this.named(layout, [])
  }

  private named(name: string, path: readonly string[]): Plan {
    const known = this.plans.get(name)
    if (known !== undefined) return known
    const plan = this.build(this.source.layout(name), path)
    this.plans.set(name, plan)
    return plan
  }

  private build(layout: Layout, path: readonly string[]): Plan {
    const where = [...path, layout.name]
    if (path.includes(layout.name)) throw new MalformedData(where.join(' > '), 'the layout contains itself')
    if (where.length > MAX_DEPTH) throw new MalformedData(layout.name, 'layouts are nested too deeply')
    if (!isSize(layout.bits)) throw new MalformedData(layout.name, `a size of ${layout.bits} bits is not possible`)
    const members: Member[] = []
    this.collect(layout, 0, layout.kind === 'union', where, members)
    const byName = new Map<string, Member>()
    for (const member of members) {
      if (byName.has(member.name)) throw new MalformedData(`${layout.name}.${member.name}`, 'the name occurs twice')
      byName.set(member.name, member)
    }
    const open = members.some((member) => member.count === null || member.plan?.open === true)
    return { name: layout.name, kind: layout.kind, bits: layout.bits, members, byName, open }
  }

  private collect(layout: Layout, base: number, union: boolean, path: readonly string[], into: Member[]): void {
    let end = 0
    for (const field of layout.fields) {
      const label = `${layout.name}.${field.name || '(anonymous)'}`
      const { count, stride } = shape(field, label)
      const plan = field.layout === undefined ? undefined : this.named(field.layout, path)
      if (!isSize(field.offset) || !isSize(field.width)) throw new MalformedData(label, 'has no possible position')
      if (plan !== undefined && plan.bits !== field.width)
        throw new MalformedData(label, `is ${field.width} bits wide, but ${plan.name} has ${plan.bits}`)
      if (plan === undefined && field.width === 0) throw new MalformedData(label, 'has no width')
      const extent = count === undefined ? field.width : (count ?? 0) * stride
      if (field.offset + extent > layout.bits) throw new MalformedData(label, `leaves the ${layout.bits} bits`)
      if (layout.kind === 'struct' && field.offset < end) throw new MalformedData(label, 'overlaps the field before it')
      end = field.offset + extent
      if (field.name === '') this.promote(field.layout, base + field.offset, union, path, into, label)
      else
        into.push({
          name: field.name,
          offset: base + field.offset,
          width: field.width,
          reserved: isReserved(field),
          inUnion: union,
          count,
          stride,
          plan,
          enum: field.enum,
          access: field.access,
          used: field.array?.used,
          when: field.when,
          select: selection(field, label),
        })
      if (into.length > MAX_MEMBERS) throw new MalformedData(layout.name, 'has too many fields')
    }
  }

  private promote(
    name: string | undefined,
    base: number,
    union: boolean,
    path: readonly string[],
    into: Member[],
    label: string,
  ): void {
    if (name === undefined) throw new MalformedData(label, 'has no name and no layout')
    const layout = this.source.layout(name)
    if (path.includes(name)) throw new MalformedData([...path, name].join(' > '), 'the layout contains itself')
    if (path.length > MAX_DEPTH) throw new MalformedData(name, 'layouts are nested too deeply')
    this.collect(layout, base, union || layout.kind === 'union', [...path, name], into)
  }
}

function shape(field: Layout['fields'][number], label: string): { count: number | null | undefined; stride: number } {
  if (field.array === undefined) return { count: undefined, stride: field.width }
  const { count, stride } = field.array
  if (!isSize(stride) || stride < field.width || stride === 0 || (count !== null && !isSize(count)))
    throw new MalformedData(label, 'has no possible number of elements')
  return { count, stride }
}

function selection({ select }: Layout['fields'][number], label: string): Member['select'] {
  if (select === undefined) return undefined
  const members = Object.entries(select.members)
  if (!members.every(([value]) => /^\d{1,20}$/.test(value))) throw new MalformedData(label, 'has no possible selection')
  return { by: select.by, members: new Map(members.map(([value, name]) => [BigInt(value), name])) }
}

const isSize = (bits: number): boolean => Number.isSafeInteger(bits) && bits >= 0 && bits <= MAX_BITS
