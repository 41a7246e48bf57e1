import { MalformedData } from '../../src/prm/errors'
import { importAdb, type AdbImport } from '../../src/prm/import/adb'
import { codecOf } from '../support/codec'

/** One quirk of ADB files after the other (facts: mstreg, B.2 to B.7), in files of a few lines. Register ONE is node `one`. */

/** Line 1 opens, lines 2 to 9 name the registers; what is given begins on line 10. */
const file = (nodes: string, { config = '<config big_endian_arr="1"/>', ids = 'ONE=0x5006' } = {}): string =>
  `<NodesDefinition>${config}<info source_doc_version="Rev 1.0"/>
<node name="access_reg_summary_ext" size="0x10.0" attr_is_union="1">
<field name="one" offset="0x0.0" size="0x10.0" subnode="one" selected_by="ONE"/>
</node>
<node name="access_reg_summary_ctrl_ext" size="0x4.0"><field name="id" offset="0x0.0" size="0x4.0" subnode="enum_entry" enum="${ids}"/></node>
<node name="access_reg_summary_selector_ext" size="0x14.0">
<field name="access_reg_summary" offset="0x4.0" size="0x10.0" subnode="access_reg_summary_ext" union_selector="$(parent).ctrl.id"/>
<field name="ctrl" offset="0x0.0" size="0x4.0" subnode="access_reg_summary_ctrl_ext"/></node>
<node name="enum_entry" size="0x4.0"/><node name="uint64" size="0x8.0"><field name="hi" offset="0x0.0" size="0x4.0"/><field name="lo" offset="0x4.0" size="0x4.0"/></node>
${nodes}
</NodesDefinition>
`
const node = (name: string, fields: string, attributes = 'size="0x10.0"'): string =>
  `<node name="${name}" ${attributes}>${fields}</node>`
const one = (fields: string): string => node('one', fields)

function read(text: string, texts = false): AdbImport {
  return importAdb(text, 'test.adb', { texts })
}

function decoded(text: string, hex: string): unknown {
  const found = read(text)
  expect(found.problems).toEqual([])
  return codecOf(found.entries).decode('one', Uint8Array.from(Buffer.from(hex, 'hex')))
}

const wire = '0123456789abcdef' + 'fedcba9876543210'

test('bits count from the least significant of a big-endian dword', () => {
  const text = one(
    '<field name="swid" offset="0x0.24" size="0x0.8"/><field name="low" offset="0x0.0" size="0x0.4"/><field name="top" offset="0x4.31" size="0x0.1"/>',
  )
  expect(decoded(file(text), wire)).toEqual({ swid: 0x01, low: 0x7, top: 1 })
})

test.each([
  ['hex bytes', '0x4.8', 0xcd],
  ['decimal bytes', '4.8', 0xcd],
  ['octal bytes', '014.0', 0x10],
  ['no bytes', '.16', 0x23],
  ['upper case', '0XC.0', 0x10],
  ['no bits', '0xc', 0x10],
])('numbers: %s', (_, offset, value) => {
  expect(decoded(file(one(`<field name="f" offset="${offset}" size="0x0.8"/>`)), wire)).toEqual({ f: value })
})

test('a field without an offset follows the one before', () => {
  const text = file(one('<field name="a" offset="0x0.0" size="0x4.0"/><field name="b" size="0x4.0"/>'))
  expect(decoded(text, wire)).toEqual({ a: 0x01234567, b: 0x89abcdef })
})

test('arrays below a dword run downward in it, then go on in the next', () => {
  const bytes = one('<field name="b" offset="0x0.24" size="0x6.0" low_bound="0" high_bound="5"/>')
  expect(decoded(file(bytes), wire)).toEqual({ b: [0x01, 0x23, 0x45, 0x67, 0x89, 0xab] })
  const halves = one('<field name="h" offset="0x4.16" size="0x6.0" low_bound="0" high_bound="2"/>')
  expect(decoded(file(halves), wire)).toEqual({ h: [0x89ab, 0xcdef, 0xfedc] })
  const nibbles = one('<field name="n" offset="0x0.28" size="0x2.0" low_bound="0" high_bound="3"/>')
  expect(decoded(file(nibbles), wire)).toEqual({ n: [0, 1, 2, 3] })
})

