/** Turns declared structures into layouts: every size, offset and name worked out, cycles and giants left out. */
import type { Field, Layout } from '../layout'
import { MAX_LAYOUT_BITS, layoutProblem } from './check'
import type { ConstantTable } from './constants'
import type { Aggregate, Member, Problem } from './declarations'
import { BadExpression } from './expression'
import type { Place } from './tokenizer'

/** Nested types below one another; the deepest chain in the kernel's headers is 7. */
const MAX_DEPTH = 64
/** Values that decoding one layout may give. */
const MAX_VALUES = 2 ** 22

interface Measured {
  readonly name: string
  readonly bits: number
  /** Values that decoding it gives, at least. */
  readonly weight: number
}

interface Size {
  readonly width: number
  readonly weight: number
  readonly layout?: string
}

class LayoutProblem extends Error {
  constructor(
    readonly place: Place,
    message: string,
  ) {
    super(message)
  }
}

/** Layouts in the order of their declaration, inline ones behind the one that holds them. */
export function buildLayouts(
  aggregates: readonly Aggregate[],
  constants: ConstantTable,
): { layouts: Layout[]; problems: Problem[] } {
  const builder = new LayoutBuilder(aggregates, constants)
  for (const aggregate of aggregates) builder.add(aggregate)
  return { layouts: builder.ordered(), problems: builder.problems }
}

/** mlx5_ifc_mkc_bits is mkc, mlx5_ifc_exe_aso_ctrl is exe_aso_ctrl, mlx5_ifc_x_bits1 keeps its ending. */
function layoutName(tag: string): string {
  return tag.replace(/^mlx5_ifc_/, '').replace(/_bits$/, '')
}

class LayoutBuilder {
  readonly problems: Problem[] = []
  private readonly byTag = new Map<string, Aggregate>()
  private readonly owners = new Map<string, string>()
  private readonly done = new Map<string, Measured | undefined>()
  private readonly pending = new Set<string>()
  private readonly groups = new Map<string, Layout[]>()

  constructor(
    aggregates: readonly Aggregate[],
    private readonly constants: ConstantTable,
  ) {
    for (const aggregate of aggregates) {
      const { tag } = aggregate
      if (tag === undefined) continue
      const name = layoutName(tag)
      const owner = this.owners.get(name)
      if (owner === undefined) this.owners.set(name, tag)
      if (owner === undefined) this.byTag.set(tag, aggregate)
      else this.report(aggregate, `${tag} has the name of an earlier ${owner}`)
    }
  }

  add(aggregate: Aggregate): void {
    const { tag } = aggregate
    if (tag !== undefined && this.byTag.get(tag) === aggregate) this.measure(tag)
  }

  ordered(): Layout[] {
    return [...this.byTag.keys()].flatMap((tag) => this.groups.get(tag) ?? [])
  }

  /** Size of a named type; undefined when it was left out. */
  private measure(tag: string): Measured | undefined {
    if (this.done.has(tag)) return this.done.get(tag)
    const aggregate = this.byTag.get(tag)
    if (!aggregate) return undefined
    this.pending.add(tag)
    const collected: Layout[] = []
    let measured: Measured | undefined
    try {
      measured = this.build(aggregate, layoutName(tag), collected)
      this.groups.set(tag, collected)
    } catch (error) {
      if (!(error instanceof LayoutProblem)) throw error
      this.report(error.place, `${layoutName(tag)} is left out: ${error.message}`)
    } finally {
      this.pending.delete(tag)
    }
    this.done.set(tag, measured)
    return measured
  }

  private build(aggregate: Aggregate, name: string, collected: Layout[]): Measured {
    const slot = collected.push({ name, kind: aggregate.kind, bits: 0, fields: [] }) - 1
    const fields: Field[] = []
    let end = 0
    let size = 0
    let weight = 0
    let anonymous = 0
    for (const member of aggregate.members) {
      if (member.name === undefined) anonymous += 1
      const measured = this.measureMember(member, `${name}.${member.name ?? `@${anonymous}`}`, collected)
      const field = this.place(member, measured, aggregate.kind === 'union' ? 0 : end)
      fields.push(field)
      end = field.offset + measured.width * count(field)
      size = Math.max(size, end)
      weight += measured.weight * Math.max(count(field), 1)
      if (size > MAX_LAYOUT_BITS || weight > MAX_VALUES)
        throw new LayoutProblem(member, 'it is larger than any mailbox')
    }
    const layout: Layout = { name, kind: aggregate.kind, bits: size, fields }
    const problem = layoutProblem(layout) ?? duplicate(fields)
    if (problem) throw new LayoutProblem(aggregate, problem)
    collected[slot] = layout
    return { name, bits: size, weight: weight + 1 }
  }

