import { isReserved, type Enumeration, type Expression, type Field, type Layout, type Selection } from '../layout'
import { parseAdbExpression } from './adb-expression'
import { adbAccess, adbBits, adbEnum, adbText } from './adb-values'
import type { AdbDocument, AdbField, AdbNode } from './adb-xml'
import { layoutProblem } from './check'
import type { Problem } from './declarations'

/** Leaves of one layout, with those of the layouts in it; the largest of the shipped files has about 1000. */
const MAX_LEAVES = 100_000
const MAX_DEPTH = 32

export interface AdbLayouts {
  readonly layouts: ReadonlyMap<string, Layout>
  readonly enumerations: readonly Enumeration[]
  readonly problems: readonly Problem[]
}

/** Nodes that are leaves: two dwords as one number of 64 bits, and the carrier of an enumeration. */
const leafNodes: ReadonlySet<string> = new Set(['uint64', 'enum_entry'])

/**
 * Makes layouts of nodes of an ADB file, and of the nodes in them. A layout that cannot stand is left out and told, and so is
 * every layout that holds one.
 * @param texts whether descriptions are kept
 */
export function adbLayouts(document: AdbDocument, nodes: readonly string[], texts: boolean): AdbLayouts {
  return new LayoutMaker(document, texts).make(nodes)
}

/** The field at the end of a dotted path of fields, from a node down. */
export function adbFieldAt(document: AdbDocument, from: AdbNode, path: string): AdbField | undefined {
  let node: AdbNode | undefined = from
  let field: AdbField | undefined
  for (const name of path.split('.')) {
    field = node?.fields.find(({ attributes }) => attributes.name === name)
    if (field === undefined) return undefined
    node = document.nodes.get(field.attributes.subnode ?? '')
  }
  return field
}

class LayoutMaker {
  private readonly done = new Map<string, Layout | undefined>()
  private readonly leaves = new Map<string, number>()
  private readonly enumerations = new Map<string, Enumeration>()
  private readonly problems: Problem[] = []
  /** Nodes that hold a union, by its name: paths in the union start in them. */
  private readonly holders = new Map<string, AdbNode[]>()

  constructor(
    private readonly document: AdbDocument,
    private readonly texts: boolean,
  ) {
    for (const node of document.nodes.values())
      for (const { attributes } of node.fields) {
        const inside = attributes.subnode === undefined ? undefined : document.nodes.get(attributes.subnode)
        if (inside !== undefined && isUnion(inside))
          this.holders.set(inside.name, [...(this.holders.get(inside.name) ?? []), node])
      }
  }

  make(nodes: readonly string[]): AdbLayouts {
    for (const name of nodes) {
      const node = this.document.nodes.get(name)
      if (node !== undefined) this.layout(node, [])
    }
    const layouts = new Map<string, Layout>()
    for (const [name, layout] of this.done) if (layout !== undefined) layouts.set(name, layout)
    const used = new Set([...layouts.values()].flatMap(({ fields }) => fields.map((field) => field.enum)))
    const enumerations = [...this.enumerations.values()].filter(({ name }) => used.has(name))
    return { layouts, enumerations, problems: this.problems }
  }

  /** Undefined when it cannot stand, which has been told by then. */
  private layout(node: AdbNode, path: readonly string[]): Layout | undefined {
    if (this.done.has(node.name)) return this.done.get(node.name)
    if (path.includes(node.name) || path.length > MAX_DEPTH) return undefined
    const layout = this.build(node, [...path, node.name])
    this.done.set(node.name, layout)
    return layout
  }

  private build(node: AdbNode, path: readonly string[]): Layout | undefined {
    const bits = adbBits(node.attributes.size ?? '')
    if (bits === undefined || bits === 0) return this.leftOut(node, node.line, 'has no size')
    const union = isUnion(node)
    const fields: Field[] = []
    let end = 0
    for (const raw of node.fields) {
      const field = this.field(raw, node, bits, end, path)
      if (typeof field === 'string') return this.leftOut(node, raw.line, `${raw.attributes.name ?? 'a field'} ${field}`)
      end = field.offset + field.width * (field.array?.count ?? 1)
      fields.push(field)
    }
    if (!union) fields.sort((a, b) => a.offset - b.offset)
    const last = fields.at(-1)
    const open = fields.some((field) => field.array?.count === null)
    if (open && last?.array?.count !== null)
      return this.leftOut(node, node.line, 'has an array of variable length before its end')
    const layout: Layout = {
      name: node.name,
      kind: union ? 'union' : 'struct',
      bits: open && last !== undefined ? last.offset : bits,
      fields,
    }
    const problem = nameProblem(fields) ?? layoutProblem(layout) ?? this.leavesProblem(layout)
    return problem === undefined ? layout : this.leftOut(node, node.line, problem)
  }

