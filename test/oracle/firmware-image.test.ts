import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseImage } from '../../src/prm/firmware-image/firmware-file'
import {
  buildImage,
  defaultSections,
  devInfo,
  mfgInfo,
  romSection,
  signed,
  type ImageRecipe,
} from '../support/firmware-builder'
import { describeUnless } from '../support/oracle'
import { runInProcess } from '../support/program'
import { Random, seed } from '../support/random'
import { Mstflint } from './mstflint'

/** Images that the builder of the tests makes, read by the unmodified mstflint and by us. */
const device = [
  mfgInfo('MT_0000000838', 0xb8cef60300123456n, 0xb8cef6123456n),
  devInfo('a device of this test', 0xb8cef60300123456n, 0xb8cef6123456n),
  { type: 0xe5, data: Buffer.alloc(0x1000, 0xff), crc: 'none' },
] as const
const flash = { size: 0x40000, sections: device }
const key = Buffer.alloc(0x140)
key.writeUInt32BE(0xd, 16)

/** What both releases read. */
const common: Readonly<Record<string, ImageRecipe>> = {
  flash: { flash },
  signed: { flash, flags: 0x4100, sections: [...defaultSections, ...signed], securityVersion: 2 },
  secure: { flash, flags: 0xa100, sections: [...defaultSections, { type: 0xa0, data: key }, ...signed.slice(1)] },
  other: {
    flash,
    psid: 'DEL0000000838',
    version: [20, 101, 7],
    date: ['2019', '01', '02'],
    hardwareIds: [0x20f],
    partNumber: 'MCX653105A-HDA_Ax',
    description: 'ConnectX-6',
    productVersion: '',
    vsd: '',
    sections: [
      ...defaultSections.slice(0, 2),
      romSection([
        { type: 0x10, version: [3, 6, 805], cpu: 1, protocol: 2, port: 1 },
        { type: 0x14, version: [21, 4, 13], cpu: 2 },
        { type: 0x21, version: [1, 2, 3], cpu: 0 },
      ]),
    ],
  },
  bare: { flash, hashes: false, sections: [] },
  fs3: { format: 'FS3', hardwareIds: [0x209], flash },
  'fs3-second': { format: 'FS3', hardwareIds: [0x20b], offset: 0x400000, flash: { ...flash, size: 0x500000 } },
}
/** What only the newer one reads. */
const newer: Readonly<Record<string, ImageRecipe>> = {
  plain: {},
  quarter: { flash: { ...flash, size: 0x80000, dtocOffset: 2 } },
  software: { pointerCrc: 'software' },
  second: { secondTable: true, flash },
  fs5: { format: 'FS5', hardwareIds: [0x21e], flash },
}

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-images-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Rows of a query; those of IDs that an image without a device has none of are left out. */
const rowsOf = (output: string): string[] =>
  output
    .split('\n')
    .filter((row) => row !== '' && !/^(?:Base (?:GUID|MAC)|Orig PSID).*N\/A|GuidsNumber  Step/.test(row))

interface Row {
  readonly name: string
  readonly offset: number
  readonly size: number
  readonly state: string
}

/** Rows of a verification, by offset; pointers are one. Of BOOT2 it tells where it is in the image, of all else where in the file. */
function verifiedRows(output: string, start: number): Row[] {
  const pattern = /\/0x([0-9a-f]{8})-0x[0-9a-f]{8} \(0x([0-9a-f]{6})\)\/ \(([^)]+)\).*? - (OK|CRC IGNORED|wrong CRC)/g
  const rows = [...output.matchAll(pattern)].map(([, offset, size, name = '', state = '']) => {
    const plain = name.replace(/^UNKNOWN:/, 'UNKNOWN_')
    const from = name === 'BOOT2' ? start : 0
    return { name: plain, offset: from + Number(`0x${offset}`), size: Number(`0x${size}`), state }
  })
  const pointers = rows.filter(({ name }) => name === 'HW_POINTERS')
  const rest = rows.filter(({ name }) => name !== 'HW_POINTERS')
  const [first] = pointers
  if (first === undefined) return rest.sort((a, b) => a.offset - b.offset)
  const whole = { ...first, size: pointers.reduce((sum, { size }) => sum + size, 0) }
  return [whole, ...rest].sort((a, b) => a.offset - b.offset)
}

const ours = (bytes: Uint8Array): Row[] =>
  parseImage(bytes)
    .sections.map(({ name, offset, size, crc }) => ({
      name,
      offset,
      size,
      state: crc.ok === null ? 'CRC IGNORED' : crc.ok ? 'OK' : 'wrong CRC',
    }))
    .sort((a, b) => a.offset - b.offset)

for (const suite of ['sid', 'bookworm'] as const) {
  const mstflint = new Mstflint(suite)
  describeUnless(mstflint.missing, `firmware files, beside mstflint of ${suite}`, () => {
    const recipes = Object.entries(suite === 'sid' ? { ...common, ...newer } : common)

    test('they are shown in the same rows, and verified section by section with the same outcome', async () => {
      const built = recipes.map(([name, recipe]) => {
        const file = path.join(folder, name)
        return { name, file, start: recipe.offset ?? 0, ...buildImage(recipe) }
      })
      for (const { file, bytes } of built) writeFileSync(file, bytes)
      const lines = built.flatMap(({ file }) => [`-i ${file} q full`, `-i ${file} v`])
      const outputs = mstflint.runAll('mstflint', lines)
      for (const [index, { name, file, bytes, start }] of built.entries()) {
        const [query = '', verify = ''] = outputs.slice(2 * index)
        const shown = await runInProcess(['fw', 'show', file])
        const [same = ''] = shown.stdout.split('Chips:')
        // Of FS5 mstflint does not look at expansion ROMs.
        const isFs5 = query.startsWith('Image type:            FS5')
        const rows = rowsOf(same).filter((row) => !isFs5 || !/^(?:Rom Info:)? +type=/.test(row))
        expect([name, shown.status, rows]).toEqual([name, 0, rowsOf(query)])
        expect([name, ours(bytes)]).toEqual([name, verifiedRows(verify, start)])
        expect(verify).toContain('verification succeeded')
      }
    })

    test('flipped bits: the same are damage', () => {
      process.stderr.write(`flips beside mstflint of ${suite}: seed ${seed}\n`)
      const random = new Random(seed)
      const { bytes, places } = buildImage({ flash, sections: [...defaultSections, ...signed] })
      const flips = Array.from({ length: 40 }, (_, index) => {
        const place = random.one(places)
        const copy = Buffer.from(bytes)
        const at = place.offset + random.below(place.size)
        copy.writeUInt8(copy.readUInt8(at) ^ (1 << random.below(8)), at)
        const file = path.join(folder, `flip${index}`)
        writeFileSync(file, copy)
        return { place: place.name, at: at - place.offset, file, copy }
      })
      const outputs = mstflint.runAll(
        'mstflint',
        flips.map(({ file }) => `-i ${file} v`),
      )
      const verdicts = flips.map(({ place, at, copy }, index) => {
        let isSound = false
        try {
          isSound = parseImage(copy).problems.length === 0
        } catch {
          isSound = false
        }
        return { place, at, ours: isSound, theirs: outputs[index]?.includes('verification succeeded') === true }
      })
      expect(verdicts.filter((one) => one.ours !== one.theirs)).toEqual([])
      expect(new Set(verdicts.map((one) => one.ours)).size).toBe(2)
    })
  })
}
