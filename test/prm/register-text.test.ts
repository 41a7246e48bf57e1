import path from 'node:path'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import { MalformedData } from '../../src/prm/errors'
import { imageOfRows, parseRegisterTable } from '../../src/prm/register-text'

const codec = new Codec(openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')]))
const read = (layout: string, text: string): { image: string; unknown: string[] } => {
  const rows = parseRegisterTable(Buffer.from(text)) ?? []
  const { image, unknown } = imageOfRows(codec, layout, rows, new Uint8Array(codec.sizeBytes(layout)))
  return { image: Buffer.from(image).toString('hex'), unknown: unknown.map(({ name }) => name) }
}

/** The table's frame as mstreg 4.33 prints it. */
const table = (...rows: string[]): string =>
  ['Sending access register...', '', 'Field Name  | Data    ', '='.repeat(25), ...rows, '='.repeat(25), ''].join('\n')

test('values go to their bits, whatever stands before and after the table', () => {
  const text = table('oper_status | 0x00000001', 'admin_status| 0x00000002', 'local_port  | 0x00000007')
  const preview = `You are about to send access register: PAOS with the following data:\n${text}\n Do you want to continue ? (y/n) [n] : y`
  // PAOS: swid 31:24, local_port 23:16, admin_status 11:8, oper_status 3:0 of the first dword.
  for (const one of [text, preview])
    expect(read('paos_reg_ext', one)).toEqual({ image: `00070201${'00'.repeat(12)}`, unknown: [] })
})

test('with decimal values and names beside them', () => {
  const text = table('admin_status | 0x00000002 | 2          | disabled').replace(
    'Data    ',
    'Hex Value | Decimal | Enum/Type',
  )
  expect(read('paos_reg_ext', text).image.slice(0, 8)).toBe('00000200')
})

test('a row that is no field is told', () => {
  expect(read('paos_reg_ext', table('swid | 0x00000001', 'nonsense | 0x00000001'))).toEqual({
    image: `01${'00'.repeat(15)}`,
    unknown: ['nonsense'],
  })
})

test('other text is no table', () => {
  expect(parseRegisterTable(Buffer.from('00 01 02 03'))).toBeUndefined()
})

test.each([
  ['a value that does not fit', table('swid | 0x00000100'), /^line 5: 0x00000100 does not fit swid/],
  ['a line that is no row', table('swid = 1'), /^line 5: is no row/],
  ['a second register', table('swid | 0x00000001') + table('swid | 0x00000001'), /^line 9: begins a second register/],
])('%s is refused with its line', (_, text, message) => {
  expect(() => read('paos_reg_ext', text)).toThrow(MalformedData)
  expect(() => read('paos_reg_ext', text)).toThrow(message)
})
