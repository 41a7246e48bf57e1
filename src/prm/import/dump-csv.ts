import { MalformedData } from '../errors'
import type { DumpBlock, DumpTable } from '../layout'

/**
 * Chips whose dump tables mstflint has, by the name of the file (facts: register dump, A.3), and their hardware ids: bits 0 to
 * 15 of CR 0xf0014.
 */
export const dumpTableIds: Readonly<Record<string, number>> = {
  ConnectIB: 0x1ff,
  ConnectX4: 0x209,
  ConnectX4LX: 0x20b,
  ConnectX5: 0x20d,
  ConnectX6: 0x20f,
  ConnectX6DX: 0x212,
  ConnectX6LX: 0x216,
  ConnectX7: 0x218,
  ConnectX8: 0x21e,
  ConnectX9: 0x224,
  BlueField: 0x211,
  BlueField2: 0x214,
  BlueField3: 0x21c,
}

/** CR space has 2^30 bytes. */
const END = 2 ** 30

/**
 * Reads a dump table of mstflint: lines "0xADDRESS,DWORDS," with ascending addresses, # before remarks. Rows with a guard are
 * left out, as mstregdump leaves them out without -full.
 * @param name of the chip, as in the name of the file
 * @throws MalformedData with file and line
 */
export function importDumpTable(text: string, file: string, name: string): DumpTable {
  const hardwareId = Object.hasOwn(dumpTableIds, name) ? dumpTableIds[name] : undefined
  if (hardwareId === undefined)
    throw new MalformedData(
      file,
      `${name} is no chip with a dump table; these have one: ${Object.keys(dumpTableIds).join(', ')}`,
    )
  const blocks: DumpBlock[] = []
  let end = 0
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const row = line.replace(/#.*$/, '').replace(/\s+/g, '')
    if (row === '') continue
    const where = `${file}:${index + 1}`
    const [, hex = '', count = '', guard = ''] = /^0x([0-9a-fA-F]{1,8}),(\d{1,9})(?:,(\w*))?$/.exec(row) ?? []
    const address = Number.parseInt(hex, 16)
    const dwords = Number(count)
    if (hex === '' || dwords < 1) throw new MalformedData(where, `is no row of a dump table: ${row.slice(0, 60)}`)
    if (address % 4 !== 0 || address + dwords * 4 > END) throw new MalformedData(where, 'lies outside of CR space')
    if (address < end) throw new MalformedData(where, 'overlaps the row before it, or stands in the wrong place')
    end = address + dwords * 4
    if (guard === '' || guard === 'EMPTY') blocks.push({ address, dwords })
  }
  if (blocks.length === 0) throw new MalformedData(file, 'holds no rows: it is no dump table')
  return { name, hardwareId, blocks }
}
