import { UsageError } from '../device/errors'

const units: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }
const MOST = 2 ** 30

/** Bytes as people write them: 4096, 0x1000, 64K, 2M. @throws UsageError */
export function parseSize(text: unknown, option: string, least: number): number {
  const [, digits = '', unit = ''] = /^(0x[0-9a-f]+|\d+)([KMG]?)(?:i?B)?$/i.exec(String(text)) ?? []
  const bytes = Number(digits) * (units[unit.toUpperCase()] ?? 1)
  if (digits !== '' && bytes >= least && bytes <= MOST) return bytes
  throw new UsageError(`${option} ${String(text)}: it is a number of bytes from ${least} to 1G, as 4096, 64K or 2M`)
}
