import type { Entries } from '../entries'
import { isReserved, type Field, type Layout, type Register } from '../layout'

export interface Reconciled {
  readonly entries: Entries
  /** One line for each register that both sources describe, and describe differently. */
  readonly differences: readonly string[]
  /** Registers that both know, and of those the ones whose layouts agree in all that both name. */
  readonly shared: number
  readonly agreeing: number
}

/**
 * Joins the registers of an ADB file with those of the kernel's headers. Where both know one, the ADB's layout stands, for it
 * tells access, enumerations and unions; fields that only the header has are added where the ADB has nothing. The header's
 * name stands, and the ADB's is another name of the register. What they say differently is listed.
 */
export function reconcile(kernel: Entries, adb: Entries): Reconciled {
  const byId = new Map(kernel.registers.map((register) => [register.id, register]))
  const layouts = new Map([...kernel.layouts, ...adb.layouts].map((layout) => [layout.name, layout]))
  const differences: string[] = []
  let shared = 0
  let agreeing = 0
  for (const register of adb.registers) {
    const other = byId.get(register.id)
    byId.set(register.id, joined(register, other))
    const [theirs, ours] = [layouts.get(other?.layout ?? ''), layouts.get(register.layout ?? '')]
    if (theirs === undefined || ours === undefined) continue
    shared++
    const { moved, onlyTheirs } = compare(leavesOf(layouts, theirs), leavesOf(layouts, ours))
    const added = onlyTheirs.filter((leaf) => leaf.plain && leaf.offset + leaf.width <= ours.bits)
    layouts.set(ours.name, withFields(ours, added))
    const parts = [
      ...(theirs.bits === ours.bits ? [] : [`${theirs.bits / 8} bytes in Linux, ${ours.bits / 8} in mstflint`]),
      ...list(
        'elsewhere in mstflint:',
        moved.map(([leaf, elsewhere]) => `${at(leaf)} is ${at(elsewhere)}`),
      ),
      ...list('only in Linux, added:', added.map(at)),
      ...list('only in Linux:', onlyTheirs.filter((leaf) => !added.includes(leaf)).map(at)),
    ]
    if (parts.length === 0) agreeing++
    else differences.push(`- 0x${register.id.toString(16)} ${register.name}: ${parts.join('; ')}`)
  }
  const names = new Set(adb.layouts.map(({ name }) => name))
  const clashes = kernel.layouts.filter(({ name }) => names.has(name))
  return {
    entries: {
      ...kernel,
      layouts: [...layouts.values()],
      enumerations: [...kernel.enumerations, ...adb.enumerations],
      registers: [...byId.values()].sort((a, b) => a.id - b.id),
    },
    differences: [...differences, ...clashes.map(({ name }) => `- layout ${name}: both have one; mstflint's stands`)],
    shared,
    agreeing,
  }
}

function joined(register: Register, other: Register | undefined): Register {
  if (other === undefined) return register
  const { name } = other
  const aliases = [register.name, ...(other.aliases ?? [])].filter((alias) => alias !== name)
  const layout = register.layout ?? other.layout
  return {
    ...register,
    name,
    ...(layout === undefined ? {} : { layout }),
    ...(aliases.length === 0 ? {} : { aliases }),
  }
}

function withFields(layout: Layout, added: readonly Leaf[]): Layout {
  if (added.length === 0) return layout
  const fields = [...layout.fields, ...added.map(({ name, offset, width }): Field => ({ name, offset, width }))]
  return { ...layout, fields: fields.sort((a, b) => a.offset - b.offset) }
}

interface Leaf {
  readonly name: string
  readonly offset: number
  readonly width: number
  /** A plain value of the register itself, not of a structure in it, and no array. */
  readonly plain: boolean
}

/** Leaves by name and by place. A union is one leaf: there the sources cut differently. */
function leavesOf(layouts: ReadonlyMap<string, Layout>, layout: Layout, base = 0, top = true): Leaf[] {
  return layout.fields.flatMap((field) => {
    if (isReserved(field)) return []
    const offset = base + field.offset
    const nested = field.array === undefined ? layouts.get(field.layout ?? '') : undefined
    if (nested?.kind === 'struct') return leavesOf(layouts, nested, offset, false)
    const plain = top && field.layout === undefined && field.array === undefined && field.width <= 32
    return [{ name: field.name, offset, width: field.width * (field.array?.count ?? 1), plain }]
  })
}

function compare(
  theirs: readonly Leaf[],
  ours: readonly Leaf[],
): { moved: (readonly [Leaf, Leaf])[]; onlyTheirs: Leaf[] } {
  const moved: (readonly [Leaf, Leaf])[] = []
  const onlyTheirs: Leaf[] = []
  for (const leaf of theirs) {
    const same = ours.filter((other) => other.name === leaf.name)
    const [elsewhere] = same
    if (elsewhere === undefined) {
      if (!ours.some((other) => overlap(leaf, other))) onlyTheirs.push(leaf)
    } else if (!same.some((other) => other.offset === leaf.offset && other.width === leaf.width))
      moved.push([leaf, elsewhere])
  }
  return { moved, onlyTheirs }
}

const overlap = (a: Leaf, b: Leaf): boolean => a.offset < b.offset + b.width && b.offset < a.offset + a.width

const list = (title: string, items: readonly string[]): string[] =>
  items.length === 0 ? [] : [`${title} ${items.join(', ')}`]

function at(leaf: Leaf): string {
  const high = 31 - (leaf.offset % 32)
  const low = high - leaf.width + 1
  const bits = low < 0 ? ` (${leaf.width} bits)` : `[${high}:${low}]`
  return `${leaf.name} +0x${(Math.floor(leaf.offset / 32) * 4).toString(16)}${bits}`
}
