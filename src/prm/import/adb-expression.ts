import { unaryOperators } from '../evaluate'
import type { Expression } from '../layout'

/** What the words of an expression mean. */
export interface Words {
  /** The path of a field as it is stored, or undefined when there is none. */
  path(path: string): string | undefined
  /** A word that is no field: the key of an enumeration, preferably that of the field it is compared with. */
  constant(word: string, beside: string | undefined): number | undefined
}

const MAX_TOKENS = 1000
const MAX_DEPTH = 60

/** Word forms of operators, and short forms of functions. */
const spellings: Readonly<Record<string, string>> = {
  SHIFT_L: '<<',
  SHIFT_R: '>>',
  GREAT: '>',
  GREAT_EQ: '>=',
  LESS: '<',
  LESS_EQ: '<=',
  EQ: '==',
  NOTEQ: '!=',
  BIT_AND: '&',
  BIT_OR: '|',
  BIT_XOR: '^',
  AND: '&&',
  OR: '||',
  ':': 'POW2',
  "'": 'LOG2',
}

/** Lowest first. & binds tighter than | and ^, which are equal: a == X | a == Y is (a == X) | (a == Y). */
const levels: readonly (readonly string[])[] = [
  ['||', 'XOR'],
  ['&&'],
  ['|', '^'],
  ['&'],
  ['==', '!='],
  ['>', '>=', '<', '<='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
]
const isUnary = (text: string): boolean => Object.hasOwn(unaryOperators, text)

const token =
  /\s*(?:([$#]\(parent\)(?:\.[$#]\(parent\))*(?:\.\w+)+)|(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)|([A-Za-z_]\w*(?:\.\w+)*)|(<<|>>|<=|>=|==|!=|&&|\|\||[-!~+*/%<>&|^():']))/y

/**
 * Parses an expression of an ADB file: C-like, with the precedence of `levels`, left to right.
 * @returns the expression, or in words why it is none
 */
export function parseAdbExpression(text: string, words: Words): { expression: Expression } | { problem: string } {
  const tokens = tokenize(text)
  if (typeof tokens === 'string') return { problem: tokens }
  const parser = new ExpressionParser(tokens, words)
  try {
    return { expression: parser.whole() }
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message }
    throw error
  }
}

class Problem extends Error {}

interface Token {
  readonly kind: 'path' | 'number' | 'word' | 'operator'
  readonly text: string
}

function tokenize(text: string): Token[] | string {
  const tokens: Token[] = []
  const trimmed = text.trimEnd()
  token.lastIndex = 0
  while (token.lastIndex < trimmed.length) {
    const at = token.lastIndex
    const match = token.exec(trimmed)
    if (match === null) return `${trimmed.slice(at, at + 20)} is not understood`
    const [, path, number, word, operator] = match
    if (path !== undefined) tokens.push({ kind: 'path', text: path })
    else if (number !== undefined) tokens.push({ kind: 'number', text: number })
    else if (word !== undefined) tokens.push(wordToken(word))
    else tokens.push({ kind: 'operator', text: spellings[operator ?? ''] ?? operator ?? '' })
    if (tokens.length > MAX_TOKENS) return 'the expression is too long'
  }
  return tokens
}

function wordToken(word: string): Token {
  const operator = Object.hasOwn(spellings, word) ? spellings[word] : undefined
  if (operator !== undefined || word === 'XOR' || isUnary(word)) return { kind: 'operator', text: operator ?? word }
  return { kind: 'word', text: word }
}

/** A word is resolved when its neighbour in the comparison is known. */
interface Operand {
  readonly expression: Expression | undefined
  readonly word: string | undefined
}

class ExpressionParser {
  private at = 0
  constructor(
    private readonly tokens: readonly Token[],
    private readonly words: Words,
  ) {}

  whole(): Expression {
    const result = this.resolved(this.level(0, 0), undefined)
    const rest = this.tokens[this.at]
    if (rest !== undefined) throw new Problem(`${rest.text} is left over`)
    return result
  }

  private level(index: number, depth: number): Operand {
    const operators = levels[index]
    if (operators === undefined) return this.operand(depth)
    let left = this.level(index + 1, depth)
    for (;;) {
      const operator = this.tokens[this.at]
      if (operator?.kind !== 'operator' || !operators.includes(operator.text)) return left
      this.at++
      const right = this.level(index + 1, depth)
      const expression: Expression = [
        operator.text,
        this.resolved(left, pathOf(right)),
        this.resolved(right, pathOf(left)),
      ]
      left = { expression, word: undefined }
    }
  }

  private operand(depth: number): Operand {
    if (depth > MAX_DEPTH) throw new Problem('the expression is nested too deeply')
    const here = this.tokens[this.at++]
    if (here === undefined) throw new Problem('the expression ends early')
    if (here.kind === 'number') return { expression: Number(here.text), word: undefined }
    if (here.kind === 'word') return { expression: undefined, word: here.text }
    if (here.kind === 'path') {
      const path = this.words.path(here.text)
      if (path === undefined) throw new Problem(`there is no field ${here.text}`)
      return { expression: path, word: undefined }
    }
    if (here.text === '(') {
      const inside = this.level(0, depth + 1)
      if (this.tokens[this.at++]?.text !== ')') throw new Problem('a parenthesis is not closed')
      return inside
    }
    if (!isUnary(here.text)) throw new Problem(`${here.text} has no operand`)
    return { expression: [here.text, this.resolved(this.operand(depth + 1), undefined)], word: undefined }
  }

  private resolved({ expression, word }: Operand, beside: string | undefined): Expression {
    if (expression !== undefined) return expression
    const name = word ?? ''
    const value = this.words.constant(name, beside) ?? this.words.path(name)
    if (value === undefined) throw new Problem(`${name} is neither a field nor a name of one's enumeration`)
    return value
  }
}

const pathOf = ({ expression }: Operand): string | undefined =>
  typeof expression === 'string' ? expression : undefined
