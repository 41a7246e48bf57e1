/** "0x20" or "3..7", as a part of a list; undefined for anything else, and where the last is below the first. */
export function numberRange(text: string): { readonly first: number; readonly last: number } | undefined {
  const [, from, to = from] = /^(0x[0-9a-f]+|\d+)(?:\.\.(0x[0-9a-f]+|\d+))?$/i.exec(text) ?? []
  const [first, last] = [Number(from), Number(to)]
  return from === undefined || last < first ? undefined : { first, last }
}
