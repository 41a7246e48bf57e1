import { readBig, readBytes, readUint, writeBig, writeBytes, writeUint } from './bits'
import { compileDecoder, compileEncoder, type Decoder, type Encoder } from './compile'
import { MalformedData, NameError, ValueError } from './errors'
import type { Enumeration, Layout } from './layout'
import { resolveName, type FieldRef } from './names'
import { type Member, type Plan, Planner } from './plan'
import { enumName, parseValue } from './value-text'

/**
 * Values by declared width, never by value: number up to 32 bits, bigint up to 64, beyond that a Uint8Array of
 * ceil(width / 8) bytes holding the big-endian integer.
 */
export type Value = number | bigint | Uint8Array | Struct | readonly Value[]

export interface Struct {
  [field: string]: Value
}

export interface CodecSource {
  layout(name: string): Layout
  enumeration?(name: string): Enumeration
}

export interface DecodeOptions {
  /** Also show reserved fields that are not zero. */
  readonly reserved?: boolean
  /** Decode what is whole of bytes that end early, instead of refusing them. */
  readonly partial?: boolean
}

/** One leaf of a decoded layout, for byte-range maps. */
export interface FieldRange {
  readonly path: string
  /** Bits from the first bit of the bytes. */
  readonly offset: number
  readonly width: number
  readonly value: number | bigint | Uint8Array
  readonly reserved: boolean
  readonly enumName?: string
}

/** Calls of one layout before a function is compiled for it: a command line never pays for compiling. */
const CALLS_BEFORE_COMPILING = 8

interface Compiled {
  calls: number
  decode: Decoder | undefined
  encode: Encoder | undefined
}

/**
 * Encodes and decodes by layouts. `decode` and `encode` are inverse on all that is not reserved.
 *
 * @example
 * const codec = new Codec(openCatalogue())
 * codec.decode('query_issi_out', outbox).current_issi
 */
export class Codec {
  private readonly planner: Planner
  private readonly compiled = new Map<Plan, Compiled>()

  constructor(private readonly source: CodecSource) {
    this.planner = new Planner(source)
  }

  /** Size of a layout in bytes, rounded up; open-ended tails excluded. */
  sizeBytes(layout: string | Layout): number {
    return Math.ceil(this.planner.plan(layout).bits / 8)
  }

  /**
   * @throws MalformedData with path and byte offset when the bytes end before the layout does, or when a tail holds a
   *   part of an element
   */
  decode(layout: string | Layout, bytes: Uint8Array, options: DecodeOptions = {}): Struct {
    const plan = this.planner.plan(layout)
    if (options.reserved !== true && bytes.length * 8 >= plan.bits) {
      const compiled = this.compiledFor(plan)
      if (compiled.calls++ === CALLS_BEFORE_COMPILING) compiled.decode = compileDecoder(plan)
      if (compiled.decode !== undefined) return compiled.decode(bytes) as Struct
    }
    return new Reader(bytes, plan, options).struct(plan, 0, plan.name)
  }

  /**
   * Members that are not given are zero.
   * @param options.length bytes of the result, for open-ended tails and padding; by default what the values need
   * @throws ValueError for a value that does not fit, NameError for a name that is no member
   */
  encode(layout: string | Layout, values: Struct, options: { readonly length?: number } = {}): Uint8Array {
    const plan = this.planner.plan(layout)
    const needed = Math.ceil((plan.bits + (plan.open ? tailBits(plan, values) : 0)) / 8)
    if (options.length !== undefined && options.length < needed)
      throw new ValueError(plan.name, `needs ${needed} bytes, not ${options.length}`)
    const bytes = new Uint8Array(options.length ?? needed)
    const compiled = this.compiledFor(plan)
    if (compiled.calls++ === CALLS_BEFORE_COMPILING) compiled.encode = compileEncoder(plan)
    if (compiled.encode?.(values, bytes) !== true) {
      // Also the way to a precise error: the compiled function only says that something was unusual.
      bytes.fill(0)
      writeStruct(plan, bytes, 0, values, '')
    }
    return bytes
  }

  /** The value at a path, or at an unambiguous suffix of one. */
  get(layout: string | Layout, bytes: Uint8Array, path: string): Value {
    const plan = this.planner.plan(layout)
    const ref = resolveName(plan, path)
    return new Reader(bytes, plan, {}).element(ref.member, ref.offset, ref.path, ref.whole)
  }

