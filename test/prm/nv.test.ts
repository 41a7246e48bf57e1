import { MalformedData, ValueError } from '../../src/prm/errors'
import { importNvTables } from '../../src/prm/import/nv-database'
import { nvType, parseNvType } from '../../src/prm/nv'
import { evaluateNvExpression, parseNvExpression } from '../../src/prm/nv-expression'
import { parseSettingsFile } from '../../src/prm/nv-file'
import { formatRawTlvs, parseRawTlvs } from '../../src/prm/nv-raw'
import { nvValueText, parseNvValue, readNvValue, writeNvValue } from '../../src/prm/nv-value'
import { orMalformed } from '../support/hostile'
import { Random, seed } from '../support/random'

/** Numbers and names with values, as the database would have them. */
const values: Readonly<Record<string, number>> = { a: 5, b: 0, 'cap.most': 127, x: 3 }
const run = (text: string): number | undefined =>
  evaluateNvExpression(parseNvExpression(text), (tlv, name) => values[tlv === undefined ? name : `${tlv}.${name}`])

test.each<[string, number | undefined]>([
  ['1', 1],
  ['$a', 5],
  ['$cap.most==127', 1],
  ['$a == 5 && $b == 1', 0],
  ['$a==4||$b==0', 1],
  ['$b==0 ? $a : 9', 5],
  ['($b!=0)?1:($a>4?2:3)', 2],
  ['2*3+4', 10],
  ['2+3*4', 14],
  ['10-4-3', 3],
  // Power, and not exclusive or; from the right.
  ['2^3', 8],
  ['2^3^2', 512],
  ['($a)^2', 25],
  ['7/2', 3.5],
  ['log2(8)', 3],
  ['BitwiseOr($a,8)', 13],
  ['BitwiseAnd($a,4)', 4],
  ['1<2 && 3>=3', 1],
  ['$a<=4', 0],
  ['-3+5', 2],
  ['$missing==1', undefined],
  // All operands of || must be known.
  ['$a==5||$missing==1', undefined],
])('%s is %p', (text, expected) => expect(run(text)).toBe(expected))

test.each(['', '1+', '(1', '1)', 'log2', 'log2(1,2)', 'nosuch(1)', '$', 'a', '1 2', '1 ? 2', '$a = 1', '#'])(
  '%p is no expression',
  (text) => expect(() => parseNvExpression(text)).toThrow(MalformedData),
)

test('deep and long expressions are told', () => {
  expect(() => parseNvExpression(`${'('.repeat(5000)}1${')'.repeat(5000)}`)).toThrow(MalformedData)
  expect(() => parseNvExpression(`${'-'.repeat(1500)}1`)).toThrow(MalformedData)
  expect(() => parseNvExpression(`1${'+1'.repeat(5000)}`)).toThrow(MalformedData)
  expect(() => parseNvExpression(`1${'?1:1'.repeat(400)}`)).toThrow(MalformedData)
})

/** Examples of the facts (mstconfig, C.2a). */
test.each([
  [{ class: 0, id: 128 }, {}, 0x00000080],
  [{ class: 1, id: 18 }, { port: 1 }, 0x01010012],
  [{ class: 3, id: 128 }, { host: 0, function: 0 }, 0x03000080],
  [{ class: 9, id: 4 }, { module: 1 }, 0x09004004],
])('the type of class and id %j, instance %j', (tlv, instance, type) => {
  expect(nvType(tlv, instance)).toBe(type)
  expect(parseNvType(type)).toEqual({ key: tlv.class * 2 ** 24 + tlv.id, instance })
})

const row = (name: string, more: Record<string, unknown>): Record<string, unknown> => ({
  name,
  tlv_name: 'nv_test',
  type: 'UNSIGNED',
  mlxconfig_name: name.toUpperCase(),
  array_length: 0,
  supported_from_version: 0,
  ...more,
})
const tlv = { name: 'nv_test', id: 5, target: 'NIC', cap: 0, size: 16, class: 0, mlxconfig_name: 'TEST' }

