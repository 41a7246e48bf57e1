import { MalformedData } from './errors'

/**
 * Expressions of the configuration database: of muParser, over floating-point numbers. `^` is a power, `?:` a choice, and a name
 * stands behind $: $sriov_en of the same TLV, $nv_global_pci_cap.sriov_support of another (facts: mstconfig, C.9).
 */
export type NvExpression =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'name'; readonly tlv: string | undefined; readonly name: string }
  | { readonly kind: 'call'; readonly operator: string; readonly operands: readonly NvExpression[] }

const MAX_TOKENS = 2000
const MAX_DEPTH = 60

const flag = (value: boolean): number => (value ? 1 : 0)

type Operation = (a: number, b: number) => number

/** Lowest first; all of a level from the left, but powers. */
const levels: readonly Readonly<Record<string, Operation>>[] = [
  { '||': (a, b) => flag(a !== 0 || b !== 0) },
  { '&&': (a, b) => flag(a !== 0 && b !== 0) },
  {
    '==': (a, b) => flag(a === b),
    '!=': (a, b) => flag(a !== b),
    '<=': (a, b) => flag(a <= b),
    '>=': (a, b) => flag(a >= b),
    '<': (a, b) => flag(a < b),
    '>': (a, b) => flag(a > b),
  },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => a / b },
]
const POWER = '^'

const functions: Readonly<Record<string, { readonly takes: number; readonly run: (...values: number[]) => number }>> = {
  log2: { takes: 1, run: (a = 0) => Math.log2(a) },
  BitwiseOr: { takes: 2, run: (a = 0, b = 0) => (a | b) >>> 0 },
  BitwiseAnd: { takes: 2, run: (a = 0, b = 0) => (a & b) >>> 0 },
}
const operations = new Map<string, Operation>([...levels.flatMap((level) => Object.entries(level)), [POWER, Math.pow]])

const token = /\s*(?:\$(\w+)(?:\.(\w+))?|(\d+(?:\.\d+)?)|([A-Za-z_]\w*)|(\|\||&&|==|!=|<=|>=|[-+*/^<>?:(),]))/y

interface Token {
  readonly text: string
  readonly expression?: NvExpression
}

/** @throws MalformedData */
export function parseNvExpression(text: string): NvExpression {
  const parser = new Parser(tokenize(text), text)
  return parser.whole()
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  const trimmed = text.trimEnd()
  token.lastIndex = 0
  while (token.lastIndex < trimmed.length) {
    const at = token.lastIndex
    const match = token.exec(trimmed)
    if (match === null) throw new MalformedData('expression', `${trimmed.slice(at, at + 20)} is not understood`)
    const [, first, second, number, word, operator] = match
    if (first !== undefined) {
      const named = second === undefined ? { tlv: undefined, name: first } : { tlv: first, name: second }
      tokens.push({ text: first, expression: { kind: 'name', ...named } })
    } else if (number !== undefined)
      tokens.push({ text: number, expression: { kind: 'number', value: Number(number) } })
    else tokens.push({ text: word ?? operator ?? '' })
    if (tokens.length > MAX_TOKENS) throw new MalformedData('expression', 'is too long')
  }
  return tokens
}

class Parser {
  private at = 0

  constructor(
    private readonly tokens: readonly Token[],
    private readonly text: string,
  ) {}

  whole(): NvExpression {
    const expression = this.choice(0)
    const rest = this.tokens[this.at]
    if (rest !== undefined) throw this.problem(`${rest.text} is left over`)
    return expression
  }

  private choice(depth: number): NvExpression {
    if (depth > MAX_DEPTH) throw this.problem('is nested too deeply')
    const condition = this.level(0, depth)
    if (!this.takes('?')) return condition
    const yes = this.choice(depth + 1)
    if (!this.takes(':')) throw this.problem('lacks a colon')
    return { kind: 'call', operator: '?', operands: [condition, yes, this.choice(depth + 1)] }
  }

  private level(index: number, depth: number): NvExpression {
    const operators = levels[index]
    if (operators === undefined) return this.power(depth)
    let left = this.level(index + 1, depth)
    for (;;) {
      const here = this.tokens[this.at]
      if (here === undefined || here.expression !== undefined || !Object.hasOwn(operators, here.text)) return left
      this.at++
      left = { kind: 'call', operator: here.text, operands: [left, this.level(index + 1, depth)] }
    }
  }

  private power(depth: number): NvExpression {
    if (depth > MAX_DEPTH) throw this.problem('is nested too deeply')
    const base = this.operand(depth)
    return this.takes(POWER) ? { kind: 'call', operator: POWER, operands: [base, this.power(depth + 1)] } : base
  }

  private operand(depth: number): NvExpression {
    const here = this.tokens[this.at++]
    if (here === undefined) throw this.problem('ends early')
    if (here.expression !== undefined) return here.expression
    if (here.text === '(') {
      const inside = this.choice(depth + 1)
      if (!this.takes(')')) throw this.problem('has a parenthesis that is not closed')
      return inside
    }
    if (here.text === '-') return { kind: 'call', operator: 'negate', operands: [this.power(depth + 1)] }
    return this.call(here.text, depth)
  }

  private call(name: string, depth: number): NvExpression {
    const known = Object.hasOwn(functions, name) ? functions[name] : undefined
    if (known === undefined) throw this.problem(`has ${name}, which is no function`)
    if (!this.takes('(')) throw this.problem(`lacks the parenthesis of ${name}`)
    const operands = [this.choice(depth + 1)]
    while (this.takes(',')) operands.push(this.choice(depth + 1))
    if (!this.takes(')') || operands.length !== known.takes) throw this.problem(`does not give ${name} what it takes`)
    return { kind: 'call', operator: name, operands }
  }

  private takes(text: string): boolean {
    const here = this.tokens[this.at]
    const found = here?.text === text && here.expression === undefined
    if (found) this.at++
    return found
  }

  private problem(what: string): MalformedData {
    return new MalformedData('expression', `${what}: ${this.text.slice(0, 120)}`)
  }
}

/**
 * The value of an expression; undefined when a name that counts has no value. Of && and || and a choice all operands count, as
 * all of them must be known before anything is computed.
 */
export function evaluateNvExpression(
  expression: NvExpression,
  valueOf: (tlv: string | undefined, name: string) => number | undefined,
): number | undefined {
  if (expression.kind === 'number') return expression.value
  if (expression.kind === 'name') return valueOf(expression.tlv, expression.name)
  const values = expression.operands.map((operand) => evaluateNvExpression(operand, valueOf))
  if (!values.every((value) => value !== undefined)) return undefined
  const [a = 0, b = 0, c = 0] = values
  if (expression.operator === '?') return a !== 0 ? b : c
  if (expression.operator === 'negate') return -a
  return operations.get(expression.operator)?.(a, b) ?? functions[expression.operator]?.run(...values)
}

/** Names of an expression, with the TLV where it is another one. */
export function namesOfNvExpression(expression: NvExpression): { tlv: string | undefined; name: string }[] {
  if (expression.kind === 'name') return [{ tlv: expression.tlv, name: expression.name }]
  return expression.kind === 'call' ? expression.operands.flatMap(namesOfNvExpression) : []
}
