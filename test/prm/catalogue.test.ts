import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { dumpTableIds } from '../../src/prm/import/dump-csv'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import { emptyEntries } from '../../src/prm/entries'
import { MalformedData, NameError } from '../../src/prm/errors'
import { packCatalogue } from '../../src/prm/pack'

const builtIn = path.resolve(__dirname, '../../dist/catalogue.bin')
const catalogue = openCatalogue([builtIn])
let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-catalogue-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Numbers of the PRM, from the kernel's headers and the fwctl filter as people know them. */
test.each([
  ['QUERY_HCA_CAP', 0x100, 0],
  ['query-hca-cap', 0x100, 0],
  ['MLX5_CMD_OP_CREATE_MKEY', 0x200, null],
  ['0x50b', 0x50b, 1],
  ['ALLOC_PD', 0x800, null],
  ['SET_DIAGNOSTIC_PARAMS', 0x820, 2],
  ['QUERY_DC_CNAK_TRACE', 0x716, 1],
  ['QUERY_VUID', 0xb22, 0],
])('command %s', (name, opcode, scope) => {
  expect(catalogue.command(name)).toMatchObject({ opcode, scope })
})

test('access registers need scope 1 to read, 0 to write', () => {
  expect(catalogue.command('ACCESS_REG').scope).toEqual({ read: 1, write: 0 })
  expect(catalogue.command(0xb0c).scope).toEqual({ read: 1, write: 0 })
})

test('counts by scope are those of the filter', () => {
  const scopes = catalogue.commands().map((command) => command.scope)
  expect(scopes.filter((scope) => scope === 0)).toHaveLength(11)
  expect(scopes.filter((scope) => scope === 2)).toHaveLength(1)
  expect(scopes.filter((scope) => scope === 1).length).toBeGreaterThanOrEqual(75)
})

test('every layout that is named is there and can be decoded', () => {
  const codec = new Codec(catalogue)
  const named = [
    ...catalogue.commands().flatMap(({ inbox, outbox }) => [inbox, outbox]),
    ...catalogue.registers().map(({ layout }) => layout),
    ...catalogue.capabilities().map(({ layout }) => layout),
    ...catalogue.objects().map(({ layout }) => layout),
  ]
  const layouts = [...new Set([...named.filter((name) => name !== undefined), ...catalogue.layoutNames()])]
  expect(layouts.length).toBeGreaterThan(750)
  for (const layout of layouts) {
    const size = codec.sizeBytes(layout)
    expect(codec.encode(layout, codec.decode(layout, new Uint8Array(size)))).toEqual(new Uint8Array(size))
  }
  for (const layout of catalogue.layoutNames())
    for (const field of catalogue.layout(layout).fields) if (field.enum !== undefined) catalogue.enumeration(field.enum)
})

test('every opcode has its layouts, or a reason why not', () => {
  const without = catalogue.commands().filter(({ inbox, outbox }) => inbox === undefined || outbox === undefined)
  const report = readFileSync(path.resolve(__dirname, '../../catalogue/REPORT.md'), 'utf8')
  for (const { opcode, name } of without) expect(report).toContain(`- 0x${opcode.toString(16)} ${name}: no `)
})

test('unknown names come with the nearest ones', () => {
  expect(() => catalogue.command('QUERY_HCA_CAPS')).toThrow(NameError)
  expect(() => catalogue.command('QUERY_HCA_CAPS')).toThrow(/did you mean QUERY_HCA_CAP/)
  expect(() => catalogue.layout('query_issi_uot')).toThrow(/query_issi_out/)
  expect(() => catalogue.register('PTIS')).toThrow(/PTYS/)
})

test('registers, capability types and statuses by name and number', () => {
  expect(catalogue.register('ptys')).toMatchObject({ id: 0x5004, layout: 'ptys_reg_ext' })
  expect(catalogue.register(0xc000).name).toBe('RESOURCE_DUMP')
  expect(catalogue.capability('GENERAL')).toEqual({ name: 'GENERAL', type: 0, layout: 'cmd_hca_cap' })
  expect(catalogue.capability('0xd').layout).toBe('debug_cap')
  expect(catalogue.status(0x51)).toEqual({ name: 'BAD_OUTP_LEN_ERR', code: 0x51, text: 'bad output length' })
})

test('later files stand in front of earlier ones', () => {
  const file = path.join(folder, 'own.bin')
  const entries = {
    ...emptyEntries(),
    layouts: [{ name: 'mkc', kind: 'struct' as const, bits: 32, fields: [{ name: 'own', offset: 0, width: 32 }] }],
  }
  writeFileSync(file, packCatalogue(entries, [{ name: 'own', version: '1' }]))
  const both = openCatalogue([builtIn, file])
  expect(both.layout('mkc').fields[0]?.name).toBe('own')
  expect(both.layout('qpc')).toEqual(catalogue.layout('qpc'))
  both.close()
})

test('a damaged file is MalformedData, wherever it is damaged', () => {
  const good = readFileSync(builtIn)
  const file = path.join(folder, 'bad.bin')
  const tryOut = (bytes: Uint8Array): void => {
    writeFileSync(file, bytes)
    try {
      const damaged = openCatalogue([file])
      damaged.commands()
      for (const name of damaged.layoutNames()) damaged.layout(name)
      damaged.close()
    } catch (error) {
      if (!(error instanceof MalformedData || error instanceof NameError)) throw error
    }
  }
  for (const length of [0, 7, 31, 32, 1000, good.length - 1]) {
    writeFileSync(file, good.subarray(0, length))
    expect(() => {
      const damaged = openCatalogue([file])
      damaged.commands()
      damaged.registers()
      damaged.layoutNames().forEach((name) => damaged.layout(name))
      damaged.enumerationNames().forEach((name) => damaged.enumeration(name))
      for (let code = 0; code < 256; code++) damaged.status(code)
      Object.values(dumpTableIds).forEach((id) => damaged.findDumpTable(id))
      damaged.tlvs()
    }).toThrow(MalformedData)
  }
  for (let at = 0; at < 3000; at += 97) {
    const bytes = Uint8Array.from(good)
    bytes[at] = (bytes[at] ?? 0) ^ 0xff
    tryOut(bytes)
  }
})
