/** Structures, unions and enums as a header declares them: syntax only, nothing is resolved or measured yet. */
import type { Enumerator } from './constants'
import type { Place, Token } from './tokenizer'

/** A structure or union. `tag` is undefined for an inline one without a name of its own. */
export interface Aggregate extends Place {
  readonly kind: 'struct' | 'union'
  readonly tag: string | undefined
  readonly members: readonly Member[]
}

type MemberType =
  | { readonly kind: 'bits' }
  | { readonly kind: 'named'; readonly tag: string }
  | { readonly kind: 'inline'; readonly aggregate: Aggregate }

export interface Member extends Place {
  /** Undefined for an anonymous aggregate. */
  readonly name: string | undefined
  readonly type: MemberType
  /** Expressions between the brackets, outermost first; an empty one is an open end. */
  readonly dimensions: readonly (readonly Token[])[]
}

export interface EnumDeclaration extends Place {
  readonly name: string | undefined
  readonly enumerators: readonly Enumerator[]
}

/** What was left out, and where. */
export interface Problem extends Place {
  readonly message: string
}

export interface Declarations {
  readonly aggregates: readonly Aggregate[]
  readonly enums: readonly EnumDeclaration[]
  readonly problems: readonly Problem[]
}

const TAG = /^mlx5_ifc_\w+$/
const BYTE_TYPES = new Set(['u8', '__u8', 'uint8_t'])
const MAX_NESTING = 32

class SyntaxProblem extends Error {
  constructor(
    readonly place: Place,
    message: string,
  ) {
    super(message)
  }
}

/**
 * Finds every enum and every mlx5_ifc_ structure or union among the tokens of a header; everything else is passed over.
 * One that cannot be read is left out and told as a problem.
 */
export function readDeclarations(tokens: readonly Token[]): Declarations {
  const reader = new DeclarationReader(tokens)
  const aggregates: Aggregate[] = []
  const enums: EnumDeclaration[] = []
  const problems: Problem[] = []
  while (!reader.done) {
    try {
      const found = reader.next()
      if (found && 'enumerators' in found) enums.push(found)
      else if (found) aggregates.push(found)
    } catch (error) {
      if (!(error instanceof SyntaxProblem)) throw error
      problems.push({ file: error.place.file, line: error.place.line, message: error.message })
    }
  }
  return { aggregates, enums, problems }
}

class DeclarationReader {
  private at = 0
  constructor(private readonly tokens: readonly Token[]) {}

  get done(): boolean {
    return this.at >= this.tokens.length
  }

  /** The declaration that starts here, or undefined after passing over one token of something else. */
  next(): Aggregate | EnumDeclaration | undefined {
    const start = this.tokens[this.at]
    if (!start) return undefined
    this.at += 1
    if (start.text === 'enum') return this.enumeration(start)
    if (start.text !== 'struct' && start.text !== 'union') return undefined
    const tag = this.tokens[this.at]
    if (!tag || !TAG.test(tag.text) || this.tokens[this.at + 1]?.text !== '{') return undefined
    this.at += 1
    return this.body(start, start.text, tag.text, 0)
  }

  private enumeration(start: Token): EnumDeclaration | undefined {
    const name = this.peek()?.kind === 'name' ? this.tokens[this.at++]?.text : undefined
    if (!this.take('{')) return undefined
    const enumerators: Enumerator[] = []
    while (!this.take('}')) {
      const token = this.name()
      const value = this.take('=') ? this.until(',', '}') : undefined
      enumerators.push({ name: token.text, value, previous: enumerators.at(-1), file: token.file, line: token.line })
      if (!this.take(',') && this.peek()?.text !== '}') throw this.unexpected()
    }
    return { name, enumerators, file: start.file, line: start.line }
  }

  private body(start: Token, kind: Aggregate['kind'], tag: string | undefined, depth: number): Aggregate {
    if (depth > MAX_NESTING) throw new SyntaxProblem(start, 'structures are nested too deeply')
    this.expect('{')
    const members: Member[] = []
    while (!this.take('}')) for (const member of this.memberLine(depth)) members.push(member)
    return { kind, tag, members, file: start.file, line: start.line }
  }

  private memberLine(depth: number): Member[] {
    if (this.peek()?.text === 'DECLARE_FLEX_ARRAY') return [this.flexArray()]
    const type = this.memberType(depth)
    if (type.kind === 'inline' && this.peek()?.text === ';') {
      this.at += 1
      const { file, line } = type.aggregate
      return [{ name: undefined, type, dimensions: [], file, line }]
    }
    const members: Member[] = []
    do {
      const name = this.name()
      members.push({ name: name.text, type, dimensions: this.dimensions(), file: name.file, line: name.line })
    } while (this.take(','))
    this.expect(';')
    return members
  }

  /** DECLARE_FLEX_ARRAY(type, name): how kernels declare an open-ended array inside a union. */
  private flexArray(): Member {
    this.at += 1
    this.expect('(')
    const type = this.memberType(MAX_NESTING)
    this.expect(',')
    const name = this.name()
    this.expect(')')
    this.expect(';')
    return { name: name.text, type, dimensions: [[]], file: name.file, line: name.line }
  }

  private memberType(depth: number): MemberType {
    const token = this.name()
    if (BYTE_TYPES.has(token.text)) return { kind: 'bits' }
    if (token.text !== 'struct' && token.text !== 'union')
      throw new SyntaxProblem(token, `"${token.text}" is no type that a bit layout has`)
    const tag = this.peek()?.kind === 'name' ? this.name().text : undefined
    if (this.peek()?.text === '{')
      return { kind: 'inline', aggregate: this.body(token, token.text, undefined, depth + 1) }
    if (tag === undefined) throw this.unexpected()
    return { kind: 'named', tag }
  }

  private dimensions(): (readonly Token[])[] {
    const dimensions: (readonly Token[])[] = []
    while (this.take('[')) {
      dimensions.push(this.until(']'))
      this.expect(']')
    }
    return dimensions
  }

  /** Tokens up to one of `ends` outside parentheses; the end itself stays. */
  private until(...ends: readonly string[]): readonly Token[] {
    const start = this.at
    let depth = 0
    for (; !this.done; this.at += 1) {
      const text = this.peek()?.text ?? ''
      if (depth === 0 && ends.includes(text)) return this.tokens.slice(start, this.at)
      if (text === ';' || text === '{') break
      if (text === '(') depth += 1
      if (text === ')') depth -= 1
    }
    throw this.unexpected()
  }

  private peek(): Token | undefined {
    return this.tokens[this.at]
  }

  private take(text: string): boolean {
    if (this.peek()?.text !== text) return false
    this.at += 1
    return true
  }

  private expect(text: string): void {
    if (!this.take(text)) throw this.unexpected(`expected "${text}"`)
  }

  private name(): Token {
    const token = this.peek()
    if (token?.kind !== 'name') throw this.unexpected('expected a name')
    this.at += 1
    return token
  }

  private unexpected(expected = 'cannot be read'): SyntaxProblem {
    const token = this.peek()
    const last = this.tokens[this.tokens.length - 1]
    const place = token ?? last ?? { file: '', line: 0 }
    const found = token ? `"${token.text.slice(0, 40)}"` : 'the end of the file'
    return new SyntaxProblem(place, `${expected} at ${found}`)
  }
}
