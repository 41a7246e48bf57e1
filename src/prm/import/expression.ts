/** Integer constant expressions of C, in big integers: precedence, suffixes, casts, BIT() and friends, macros with arguments. */
import type { Token } from './tokenizer'

/** An integer and what of its C type decides a result: the width that `~` and unsigned wrapping need. */
export interface Integer {
  readonly value: bigint
  readonly unsigned: boolean
  readonly bits: 32 | 64
}

/** What an expression may refer to. Both throw a BadExpression for what they do not know. */
export interface Names {
  constant(name: string): Integer
  call(name: string, args: readonly Integer[]): Integer
  /** Called for every operand, so that one budget bounds the work of an import. */
  spend(): void
}

/** An expression that has no value here. The caller adds the place. */
export class BadExpression extends Error {
  override readonly name = 'BadExpression'
}

const MAX_DEPTH = 100
const LIMIT = 1n << 128n

/** C binary operators, weakest first. */
const LEVELS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
]
const PRECEDENCE = new Map(LEVELS.flatMap((operators, level) => operators.map((name) => [name, level + 1] as const)))

/** Names of integer types as casts use them, with width in bits and signedness. */
const TYPES = new Map<string, readonly [number, boolean]>([
  ...[8, 16, 32, 64].flatMap((bits) =>
    ([`u${bits}`, `__u${bits}`, `uint${bits}_t`] as const).map((name) => [name, [bits, true]] as const),
  ),
  ...[8, 16, 32, 64].flatMap((bits) =>
    ([`s${bits}`, `__s${bits}`, `int${bits}_t`] as const).map((name) => [name, [bits, false]] as const),
  ),
  ['size_t', [64, true]],
])
const TYPE_WORDS = new Set(['unsigned', 'signed', 'char', 'short', 'int', 'long'])

export const integer = (value: bigint | number, bits: 32 | 64 = 32, unsigned = false): Integer => ({
  value: BigInt(value),
  bits,
  unsigned,
})

/**
 * Value of a complete constant expression.
 *
 * @throws BadExpression when it is not one, or a name in it has no value
 */
export function evaluate(tokens: readonly Token[], names: Names): Integer {
  const reader = new Reader(tokens, names)
  const value = reader.conditional(0)
  if (!reader.done) throw new BadExpression(`unexpected "${reader.peek()}" in a constant expression`)
  return value
}

class Reader {
  private at = 0
  constructor(
    private readonly tokens: readonly Token[],
    private readonly names: Names,
  ) {}

  get done(): boolean {
    return this.at >= this.tokens.length
  }

  peek(): string {
    return this.tokens[this.at]?.text ?? ''
  }

  private take(text: string): boolean {
    if (this.done || this.peek() !== text) return false
    this.at += 1
    return true
  }

  private expect(text: string): void {
    if (!this.take(text)) throw new BadExpression(`expected "${text}" but found "${this.peek()}"`)
  }

  conditional(depth: number): Integer {
    const condition = this.binary(1, depth)
    if (!this.take('?')) return condition
    const yes = this.conditional(deeper(depth))
    this.expect(':')
    const no = this.conditional(deeper(depth))
    return condition.value !== 0n ? yes : no
  }

  private binary(level: number, depth: number): Integer {
    let left = this.unary(depth)
    for (;;) {
      const operator = this.peek()
      const precedence = PRECEDENCE.get(operator)
      if (precedence === undefined || precedence < level) return left
      this.at += 1
      left = combine(operator, left, this.binary(precedence + 1, deeper(depth)))
    }
  }

  private unary(depth: number): Integer {
    for (const operator of ['-', '+', '~', '!'])
      if (this.take(operator)) return applyUnary(operator, this.unary(deeper(depth)))
    return this.primary(depth)
  }

  private primary(depth: number): Integer {
    this.names.spend()
    const token = this.tokens[this.at]
    if (!token) throw new BadExpression('a constant expression ends too early')
    this.at += 1
    if (token.kind === 'number') return parseInteger(token.text)
    if (token.kind === 'name') return this.reference(token.text, depth)
    if (token.text !== '(') throw new BadExpression(`unexpected "${token.text}" in a constant expression`)
    const cast = this.castType()
    if (cast) return convert(this.unary(deeper(depth)), cast[0], cast[1])
    const value = this.conditional(deeper(depth))
    this.expect(')')
    return value
  }

  private reference(name: string, depth: number): Integer {
    if (!this.take('(')) return this.names.constant(name)
    const args: Integer[] = []
    if (this.take(')')) return this.names.call(name, args)
    do args.push(this.conditional(deeper(depth)))
    while (this.take(','))
    this.expect(')')
    return this.names.call(name, args)
  }