  /** A field, or in words why it is none. */
  private field(
    { attributes }: AdbField,
    node: AdbNode,
    nodeBits: number,
    end: number,
    path: readonly string[],
  ): Field | string {
    const { name = '', subnode, enum: values, descr } = attributes
    if (!/^[A-Za-z_]\w*$/.test(name)) return 'has no possible name'
    const place = this.place(attributes, nodeBits, end)
    if (typeof place === 'string') return place
    const nested = this.nested(subnode, place.width, path)
    if (typeof nested === 'string') return nested
    const enumeration = values === undefined ? undefined : this.enumeration(`${node.name}.${name}`, values)
    const access = adbAccess(attributes)
    const text = this.texts ? adbText(descr) : undefined
    return {
      name,
      ...place,
      ...(nested.width === undefined ? {} : { width: nested.width }),
      ...this.counted(place, attributes, node),
      ...(nested.layout === undefined ? {} : { layout: nested.layout }),
      ...(enumeration === undefined || nested.layout !== undefined ? {} : { enum: enumeration }),
      ...(access === undefined ? {} : { access }),
      ...(nested.union === undefined ? {} : this.selection(attributes, node, nested.union)),
      ...this.condition(attributes, node),
      ...(text === undefined ? {} : { text }),
    }
  }

  /**
   * Offsets count bits from the least significant bit of a big-endian dword; layouts count from the first bit on the wire.
   * The offset of an array below 32 bits is that of element 0, which has the highest bits; the others follow downward,
   * then in the next dword: on the wire they simply follow each other.
   */
  private place(
    attributes: AdbField['attributes'],
    nodeBits: number,
    end: number,
  ): Pick<Field, 'offset' | 'width' | 'array'> | string {
    const size = adbBits(attributes.size ?? '')
    const offset = attributes.offset === undefined ? end : adbBits(attributes.offset)
    if (size === undefined || size === 0) return 'has no size'
    if (offset === undefined) return `has no possible offset: ${attributes.offset}`
    const shape = arrayShape(attributes, size)
    if (typeof shape === 'string') return shape
    const { width, count } = shape
    const first = place(offset, width, nodeBits)
    const isPlain = count === undefined || (count === 1 && this.document.config.single_entry_arr !== '1')
    if (typeof first === 'string' || isPlain) return first
    if (width < 32) {
      if (this.document.config.big_endian_arr !== '1') return 'is an array of less than a dword without big_endian_arr'
      if (32 % width !== 0) return `has elements of ${width} bits, which do not fill a dword`
    }
    return { ...first, array: { count, stride: width } }
  }

  private nested(
    subnode: string | undefined,
    width: number,
    path: readonly string[],
  ): { layout?: string; width?: number; union?: AdbNode } | string {
    if (subnode === undefined || subnode === '') return width > 32 ? 'is a value of more than a dword' : {}
    const node = this.document.nodes.get(subnode)
    if (node === undefined) return `has the layout ${subnode}, which is not there`
    if (leafNodes.has(subnode)) {
      const bits = adbBits(node.attributes.size ?? '')
      return bits === width ? {} : `is ${width} bits wide, but ${subnode} has ${bits ?? 'no size'}`
    }
    const layout = this.layout(node, path)
    if (layout === undefined) return `has the layout ${subnode}, which is left out or holds this one`
    // The size of a node whose length varies counts one element; its layout has none.
    const open = layout.fields.some((field) => field.array?.count === null)
    const bits = open ? adbBits(node.attributes.size ?? '') : layout.bits
    if (bits !== width) return `is ${width} bits wide, but ${subnode} has ${bits ?? 'no size'}`
    return { layout: subnode, width: layout.bits, ...(layout.kind === 'union' ? { union: node } : {}) }
  }

  private enumeration(name: string, text: string): string | undefined {
    const values = adbEnum(text)
    if (values === undefined) return undefined
    this.enumerations.set(name, { name, values, literal: true })
    return name
  }

  /** Which member of a union a value of the selector means: the one that claims the first name, by bytes, of the value. */
  private selection({ union_selector }: AdbField['attributes'], node: AdbNode, union: AdbNode): Pick<Field, 'select'> {
    if (union_selector === undefined || union_selector === '') return {}
    const by = this.pathIn(union_selector, [node])
    const selector = by === undefined ? undefined : adbFieldAt(this.document, node, by)
    const values = selector === undefined ? undefined : adbEnum(selector.attributes.enum ?? '')
    if (by === undefined || values === undefined) return {}
    const members: Record<string, string> = {}
    const asked = new Set<number>()
    for (const [key, value] of Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (asked.has(value)) continue
      asked.add(value)
      const member = union.fields.find(({ attributes }) => attributes.selected_by === key)
      if (member !== undefined) members[String(value)] = member.attributes.name ?? ''
    }
    const select: Selection = { by, members }
    return { select }
  }

  /** Conditions count only in nodes that say so; elsewhere they are remarks. */
  private condition({ name = '', condition }: AdbField['attributes'], node: AdbNode): Pick<Field, 'when'> {
    if (condition === undefined || node.attributes.is_conditional !== '1') return {}
    const when = this.expression(condition, node, name)
    return when === undefined ? {} : { when }
  }

