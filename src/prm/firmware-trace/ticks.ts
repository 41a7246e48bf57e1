/** Nanoseconds of so many ticks, exactly, rounded down. @param kilohertz frequency of the clock */
export function nanosecondsOf(ticks: number, kilohertz: number): bigint {
  return (BigInt(ticks) * 1_000_000n) / BigInt(kilohertz)
}

/** Hours, minutes, seconds, nanoseconds: 00:01:02:000000345. */
export function clockText(nanoseconds: bigint): string {
  const pad = (value: bigint, digits: number): string => value.toString().padStart(digits, '0')
  const seconds = nanoseconds / NANOSECONDS
  const parts = [pad(seconds / 3600n, 2), pad((seconds / 60n) % 60n, 2), pad(seconds % 60n, 2)]
  return [...parts, pad(nanoseconds % NANOSECONDS, 9)].join(':')
}

const NANOSECONDS = 1_000_000_000n