test('positions count from the right of a dword, those of arrays in bytes', () => {
  const { tlvs, problems } = importNvTables(
    {
      tlvs: [tlv],
      params: [
        row('top', { type: 'BOOL', offset: '0x4.31', size: '0x0.1' }),
        row('half', { offset: '0x4.0', size: '0x0.16' }),
        row('link', { type: 'ENUM', offset: '0x0.2', size: '0x0.2', textual_values: 'IB=0x1,ETH=2' }),
        row('list', { offset: '0x8.24', size: '0x4.0', array_length: 4 }),
      ],
    },
    'db',
  )
  expect(problems).toEqual([])
  expect(tlvs[0]?.parameters.map(({ name, offset, width, count }) => [name, offset, width, count])).toEqual([
    ['top', 32, 1, undefined],
    ['half', 48, 16, undefined],
    ['link', 28, 2, undefined],
    ['list', 64, 8, 4],
  ])
  expect(tlvs[0]?.parameters[2]?.values).toEqual({ IB: 1, ETH: 2 })
})

test.each<[string, Record<string, unknown>, RegExp]>([
  ['outside of its TLV', { offset: '0x10.0', size: '0x0.8' }, /leaves the 16 bytes/],
  ['no position', { offset: 'x', size: '0x0.8' }, /has no position/],
  ['another type', { type: 'FLOAT', offset: '0x0.0', size: '0x0.8' }, /type FLOAT is none/],
  ['an ENUM without names', { type: 'ENUM', offset: '0x0.0', size: '0x0.8', textual_values: '' }, /ENUM without names/],
  ['an expression that is none', { offset: '0x0.0', size: '0x0.8', rule: '$a ==' }, /ends early/],
  ['elements that do not fit', { offset: '0x0.0', size: '0x0.9', array_length: 2 }, /2 elements in 9 bits/],
])('a parameter with %s is left out and told', (_, more, message) => {
  const { tlvs, problems } = importNvTables({ tlvs: [tlv], params: [row('bad', more)] }, 'db')
  expect(tlvs[0]?.parameters).toEqual([])
  expect(problems).toEqual([{ file: 'db', line: 1, message: expect.stringMatching(message) as string }])
})

test('TLVs that make no sense are left out; a database without any is none', () => {
  for (const bad of [{ class: 2 }, { id: 2 ** 25 }, { class: 3, id: 1024 }, { size: 0 }, { name: 'a b' }])
    expect(() => importNvTables({ tlvs: [{ ...tlv, ...bad }], params: [] }, 'db')).toThrow(MalformedData)
})

const base = { name: 'p', title: 'P', offset: 4, width: 12 } as const

test('values as they are written and shown', () => {
  const list = { ...base, offset: 8, width: 8, count: 4, type: 'UNSIGNED' } as const
  const data = new Uint8Array(8)
  writeNvValue({ ...base, type: 'UNSIGNED' }, data, 0xabc)
  writeNvValue(list, data, 7, 2)
  expect(Buffer.from(data).toString('hex')).toBe('0abc000700000000'.replace('0abc00', '0abc00'))
  expect(readNvValue(list, data)).toEqual([0xbc, 0, 7, 0])
  const shown: [object, number | readonly number[] | Uint8Array, string][] = [
    [{ type: 'BOOL' }, 1, 'True(1)'],
    [{ type: 'ENUM', values: { IB: 1, ETH: 2 } }, 2, 'ETH(2)'],
    [{ type: 'ENUM', values: { IB: 1 } }, 3, '3'],
    [{ type: 'ENUM', values: { '1': 1 } }, 1, '1'],
    [{ type: 'BINARY' }, 26, '0x1A(26)'],
    [{ type: 'UNSIGNED', width: 32 }, 0xffffffff, 'N/A'],
    [{ type: 'UNSIGNED' }, [1, 2, 3], 'Array[0..2]'],
    [{ type: 'BYTES' }, Uint8Array.of(0xab, 1), 'AB01'],
    [{ type: 'BYTES' }, new Uint8Array(17), 'Array[0..16]'],
  ]
  for (const [parameter, value, text] of shown)
    expect([text, nvValueText({ ...base, ...parameter } as Parameters<typeof nvValueText>[0], value)]).toEqual([
      text,
      text,
    ])
})

