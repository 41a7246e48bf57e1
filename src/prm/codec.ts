import { readBytes } from './bits'
import { compileDecoder, compileEncoder, type Decoder, type Encoder } from './compile'
import { MalformedData, ValueError } from './errors'
import type { Access, Enumeration, Layout } from './layout'
import { resolveName, type FieldRef } from './names'
import { type Member, type Plan, Planner } from './plan'
import { Reader, readLeaf } from './read'
import type { DecodeOptions, Struct, Value } from './value'
import { enumName, parseValue } from './value-text'
import { tailBits, writeElement, writeMember, writeStruct } from './write'

export type { Struct, Value }

export interface CodecSource {
  layout(name: string): Layout
  enumeration?(name: string): Enumeration
}

/** One leaf of a decoded layout, for byte-range maps. */
export interface FieldRange {
  readonly path: string
  /** Bits from the first bit of the bytes. */
  readonly offset: number
  readonly width: number
  readonly value: number | bigint | Uint8Array
  readonly reserved: boolean
  /** Its enumeration, and what that calls the value. */
  readonly enum?: string
  readonly enumName?: string
  readonly access?: Access
}

/** Calls of one layout before a function is compiled for it: a command line never pays for compiling. */
const CALLS_BEFORE_COMPILING = 8

interface Compiled {
  decoded: number
  encoded: number
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

  /** Whether a layout has an end whose length varies. */
  isOpen(layout: string | Layout): boolean {
    return this.planner.plan(layout).open
  }

  /** Paths of the fields of a layout that select the members of its unions. */
  selectors(layout: string | Layout): readonly string[] {
    return selectorsOf(this.planner.plan(layout), '')
  }

  /**
   * @throws MalformedData with path and byte offset when the bytes end before the layout does, or when a tail holds a
   *   part of an element
   */
  decode(layout: string | Layout, bytes: Uint8Array, options: DecodeOptions = {}): Struct {
    const plan = this.planner.plan(layout)
    if (options.reserved !== true && bytes.length * 8 >= plan.bits) {
      const compiled = this.compiledFor(plan)
      if (compiled.decoded++ === CALLS_BEFORE_COMPILING) compiled.decode = compileDecoder(plan)
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
    if (compiled.encoded++ === CALLS_BEFORE_COMPILING) compiled.encode = compileEncoder(plan)
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
  ranges(layout: string | Layout, bytes: Uint8Array, options: Pick<DecodeOptions, 'alternatives'> = {}): FieldRange[] {
    const plan = this.planner.plan(layout)
    const found: FieldRange[] = []
    const reader = new Reader(bytes, plan, { ...options, partial: true })
    reader.leaves((member, offset, path, around) => {
      const value = readLeaf(bytes, offset, member.width)
      const name = this.enumName(member.enum, value)
      const access = member.access ?? inherited(around)
      found.push({
        path,
        offset,
        width: member.width,
        value,
        reserved: member.reserved,
        ...(member.enum === undefined ? {} : { enum: member.enum }),
        ...(name === undefined ? {} : { enumName: name }),
        ...(access === undefined ? {} : { access }),
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
      compiled = { decoded: 0, encoded: 0, decode: undefined, encode: undefined }
      this.compiled.set(plan, compiled)
    }
    return compiled
  }
}

function selectorsOf(plan: Plan, path: string): string[] {
  return plan.members.flatMap((member) => {
    const own = member.select === undefined ? [] : [path + member.select.by]
    return member.plan === undefined || member.count !== undefined
      ? own
      : [...own, ...selectorsOf(member.plan, `${path}${member.name}.`)]
  })
}

function inherited(around: readonly Member[]): Access | undefined {
  return around.reduce<Access | undefined>((access, member) => member.access ?? access, undefined)
}