test('arrays of dwords and of nodes', () => {
  const inner = node('inner', '<field name="x" offset="0x0.16" size="0x0.16"/>', 'size="0x4.0"')
  const text =
    one(
      '<field name="w" offset="0x0.0" size="0x8.0" low_bound="0" high_bound="1"/><field name="s" offset="0x8.0" size="0x8.0" subnode="inner" low_bound="0" high_bound="1"/>',
    ) + inner
  expect(decoded(file(text), wire)).toEqual({ w: [0x01234567, 0x89abcdef], s: [{ x: 0xfedc }, { x: 0x7654 }] })
})

test('an array of one element is a scalar, unless the file says otherwise', () => {
  const text = one('<field name="a" offset="0x0.0" size="0x4.0" low_bound="0" high_bound="0"/>')
  expect(decoded(file(text), wire)).toEqual({ a: 0x01234567 })
  const config = '<config big_endian_arr="1"/><config single_entry_arr="1"/>'
  expect(decoded(file(text, { config }), wire)).toEqual({ a: [0x01234567] })
})

test('two dwords as uint64 are one number', () => {
  const text = file(one('<field name="c" offset="0x8.0" size="0x8.0" subnode="uint64"/>'))
  expect(decoded(text, wire)).toEqual({ c: 0xfedcba9876543210n })
})

const union = (selector: string, members: string): string =>
  one(
    `<field name="page" offset="0x0.0" size="0x0.8" enum="A=1,B=2,ALSO_B=2"/><field name="u" offset="0x4.0" size="0x4.0" subnode="u" ${selector}/>`,
  ) +
  node('u', members, 'size="0x4.0" attr_is_union="1"') +
  node('a', '<field name="a" offset="0x0.0" size="0x4.0"/>', 'size="0x4.0"') +
  node('b', '<field name="b" offset="0x0.0" size="0x0.8"/>', 'size="0x4.0"')
const members =
  '<field name="of_a" offset="0x0.0" size="0x4.0" subnode="a" selected_by="A"/><field name="of_b" offset="0x0.0" size="0x4.0" subnode="b" selected_by="B"/>'

test.each([
  ['01', { of_a: { a: 0x89abcdef } }],
  // Two names have the value 2; the first in byte order, ALSO_B, is claimed by no member: all are shown, as by mstreg.
  ['02', { of_a: { a: 0x89abcdef }, of_b: { b: 0xef } }],
  ['07', { of_a: { a: 0x89abcdef }, of_b: { b: 0xef } }],
])('a union by its selector %s', (page, u) => {
  const text = file(union('union_selector="$(parent).page"', members))
  expect(decoded(text, `000000${page}${wire.slice(8)}`)).toMatchObject({ u })
})

test('a union without a selector shows all members', () => {
  expect(decoded(file(union('', members)), wire)).toMatchObject({ u: { of_a: { a: 0x89abcdef }, of_b: { b: 0xef } } })
})

const conditional = (condition: string, attributes = 'size="0x10.0" is_conditional="1"'): string =>
  node(
    'one',
    `<field name="k" offset="0x0.0" size="0x0.8" enum="ZERO=0,dotted_7.5=103"/><field name="n" offset="0x4.0" size="0x0.8"/><field name="f" offset="0x8.0" size="0x4.0" condition="${condition}"/>`,
    attributes,
  )

test.each([
  ['$(parent).k == 0x67', true],
  ['$(parent).k == dotted_7.5', true],
  ['$(parent).k == ZERO', false],
  ['k == 1 | k == 103', true],
  ['$(parent).k EQ 103 AND $(parent).n NOTEQ 0xef', false],
  ['2 + 3 * 4 == 14', true],
  ['1 | 2 & 2 == 3', true],
  ['!($(parent).k == 103)', false],
  ['$(parent).n - 240 > 1', true],
])('a condition in a node that honours them: %s', (condition, there) => {
  const escaped = condition.replace(/&/g, '&amp;').replace(/</g, '&lt;')
  expect(decoded(file(conditional(escaped)), wire)).toEqual({
    k: 0x67,
    n: 0xef,
    ...(there ? { f: 0xfedcba98 } : {}),
  })
})

