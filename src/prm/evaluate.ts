import type { Expression } from './layout'

/** Deepest expression that is evaluated. */
const MAX_DEPTH = 64

type Binary = (a: bigint, b: bigint) => bigint

const flag = (value: boolean): bigint => (value ? 1n : 0n)

/** Operators of expressions; all numbers are unsigned and have 64 bits. */
const binaryOperators: Readonly<Record<string, Binary>> = {
  '*': (a, b) => a * b,
  '/': (a, b) => (b === 0n ? 0n : a / b),
  '%': (a, b) => (b === 0n ? 0n : a % b),
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '<<': (a, b) => (b > 63n ? 0n : a << b),
  '>>': (a, b) => (b > 63n ? 0n : a >> b),
  '>': (a, b) => flag(a > b),
  '>=': (a, b) => flag(a >= b),
  '<': (a, b) => flag(a < b),
  '<=': (a, b) => flag(a <= b),
  '==': (a, b) => flag(a === b),
  '!=': (a, b) => flag(a !== b),
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '^': (a, b) => a ^ b,
  '&&': (a, b) => flag(a !== 0n && b !== 0n),
  '||': (a, b) => flag(a !== 0n || b !== 0n),
  XOR: (a, b) => flag((a !== 0n) !== (b !== 0n)),
}

export const unaryOperators: Readonly<Record<string, (a: bigint) => bigint>> = {
  '!': (a) => flag(a === 0n),
  '~': (a) => ~a,
  '-': (a) => -a,
  '+': (a) => a,
  POW2: (a) => (a > 63n ? 0n : 1n << a),
  LOG2: (a) => BigInt(a.toString(2).length - 1),
  SWAP16: (a) => ((a & 0xffn) << 8n) | ((a >> 8n) & 0xffn),
  SWAP32: (a) => ((a & 0xffn) << 24n) | ((a & 0xff00n) << 8n) | ((a >> 8n) & 0xff00n) | ((a >> 24n) & 0xffn),
}

/**
 * The value of an expression, 64 bits unsigned; undefined when a field that it needs is unknown or is not there, or when
 * an operator is unknown.
 * @param field the value of a field by its path
 */
export function evaluate(
  expression: Expression,
  field: (path: string) => bigint | undefined,
  depth = 0,
): bigint | undefined {
  if (typeof expression === 'number') return BigInt(expression)
  if (typeof expression === 'string') return field(expression)
  if (depth > MAX_DEPTH) return undefined
  const [operator, first, second] = expression
  const a = first === undefined ? undefined : evaluate(first, field, depth + 1)
  if (a === undefined) return undefined
  if (second === undefined) {
    const result = unaryOperators[operator]?.(a)
    return result === undefined ? undefined : BigInt.asUintN(64, result)
  }
  const b = evaluate(second, field, depth + 1)
  const result = b === undefined ? undefined : binaryOperators[operator]?.(a, b)
  return result === undefined ? undefined : BigInt.asUintN(64, result)
}
