/** Binary data in what `devlink health dump show` prints, as JSON and as text. */

export interface DevlinkBinary {
  /** Names on the way to it: "SX Slice.data" */
  readonly path: string
  readonly bytes: Uint8Array
}

/** Nested deeper than this is no output of devlink. */
const DEEPEST = 64

/** Arrays of bytes as numbers, also in pieces (arrays of arrays), with the names that lead to them. */
export function devlinkBinaries(json: unknown): DevlinkBinary[] {
  const found: DevlinkBinary[] = []
  const walk = (value: unknown, path: readonly string[], depth: number): void => {
    if (typeof value !== 'object' || value === null || depth > DEEPEST) return
    const bytes = Array.isArray(value) ? bytesOf(value, depth) : undefined
    if (bytes !== undefined) found.push({ path: path.join('.'), bytes })
    else if (Array.isArray(value)) for (const member of value as unknown[]) walk(member, path, depth + 1)
    else for (const [name, member] of Object.entries(value)) walk(member, [...path, name], depth + 1)
  }
  walk(json, [], 0)
  return found
}

/** Bytes, or pieces of them; undefined when the array is something else. */
function bytesOf(array: readonly unknown[], depth: number): Uint8Array | undefined {
  if (array.length === 0 || depth > DEEPEST) return undefined
  if (array.every((one) => Array.isArray(one))) {
    const pieces = array.map((one) => bytesOf(one as unknown[], depth + 1))
    return pieces.every((piece) => piece !== undefined) ? Buffer.concat(pieces) : undefined
  }
  return array.every((one) => Number.isInteger(one) && Number(one) >= 0 && Number(one) < 256)
    ? Uint8Array.from(array as number[])
    : undefined
}

/** The bytes behind NAME: in the text form, lines of two digits each; undefined where there are none. */
export function devlinkTextBinary(text: string, name: string): Uint8Array | undefined {
  const start = text.indexOf(`${name}:`)
  if (start < 0) return undefined
  const bytes = Buffer.alloc(Math.ceil((text.length - start) / 2))
  const pair = /\s*([0-9a-f]{2})(?=\s|$)/iy
  pair.lastIndex = start + name.length + 1
  let length = 0
  for (let match = pair.exec(text); match !== null; match = pair.exec(text))
    bytes[length++] = Number.parseInt(match[1] ?? '', 16)
  return length === 0 ? undefined : bytes.subarray(0, length)
}
