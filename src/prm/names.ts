import { NameError } from './errors'
import type { Access } from './layout'
import { nearest } from './nearest'
import type { Member, Plan } from './plan'

/** A field, an element of an array, or a whole array, found by its name. */
export interface FieldRef {
  /** Full path: a.b[3].c */
  readonly path: string
  /** Bits from the first bit of the layout. */
  readonly offset: number
  /** Bits, of all elements when a whole array is meant. */
  readonly width: number
  readonly enum: string | undefined
  /** Its own, or that of the nearest structure around it that has one. */
  readonly access: Access | undefined
  readonly member: Member
  /** True unless the path ends in an index. */
  readonly whole: boolean
}

interface Step {
  readonly name: string
  readonly index: number | undefined
}

/**
 * Resolves a full path or an unambiguous suffix of one. Indices are required on arrays that are passed through.
 * @throws NameError that lists the candidates, nearest first
 */
export function resolveName(plan: Plan, text: string): FieldRef {
  const steps = parsePath(text)
  const exact = follow(plan, steps)
  if (typeof exact === 'object') return exact
  const names = steps.map((step) => step.name)
  const found = allPaths(plan).filter((path) => endsWith(path, names))
  const [only] = found
  if (only === undefined) {
    if (typeof exact === 'string') throw new NameError(`${plan.name}: ${exact}`)
    const candidates = nearest(text, allPaths(plan).map(show))
    throw new NameError(`${plan.name} has no field ${text}${list(candidates)}`, candidates)
  }
  if (found.length > 1) {
    const candidates = found.map(show)
    throw new NameError(`${text} is ambiguous in ${plan.name}${list(candidates)}`, candidates)
  }
  const full = only.map(({ name }, position): Step => {
    const own = position - (only.length - names.length)
    return { name, index: own < 0 ? undefined : steps[own]?.index }
  })
  const ref = follow(plan, full)
  if (typeof ref !== 'object') throw new NameError(`${plan.name}: ${ref ?? `no field ${text}`}`, [show(only)])
  return ref
}

/** The field; a sentence when the names fit but the indices do not; undefined when a name does not fit. */
function follow(plan: Plan, steps: readonly Step[]): FieldRef | string | undefined {
  let here = plan
  let offset = 0
  let path = ''
  let access: Access | undefined
  for (const [position, { name, index }] of steps.entries()) {
    const member = here.byName.get(name)
    if (member === undefined) return undefined
    const last = position === steps.length - 1
    path += (path === '' ? '' : '.') + name + (index === undefined ? '' : `[${index}]`)
    const wrong = indexProblem(member, index, last, path)
    if (wrong !== undefined) return wrong
    offset += member.offset + (index ?? 0) * member.stride
    access = member.access ?? access
    if (last) {
      const whole = index === undefined
      const width = whole && member.count !== undefined ? (member.count ?? 0) * member.stride : member.width
      return { path, offset, width, enum: member.enum, access, member, whole }
    }
    if (member.plan === undefined) return undefined
    here = member.plan
  }
  return undefined
}

function indexProblem(member: Member, index: number | undefined, last: boolean, path: string): string | undefined {
  if (member.count === undefined) return index === undefined ? undefined : `${path}: ${member.name} is no array`
  if (index === undefined) return last ? undefined : `${path} is an array: give an index, ${path}[0]`
  const count = member.count
  return count !== null && index >= count ? `${path}: the last index is ${count - 1}` : undefined
}

function parsePath(text: string): Step[] {
  return text.split('.').map((part) => {
    const match = /^([A-Za-z_]\w*)(?:\[(0x[0-9a-fA-F]+|\d+)\])?$/.exec(part)
    if (match?.[1] === undefined) throw new NameError(`${text} is not a field name`)
    const index = match[2] === undefined ? undefined : Number(match[2])
    if (index !== undefined && index > 2 ** 27) throw new NameError(`${text}: the index is too large`)
    return { name: match[1], index }
  })
}

type Path = readonly Member[]

/** Every path to a member, reserved ones left out; nested layouts are bounded by the planner. */
function allPaths(plan: Plan, before: Path = []): Path[] {
  return plan.members
    .filter((member) => !member.reserved)
    .flatMap((member) => {
      const path = [...before, member]
      return member.plan === undefined ? [path] : [path, ...allPaths(member.plan, path)]
    })
}

function endsWith(path: Path, names: readonly string[]): boolean {
  const skip = path.length - names.length
  return skip >= 0 && names.every((name, position) => path[skip + position]?.name === name)
}

function show(path: Path): string {
  return path
    .map((member, position) => member.name + (member.count !== undefined && position < path.length - 1 ? '[0]' : ''))
    .join('.')
}

function list(candidates: readonly string[]): string {
  if (candidates.length === 0) return ''
  const shown = candidates.slice(0, 8).join(', ')
  return `; did you mean ${shown}${candidates.length > 8 ? `, ... (${candidates.length})` : ''}?`
}
