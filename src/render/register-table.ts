/** A row of a register's table. */
export interface RegisterRow {
  readonly name: string
  readonly value: number | bigint | Uint8Array
  /** Bits. */
  readonly width: number
  readonly enumName?: string | undefined
}

/**
 * The table that programs have always read from mlxreg and mstreg: two lines, heading, rule, one row "name | 0x%08x" for each
 * field, rule (facts: users and anchors, 2.2). Values of more than 32 bits are shown in full.
 */
export function registerTable(rows: readonly RegisterRow[], detailed: boolean): string {
  const width = Math.max('Field Name'.length, ...rows.map(({ name }) => name.length)) + 1
  const line = (name: string, value: string, decimal: string, enumName: string): string =>
    `${name.padEnd(width)}| ${detailed ? `${value.padEnd(10)} | ${decimal.padEnd(10)} | ${enumName}` : value}`.trimEnd()
  const rule = '='.repeat(width + (detailed ? 59 : 14))
  return [
    'Sending access register...',
    '',
    line('Field Name', detailed ? 'Hex Value' : 'Data', 'Decimal', 'Enum/Type'),
    rule,
    ...rows.map(({ name, value, width: bits, enumName = '' }) =>
      line(name, hexValue(value, bits), value instanceof Uint8Array ? '' : String(value), enumName),
    ),
    rule,
    '',
  ].join('\n')
}

/** The table of a register of which only the length is known. */
export function dwordTable(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const rule = '='.repeat(23)
  const rows: string[] = []
  for (let at = 0; at + 4 <= bytes.length; at += 4)
    rows.push(`${hexValue(at, 32)} | ${hexValue(view.getUint32(at), 32)}`)
  return ['Sending access register...', '', 'Address    | Data', rule, ...rows, rule, ''].join('\n')
}

function hexValue(value: RegisterRow['value'], bits: number): string {
  if (value instanceof Uint8Array) return `0x${Buffer.from(value).toString('hex')}`
  return `0x${value.toString(16).padStart(bits > 32 ? 16 : 8, '0')}`
}
