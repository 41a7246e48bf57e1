import { writeBig, writeBytes, writeUint } from './bits'
import { NameError, ValueError } from './errors'
import type { Member, Plan } from './plan'
import type { Struct, Value } from './value'

/** Bits that the longest open tail among the values needs behind the layout. */
export function tailBits(plan: Plan, values: Struct): number {
  let most = 0
  for (const member of plan.members) {
    const value = Object.hasOwn(values, member.name) ? values[member.name] : undefined
    if (member.count === null && Array.isArray(value)) most = Math.max(most, value.length * member.stride)
    else if (member.plan?.open === true && member.count === undefined && isStruct(value))
      most = Math.max(most, tailBits(member.plan, value))
  }
  return most
}

export function writeStruct(plan: Plan, bytes: Uint8Array, base: number, values: Struct, path: string): void {
  for (const name of Object.keys(values)) {
    const member = plan.byName.get(name)
    const value = values[name]
    if (member === undefined) throw new NameError(`${path === '' ? plan.name : path} has no field ${name}`)
    if (value === undefined) continue
    writeMember(member, bytes, base, value, path === '' ? name : `${path}.${name}`)
  }
}

export function writeMember(member: Member, bytes: Uint8Array, base: number, value: Value, path: string): void {
  const start = base + member.offset
  if (member.count === undefined) return writeElement(member, bytes, start, value, path)
  if (!Array.isArray(value)) throw new ValueError(path, 'is an array')
  const room = member.count ?? Math.floor((bytes.length * 8 - start) / member.stride)
  if (value.length > room) throw new ValueError(path, `has ${room} elements, not ${value.length}`)
  value.forEach((element: Value, index) =>
    writeElement(member, bytes, start + index * member.stride, element, `${path}[${index}]`),
  )
}

export function writeElement(member: Member, bytes: Uint8Array, offset: number, value: Value, path: string): void {
  if (member.plan !== undefined) {
    if (!isStruct(value)) throw new ValueError(path, `is a structure (${member.plan.name})`)
    writeStruct(member.plan, bytes, offset, value, path)
  } else if (member.width > 64) writeBytes(bytes, offset, member.width, checkedBytes(value, member.width, path))
  else if (member.width > 32) writeBig(bytes, offset, member.width, checkedBig(value, member.width, path))
  else writeUint(bytes, offset, member.width, checkedUint(value, member.width, path))
}

function checkedUint(value: Value, width: number, path: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number)) throw new ValueError(path, 'takes an integer')
  if (number < 0 || number >= 2 ** width) throw tooLarge(path, number, width)
  return number
}

function checkedBig(value: Value, width: number, path: string): bigint {
  const exact = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
  if (!exact) throw new ValueError(path, 'takes an integer, a bigint past 2^53')
  const big = BigInt(value)
  if (big < 0n || big >= 1n << BigInt(width)) throw tooLarge(path, big, width)
  return big
}

function checkedBytes(value: Value, width: number, path: string): Uint8Array {
  const length = Math.ceil(width / 8)
  if (!(value instanceof Uint8Array)) throw new ValueError(path, `takes ${length} bytes`)
  if (value.length !== length) throw new ValueError(path, `takes ${length} bytes, not ${value.length}`)
  const spare = length * 8 - width
  if (spare > 0 && (value[0] ?? 0) >>> (8 - spare) !== 0) throw new ValueError(path, `has ${width} bits`)
  return value
}

function tooLarge(path: string, value: number | bigint, width: number): ValueError {
  const most = (1n << BigInt(width)) - 1n
  return new ValueError(path, `${value} does not fit: 0 to ${most} (0x${most.toString(16)}, ${width} bits)`)
}

function isStruct(value: Value | undefined): value is Struct {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array)
}
