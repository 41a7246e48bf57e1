import path from 'node:path'
import { openCatalogue } from '../../src/prm/catalogue'
import { MalformedData } from '../../src/prm/errors'
import { importDumpTable } from '../../src/prm/import/dump-csv'

test('rows, remarks and guards', () => {
  const text = '#Addr, Size, Enable addr\n0x00000000,4,\n0x00000020, 3 # more\n0x100,1,UNKNOWN\n0x104,1,EMPTY\n'
  expect(importDumpTable(text, 'ConnectX7.csv', 'ConnectX7')).toEqual({
    name: 'ConnectX7',
    hardwareId: 0x218,
    blocks: [
      { address: 0, dwords: 4 },
      { address: 0x20, dwords: 3 },
      { address: 0x104, dwords: 1 },
    ],
  })
})

test.each([
  ['another chip', '0x0,1,\n', 'ConnectX99', /^t\.csv: ConnectX99 is no chip with a dump table/],
  ['no rows', '# nothing\n', 'ConnectX7', /^t\.csv: holds no rows/],
  ['no row', '0x0,1,\nhello\n', 'ConnectX7', /^t\.csv:2: is no row of a dump table: hello/],
  ['no words', '0x0,0,\n', 'ConnectX7', /^t\.csv:1: is no row/],
  ['an odd address', '0x2,1,\n', 'ConnectX7', /^t\.csv:1: lies outside of CR space/],
  ['an address past the end', '0x3ffffffc,2,\n', 'ConnectX7', /^t\.csv:1: lies outside of CR space/],
  ['overlap', '0x10,4,\n0x1c,1,\n', 'ConnectX7', /^t\.csv:2: overlaps the row before it/],
])('%s is refused with its line', (_, text, name, message) => {
  expect(() => importDumpTable(text, 't.csv', name)).toThrow(MalformedData)
  expect(() => importDumpTable(text, 't.csv', name)).toThrow(message)
})

/** Dwords and last address of the tables as mstregdump's own data count them (facts: register dump, A.6). */
test.each([
  ['ConnectX4LX', 0x20b, 3128, 40411, 0x11fdcc],
  ['ConnectX5', 0x20d, 4439, 53741, 0x13fe9c],
  ['ConnectX6', 0x20f, 7931, 89299, 0x26ed08],
  ['ConnectX6DX', 0x212, 8516, 95467, 0x500c04],
  ['ConnectX6LX', 0x216, 5269, 61713, 0x51904c],
  ['ConnectX7', 0x218, 15213, 230590, 0x9c0160],
  ['BlueField2', 0x214, 9568, 104141, 0x60081c],
  ['BlueField3', 0x21c, 30970, 356467, 0xbfdf910],
])('the built-in table of %s', (name, hardwareId, rows, dwords, end) => {
  const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
  const table = catalogue.dumpTable(name)
  expect(catalogue.findDumpTable(hardwareId)?.name).toBe(name)
  const last = table.blocks.at(-1)
  expect([table.blocks.length, table.blocks.reduce((sum, block) => sum + block.dwords, 0)]).toEqual([rows, dwords])
  expect((last?.address ?? 0) + (last?.dwords ?? 0) * 4).toBe(end)
  catalogue.close()
})