  /** Sets one field, or a structure's given members, and changes no other bit. */
  set(layout: string | Layout, bytes: Uint8Array, path: string, value: Value): void {
    const plan = this.planner.plan(layout)
    const ref = resolveName(plan, path)
    const end = Math.ceil((ref.offset + ref.width) / 8)
    if (end > bytes.length) throw new MalformedData(ref.path, `ends at byte ${end} of ${bytes.length}`, bytes.length)
    if (ref.whole) writeMember(ref.member, bytes, ref.offset - ref.member.offset, value, ref.path)
    else writeElement(ref.member, bytes, ref.offset, value, ref.path)
  }

  /** @throws NameError with the candidates when the name is unknown or ambiguous */
  resolve(layout: string | Layout, name: string): FieldRef {
    return resolveName(this.planner.plan(layout), name)
  }

  /** A value as a person types it: decimal, 0x, 0o, 0b, a name of the field's enumeration, hex digits past 64 bits. */
  parse(ref: FieldRef, text: string): Value {
    return parseValue(ref, text, this.enumerationOf(ref.enum))
  }

  /** The name of a value in its enumeration, if it has one. */
  enumName(enumeration: string | undefined, value: Value): string | undefined {
    if (typeof value !== 'number' && typeof value !== 'bigint') return undefined
    return enumName(this.enumerationOf(enumeration), value)
  }

  /**
   * Every leaf in the order of the bits, reserved ones included. Outside unions each bit of the layout occurs once; what
   * lies behind the layout is one last range named "(trailing)".
   */
  ranges(layout: string | Layout, bytes: Uint8Array): FieldRange[] {
    const plan = this.planner.plan(layout)
    const found: FieldRange[] = []
    const reader = new Reader(bytes, plan, { partial: true })
    reader.leaves(plan, 0, '', (member, offset, path) => {
      const value = readLeaf(bytes, offset, member.width)
      const name = this.enumName(member.enum, value)
      found.push({
        path,
        offset,
        width: member.width,
        value,
        reserved: member.reserved,
        ...(name === undefined ? {} : { enumName: name }),
      })
    })
    const end = found.reduce((last, { offset, width }) => Math.max(last, offset + width), 0)
    const rest = bytes.length * 8 - end
    if (rest > 0)
      found.push({ path: '(trailing)', offset: end, width: rest, value: readBytes(bytes, end, rest), reserved: true })
    return found
  }

  private enumerationOf(name: string | undefined): Enumeration | undefined {
    return name === undefined ? undefined : this.source.enumeration?.(name)
  }

  private compiledFor(plan: Plan): Compiled {
    let compiled = this.compiled.get(plan)
    if (compiled === undefined) {
      compiled = { calls: 0, decode: undefined, encode: undefined }
      this.compiled.set(plan, compiled)
    }
    return compiled
  }
}

/** Walks a plan over bytes; positions are in bits from the first bit of the bytes. */
class Reader {
  private readonly total: number
  constructor(
    private readonly bytes: Uint8Array,
    private readonly top: Plan,
    private readonly options: DecodeOptions,
  ) {
    this.total = bytes.length * 8
  }

  struct(plan: Plan, base: number, path: string): Struct {
    const result: Struct = {}
    for (const member of plan.members) {
      const offset = base + member.offset
      const where = `${path}.${member.name}`
      if (member.reserved) {
        if (this.options.reserved === true && this.fits(offset, member.width)) this.reservedInto(result, member, offset)
        continue
      }
      if (!this.present(member, offset, where)) continue
      put(result, member.name, this.element(member, offset, where, true))
    }
    return result
  }

  /** One element, or with `whole` all that the member is: its array. */
  element(member: Member, offset: number, path: string, whole: boolean): Value {
    if (whole && member.count !== undefined) return this.array(member, offset, path)
    if (member.plan !== undefined) return this.struct(member.plan, offset, path)
    if (!this.fits(offset, member.width)) throw this.short(path, offset, member.width)
    return readLeaf(this.bytes, offset, member.width)
  }

  /** Calls back for every leaf there are bytes for. */
  leaves(plan: Plan, base: number, path: string, found: (member: Member, offset: number, path: string) => void): void {
    for (const member of plan.members) {
      const start = base + member.offset
      const count = member.count === undefined ? 1 : this.elements(member, start, path)
      for (let index = 0; index < count; index++) {
        const offset = start + index * member.stride
        if (offset >= this.total) break
        const name = member.count === undefined ? member.name : `${member.name}[${index}]`
        const where = path === '' ? name : `${path}.${name}`
        if (member.plan !== undefined) this.leaves(member.plan, offset, where, found)
        else if (this.fits(offset, member.width)) found(member, offset, where)
      }
    }
  }