  /** The number of elements of an open end, from a field that counts elements or, as its description says, bytes. */
  private counted(
    { width, array }: Pick<Field, 'width' | 'array'>,
    { name = '', size_condition }: AdbField['attributes'],
    node: AdbNode,
  ): Pick<Field, 'array'> {
    if (array?.count !== null) return {}
    // Without a condition the counter goes by its name: num_app_prio counts app_prio.
    const counterName = node.fields.find((field) => field.attributes.name === `num_${name}`)?.attributes.name
    const count = size_condition === undefined ? counterName : this.expression(size_condition, node, name)
    if (count === undefined) return {}
    const counter = typeof count === 'string' ? adbFieldAt(this.document, node, count) : undefined
    const inBytes = /\b(?:in|of) bytes\b/i.test(counter?.attributes.descr ?? '')
    const bytes = width / 8
    const used: Expression = inBytes && bytes > 1 ? ['/', ['+', count, bytes - 1], bytes] : count
    return { array: { ...array, used } }
  }

  private expression(text: string, node: AdbNode, field: string): Expression | undefined {
    const holders = isUnion(node) ? (this.holders.get(node.name) ?? []) : [node]
    const result = parseAdbExpression(text, {
      path: (path) => this.pathIn(path, holders),
      constant: (word, beside) => this.constant(word, beside, holders),
    })
    if ('expression' in result) return result.expression
    this.problems.push({
      file: this.document.file,
      line: node.line,
      message: `${node.name}.${field}: the condition is ignored: ${result.problem}`,
    })
    return undefined
  }

  /** "$(parent).a.b" as "a.b", where that is a field in all the nodes; undefined where it is none. */
  private pathIn(text: string, nodes: readonly AdbNode[]): string | undefined {
    const match = /^(?:[$#]\(parent\)\.)?((?:\w+\.)*\w+)$/.exec(text)
    const path = match?.[1]
    if (path === undefined || nodes.length === 0) return undefined
    return nodes.every((node) => adbFieldAt(this.document, node, path) !== undefined) ? path : undefined
  }

  private constant(word: string, beside: string | undefined, nodes: readonly AdbNode[]): number | undefined {
    const defined = Number(this.document.defines.get(word) ?? Number.NaN)
    if (Number.isSafeInteger(defined)) return defined
    const enums = nodes.flatMap((node) => {
      const own = beside === undefined ? undefined : adbFieldAt(this.document, node, beside)
      return [...(own === undefined ? [] : [own]), ...node.fields].map(({ attributes }) => attributes.enum ?? '')
    })
    return enums.map((text) => adbEnum(text)?.[word]).find((value) => value !== undefined)
  }

  private leavesProblem(layout: Layout): string | undefined {
    const count = layout.fields.reduce(
      (sum, field) =>
        sum + (field.array?.count ?? 1) * (field.layout === undefined ? 1 : (this.leaves.get(field.layout) ?? 1)),
      0,
    )
    this.leaves.set(layout.name, count)
    return count > MAX_LEAVES ? 'has too many fields' : undefined
  }

  private leftOut(node: AdbNode, line: number, message: string): undefined {
    this.problems.push({ file: this.document.file, line, message: `${node.name} is left out: ${message}` })
    return undefined
  }
}

const isUnion = ({ attributes }: AdbNode): boolean => attributes.attr_is_union === '1'

/** Width of an element and number of elements; undefined for what is no array, null for one of variable length. */
function arrayShape(
  { high_bound, low_bound = '0' }: AdbField['attributes'],
  size: number,
): { width: number; count: number | null | undefined } | string {
  if (high_bound === undefined) return { width: size, count: undefined }
  if (high_bound === 'VARIABLE')
    return size % 32 === 0 ? { width: size, count: null } : 'has elements that are no dwords'
  const high = /^\d+$/.test(high_bound) ? Number(high_bound) : Number.NaN
  const low = /^\d+$/.test(low_bound) ? Number(low_bound) : Number.NaN
  const count = high - low + 1
  if (!(count >= 1) || count > size || size % count !== 0) return 'has no possible bounds'
  return { width: size / count, count }
}

function place(offset: number, width: number, nodeBits: number): { offset: number; width: number } | string {
  if (width >= 32) return offset % 32 === 0 ? { offset, width } : 'is not aligned to a dword'
  const dword = Math.floor(offset / 32) * 32
  const top = Math.min(32, nodeBits - dword)
  const fromTop = top - (offset % 32) - width
  return fromTop >= 0 ? { offset: dword + fromTop, width } : 'crosses a dword'
}

function nameProblem(fields: readonly Field[]): string | undefined {
  const seen = new Set<string>()
  for (const field of fields) {
    if (seen.has(field.name)) return `${field.name} is there twice`
    if (isReserved(field)) continue
    seen.add(field.name)
  }
  return undefined
}
