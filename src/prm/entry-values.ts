import { MalformedData } from './errors'

/** Values in a line of the catalogue; `where` is its place, for the error. */

/** @throws MalformedData */
export function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new MalformedData(where, 'lacks a name')
  return value
}

/** @throws MalformedData */
export function integer(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new MalformedData(where, 'lacks a number')
  return value
}