  /** The type after an opening parenthesis, when it is one; consumes the closing parenthesis too. */
  private castType(): readonly [number, boolean] | undefined {
    const words: string[] = []
    let at = this.at
    for (let token = this.tokens[at]; token?.kind === 'name'; token = this.tokens[++at]) words.push(token.text)
    if (words.length === 0 || this.tokens[at]?.text !== ')') return undefined
    const [first = ''] = words
    const type = words.length === 1 ? TYPES.get(first) : undefined
    const isWords = words.every((word) => TYPE_WORDS.has(word))
    if (!type && !isWords) return undefined
    this.at = at + 1
    return type ?? wordType(words)
  }
}

function deeper(depth: number): number {
  if (depth >= MAX_DEPTH) throw new BadExpression('a constant expression is nested too deeply')
  return depth + 1
}

function wordType(words: readonly string[]): readonly [number, boolean] {
  const unsigned = words.includes('unsigned')
  if (words.includes('char')) return [8, unsigned]
  if (words.includes('short')) return [16, unsigned]
  return [words.includes('long') ? 64 : 32, unsigned]
}

function parseInteger(text: string): Integer {
  const match = /^(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uU]?[lL]{0,2}[uU]?)$/.exec(text)
  const [, digits, suffix] = match ?? []
  if (digits === undefined || suffix === undefined || text.length > 80)
    throw new BadExpression(`"${text.slice(0, 80)}" is not an integer`)
  const value = /^0\d/.test(digits) ? octal(digits) : BigInt(digits)
  const wide = /l/i.test(suffix) || value > 0xffffffffn
  const unsigned = /u/i.test(suffix) || (/^0[xXbB]/.test(digits) && !wide && value > 0x7fffffffn)
  return fit({ value, unsigned, bits: wide ? 64 : 32 })
}

function octal(digits: string): bigint {
  if (!/^[0-7]+$/.test(digits)) throw new BadExpression(`"${digits}" is not an integer`)
  return BigInt(`0o${digits.slice(1)}`)
}

function applyUnary(operator: string, operand: Integer): Integer {
  switch (operator) {
    case '-':
      return fit({ ...operand, value: -operand.value })
    case '~':
      return fit({ ...operand, value: ~operand.value })
    case '!':
      return integer(operand.value === 0n ? 1 : 0)
    default:
      return operand
  }
}

function combine(operator: string, left: Integer, right: Integer): Integer {
  if (operator === '<<' || operator === '>>') return shift(operator, left, right)
  const truth = compare(operator, left.value, right.value)
  if (truth !== undefined) return integer(truth ? 1 : 0)
  const bits = left.bits === 64 || right.bits === 64 ? 64 : 32
  const unsigned = (left.unsigned && left.bits === bits) || (right.unsigned && right.bits === bits)
  return fit({ value: arithmetic(operator, left.value, right.value), bits, unsigned })
}

function compare(operator: string, a: bigint, b: bigint): boolean | undefined {
  switch (operator) {
    case '||':
      return a !== 0n || b !== 0n
    case '&&':
      return a !== 0n && b !== 0n
    case '==':
      return a === b
    case '!=':
      return a !== b
    case '<':
      return a < b
    case '>':
      return a > b
    case '<=':
      return a <= b
    case '>=':
      return a >= b
    default:
      return undefined
  }
}

function arithmetic(operator: string, a: bigint, b: bigint): bigint {
  if ((operator === '/' || operator === '%') && b === 0n) throw new BadExpression('division by zero')
  switch (operator) {
    case '|':
      return a | b
    case '^':
      return a ^ b
    case '&':
      return a & b
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return a / b
    default:
      return a % b
  }
}

/** `1 << 31` means the top bit in these headers, so a signed result is not turned negative. */
function shift(operator: string, left: Integer, right: Integer): Integer {
  if (right.value < 0n || right.value > 63n) throw new BadExpression(`cannot shift by ${right.value}`)
  return fit({ ...left, value: operator === '<<' ? left.value << right.value : left.value >> right.value })
}

function convert(operand: Integer, width: number, unsigned: boolean): Integer {
  const value = unsigned ? BigInt.asUintN(width, operand.value) : BigInt.asIntN(width, operand.value)
  return { value, unsigned: unsigned && width >= 32, bits: width === 64 ? 64 : 32 }
}

function fit(result: Integer): Integer {
  if (result.unsigned) return { ...result, value: BigInt.asUintN(result.bits, result.value) }
  if (result.value >= LIMIT || result.value <= -LIMIT) throw new BadExpression('the value is too large')
  return result
}