test('a condition elsewhere is a remark', () => {
  expect(decoded(file(conditional('$(parent).k == ZERO', 'size="0x10.0"')), wire)).toHaveProperty('f', 0xfedcba98)
})

test('a condition that is not understood is told, and the field shown', () => {
  const found = read(file(conditional('$(parent).nothing == 1')))
  expect(found.problems).toEqual([
    { file: 'test.adb', line: 10, message: 'one.f: the condition is ignored: there is no field $(parent).nothing' },
  ])
  expect(codecOf(found.entries).decode('one', Buffer.from(wire, 'hex'))).toHaveProperty('f')
})

const variable = (counter: string): string =>
  one(
    `<field name="length" offset="0x0.0" size="0x0.8" descr="${counter}"/><field name="data" offset="0xc.0" size="0x4.0" high_bound="VARIABLE" size_condition="$(parent).length"/>`,
  )

test('an array of variable length has as many elements as its counter says, of elements or of bytes', () => {
  const bytes = `0000000200000000000000000000000100000002000000030000000400000005`
  expect(decoded(file(variable('Elements')), bytes)).toHaveProperty('data', [1, 2])
  expect(decoded(file(variable('Length in bytes')), bytes.replace('00000002', '00000008'))).toHaveProperty(
    'data',
    [1, 2],
  )
  // More than there are: no read past the end.
  expect(decoded(file(variable('Elements')), bytes.replace('00000002', '000000ff'))).toHaveProperty(
    'data',
    [1, 2, 3, 4, 5],
  )
})

test('access is that of the field, else of the structure around it', () => {
  const text =
    one(
      '<field name="s" offset="0x0.0" size="0x4.0" subnode="inner" access="RW"/><field name="i" offset="0x4.0" size="0x4.0" access="INDEX"/><field name="o" offset="0x8.0" size="0x4.0" rw="WO"/>',
    ) +
    node(
      'inner',
      '<field name="x" offset="0x0.0" size="0x0.8" access="RO"/><field name="y" offset="0x0.8" size="0x0.8"/>',
      'size="0x4.0"',
    )
  const codec = codecOf(read(file(text)).entries)
  const access = codec
    .ranges('one', new Uint8Array(16))
    .flatMap(({ path, reserved, access: own }) => (reserved ? [] : [[path, own]]))
  expect(access).toEqual([
    ['s.y', 'RW'],
    ['s.x', 'RO'],
    ['i', 'INDEX'],
    ['o', 'WO'],
  ])
})

test('enumerations: what is no entry is left out, and of a name or a value that comes twice the first counts', () => {
  const text = file(one('<field name="e" offset="0x0.0" size="0x0.8" enum=" A = 0x1 ,B=010,=3,C,D=2x,A=5,E=8,F=1=2"/>'))
  const found = read(text)
  expect(found.entries.enumerations.map(({ values }) => values)).toEqual([{ A: 1, B: 8, E: 8 }])
  expect(codecOf(found.entries).enumName(found.entries.enumerations[0]?.name, 8)).toBe('B')
})

test('descriptions are kept where they are asked for, with their line ends', () => {
  const text = file(one('<field name="f" offset="0x0.0" size="0x4.0" descr="one\\;&quot;two&quot;"/>'))
  const texts = (kept: boolean): unknown =>
    read(text, kept).entries.layouts[0]?.fields.find(({ name }) => name === 'f')?.text
  expect([texts(true), texts(false)]).toEqual(['one\n"two"', undefined])
})

test('the file names its version and its registers', () => {
  const { version, entries } = read(file(one('<field name="f" offset="0x0.0" size="0x4.0"/>')))
  expect([version, entries.registers]).toEqual(['Rev 1.0', [{ name: 'ONE', id: 0x5006, layout: 'one' }]])
})

