import type { Catalogue } from './catalogue'
import { isReserved, type Access, type Field } from './layout'

/** A field of a layout or of a layout in it, as it is laid out. */
export interface FieldDescription {
  /** Of an array its first element's members: a.b[0].c; the array itself as a.b[3]. */
  readonly path: string
  /** Bits from the first bit of the layout. */
  readonly offset: number
  /** Bits of one element. */
  readonly width: number
  /** Elements: 1 for what is no array, null where the number is open. */
  readonly count: number | null
  readonly layout: string | undefined
  readonly enum: string | undefined
  readonly access: Access | undefined
  /** "page_select=1", where the field is in a member of a union that this selects. */
  readonly when: string | undefined
  readonly text: string | undefined
}

/** Levels that are described; the catalogue's deepest layout has 7. */
const MAX_DEPTH = 32

/** All fields of a layout in the order of the bits, structures before their members, reserved fields left out. */
export function describeLayout(catalogue: Catalogue, layout: string): FieldDescription[] {
  return describe(catalogue, layout, { path: '', base: 0, access: undefined, when: undefined, depth: 0 })
}

interface Around {
  readonly path: string
  readonly base: number
  readonly access: Access | undefined
  readonly when: string | undefined
  readonly depth: number
}

function describe(
  catalogue: Catalogue,
  layout: string,
  around: Around,
  selectedBy?: Field['select'],
): FieldDescription[] {
  if (around.depth > MAX_DEPTH) return []
  return catalogue.layout(layout).fields.flatMap((field) => {
    if (isReserved(field)) return []
    const own = around.path === '' || field.name === '' ? around.path + field.name : `${around.path}.${field.name}`
    const isArray = field.array !== undefined
    const offset = around.base + field.offset
    const access = field.access ?? around.access
    const when = selection(field.name, selectedBy) ?? around.when
    const line: FieldDescription = {
      path: isArray ? `${own}[${field.array.count ?? ''}]` : own,
      offset,
      width: field.width,
      count: isArray ? field.array.count : 1,
      layout: field.layout,
      enum: field.enum,
      access,
      when,
      text: field.text,
    }
    if (field.layout === undefined) return [line]
    const inside = { path: isArray ? `${own}[0]` : own, base: offset, access, when, depth: around.depth + 1 }
    const members = describe(catalogue, field.layout, inside, field.select)
    return field.name === '' ? members : [line, ...members]
  })
}

function selection(member: string, select: Field['select']): string | undefined {
  const values = Object.entries(select?.members ?? {}).filter(([, name]) => name === member)
  return values.length === 0 || select === undefined
    ? undefined
    : `${select.by}=${values.map(([value]) => value).join('|')}`
}
