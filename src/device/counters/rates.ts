import type { CounterReading } from '../counters'

/** What became of a counter between two readings. */
export interface CounterChange {
  readonly name: string
  readonly value: number | bigint
  /** How much it grew; null where it went back further than a wrap explains. */
  readonly delta: number | bigint | null
  /** A second; null where nobody knows how much it grew. */
  readonly rate: number | null
  readonly unit: CounterReading['values'][number]['unit']
  /** It went back further than a wrap explains: it was cleared, as far as one can tell. */
  readonly reset: boolean
}

/** Counters that are narrower stop at their largest value, instead of beginning anew. */
const NARROWEST_THAT_WRAPS = 32

/**
 * How counters of one instance of a group changed from one reading to the next. Values of another kind are left out.
 * @param seconds between the two, by one and the same clock
 */
export function changesOf(before: CounterReading, after: CounterReading, seconds: number): CounterChange[] {
  const earlier = new Map(before.values.map((value) => [value.name, value]))
  return after.values.flatMap(({ name, value, type, unit, width }): CounterChange[] => {
    const then = earlier.get(name)?.value
    if (type !== 'counter' || typeof value === 'string' || then === undefined || typeof then === 'string') return []
    const grown = growth(BigInt(then), BigInt(value), width)
    if (grown === undefined) return [{ name, value, delta: null, rate: null, unit, reset: true }]
    const delta = typeof value === 'bigint' ? grown : Number(grown)
    return [{ name, value, delta, rate: Number(grown) / seconds, unit, reset: false }]
  })
}

/**
 * A counter that went back is taken to have wrapped, if what it then grew by is less than half of what its width holds; else to
 * have been cleared, and nobody knows how much it grew. This is a guess where 32 bits are cleared above their half: that looks
 * like a wrap.
 */
function growth(before: bigint, after: bigint, width: number): bigint | undefined {
  if (after >= before) return after - before
  const grown = BigInt.asUintN(width, after - before)
  return width >= NARROWEST_THAT_WRAPS && grown < 1n << BigInt(width - 1) ? grown : undefined
}
