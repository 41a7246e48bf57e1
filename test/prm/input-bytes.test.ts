import { MalformedData } from '../../src/prm/errors'
import { parseBytes } from '../../src/prm/input-bytes'

const bytes = Buffer.from('0001020304050607ff0000abcdef10203040', 'hex')
const hex = bytes.toString('hex')

test.each<[string, string, string]>([
  ['plain hex', hex, 'hex'],
  ['hex with blanks and newlines', '00 01 02 03\n04 05 06 07 ff 00\n00 ab cd ef 10 20 30 40\n', 'hex'],
  [
    '0x and commas',
    '0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xff, 0x00, 0x00, 0xab, 0xcd, 0xef, 0x10, 0x20, 0x30, 0x40',
    'hex',
  ],
  ['the hex dump of the original tool', '00 01 02 03 04 05 06 07 ff 00 00 ab cd ef 10 20 \n30 40 \n\n', 'hex'],
  [
    'hexdump -C',
    '00000000  00 01 02 03 04 05 06 07  ff 00 00 ab cd ef 10 20  |............... |\n00000010  30 40                                             |0@|\n00000012\n',
    'hexdump',
  ],
  [
    'xxd',
    '00000000: 0001 0203 0405 0607 ff00 00ab cdef 1020  ............... \n00000010: 3040                                     0@\n',
    'hexdump',
  ],
])('%s', (_, text, format) => {
  const parsed = parseBytes(Buffer.from(text))
  expect([Buffer.from(parsed.bytes).toString('hex'), parsed.format]).toEqual([hex, format])
})

test('the kernel, with its prefix and the lines around', () => {
  const log = `[   12.345678] mlx5_core 0000:03:00.0: cmd[0]: start dump
[   12.345679] mlx5_core 0000:03:00.0: 00000000: 01000000 00000001 00000000 00000000
[   12.345680] mlx5_core 0000:03:00.0: 00000010: deadbeef 00000002
[   12.345681] mlx5_core 0000:03:00.0: cmd[0]: end dump\n`
  const parsed = parseBytes(Buffer.from(log))
  expect(parsed.format).toBe('kernel')
  expect(Buffer.from(parsed.bytes).toString('hex')).toBe('01000000000000010000000000000000deadbeef00000002')
})

test('a register without a layout, as mstreg prints it', () => {
  const text = `Sending access register...\n\nAddress    | Data\n${'='.repeat(23)}\n0x00000000 | 0x00010203\n0x00000004 | 0x04050607\n${'='.repeat(23)}\n`
  const parsed = parseBytes(Buffer.from(text))
  expect([Buffer.from(parsed.bytes).toString('hex'), parsed.format]).toEqual(['0001020304050607', 'mstreg'])
})

test('0x%08x values are big-endian dwords', () => {
  const parsed = parseBytes(Buffer.from('0x00010203 0x04050607\n0xff0000ab\n'))
  expect([Buffer.from(parsed.bytes).toString('hex'), parsed.format]).toEqual(['0001020304050607ff0000ab', 'dwords'])
})

test('anything with other bytes is raw', () => {
  expect(parseBytes(bytes)).toEqual({ bytes, format: 'raw' })
})

test.each([
  ['00 01\nhello\n', /line 2: is no line of hex digits/],
  [
    '00000000  00 01 02 03 04 05 06 07  ff 00 00 ab cd ef 10 20\n00000020  30 40\n',
    /line 2: has offset 0x20, 0x10 was expected/,
  ],
  ['0x00010203\n0x0405\n', /line 2/],
  ['abc', /line 1/],
])('refuses %j with the line', (text, message) => {
  expect(() => parseBytes(Buffer.from(text))).toThrow(MalformedData)
  expect(() => parseBytes(Buffer.from(text))).toThrow(message)
})
