/** Bytes of a register in a dump: address and value, big-endian dwords. */
export const PAIR = 8

export interface ChangedRegister {
  readonly address: number
  /** Of each dump, in their order. */
  readonly values: readonly number[]
  /** Of three dumps: a counter went up both times; anything else is a state. */
  readonly kind: 'counter' | 'state' | undefined
}

export interface RegisterDiff {
  /** Addresses that all dumps have. */
  readonly compared: number
  /** By ascending address. */
  readonly changed: readonly ChangedRegister[]
  /** Addresses of each dump that some other one lacks. */
  readonly unmatched: readonly number[]
}

/** Compares dumps of one device, oldest first. @param dumps pairs of address and value, big-endian */
export function diffRegisters(dumps: readonly Uint8Array[]): RegisterDiff {
  const maps = dumps.map(mapOf)
  const [first = new Map<number, number>(), ...others] = maps
  const common = [...first.keys()].filter((address) => others.every((map) => map.has(address)))
  const changed = common
    .map((address) => ({ address, values: maps.map((map) => map.get(address) ?? 0) }))
    .filter(({ values }) => values.some((value) => value !== values[0]))
    .sort((a, b) => a.address - b.address)
    .map((one): ChangedRegister => ({ ...one, kind: kindOf(one.values) }))
  return { compared: common.length, changed, unmatched: maps.map((map) => map.size - common.length) }
}

/** A counter may wrap, but not run half its range in one interval. */
function kindOf(values: readonly number[]): ChangedRegister['kind'] {
  if (values.length < 3) return undefined
  const steps = values.slice(1).map((value, index) => (value - (values[index] ?? 0)) >>> 0)
  return steps.every((step) => step > 0 && step < 2 ** 31) ? 'counter' : 'state'
}

function mapOf(pairs: Uint8Array): Map<number, number> {
  const view = new DataView(pairs.buffer, pairs.byteOffset, pairs.length)
  const map = new Map<number, number>()
  for (let at = 0; at + PAIR <= pairs.length; at += PAIR) map.set(view.getUint32(at), view.getUint32(at + 4))
  return map
}
