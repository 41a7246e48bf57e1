import fc from 'fast-check'
import { Codec, type Struct, type Value } from '../../src/prm/codec'
import { MalformedData, NameError, ValueError } from '../../src/prm/errors'
import type { Enumeration, Field, Layout } from '../../src/prm/layout'

const colour: Enumeration = { name: 'colour', values: { MLX5_COLOUR_RED: 1, MLX5_COLOUR_DARK_BLUE: 6 } }

const layouts: Record<string, Layout> = {
  pair: { name: 'pair', kind: 'struct', bits: 32, fields: [f('high', 0, 20), f('low', 20, 12)] },
  outer: {
    name: 'outer',
    kind: 'struct',
    bits: 256,
    fields: [
      f('reserved_at_0', 0, 3),
      f('flag', 3, 1),
      f('kind', 4, 4, { enum: 'colour' }),
      f('crossing', 8, 32),
      f('reserved_at_28', 40, 24),
      f('wide', 64, 64),
      f('pair', 128, 32, { layout: 'pair' }),
      f('', 160, 32, { layout: 'outer.@1' }),
      f('list', 192, 8, { array: { count: 4, stride: 8 } }),
      f('reserved_at_e0', 224, 32),
      f('tail', 256, 32, { layout: 'pair', array: { count: null, stride: 32 } }),
    ],
  },
  'outer.@1': {
    name: 'outer.@1',
    kind: 'union',
    bits: 32,
    fields: [f('number', 0, 32), f('split', 0, 32, { layout: 'pair' })],
  },
  address: { name: 'address', kind: 'struct', bits: 160, fields: [f('odd', 4, 108), f('ip', 32 + 96, 32)] },
}

const codec = new Codec({
  layout: (name) => layouts[name] ?? fail(name),
  enumeration: () => colour,
})

function f(name: string, offset: number, width: number, more: Partial<Field> = {}): Field {
  return { name, offset, width, ...more }
}

function fail(name: string): never {
  throw new NameError(`no layout ${name}`)
}

/** 0b1 0110 -> flag and kind; a 32-bit field over a dword's edge; a 64-bit one; a union; an array; two tail elements. */
const wire = Buffer.from(
  '16deadbeef000000' + '0123456789abcdef' + 'abcde123' + '12345678' + '01020304' + '00000000' + 'fffff001' + '00001fff',
  'hex',
)

