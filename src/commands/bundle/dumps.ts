import type { PairDifference } from '../../bundle/diff'
import { inBundle } from '../../bundle/json'
import type { BundleItem } from '../../bundle/manifest'
import { bundleLimits, readBundle } from '../../bundle/read'
import { diffRegisters } from '../../device/register-diff'
import { parseDump } from '../../device/register-dump-files'
import { columns } from '../../render/columns'

/** Items that hold the registers of CR space. */
const dumpItems: ReadonlySet<string> = new Set(['coredump', 'regdump'])
/** Bytes of the dumps of one bundle: as text a device may have tens of MiB of them. */
const LARGEST_DUMPS = 2 ** 30
/** Registers that text shows, unless all are asked for. */
const SHOWN = 20

/** In which registers of CR space two dumps of a device differ. */
export interface DumpDifference {
  readonly a: string | null
  readonly b: string | null
  readonly item: string
  /** Addresses that both have. */
  readonly compared: number
  readonly changed: readonly { readonly address: number; readonly a: number; readonly b: number }[]
  /** Addresses of each that the other lacks. */
  readonly unmatched: readonly number[]
}

/** Compares those dumps that differ. @throws MalformedData for what is no dump */
export async function diffDumps(
  fileA: string,
  fileB: string,
  pairs: readonly PairDifference[],
): Promise<DumpDifference[]> {
  const wanted = pairs.flatMap(({ a, b, contents }) =>
    contents.flatMap(({ item }) => (dumpItems.has(item) ? [{ a, b, item }] : [])),
  )
  const [dumpsA, dumpsB] = [await dumpsIn(fileA, wanted, 'a'), await dumpsIn(fileB, wanted, 'b')]
  return wanted.map(({ a, b, item }) => {
    const { compared, changed, unmatched } = diffRegisters([
      registers(fileA, dumpsA.get(`${a ?? ''}/${item}`)),
      registers(fileB, dumpsB.get(`${b ?? ''}/${item}`)),
    ])
    const words = changed.map(({ address, values: [a = 0, b = 0] }) => ({ address, a, b }))
    return { a, b, item, compared, changed: words, unmatched }
  })
}

type Wanted = Pick<DumpDifference, 'a' | 'b' | 'item'>

async function dumpsIn(file: string, wanted: readonly Wanted[], side: 'a' | 'b'): Promise<Map<string, Uint8Array>> {
  if (wanted.length === 0) return new Map()
  const names = new Set(wanted.map((one) => `${one[side] ?? ''}/${one.item}`))
  const wantedItem = ({ device, name }: BundleItem): boolean => names.has(`${device ?? ''}/${name}`)
  const { items } = await readBundle(file, wantedItem, { ...bundleLimits, held: LARGEST_DUMPS })
  return new Map(items.map(({ item: { device, name }, bytes }) => [`${device ?? ''}/${name}`, bytes]))
}

function registers(file: string, bytes: Uint8Array = new Uint8Array()): Uint8Array {
  return inBundle(file, () => parseDump(bytes))
}

/** Address, then the value in each. */
export function dumpText({ a, item, compared, changed }: DumpDifference, all: boolean): string {
  const shown = all ? changed : changed.slice(0, SHOWN)
  const rows = shown.map((one) => [`    ${word(one.address)}`, word(one.a), word(one.b)])
  const rest = changed.length > shown.length ? `    and ${changed.length - shown.length} more (--all shows them)\n` : ''
  return `  registers in ${a ?? 'host'}/${item}: ${changed.length} of ${compared} differ\n${columns(rows)}${rest}`
}

const word = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
