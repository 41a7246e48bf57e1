import fc from 'fast-check'
import { Codec } from '../../src/prm/codec'
import { MalformedData, NameError } from '../../src/prm/errors'
import { importHeaders } from '../../src/prm/import/headers'
import { parseBytes } from '../../src/prm/input-bytes'
import type { Field, Layout } from '../../src/prm/layout'
import { orMalformed } from '../support/hostile'

function codecOf(layouts: Record<string, Layout>): Codec {
  return new Codec({
    layout: (name) => {
      const layout = Object.hasOwn(layouts, name) ? layouts[name] : undefined
      if (layout === undefined) throw new NameError(name)
      return layout
    },
  })
}

const struct = (name: string, bits: number, fields: Field[], kind: Layout['kind'] = 'struct'): Layout => ({
  name,
  kind,
  bits,
  fields,
})

describe('a catalogue that cannot be', () => {
  test.each<[string, Record<string, Layout>, RegExp]>([
    ['itself', { a: struct('a', 32, [{ name: 'a', offset: 0, width: 32, layout: 'a' }]) }, /contains itself/],
    [
      'a cycle of two',
      {
        a: struct('a', 32, [{ name: 'b', offset: 0, width: 32, layout: 'b' }]),
        b: struct('b', 32, [{ name: 'a', offset: 0, width: 32, layout: 'a' }]),
      },
      /contains itself/,
    ],
    [
      'an anonymous cycle',
      {
        a: struct('a', 32, [{ name: '', offset: 0, width: 32, layout: 'b' }]),
        b: struct('b', 32, [{ name: '', offset: 0, width: 32, layout: 'b' }]),
      },
      /contains itself/,
    ],
    [
      'overlap',
      {
        a: struct('a', 32, [
          { name: 'x', offset: 0, width: 16 },
          { name: 'y', offset: 8, width: 16 },
        ]),
      },
      /overlaps/,
    ],
    ['outside', { a: struct('a', 32, [{ name: 'x', offset: 16, width: 17 }]) }, /leaves the 32 bits/],
    ['no width', { a: struct('a', 32, [{ name: 'x', offset: 0, width: 0 }]) }, /no width/],
    ['negative', { a: struct('a', 32, [{ name: 'x', offset: -8, width: 8 }]) }, /position/],
    ['a fraction', { a: struct('a', 32, [{ name: 'x', offset: 0.5, width: 8 }]) }, /position/],
    ['a huge size', { a: struct('a', 2 ** 40, [{ name: 'x', offset: 0, width: 8 }]) }, /not possible/],
    [
      'a huge count',
      { a: struct('a', 32, [{ name: 'x', offset: 0, width: 8, array: { count: 2 ** 31, stride: 8 } }]) },
      /number of elements|leaves/,
    ],
    [
      'no stride',
      { a: struct('a', 32, [{ name: 'x', offset: 32, width: 8, array: { count: null, stride: 0 } }]) },
      /elements/,
    ],
    [
      'twice',
      {
        a: struct('a', 32, [
          { name: 'x', offset: 0, width: 8 },
          { name: 'x', offset: 8, width: 8 },
        ]),
      },
      /twice/,
    ],
  ])('%s', (_, layouts, message) => {
    const codec = codecOf(layouts)
    for (const work of [
      () => codec.decode('a', new Uint8Array(64)),
      () => codec.encode('a', {}),
      () => codec.ranges('a', new Uint8Array(64)),
    ]) {
      expect(work).toThrow(MalformedData)
      expect(work).toThrow(message)
    }
  })

  test('deep nesting ends', () => {
    const layouts: Record<string, Layout> = {}
    for (let depth = 0; depth < 500; depth++)
      layouts[`l${depth}`] = struct(`l${depth}`, 32, [
        { name: 'x', offset: 0, width: 32, ...(depth < 499 ? { layout: `l${depth + 1}` } : {}) },
      ])
    expect(() => codecOf(layouts).decode('l0', new Uint8Array(4))).toThrow(/too deeply/)
  })

  test('names of the prototype are names like others', () => {
    const codec = codecOf({
      a: struct(
        'a',
        24,
        ['__proto__', 'constructor', 'toString'].map((name, i) => ({ name, offset: i * 8, width: 8 })),
      ),
    })
    for (let round = 0; round < 20; round++) {
      const decoded = codec.decode('a', Uint8Array.of(1, 2, 3))
      expect(Object.entries(decoded)).toEqual([
        ['__proto__', 1],
        ['constructor', 2],
        ['toString', 3],
      ])
      expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype)
    }
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })
})

