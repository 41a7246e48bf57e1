import type { BundleItem } from './manifest'
import type { Scalar } from './values'

/** A whole number of any size, as JSON has it: a number, or decimal digits. */
export function integerOf(value: Scalar | undefined): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined
}

/** Any number that JSON has as one, or as decimal digits; large ones lose their last digits. */
export function numberOf(value: Scalar | undefined): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && /^-?\d{1,20}(?:\.\d+)?$/.test(value) ? Number(value) : undefined
}

/** How much a counter grew. One that is smaller than before was cleared, or has wrapped: nobody knows by how much it grew. */
export function growth(before: Scalar | undefined, after: Scalar | undefined): bigint | undefined {
  const [from, to] = [integerOf(before), integerOf(after)]
  return from === undefined || to === undefined || to < from ? undefined : to - from
}

/** Seconds between two readings; undefined where one has no time, or they are not in this order. */
export function secondsBetween(before: BundleItem | undefined, after: BundleItem | undefined): number | undefined {
  if (before?.started == null || after?.started == null) return undefined
  const seconds = (Date.parse(after.started) - Date.parse(before.started)) / 1000
  return seconds > 0 ? seconds : undefined
}

/** Per second. */
export function rateOf(grown: bigint | undefined, seconds: number | undefined): number | undefined {
  return grown === undefined || seconds === undefined ? undefined : Number(grown) / seconds
}