test.each<[object, string, number | string]>([
  [{ type: 'BOOL' }, 'tRUE', 1],
  [{ type: 'BOOL' }, '0', 0],
  [{ type: 'ENUM', values: { IB: 1, ETH: 2 } }, 'eth', 2],
  [{ type: 'ENUM', values: { IB: 1, ETH: 2 } }, 'ETH(2)', 2],
  [{ type: 'ENUM', values: { IB: 1, ETH: 2 } }, '3', '3 is no value of it: IB, ETH'],
  [{ type: 'UNSIGNED' }, '0x10', 16],
  [{ type: 'UNSIGNED' }, '010', 8],
  [{ type: 'UNSIGNED' }, '4096', '4096 does not fit: 0 to 4095'],
  [{ type: 'UNSIGNED', width: 32 }, '0xffffffff', 'stands for no value'],
  [{ type: 'UNSIGNED' }, '1.5', 'is no value of it'],
  [{ type: 'BINARY' }, '1f', 0x1f],
  [{ type: 'BINARY' }, '0x1:2', 0x12],
  [{ type: 'BYTES', count: 4 }, '0123', 'whole dwords'],
])('%j takes %s: %p', (parameter, text, expected) => {
  const parse = (): unknown => parseNvValue({ ...base, ...parameter } as Parameters<typeof parseNvValue>[0], 'P', text)
  if (typeof expected === 'number') expect(parse()).toBe(expected)
  else {
    expect(parse).toThrow(ValueError)
    expect(parse).toThrow(expected)
  }
})

test('raw files: the vector of mstconfig, and inverse', () => {
  const [one] = parseRawTlvs('MLNX_RAW_TLV_FILE\n% remark\n\n0x03000004 0x01010012 0x00000000 0x00000008 \n', 'f')
  expect(one).toMatchObject({ line: 4, type: 0x01010012 })
  expect(Buffer.from(one?.data ?? []).toString('hex')).toBe('00000008')
  const text = formatRawTlvs([
    { header: one?.header ?? new Uint8Array(0), data: one?.data ?? new Uint8Array(0), remark: 'x' },
  ])
  expect(text).toBe('MLNX_RAW_TLV_FILE\n% x\n0x03000004 0x01010012 0x00000000 0x00000008 \n')
})

test('damaged YAML is taken or told', async () => {
  const random = new Random(seed)
  const source = 'parameters: { SRIOV_EN: True, LIST: [1, "2"] }\npsid:\n  MT_1: &x { NUM_OF_VFS: 8 }\n  MT_2: *x\n'
  let taken = 0
  const count = 3000 * Number(process.env.MLX5CTL_FUZZ ?? 1)
  for (let index = 0; index < count; index++) {
    const bytes = Buffer.from(source)
    for (let times = random.below(3); times >= 0; times--)
      bytes[random.below(bytes.length)] = random.one([...Buffer.from('{}[]:,&*|>-#"\' \nx1!%@`?')])
    try {
      await parseSettingsFile(bytes.toString('latin1').slice(0, random.below(bytes.length + 40)), 'f')
      taken++
    } catch (error) {
      if (!(error instanceof MalformedData)) throw error
    }
  }
  expect(taken).toBeGreaterThan(count / 100)
  expect(taken).toBeLessThan(count)
})

test('damaged raw files and expressions are taken or told', () => {
  const random = new Random(seed)
  const raw = 'MLNX_RAW_TLV_FILE\n% TLV\n0x03000004 0x01010012 0x00000000 0x00000008 \n0x00000000 128 0 \n'
  const rule = '($a==0?log2($b.c):BitwiseOr($a,(1+2)*3))<=$d && ($e!=1 || 2^$f > 7)'
  const count = 100_000 * Number(process.env.MLX5CTL_FUZZ ?? 1)
  let taken = 0
  for (let index = 0; index < count; index++) {
    const [source, parse] = random.one([
      [raw, (text: string): unknown => parseRawTlvs(text, 'f')],
      [rule, (text: string): unknown => parseNvExpression(text)],
    ] as const)
    const bytes = Buffer.from(source)
    for (let times = random.below(3); times >= 0; times--)
      bytes[random.below(bytes.length)] = random.one([...Buffer.from('0x1 \n()?:$a.^|&%9')])
    if (orMalformed(() => parse(bytes.toString('latin1').slice(0, random.below(bytes.length + 20))))) taken++
  }
  expect(taken).toBeGreaterThan(count / 100)
  expect(taken).toBeLessThan(count)
})