test('random layouts over random bytes give a value or MalformedData', () => {
  const field = fc.record({
    name: fc.constantFrom('a', 'b', 'c', '', 'reserved_at_0', '__proto__'),
    offset: fc.integer({ min: -4, max: 300 }),
    width: fc.integer({ min: 0, max: 200 }),
    layout: fc.option(fc.constantFrom('x', 'y', 'none'), { nil: undefined }),
    array: fc.option(
      fc.record({
        count: fc.option(fc.integer({ min: -1, max: 2 ** 30 }), { nil: null }),
        stride: fc.integer({ min: 0, max: 300 }),
      }),
      { nil: undefined },
    ),
  })
  const layout = (name: string): fc.Arbitrary<Layout> =>
    fc.record({
      name: fc.constant(name),
      kind: fc.constantFrom('struct' as const, 'union' as const),
      bits: fc.integer({ min: 0, max: 400 }),
      fields: fc.array(field, { maxLength: 5 }) as unknown as fc.Arbitrary<Field[]>,
    })
  fc.assert(
    fc.property(layout('x'), layout('y'), fc.uint8Array({ maxLength: 100 }), (x, y, bytes) => {
      const codec = codecOf({ x, y })
      orMalformed(() => codec.decode('x', bytes))
      orMalformed(() => codec.decode('x', bytes, { partial: true, reserved: true }))
      orMalformed(() => codec.ranges('x', bytes))
    }),
    { numRuns: 3000 },
  )
})

const header = `
#define BASE 0x10
#define SIZE (BASE + \\
  0x10)
enum { MLX5_CMD_OP_QUERY_HCA_CAP = 0x100, MLX5_CMD_OP_NEXT, MLX5_CMD_OP_MAX };
/* struct mlx5_ifc_hidden_bits { u8 a[0x20]; }; */
struct mlx5_ifc_in_bits { u8 opcode[0x10]; u8 reserved_at_10[SIZE - 0x10]; union { u8 a[0x20]; struct { u8 b[0x10]; u8 c[0x10]; }; }; u8 pas[][0x40]; };
`

test('mutated headers give entries, problems or MalformedData, soon', () => {
  const mutation = fc.record({
    at: fc.nat(header.length),
    cut: fc.nat(40),
    text: fc.constantFrom(
      '',
      '{',
      '}',
      '[',
      ']',
      '(',
      '#define X X\n',
      '/*',
      '"',
      '\\',
      '0x',
      'struct ',
      ';',
      '1<<999',
      '\0',
      '…',
    ),
  })
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      const text = mutations.reduce(
        (now, { at, cut, text: put }) => now.slice(0, at) + put + now.slice(at + cut),
        header,
      )
      orMalformed(() => importHeaders([{ name: 'mutated.h', text }]))
    }),
    { numRuns: 2000 },
  )
})

test('random input to decode gives bytes or MalformedData', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.string().map((text) => Buffer.from(text)),
        fc.stringMatching(/^[0-9a-fx: \n|*,]{0,200}$/).map((text) => Buffer.from(text)),
      ),
      (input) => {
        orMalformed(() => parseBytes(input))
      },
    ),
    { numRuns: 5000 },
  )
})
