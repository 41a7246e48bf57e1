import {
  assignFields,
  emptyImage,
  fittedImage,
  LONGEST_REGISTER,
  registerTarget,
  type Assignment,
  type RegisterTarget,
} from '../../device/registers'
import { UsageError } from '../../device/errors'
import { writeUint } from '../../prm/bits'
import type { Catalogue } from '../../prm/catalogue'
import type { Codec } from '../../prm/codec'
import { ValueError } from '../../prm/errors'
import { parseInteger } from '../../prm/value-text'
import { splitAssignment } from '../assignment'
import type { Context } from '../types'

/** A register, its image with the given fields set, and those fields. */
export interface RegisterRequest {
  readonly target: RegisterTarget
  readonly image: Uint8Array
  readonly given: readonly Assignment[]
}

/** What the words after DEVICE ask for: a register by name, or by --id and --length. */
export function registerRequest(
  { own }: Context,
  { catalogue, codec }: { readonly catalogue: Catalogue; readonly codec: Codec },
  words: readonly string[],
): RegisterRequest {
  const id = number(own.id, '--id', 0xffff)
  const length = number(own.length, '--length', 0x10000)
  if (id !== undefined) return rawRequest(id, length, words)
  const [name, ...fields] = words
  if (name === undefined)
    throw new UsageError('which register? mlx5ctl reg list has their names; or give --id and --length')
  const target = registerTarget(catalogue, name)
  const layout = target.layout ?? ''
  const image = sized(emptyImage(codec, layout), length, codec.sizeBytes(layout))
  const given = assignFields(codec, layout, image, fields.map(splitAssignment))
  return { target, image: length === undefined ? fittedImage(codec, layout, image) : image, given }
}

function rawRequest(id: number, length: number | undefined, words: readonly string[]): RegisterRequest {
  if (length === undefined) throw new UsageError('--id needs --length, the bytes of the register')
  const image = new Uint8Array(Math.ceil(length / 4) * 4)
  for (const word of words) assignBits(image, word)
  return { target: { id }, image, given: [] }
}

function sized(image: Uint8Array, length: number | undefined, least: number): Uint8Array {
  if (length === undefined) return image
  if (length < least) throw new UsageError(`--length ${length}: the register has ${least} bytes`)
  const whole = new Uint8Array(Math.ceil(length / 4) * 4)
  whole.set(image.subarray(0, Math.min(image.length, whole.length)))
  return whole
}

/** ADDRESS.BIT:SIZE=VALUE, as in mstreg: byte address of a dword, least significant bit in it, number of bits. */
function assignBits(image: Uint8Array, word: string): void {
  const match = /^(\w+)\.(\d+):(\d+)=(\w+)$/.exec(word)
  const address = Number(parseInteger(match?.[1] ?? '') ?? Number.NaN)
  const [bit, size, value] = [match?.[2], match?.[3], parseInteger(match?.[4] ?? '')].map(Number)
  if (match === null || bit === undefined || size === undefined || value === undefined || !Number.isFinite(value))
    throw new UsageError(`${word}: without a layout, fields are given as ADDRESS.BIT:SIZE=VALUE`)
  if (address % 4 !== 0 || address + 4 > image.length)
    throw new ValueError(word, `there is no dword at ${address} of ${image.length} bytes`)
  if (size < 1 || bit + size > 32) throw new ValueError(word, 'does not lie in the dword')
  if (value >= 2 ** size) throw new ValueError(word, `does not fit ${size} bits`)
  writeUint(image, address * 8 + 32 - bit - size, size, value)
}

function number(value: unknown, option: string, most: number): number | undefined {
  if (value === undefined) return undefined
  const parsed = typeof value === 'string' ? parseInteger(value) : undefined
  if (parsed === undefined || parsed > BigInt(most) || (option === '--length' && parsed < 4n))
    throw new UsageError(
      `${option} takes a number up to ${most}${option === '--length' ? `, of bytes; registers have up to ${LONGEST_REGISTER}` : ''}`,
    )
  return Number(parsed)
}