  private array(member: Member, start: number, path: string): Value[] {
    const count = this.elements(member, start, path)
    const result: Value[] = []
    for (let index = 0; index < count; index++) {
      const offset = start + index * member.stride
      if (!this.fits(offset, member.width)) {
        if (this.options.partial === true) break
        throw this.short(`${path}[${index}]`, offset, member.width)
      }
      result.push(this.element(member, offset, `${path}[${index}]`, false))
    }
    return result
  }

  /** An open end reaches to the end of the bytes, when it lies at the end of the whole layout; elsewhere it is empty. */
  private elements(member: Member, start: number, path: string): number {
    if (member.count !== null) return member.count ?? 1
    if (start < this.top.bits || start >= this.total) return 0
    const left = this.total - start
    const count = Math.floor(left / member.stride)
    if (left % member.stride !== 0 && !member.inUnion && this.options.partial !== true) {
      const whole = start + count * member.stride
      throw new MalformedData(
        `${path}[${count}]`,
        `needs ${member.stride / 8} bytes, ${(this.total - whole) / 8} are left`,
        whole >>> 3,
      )
    }
    return count
  }

  private present(member: Member, offset: number, path: string): boolean {
    const width = member.count === undefined ? member.width : 0
    if (this.fits(offset, width)) return true
    if (this.options.partial !== true) throw this.short(path, offset, width)
    return member.plan !== undefined && offset < this.total
  }

  private reservedInto(result: Struct, member: Member, offset: number): void {
    if (member.plan !== undefined || member.count !== undefined) return
    const value = readLeaf(this.bytes, offset, member.width)
    const zero = value instanceof Uint8Array ? value.every((byte) => byte === 0) : Number(value) === 0
    if (!zero) put(result, member.name, value)
  }

  private fits(offset: number, width: number): boolean {
    return offset + width <= this.total
  }

  private short(path: string, offset: number, width: number): MalformedData {
    const end = Math.ceil((offset + width) / 8)
    return new MalformedData(path, `ends at byte ${end}, but there are ${this.bytes.length} bytes`, offset >>> 3)
  }
}

function readLeaf(bytes: Uint8Array, offset: number, width: number): number | bigint | Uint8Array {
  if (width <= 32) return readUint(bytes, offset, width)
  if (width <= 64) return readBig(bytes, offset, width)
  return readBytes(bytes, offset, width)
}

/** Bits that the longest open tail among the values needs behind the layout. */
function tailBits(plan: Plan, values: Struct): number {
  let most = 0
  for (const member of plan.members) {
    const value = Object.hasOwn(values, member.name) ? values[member.name] : undefined
    if (member.count === null && Array.isArray(value)) most = Math.max(most, value.length * member.stride)
    else if (member.plan?.open === true && member.count === undefined && isStruct(value))
      most = Math.max(most, tailBits(member.plan, value))
  }
  return most
}

function writeStruct(plan: Plan, bytes: Uint8Array, base: number, values: Struct, path: string): void {
  for (const name of Object.keys(values)) {
    const member = plan.byName.get(name)
    const value = values[name]
    if (member === undefined) throw new NameError(`${path === '' ? plan.name : path} has no field ${name}`)
    if (value === undefined) continue
    writeMember(member, bytes, base, value, path === '' ? name : `${path}.${name}`)
  }
}

function writeMember(member: Member, bytes: Uint8Array, base: number, value: Value, path: string): void {
  const start = base + member.offset
  if (member.count === undefined) return writeElement(member, bytes, start, value, path)
  if (!Array.isArray(value)) throw new ValueError(path, 'is an array')
  const room = member.count ?? Math.floor((bytes.length * 8 - start) / member.stride)
  if (value.length > room) throw new ValueError(path, `has ${room} elements, not ${value.length}`)
  value.forEach((element: Value, index) =>
    writeElement(member, bytes, start + index * member.stride, element, `${path}[${index}]`),
  )
}

function writeElement(member: Member, bytes: Uint8Array, offset: number, value: Value, path: string): void {
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

/** A plain assignment, but for the one name that would change the prototype instead. */
function put(struct: Struct, name: string, value: Value): void {
  if (name === '__proto__')
    Object.defineProperty(struct, name, { value, enumerable: true, configurable: true, writable: true })
  else struct[name] = value
}
