import type { RegisterReading, RegisterTarget } from '../../device/registers'
import type { Codec, FieldRange } from '../../prm/codec'
import { shortName } from '../../prm/register-text'
import { hexView } from '../../render/hex'
import { dwordTable, registerTable, type RegisterRow } from '../../render/register-table'
import { hexString, toJson } from '../../render/values'

/** What JSON says of a register that was read. */
export function readingData(codec: Codec, { target, image, values }: RegisterReading): Record<string, unknown> {
  const names = leavesOf(codec, target, image).flatMap(({ path, enumName }) =>
    enumName === undefined ? [] : [[path, enumName]],
  )
  return {
    register: targetData(target, image.length),
    image: hexString(image),
    values: values === undefined ? null : toJson(values),
    names: Object.fromEntries(names) as Record<string, string>,
  }
}

export function targetData({ name, id, layout }: RegisterTarget, length: number): Record<string, unknown> {
  return { name: name ?? null, id, layout: layout ?? null, length }
}

export function readingText(
  codec: Codec,
  { target, image }: RegisterReading,
  { fullPath, detailed }: { readonly fullPath: boolean; readonly detailed: boolean },
): string {
  if (target.layout === undefined) return dwordTable(image)
  return registerTable(
    leavesOf(codec, target, image).flatMap((leaf) => tableRows(leaf, fullPath)),
    detailed,
  )
}

export function readingHex(codec: Codec, { target, image }: RegisterReading): string {
  return hexView(image, target.layout === undefined ? [] : codec.ranges(target.layout, image))
}

/** Leaves that are there, reserved ones left out. */
export function leavesOf(codec: Codec, { layout }: RegisterTarget, image: Uint8Array): FieldRange[] {
  return layout === undefined ? [] : codec.ranges(layout, image).filter(({ reserved }) => !reserved)
}

/** A number of 64 bits is two rows, NAME_hi and NAME_lo, as in mstreg. */
function tableRows({ path, value, width, enumName }: FieldRange, fullPath: boolean): RegisterRow[] {
  const name = fullPath ? path : shortName(path)
  if (typeof value !== 'bigint') return [{ name, value, width, enumName }]
  const half = (part: bigint): number => Number(part & 0xffffffffn)
  const dot = fullPath ? '.' : '_'
  return [
    { name: `${name}${dot}hi`, value: half(value >> 32n), width: 32 },
    { name: `${name}${dot}lo`, value: half(value), width: 32 },
  ]
}
