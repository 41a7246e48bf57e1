/** Values of #defines and enum constants: found when asked for, once, in any order of definition. */
import { BadExpression, evaluate, integer } from './expression'
import type { Integer, Names } from './expression'
import type { Define, Place, Token } from './tokenizer'

/** One enumerator: its own expression, or the value of the one before it plus one. */
export interface Enumerator extends Place {
  readonly name: string
  readonly value: readonly Token[] | undefined
  readonly previous: Enumerator | undefined
}

/** Macros that the kernel defines elsewhere. */
const BUILT_IN: Readonly<Record<string, (args: readonly bigint[]) => Integer>> = {
  BIT: ([n = 0n]) => integer(1n << bounded(n), 64, true),
  BIT_ULL: ([n = 0n]) => integer(1n << bounded(n), 64, true),
  GENMASK: ([high = 0n, low = 0n]) => integer(mask(high, low), 64, true),
  GENMASK_ULL: ([high = 0n, low = 0n]) => integer(mask(high, low), 64, true),
}

const MAX_DEPTH = 200
/** Operands that one import may read; the largest header needs about ten thousand. */
const BUDGET = 2_000_000

export class ConstantTable implements Names {
  private readonly defines = new Map<string, Define>()
  private readonly enumerators = new Map<string, Enumerator>()
  private readonly known = new Map<string, Integer | BadExpression>()
  private readonly pending = new Set<string>()
  private budget = BUDGET

  /** The first definition of a name stands: later ones are the other branch of an #if. */
  addDefine(define: Define): void {
    if (!this.defines.has(define.name)) this.defines.set(define.name, define)
  }

  addEnumerator(enumerator: Enumerator): void {
    if (!this.enumerators.has(enumerator.name)) this.enumerators.set(enumerator.name, enumerator)
  }

  /** @throws BadExpression */
  evaluate(tokens: readonly Token[]): bigint {
    return evaluate(tokens, this).value
  }

  constant(name: string): Integer {
    const known = this.known.get(name) ?? this.find(name)
    if (known instanceof BadExpression) throw known
    return known
  }

  call(name: string, args: readonly Integer[]): Integer {
    const define = this.defines.get(name)
    if (define?.parameters) return this.expand(define, define.parameters, args)
    const builtIn = Object.hasOwn(BUILT_IN, name) ? BUILT_IN[name] : undefined
    if (builtIn) return builtIn(args.map((argument) => argument.value))
    throw new BadExpression(`${name}() is not known`)
  }

  spend(): void {
    this.budget -= 1
    if (this.budget < 0) throw new BadExpression('the constants take too long to work out')
  }

  private find(name: string): Integer | BadExpression {
    const result = this.guarded(name, () => this.work(name))
    this.known.set(name, result)
    return result
  }

  private guarded(name: string, work: () => Integer): Integer | BadExpression {
    if (this.pending.has(name)) throw new BadExpression(`${name} is defined by itself`)
    if (this.pending.size >= MAX_DEPTH) throw new BadExpression(`${name} is defined through too many others`)
    this.pending.add(name)
    try {
      return work()
    } catch (error) {
      if (error instanceof BadExpression) return error
      throw error
    } finally {
      this.pending.delete(name)
    }
  }

  private work(name: string): Integer {
    const enumerator = this.enumerators.get(name)
    if (enumerator) return this.enumeratorValue(enumerator)
    const define = this.defines.get(name)
    if (!define || define.parameters) throw new BadExpression(`${name} is not known`)
    return evaluate(define.body, this)
  }

  /** Walks back to the last explicit value instead of recursing: an enum may have any number of implicit ones. */
  private enumeratorValue(enumerator: Enumerator): Integer {
    let steps = 0
    let start: Enumerator | undefined = enumerator
    while (start && !start.value && !this.known.has(start.name)) {
      this.spend()
      steps += 1
      start = start.previous
    }
    if (!start) return integer(steps - 1)
    const base = this.known.get(start.name)
    if (base instanceof BadExpression) throw base
    const value = start.value && !base ? evaluate(start.value, this) : (base ?? integer(0))
    return { ...value, value: value.value + BigInt(steps) }
  }

  private expand(define: Define, parameters: readonly string[], args: readonly Integer[]): Integer {
    if (args.length !== parameters.length)
      throw new BadExpression(`${define.name}() takes ${parameters.length} arguments`)
    const bound = new Map(parameters.map((name, index) => [name, args[index]] as const))
    const names: Names = {
      constant: (name) => bound.get(name) ?? this.constant(name),
      call: (name, inner) => this.call(name, inner),
      spend: () => this.spend(),
    }
    const result = this.guarded(`${define.name}()`, () => evaluate(define.body, names))
    if (result instanceof BadExpression) throw result
    return result
  }
}

function bounded(count: bigint): bigint {
  if (count < 0n || count > 63n) throw new BadExpression(`cannot shift by ${count}`)
  return count
}

function mask(high: bigint, low: bigint): bigint {
  return (1n << (bounded(high) + 1n)) - (1n << bounded(low))
}
