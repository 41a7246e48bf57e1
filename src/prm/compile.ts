import { compileFunction } from 'node:vm'

import { readBig, readBytes, readUint, writeBig, writeUint } from './bits'
import type { Member, Plan } from './plan'
import type { Value } from './value'
import { writeMember } from './write'

/** Decodes bytes that are at least as long as the layout. */
export type Decoder = (bytes: Uint8Array) => Record<string, unknown>
/** Encodes into zeroed bytes; true when done, false when anything at all is unusual and the slow way must be taken. */
export type Encoder = (values: Record<string, unknown>, bytes: Uint8Array) => boolean

/** Leaves of a layout for which a function is worth its memory. */
const MAX_LEAVES = 4000

/**
 * A function made for one plan, as its source text: one object literal, every dword read once. Only numbers that the
 * planner has checked and names quoted by JSON.stringify enter the text. Undefined for layouts with open ends, with too
 * many leaves, or with a member named __proto__.
 */
export function compileDecoder(plan: Plan): Decoder | undefined {
  if (!isPlain(plan)) return undefined
  const dwords = new Set<number>()
  const literal = decodeLiteral(plan, 0, dwords)
  const loads = [...dwords].map(
    (d) => `const w${d}=b[${d * 4}]<<24|b[${d * 4 + 1}]<<16|b[${d * 4 + 2}]<<8|b[${d * 4 + 3}]`,
  )
  const body = `${loads.join('\n')}\nreturn ${literal}`
  return build<Decoder>(`return function(b){${body}}`)
}

export function compileEncoder(plan: Plan): Encoder | undefined {
  if (!isPlain(plan) || plan.bits % 32 !== 0) return undefined
  const state = { next: 0, words: new Map<number, string[]>(), late: [] as string[] }
  const checks = encodeStatements(plan, 0, 'v', state)
  const stores = [...state.words].map(([d, parts]) => {
    const at = d * 4
    return `let w${d}=${parts.join('|')};b[${at}]=w${d}>>>24;b[${at + 1}]=w${d}>>>16;b[${at + 2}]=w${d}>>>8;b[${at + 3}]=w${d}`
  })
  const text = `return function(v,b){${checks}\n${stores.join('\n')}\n${state.late.join('\n')}\nreturn true}`
  return build<Encoder>(text, (name, value, bytes) => {
    const member = plan.byName.get(name)
    if (member !== undefined) writeMember(member, bytes, 0, value, name)
  })
}

/** Flat and fixed; unions are not, since the order of their members matters when encoding. */
function isPlain(plan: Plan): boolean {
  return !plan.open && leaves(plan) <= MAX_LEAVES && usable(plan)
}

function usable(plan: Plan): boolean {
  return plan.members.every(
    (member) =>
      member.name !== '__proto__' &&
      !member.inUnion &&
      member.when === undefined &&
      (member.plan === undefined || usable(member.plan)),
  )
}

function leaves(plan: Plan): number {
  return plan.members.reduce((sum, member) => {
    const each = member.plan === undefined ? 1 : leaves(member.plan)
    return Math.min(sum + each * (member.count ?? 1), MAX_LEAVES + 1)
  }, 0)
}

function decodeLiteral(plan: Plan, base: number, dwords: Set<number>): string {
  const entries = plan.members
    .filter((member) => !member.reserved)
    .map((member) => {
      const one = (index: number): string => decodeOne(member, base + member.offset + index * member.stride, dwords)
      const value =
        typeof member.count === 'number'
          ? `[${Array.from({ length: member.count }, (_, index) => one(index)).join(',')}]`
          : one(0)
      return `${JSON.stringify(member.name)}:${value}`
    })
  return `{${entries.join(',')}}`
}

function decodeOne(member: Member, offset: number, dwords: Set<number>): string {
  if (member.plan !== undefined) return decodeLiteral(member.plan, offset, dwords)
  const { width } = member
  if (width > 64) return `readBytes(b,${offset},${width})`
  if (width > 32) return `readBig(b,${offset},${width})`
  const dword = Math.floor(offset / 32)
  const shift = 32 - width - (offset % 32)
  // A dword that the layout does not fill could lie past the end of the bytes.
  if (shift < 0) return `readUint(b,${offset},${width})`
  dwords.add(dword)
  if (width === 32) return `w${dword}>>>0`
  return `w${dword}>>>${shift}&${2 ** width - 1}`
}

interface EncodeState {
  next: number
  readonly words: Map<number, string[]>
  readonly late: string[]
}

/** Reads each member once into a local, checks it, and counts the keys: an unknown key makes the counts differ. */
function encodeStatements(plan: Plan, base: number, object: string, state: EncodeState): string {
  const lines: string[] = []
  const counter = `n${state.next++}`
  lines.push(`let ${counter}=0`)
  for (const member of plan.members) {
    const value = `x${state.next++}`
    lines.push(`const ${value}=${object}[${JSON.stringify(member.name)}]`)
    const inside = encodeMember(member, base + member.offset, value, state)
    lines.push(`if(${value}!==undefined){${counter}++;${inside.checks}}${inside.after}`)
  }
  lines.push(`if(Object.keys(${object}).length!==${counter})return false`)
  return lines.join('\n')
}

function encodeMember(
  member: Member,
  offset: number,
  value: string,
  state: EncodeState,
): { checks: string; after: string } {
  if (member.plan !== undefined || member.count !== undefined) {
    // Nested values are checked and written by the slow way, in place: they are few in what is encoded often.
    state.late.push(`if(${value}!==undefined)writeNested(${JSON.stringify(member.name)},${value},b)`)
    return { checks: '', after: '' }
  }
  const { width } = member
  if (width > 32) {
    if (width > 64) return { checks: 'return false', after: '' }
    const checks = `if(typeof ${value}!=='bigint'||BigInt.asUintN(${width},${value})!==${value})return false`
    state.late.push(`if(${value}!==undefined)writeBig(b,${offset},${width},${value})`)
    return { checks, after: '' }
  }
  const checks = `if(typeof ${value}!=='number'||!(${value}>=0&&${value}<=${2 ** width - 1})||${value}%1!==0)return false`
  const dword = Math.floor(offset / 32)
  const shift = 32 - width - (offset % 32)
  if (shift < 0) state.late.push(`if(${value}!==undefined)writeUint(b,${offset},${width},${value})`)
  else {
    const parts = state.words.get(dword) ?? []
    parts.push(shift === 0 ? `${value}` : `${value}<<${shift}`)
    state.words.set(dword, parts)
  }
  return { checks, after: '' }
}

/** @throws ValueError, NameError */
type WriteNested = (name: string, value: Value, bytes: Uint8Array) => void

function build<T>(text: string, writeNested?: WriteNested): T {
  const helpers = { readUint, readBig, readBytes, writeUint, writeBig, writeNested }
  const make = compileFunction(text, Object.keys(helpers)) as (...values: unknown[]) => T
  return make(...Object.values(helpers))
}
