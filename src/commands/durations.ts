import { UsageError } from '../device/errors'

/** Milliseconds of each unit. */
const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Times as people write them: 250ms, 1.5s, 10m; a number alone is seconds. @returns milliseconds @throws UsageError */
export function parseDuration(text: unknown, option: string): number {
  const [, digits = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)?$/.exec(String(text)) ?? []
  const time = Number(digits) * (units[unit] ?? 1)
  if (digits !== '' && time > 0) return time
  throw new UsageError(`${option} ${String(text)}: it is a time, as 250ms, 1.5s, 10m; a number alone is seconds`)
}
