/** A leaf of a layout over bytes; offset and width in bits. */
export interface Mark {
  readonly path: string
  readonly offset: number
  readonly width: number
  readonly value: number | bigint | Uint8Array
  readonly reserved: boolean
}

const ROW = 4

/**
 * One line for each dword: byte offset, bytes, and the fields that begin in it with their bits, 31 the first. Reserved
 * fields are named only where they are not zero. Rows of zeros without a field are left out, with one line that says so.
 */
export function hexView(bytes: Uint8Array, marks: readonly Mark[] = []): string {
  const byDword = new Map<number, string[]>()
  for (const mark of marks) {
    if (mark.reserved && isZero(mark.value)) continue
    const dword = Math.floor(mark.offset / 32)
    byDword.set(dword, [...(byDword.get(dword) ?? []), describe(mark)])
  }
  const lines: string[] = []
  let skipped = 0
  for (let at = 0; at < bytes.length; at += ROW) {
    const row = bytes.subarray(at, at + ROW)
    const names = byDword.get(at / ROW) ?? []
    const dull = marks.length > 0 && names.length === 0 && row.every((byte) => byte === 0)
    if (dull) skipped += row.length
    else {
      if (skipped > 0) lines.push(`        * ${skipped} bytes of zero`)
      skipped = 0
      lines.push(
        `0x${at.toString(16).padStart(4, '0')}  ${spaced(row).padEnd(ROW * 3 - 1)}  ${names.join(' ')}`.trimEnd(),
      )
    }
  }
  if (skipped > 0) lines.push(`        * ${skipped} bytes of zero`)
  return `${lines.join('\n')}\n`
}

function describe({ path, offset, width, value }: Mark): string {
  const high = 31 - (offset % 32)
  const low = high - width + 1
  const bits =
    width === 32 && low === 0 ? '' : low === high ? `[${high}]` : low >= 0 ? `[${high}:${low}]` : `[${width} bits]`
  return `${path}${bits}=${shown(value)}`
}

function shown(value: Mark['value']): string {
  if (!(value instanceof Uint8Array)) return value > 9 ? `0x${value.toString(16)}` : String(value)
  const digits = Buffer.from(value).toString('hex')
  return `0x${digits.length > 32 ? `${digits.slice(0, 32)}...` : digits}`
}

function isZero(value: Mark['value']): boolean {
  return value instanceof Uint8Array ? value.every((byte) => byte === 0) : Number(value) === 0
}

function spaced(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').replace(/../g, '$& ').trimEnd()
}
