/** One value of a fact: what JSON has, no list and no object. Lists of such are one value, as JSON text. */
export type Scalar = string | number | boolean | null

export type Members = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const membersOf = (value: unknown): Members => (isObject(value) ? value : {})

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** A value as a word in a name. */
export const wordOf = (value: unknown): string | undefined =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined

/** The value, when it is one and not something with members. */
export function scalarOf(value: unknown): Scalar | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== 'object'))
    return JSON.stringify(value)
  return undefined
}

/** Names of the members of something, and the members; elements of a list are named by what tells them apart, else by index. */
export function* membersIn(value: unknown): Generator<readonly [name: string, member: unknown]> {
  if (!Array.isArray(value)) {
    for (const [name, member] of Object.entries(membersOf(value))) yield [name, member]
    return
  }
  const key = keyOf(value)
  for (const [index, member] of value.entries()) {
    const name = key === undefined ? undefined : membersOf(member)[key]
    yield [`[${wordOf(name) ?? index}]`, member]
  }
}

/** A member by which the elements of a list are told apart: each has it, each another. */
function keyOf(elements: readonly unknown[]): string | undefined {
  return ['name', 'pci', 'node', 'title', 'type', 'id'].find((key) => {
    const names = elements.map((element) => membersOf(element)[key])
    return (
      names.every((name) => typeof name === 'string' || typeof name === 'number') &&
      new Set(names).size === names.length
    )
  })
}

/** a.b[3].c */
export const joined = (path: string, name: string): string =>
  path === '' || name === '' || name.startsWith('[') ? path + name : `${path}.${name}`

/** Every value with its path. */
export function* leavesIn(value: unknown, path = ''): Generator<readonly [path: string, value: Scalar]> {
  const scalar = scalarOf(value)
  if (scalar !== undefined) yield [path, scalar]
  else for (const [name, member] of membersIn(value)) yield* leavesIn(member, joined(path, name))
}