  private measureMember(member: Member, name: string, collected: Layout[]): Size {
    const { type } = member
    if (type.kind === 'bits') return { width: this.bitWidth(member), weight: 1 }
    const nested = type.kind === 'inline' ? this.build(type.aggregate, name, collected) : this.nested(member, type.tag)
    return { width: nested.bits, weight: nested.weight, layout: nested.name }
  }

  private nested(member: Member, tag: string): Measured {
    if (this.pending.has(tag)) throw new LayoutProblem(member, `${tag} contains itself`)
    if (this.pending.size >= MAX_DEPTH) throw new LayoutProblem(member, 'types are nested too deeply')
    const measured = this.measure(tag)
    if (!measured) throw new LayoutProblem(member, `its type ${tag} is not known or was left out`)
    return measured
  }

  /** `u8 x[N]` is N bits, `u8 x[A][B]` A elements of B bits; an open `u8 x[]` has bytes, having no width of its own. */
  private bitWidth(member: Member): number {
    const last = member.dimensions.at(-1)
    if (!last) return 1
    const width = last.length === 0 ? 0 : this.number(member, last)
    if (width > 0) return width
    if (member.dimensions.length > 1) throw new LayoutProblem(member, `${member.name} has elements of no size`)
    return 8
  }

  private place(member: Member, size: Size, offset: number): Field {
    const count = this.elements(member)
    if (count !== undefined && size.width === 0)
      throw new LayoutProblem(member, `${member.name} has elements of no size`)
    return {
      name: member.name ?? '',
      offset,
      width: size.width,
      ...(count === undefined ? {} : { array: { count, stride: size.width } }),
      ...(size.layout === undefined ? {} : { layout: size.layout }),
    }
  }

  /** Number of elements, null for an open end, undefined for a member that is no array. */
  private elements(member: Member): number | null | undefined {
    const isBits = member.type.kind === 'bits'
    const openBytes = isBits && member.dimensions.length === 1 && this.length(member, member.dimensions[0]) === 0
    if (openBytes) return null
    const dimensions = isBits ? member.dimensions.slice(0, -1) : member.dimensions
    if (dimensions.length === 0) return undefined
    const lengths = dimensions.map((dimension) => this.length(member, dimension))
    if (lengths[0] === 0) return null
    const total = lengths.reduce((product, length) => product * length, 1)
    if (total === 0 || total > MAX_LAYOUT_BITS)
      throw new LayoutProblem(member, `${member.name} has an impossible number of elements`)
    return total
  }

  /** Zero-length arrays are how older headers write an open end, so `[]` and `[0]` are one thing. */
  private length(member: Member, dimension: Member['dimensions'][number] | undefined): number {
    return !dimension || dimension.length === 0 ? 0 : this.number(member, dimension)
  }

  private number(member: Member, tokens: Member['dimensions'][number]): number {
    try {
      const value = this.constants.evaluate(tokens)
      if (value < 0n || value > BigInt(MAX_LAYOUT_BITS))
        throw new BadExpression(`the size of ${member.name} is not a possible one`)
      return Number(value)
    } catch (error) {
      if (error instanceof BadExpression) throw new LayoutProblem(member, error.message)
      throw error
    }
  }

  private report(place: Place, message: string): void {
    this.problems.push({ file: place.file, line: place.line, message })
  }
}

/** Elements that count into the size: none for an open end. */
function count(field: Field): number {
  return field.array ? (field.array.count ?? 0) : 1
}

function duplicate(fields: readonly Field[]): string | undefined {
  const seen = new Set<string>()
  for (const { name } of fields) {
    if (name !== '' && seen.has(name)) return `it has two fields named ${name}`
    seen.add(name)
  }
  return undefined
}