describe('bad files are refused, with line and reason', () => {
  const good = '<field name="f" offset="0x0.0" size="0x4.0"/>'
  test.each([
    ['no XML', 'hello', /^test\.adb:1: is no XML/],
    ['cut off', file(one(good)).slice(0, -30), /^test\.adb:\d+: is no XML/],
    ['other XML', '<html><body/></html>', /^test\.adb:1: <html> is no element/],
    ['an unknown element', file('<nodes/>'), /^test\.adb:10: <nodes> is no element/],
    ['a node in a node', file(node('one', node('two', ''))), /^test\.adb:10: <node> stands in the wrong place/],
    ['a field outside', file(good), /^test\.adb:10: <field> stands in the wrong place/],
    ['a node twice', file(one(good) + one(good)), /^test\.adb:10: node one is there twice/],
    ['a node without a name', file('<node size="0x4.0"/>'), /^test\.adb:10: a node has no name/],
    ['no nodes', '<NodesDefinition/>', /^test\.adb: holds no nodes/],
    ['no registers', `<NodesDefinition>${one(good)}</NodesDefinition>`, /^test\.adb: names no access registers/],
    [
      'an entity that expands',
      `<!DOCTYPE a [<!ENTITY x "y">]>${file(one('<field name="&x;"/>'))}`,
      /^test\.adb:\d+: is no XML/,
    ],
  ])('%s', (_, text, message) => {
    expect(() => read(text)).toThrow(MalformedData)
    expect(() => read(text)).toThrow(message)
  })

  test.each([
    ['a field without a size', one('<field name="f" offset="0x0.0"/>'), /f has no size/],
    ['a size of 0', one('<field name="f" offset="0x0.0" size="0x0.0"/>'), /f has no size/],
    ['an impossible number', one('<field name="f" offset="a.b" size="0x4.0"/>'), /f has no possible offset: a\.b/],
    ['a number past its octal digits', one('<field name="f" offset="08.0" size="0x4.0"/>'), /no possible offset/],
    ['a field across a dword', one('<field name="f" offset="0x0.24" size="0x0.16"/>'), /f crosses a dword/],
    ['fields that overlap', one(`${good}<field name="g" offset="0x0.8" size="0x0.8"/>`), /overlap/],
    ['a field past the end', one('<field name="f" offset="0x10.0" size="0x4.0"/>'), /one is left out/],
    ['a name twice', one(`${good}<field name="f" offset="0x4.0" size="0x4.0"/>`), /f is there twice/],
    [
      'a node that is not there',
      one('<field name="f" offset="0x0.0" size="0x4.0" subnode="gone"/>'),
      /the layout gone, which is not there/,
    ],
    [
      'a node in itself',
      one('<field name="f" offset="0x0.0" size="0x10.0" subnode="one"/>'),
      /which is left out or holds this one/,
    ],
    [
      'a node of another size',
      one('<field name="f" offset="0x0.0" size="0x4.0" subnode="two"/>') + node('two', good),
      /32 bits wide, but two has 128/,
    ],
    [
      'bounds that cannot be',
      one('<field name="f" offset="0x0.0" size="0x8.0" low_bound="3" high_bound="1"/>'),
      /f has no possible bounds/,
    ],
  ])('%s: the layout is left out, and told with its line', (_, nodes, message) => {
    const { problems, entries } = read(file(nodes))
    expect(problems.map((problem) => problem.message).join('\n')).toMatch(message)
    expect(problems.every(({ file: name, line }) => name === 'test.adb' && line >= 3 && line <= 10)).toBe(true)
    // The register is known by its id all the same.
    expect(entries.registers).toEqual([{ name: 'ONE', id: 0x5006 }])
  })

  test('an id that is none, a register without a layout', () => {
    const { problems, entries } = read(file(one(good), { ids: 'ONE=0x15006,TWO=0x5007' }))
    expect(problems.map(({ message }) => message)).toEqual([
      'register ONE is left out: 0x15006 is no id',
      'register TWO has no layout',
    ])
    expect(entries.registers).toEqual([{ name: 'TWO', id: 0x5007 }])
  })
})
