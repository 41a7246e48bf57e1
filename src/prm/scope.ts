import { readBig } from './bits'
import { evaluate } from './evaluate'
import type { Expression } from './layout'
import type { Member, Plan } from './plan'

/** A structure that is being read, in the one that holds it. Bases are in bits from the first bit of the bytes. */
export interface Scope {
  readonly plan: Plan
  readonly base: number
  readonly parent: Scope | undefined
}

/** The scope of a nested layout; a union is none of its own, so that paths in it start in the structure around it. */
export function inner(scope: Scope | undefined, plan: Plan, base: number): Scope {
  return plan.kind === 'union' && scope !== undefined ? scope : { plan, base, parent: scope }
}

/** Members of a plan that are there: conditions hold, and of a union with a selector the member that it selects. */
export function presentMembers(
  plan: Plan,
  holder: Member | undefined,
  scope: Scope,
  bytes: Uint8Array,
): readonly Member[] {
  const selected = holder?.select === undefined ? undefined : selectedName(holder.select, scope, bytes)
  const chosen = selected === undefined ? undefined : plan.byName.get(selected)
  const members = chosen === undefined ? plan.members : [chosen]
  return members.some((member) => member.when !== undefined)
    ? members.filter((member) => member.when === undefined || valueOf(member.when, scope, bytes) !== 0n)
    : members
}

/** The value of an expression; undefined when a field in it cannot be read. */
export function valueOf(expression: Expression, scope: Scope, bytes: Uint8Array): bigint | undefined {
  return evaluate(expression, (path) => fieldValue(path, scope, bytes))
}

function selectedName(
  { by, members }: NonNullable<Member['select']>,
  scope: Scope,
  bytes: Uint8Array,
): string | undefined {
  const value = fieldValue(by, scope, bytes)
  return value === undefined ? undefined : members.get(value)
}

function fieldValue(path: string, scope: Scope, bytes: Uint8Array): bigint | undefined {
  let here: Scope | undefined = scope
  let rest = path
  while (rest.startsWith('^')) {
    here = here?.parent
    rest = rest.slice(1)
  }
  if (here === undefined) return undefined
  let { plan, base } = here
  const names = rest.split('.')
  for (const [position, name] of names.entries()) {
    const member = plan.byName.get(name)
    if (member === undefined || member.count !== undefined) return undefined
    base += member.offset
    if (position < names.length - 1) {
      if (member.plan === undefined) return undefined
      plan = member.plan
    } else if (member.plan === undefined && member.width <= 64 && base + member.width <= bytes.length * 8)
      return readBig(bytes, base, member.width)
  }
  return undefined
}
