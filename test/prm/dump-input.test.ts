import { dumpsOfText, looksLikeDumpText, looksLikeSegments } from '../../src/prm/dump-input'
import { MalformedData } from '../../src/prm/errors'

const words = (...numbers: number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer).swap32()
const dump = words(0x0004fffe, 1, 0x212, 0x1421033e, 0x0001fffb)
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

test('the JSON of devlink: every dump in it, with the names that lead to it, in one piece or in many', () => {
  const document = {
    'SX Slice': { data: [...dump] },
    QPs: [{ 'QP info': { 'FW dump': { rsc: [[...dump.subarray(0, 7)], [...dump.subarray(7)]] } } }],
    numbers: [1, 2, 3],
    other: [300, 5],
  }
  expect(dumpsOfText(json(document))).toEqual([
    { path: 'SX Slice.data', bytes: Uint8Array.from(dump) },
    { path: 'QPs.QP info.FW dump.rsc', bytes: dump },
  ])
})

test('what mstresourcedump prints: rows of dwords, whatever stands around them', () => {
  const text = `####\nFound 2 segments:\n-------------------------------------------\nSegment Type: 0xfffe\nSegment Size: 16 Bytes
Segment Data:\n0x0004FFFE 0x00000001 0x00000212 0x1421033E \n-------------------------------------------
Segment Type: 0xfffb\nSegment Size: 4 Bytes\nSegment Data:\n0x0001FFFB \n`
  expect(looksLikeDumpText(Buffer.from(text))).toBe(true)
  expect(dumpsOfText(Buffer.from(text))).toEqual([{ path: '', bytes: dump }])
})

test.each<[string, Buffer, RegExp]>([
  ['JSON without a dump', json({ a: [1, 2, 3] }), /holds no resource dump/],
  ['JSON that ends early', Buffer.from('{"a":[1,'), /^JSON: /],
  ['text without a row', Buffer.from('Found 0 segments:\n'), /has no segment/],
  ['a row that is none', Buffer.from('Segment Data:\n0x00000001 0xZZ\n'), /line 2: is no row of dwords/],
])('%s is told', (_, input, message) => {
  expect(() => dumpsOfText(input)).toThrow(MalformedData)
  expect(() => dumpsOfText(input)).toThrow(message)
})

test('nesting without end is not followed', () => {
  const deep = Buffer.from(`${'{"a":'.repeat(5000)}[4]${'}'.repeat(5000)}`)
  expect(() => dumpsOfText(deep)).toThrow(/holds no resource dump/)
})

test('what a stream of segments begins with', () => {
  expect(
    [dump, words(0x0001fffb), words(0x00001000), words(0x0000fffe), Buffer.from('0x00')].map(looksLikeSegments),
  ).toEqual([true, true, false, false, false])
})
