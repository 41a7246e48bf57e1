import { Codec } from '../../src/prm/codec'
import type { Entries } from '../../src/prm/entries'

/** A codec over what one import made, which is complete in itself. */
export function codecOf({ layouts, enumerations }: Pick<Entries, 'layouts' | 'enumerations'>): Codec {
  return new Codec({ layout: finder(layouts), enumeration: finder(enumerations) })
}

function finder<T extends { readonly name: string }>(entries: readonly T[]): (name: string) => T {
  const byName = new Map(entries.map((entry) => [entry.name, entry]))
  return (name) => {
    const found = byName.get(name)
    if (found === undefined) throw new Error(`${name} is not there`)
    return found
  }
}
