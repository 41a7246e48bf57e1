import { readBig, readBytes, readUint } from './bits'
import { MalformedData } from './errors'
import type { Member, Plan } from './plan'
import { inner, presentMembers, valueOf, type Scope } from './scope'
import type { DecodeOptions, Struct, Value } from './value'

/** Called for a leaf: its member, bits from the start of the bytes, its path, and the members around it, outermost first. */
export type LeafVisitor = (member: Member, offset: number, path: string, around: readonly Member[]) => void

/** Walks a plan over bytes; positions are in bits from the first bit of the bytes. */
export class Reader {
  private readonly total: number
  constructor(
    private readonly bytes: Uint8Array,
    private readonly top: Plan,
    private readonly options: DecodeOptions,
  ) {
    this.total = bytes.length * 8
  }

  struct(plan: Plan, base: number, path: string, holder?: Member, around?: Scope): Struct {
    const scope = inner(around, plan, base)
    const result: Struct = {}
    for (const member of presentMembers(plan, holder, scope, this.bytes)) {
      const offset = base + member.offset
      const where = `${path}.${member.name}`
      if (member.reserved) {
        if (this.options.reserved === true && this.fits(offset, member.width)) this.reservedInto(result, member, offset)
        continue
      }
      if (!this.present(member, offset, where)) continue
      put(result, member.name, this.element(member, offset, where, true, scope))
    }
    return result
  }

  /** One element, or with `whole` all that the member is: its array. */
  element(member: Member, offset: number, path: string, whole: boolean, scope?: Scope): Value {
    if (whole && member.count !== undefined) return this.array(member, offset, path, scope)
    if (member.plan !== undefined) return this.struct(member.plan, offset, path, member, scope)
    if (!this.fits(offset, member.width)) throw this.short(path, offset, member.width)
    return readLeaf(this.bytes, offset, member.width)
  }

  /** Calls back for every leaf there are bytes for, in the order of the layout. */
  leaves(found: LeafVisitor): void {
    this.walk(this.top, 0, '', [], undefined, found)
  }

  private walk(
    plan: Plan,
    base: number,
    path: string,
    around: readonly Member[],
    outer: Scope | undefined,
    found: LeafVisitor,
  ): void {
    const scope = inner(outer, plan, base)
    const there =
      this.options.alternatives === true ? plan.members : presentMembers(plan, around.at(-1), scope, this.bytes)
    for (const member of there) {
      const start = base + member.offset
      const count = member.count === undefined ? 1 : this.elements(member, start, path, scope)
      for (let index = 0; index < count; index++) {
        const offset = start + index * member.stride
        if (offset >= this.total) break
        const name = member.count === undefined ? member.name : `${member.name}[${index}]`
        const where = path === '' ? name : `${path}.${name}`
        if (member.plan !== undefined) this.walk(member.plan, offset, where, [...around, member], scope, found)
        else if (this.fits(offset, member.width)) found(member, offset, where, around)
      }
    }
  }

  private array(member: Member, start: number, path: string, scope: Scope | undefined): Value[] {
    const count = this.elements(member, start, path, scope)
    const result: Value[] = []
    for (let index = 0; index < count; index++) {
      const offset = start + index * member.stride
      if (!this.fits(offset, member.width)) {
        if (this.options.partial === true) break
        throw this.short(`${path}[${index}]`, offset, member.width)
      }
      result.push(this.element(member, offset, `${path}[${index}]`, false, scope))
    }
    return result
  }

  /**
   * An open end reaches to the end of the bytes, when it lies at the end of the whole layout; elsewhere it is empty. Where
   * other fields say how many elements there are, it has no more.
   */
  private elements(member: Member, start: number, path: string, scope: Scope | undefined): number {
    if (member.count !== null) return member.count ?? 1
    const left = Math.max(0, this.total - start)
    const count = Math.floor(left / member.stride)
    const used = member.used === undefined || scope === undefined ? undefined : valueOf(member.used, scope, this.bytes)
    if (used !== undefined) return used < BigInt(count) ? Number(used) : count
    if (start < this.top.bits) return 0
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

export function readLeaf(bytes: Uint8Array, offset: number, width: number): number | bigint | Uint8Array {
  if (width <= 32) return readUint(bytes, offset, width)
  if (width <= 64) return readBig(bytes, offset, width)
  return readBytes(bytes, offset, width)
}

/** A plain assignment, but for the one name that would change the prototype instead. */
function put(struct: Struct, name: string, value: Value): void {
  if (name === '__proto__')
    Object.defineProperty(struct, name, { value, enumerable: true, configurable: true, writable: true })
  else struct[name] = value
}
