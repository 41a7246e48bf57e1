/** What no layout may be, whatever source it came from. */
import type { Field, Layout } from '../layout'

/** 16 MiB. The largest mailbox that any driver takes is 2 MiB. */
export const MAX_LAYOUT_BITS = 2 ** 27

/**
 * Why a layout cannot stand: a field that leaves it, fields that overlap outside a union, or sizes that are no sizes.
 * Undefined when nothing is wrong.
 */
export function layoutProblem(layout: Layout): string | undefined {
  if (!isCount(layout.bits) || layout.bits > MAX_LAYOUT_BITS) return 'its size is not a possible one'
  for (const field of layout.fields) {
    const problem = fieldProblem(field, layout)
    if (problem) return `${field.name || 'an anonymous member'} ${problem}`
  }
  return layout.kind === 'union' ? undefined : overlap(layout)
}

/** Bits from the first bit of a field to the last one; an open-ended tail has none of its own. */
function extent(field: Field): number {
  const { array } = field
  if (!array) return field.width
  if (array.count === null || array.count === 0) return 0
  return (array.count - 1) * array.stride + field.width
}

function fieldProblem(field: Field, layout: Layout): string | undefined {
  const { array } = field
  if (!isCount(field.offset) || !isCount(field.width)) return 'has no possible position'
  if (array && (!isCount(array.stride) || (array.count !== null && !isCount(array.count))))
    return 'has no possible number of elements'
  if (array && array.stride < Math.max(field.width, 1)) return 'has elements that overlap, or of no size'
  if (field.offset + extent(field) > layout.bits) return `leaves the ${layout.bits} bits of ${layout.name}`
  return undefined
}

function overlap(layout: Layout): string | undefined {
  const fields = layout.fields.filter((field) => extent(field) > 0).sort((a, b) => a.offset - b.offset)
  for (const [index, field] of fields.entries()) {
    const next = fields[index + 1]
    if (next && field.offset + extent(field) > next.offset)
      return `${field.name || 'an anonymous member'} overlaps ${next.name || 'an anonymous member'}`
  }
  return undefined
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