describe('decode', () => {
  test('gives each field by its declared width', () => {
    expect(codec.decode('outer', wire)).toEqual({
      flag: 1,
      kind: 6,
      crossing: 0xdeadbeef,
      wide: 0x0123456789abcdefn,
      pair: { high: 0xabcde, low: 0x123 },
      number: 0x12345678,
      split: { high: 0x12345, low: 0x678 },
      list: [1, 2, 3, 4],
      tail: [
        { high: 0xfffff, low: 1 },
        { high: 1, low: 0xfff },
      ],
    })
  })

  test('gives bytes past 64 bits, padded on the left', () => {
    const bytes = Buffer.from('f123456789abcdef0123456789abcdef00000007', 'hex')
    const { odd, ip } = codec.decode('address', bytes)
    expect(Buffer.from(odd as Uint8Array).toString('hex')).toBe('0123456789abcdef0123456789ab')
    expect(ip).toBe(7)
  })

  test('shows reserved bits only when asked, and only those that are not zero', () => {
    const bytes = Uint8Array.from(wire)
    bytes[5] = 0x80
    expect(codec.decode('outer', bytes)).not.toHaveProperty('reserved_at_28')
    const shown = codec.decode('outer', bytes, { reserved: true })
    expect(shown).toHaveProperty('reserved_at_28', 0x800000)
    expect(shown).not.toHaveProperty('reserved_at_e0')
  })

  test('compiled functions give what the first calls gave', () => {
    const flat: Layout = {
      name: 'flat',
      kind: 'struct',
      bits: 160,
      fields: [f('a', 0, 7), f('b', 7, 32), f('c', 64, 64), f('d', 128, 32)],
    }
    const bytes = Buffer.from('fedcba9876543210a5a5a5a5f00ff00f80000001', 'hex')
    const results = Array.from({ length: 30 }, () => codec.decode(flat, bytes))
    for (const result of results)
      expect(result).toEqual({ a: 0x7f, b: 0x6e5d4c3b, c: 0xa5a5a5a5f00ff00fn, d: 0x80000001 })
    const again = Array.from({ length: 30 }, () => Buffer.from(codec.encode(flat, results[0] ?? {})).toString('hex'))
    // Bits 39 to 63 belong to no field.
    expect(new Set(again)).toEqual(new Set(['fedcba9876000000a5a5a5a5f00ff00f80000001']))
  })

  test('compiled functions write nested values and arrays, and refuse what does not fit', () => {
    const nested: Layout = {
      name: 'nested',
      kind: 'struct',
      bits: 160,
      fields: [
        f('a', 0, 8),
        f('reserved_at_8', 8, 24),
        f('pair', 32, 32, { layout: 'pair' }),
        f('list', 64, 8, { array: { count: 4, stride: 8 } }),
        f('pairs', 96, 32, { layout: 'pair', array: { count: 2, stride: 32 } }),
      ],
    }
    const wanted = 'a5000000' + 'abcde123' + '01020304' + 'fffff001' + '00001fff'
    const values: Struct = {
      a: 0xa5,
      pair: { high: 0xabcde, low: 0x123 },
      list: [1, 2, 3, 4],
      pairs: [
        { high: 0xfffff, low: 1 },
        { high: 1, low: 0xfff },
      ],
    }
    // Encoding only, and encoding between decoding: either is compiled after some calls of its own.
    for (const between of [false, true]) {
      const own = new Codec({ layout: (name) => layouts[name] ?? fail(name) })
      for (let call = 0; call < 30; call++) {
        expect(Buffer.from(own.encode(nested, values)).toString('hex')).toBe(wanted)
        if (between) expect(own.decode(nested, Buffer.from(wanted, 'hex'))).toEqual(values)
      }
      expect(() => own.encode(nested, { pair: { low: 0x1000 } })).toThrow(/^pair\.low: 4096 does not fit/)
      expect(() => own.encode(nested, { pairs: [{}, { nothing: 1 }] })).toThrow(/^pairs\[1\] has no field nothing/)
      expect(() => own.encode(nested, { list: [1, 2, 3, 4, 5] })).toThrow(/^list: has 4 elements, not 5/)
      expect(() => own.encode(nested, { a: 256 })).toThrow(ValueError)
      expect(() => own.encode(nested, { b: 1 })).toThrow(NameError)
    }
  })

  test('refuses bytes that end early, with path and offset; partial takes what is whole', () => {
    expect(() => codec.decode('outer', wire.subarray(0, 14))).toThrow(MalformedData)
    expect(() => codec.decode('outer', wire.subarray(0, 14))).toThrow(/outer\.wide.*offset 8/)
    expect(codec.decode('outer', wire.subarray(0, 14), { partial: true })).toEqual({
      flag: 1,
      kind: 6,
      crossing: 0xdeadbeef,
    })
    expect(() => codec.decode('outer', Buffer.concat([wire, Buffer.from('00', 'hex')]))).toThrow(
      /tail\[2\].*needs 4 bytes, 1 are left/,
    )
  })
})

describe('encode', () => {
  test('is the inverse, tails included', () => {
    expect(Buffer.from(codec.encode('outer', codec.decode('outer', wire))).toString('hex')).toBe(wire.toString('hex'))
  })

  test.each<[Struct, RegExp]>([
    [{ flag: 2 }, /flag: 2 does not fit: 0 to 1/],
    [{ kind: -1 }, /kind: -1 does not fit/],
    [{ crossing: 1.5 }, /crossing: takes an integer/],
    [{ wide: 2n ** 64n }, /wide: .* does not fit/],
    [{ pair: 3 }, /pair: is a structure/],
    [{ list: [1, 2, 3, 4, 5] }, /list: has 4 elements, not 5/],
    [{ list: 1 }, /list: is an array/],
    [{ nothing: 1 }, /no field nothing/],
    [{ pair: { constructor: 1 } }, /no field constructor/],
  ])('refuses %p', (values, message) => {
    expect(() => codec.encode('outer', values)).toThrow(message)
  })
})

