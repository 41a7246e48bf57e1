import { readFileSync, readdirSync } from 'node:fs'

/** Bytes of a file that are read, at the most. */
const LONGEST = 16 * 1024

/** A file that is there at once, whatever devices do; undefined when it cannot be read. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').slice(0, LONGEST).trim()
  } catch {
    return undefined
  }
}

export function listNames(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}

/** An object of what there is under each name. */
export function keyed<T>(names: readonly string[], of: (name: string) => T | undefined): Record<string, T> {
  const found: Record<string, T> = {}
  for (const name of names) {
    const value = of(name)
    if (value !== undefined) found[name] = value
  }
  return found
}
