import type { Row } from './values'

/** Left-aligned columns, two spaces apart; the last one is never padded, so that narrow terminals wrap it and no other. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows
    .map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))))
    .map((cells) => `${cells.join('  ').trimEnd()}\n`)
    .join('')
}

/** Path and value of decoded fields. */
export function fieldRows(rows: readonly Row[], indent = ''): string {
  return columns(rows.map(({ path, text }) => [`${indent}${path}`, text]))
}

/** A table with a heading; drawn with lines on a terminal that is wide enough, else plain columns. */
export async function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
): Promise<string> {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const drawn = widths.reduce((sum, one) => sum + one + 3, 1)
  if (width === 0 || drawn > width || rows.length > 100) return columns([head, ...rows])
  const { default: Table } = await import('cli-table3')
  const drawing = new Table({ head: [...head], style: { head: [], border: [] } })
  drawing.push(...rows.map((row) => [...row]))
  return `${drawing.toString()}\n`
}