describe('names', () => {
  test.each([
    ['pair.high', 128, 20],
    ['tail[1].low', 256 + 32 + 20, 12],
    ['number', 160, 32],
    ['list[3]', 216, 8],
    ['crossing', 8, 32],
  ])('%s', (name, offset, width) => {
    expect(codec.resolve('outer', name)).toMatchObject({ offset, width })
  })

  test('an ambiguous ending lists the candidates', () => {
    expect(() => codec.resolve('outer', 'high')).toThrow(/ambiguous.*pair\.high, split\.high, tail\[0\]\.high/)
    expect(() => codec.resolve('outer', 'crosing')).toThrow(/did you mean crossing/)
    expect(() => codec.resolve('outer', 'tail.low')).toThrow(/give an index/)
    expect(() => codec.resolve('outer', 'list[4]')).toThrow(/last index is 3/)
    expect(() => codec.resolve('outer', 'flag[0]')).toThrow(/no array/)
  })

  test.each([
    ['kind', 'dark_blue', 6],
    ['kind', 'MLX5_COLOUR_RED', 1],
    ['kind', '0b11', 3],
    ['crossing', '0xffffffff', 0xffffffff],
    ['wide', '18446744073709551615', 0xffffffffffffffffn],
  ])('%s=%s', (name, text, value) => {
    expect(codec.parse(codec.resolve('outer', name), text)).toBe(value)
  })

  test.each([
    ['kind', 'green', /RED, DARK_BLUE/],
    ['kind', '16', /0 to 15/],
    ['crossing', '-1', /negative/],
    ['flag', '', /not a number|neither/],
    ['pair', '1', /structure/],
    ['list', '1', /array/],
  ])('refuses %s=%s', (name, text, message) => {
    const parse = (): Value => codec.parse(codec.resolve('outer', name), text)
    expect(parse).toThrow(ValueError)
    expect(parse).toThrow(message)
  })
})

test('ranges cover every bit outside of unions once', () => {
  const seen = new Uint8Array(wire.length * 8)
  for (const { path, offset, width } of codec.ranges('outer', wire))
    if (!path.startsWith('split')) for (let bit = offset; bit < offset + width; bit++) seen[bit] = (seen[bit] ?? 0) + 1
  expect(seen.every((count) => count === 1)).toBe(true)
})

/** An independent model: the bytes as a string of bits. */
const bitsOf = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')

const randomLayout = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 130 }), fc.boolean(), fc.integer({ min: 0, max: 3 })), {
    minLength: 1,
    maxLength: 20,
  })
  .map((parts): Layout => {
    let offset = 0
    const fields = parts.map(([width, reserved, count], index) => {
      const name = reserved ? `reserved_at_${offset.toString(16)}` : `f${index}`
      const field = f(name, offset, width, count > 1 && !reserved ? { array: { count, stride: width } } : {})
      offset += width * (field.array?.count ?? 1)
      return field
    })
    const bits = Math.ceil(offset / 32) * 32
    return { name: 'random', kind: 'struct', bits, fields }
  })
const withBytes = randomLayout.chain((layout) =>
  fc.tuple(fc.constant(layout), fc.uint8Array({ minLength: layout.bits / 8, maxLength: layout.bits / 8 })),
)

test('property: get agrees with a string of bits, for any width at any offset', () => {
  fc.assert(
    fc.property(withBytes, ([layout, bytes]) => {
      const bits = bitsOf(bytes)
      for (const { name, offset, width, array } of layout.fields.filter((field) => field.name.startsWith('f')))
        for (let index = 0; index < (array?.count ?? 1); index++) {
          const at = offset + index * width
          const value = codec.get(layout, bytes, array === undefined ? name : `${name}[${index}]`)
          const expected = bits.slice(at, at + width)
          const actual =
            value instanceof Uint8Array
              ? bitsOf(value).slice(-width)
              : (value as number | bigint).toString(2).padStart(width, '0')
          if (actual !== expected) throw new Error(`${name}[${index}]: ${actual} instead of ${expected}`)
        }
    }),
    { numRuns: 300 },
  )
})

test('property: set changes its field and no other bit', () => {
  fc.assert(
    fc.property(withBytes, fc.bigInt({ min: 0n, max: 2n ** 130n }), ([layout, bytes], big) => {
      for (const { name, offset, width, array } of layout.fields.filter((field) => field.name.startsWith('f'))) {
        const wanted = (big % (1n << BigInt(width))).toString(2).padStart(width, '0')
        const value = width <= 32 ? Number(`0b${wanted}`) : width <= 64 ? BigInt(`0b${wanted}`) : bytesOf(wanted)
        const changed = Uint8Array.from(bytes)
        codec.set(layout, changed, array === undefined ? name : `${name}[0]`, value)
        const before = bitsOf(bytes)
        expect(bitsOf(changed)).toBe(before.slice(0, offset) + wanted + before.slice(offset + width))
      }
    }),
    { numRuns: 100 },
  )
})

test('property: encode gives back what decode took, reserved bits apart', () => {
  fc.assert(
    fc.property(withBytes, ([layout, bytes]) => {
      const once = codec.decode(layout, bytes)
      expect(codec.decode(layout, codec.encode(layout, once))).toEqual(once)
    }),
    { numRuns: 200 },
  )
})

function bytesOf(bits: string): Uint8Array {
  const padded = bits.padStart(Math.ceil(bits.length / 8) * 8, '0')
  return Uint8Array.from(padded.match(/.{8}/g) ?? [], (byte) => Number(`0b${byte}`))
}
