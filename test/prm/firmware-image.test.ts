import { extractImage, boardVersions } from '../../src/prm/firmware-image/archive'
import { parseFirmware, parseImage } from '../../src/prm/firmware-image/firmware-file'
import { ForeignFile } from '../../src/prm/firmware-image/identify'
import type { FirmwareArchive, FirmwareImage } from '../../src/prm/firmware-image/types'
import { MalformedData } from '../../src/prm/errors'
import {
  buildArchive,
  buildImage,
  crc16,
  defaultSections,
  devInfo,
  filler,
  mfgInfo,
  romSection,
  signed,
  withArchiveCrc,
  type ImageRecipe,
  type Place,
  type SectionRecipe,
} from '../support/firmware-builder'
import { orMalformed } from '../support/hostile'
import { missingProgram } from '../support/oracle'
import { Random, seed } from '../support/random'

const device: readonly SectionRecipe[] = [
  mfgInfo('MT_0000000838', 0xb8cef60300123456n, 0xb8cef6123456n),
  devInfo('a device of this test', 0xb8cef60300123456n, 0xb8cef6123456n),
  { type: 0xe5, data: Buffer.alloc(0x1000, 0xff), crc: 'none' },
]
const flash = { size: 0x40000, sections: device }
const recipes: Readonly<Record<string, ImageRecipe>> = {
  'FS4 without device sections': {},
  'FS4 of a whole flash': { flash, sections: [...defaultSections, ...signed], flags: 0x8100 },
  'FS4 with pointers under the other CRC': { pointerCrc: 'software' },
  'FS4 with its table one sector later': { secondTable: true },
  'FS4 without hashes': { hashes: false },
  'FS4 with DTOC in the first quarter': { flash: { ...flash, size: 0x80000, dtocOffset: 2 } },
  FS5: { format: 'FS5', hardwareIds: [0x21e] },
  'FS5 of a whole flash': { format: 'FS5', hardwareIds: [0x21e], flash },
  FS3: { format: 'FS3', hardwareIds: [0x209], flash },
}
const named = Object.entries(recipes)

describe('sound images', () => {
  test.each(named)('%s: every section is found where it was put, and is right', (_, recipe) => {
    const { bytes, places } = buildImage(recipe)
    const image = parseImage(bytes)
    expect(image.problems).toEqual([])
    expect(image).toMatchObject({ format: recipe.format ?? 'FS4', offset: 0, encrypted: false, others: [] })
    const listed = places.filter(({ name }) => !/^header$| entry | end$|component$/.test(name))
    const found = [...image.sections].sort((a, b) => a.offset - b.offset)
    expect(found.map(({ name, offset, size }) => ({ name, offset, size }))).toEqual(
      listed.map(({ name, offset, size }) => ({ name, offset, size })),
    )
    expect(found.map(({ crc }) => crc.ok)).toEqual(listed.map(({ guarded }) => (guarded ? true : null)))
    const own = listed.filter(({ offset }) => recipe.flash === undefined || offset < 0x10000)
    if (recipe.format === undefined) expect(image.size).toBe(Math.max(...own.map(({ offset, size }) => offset + size)))
  })

  test('what IMAGE_INFO, ROMs and the sections of the device tell', () => {
    const { bytes } = buildImage({
      psid: 'DEL0000000016',
      version: [26, 1036, 5],
      date: ['2024', '02', '09'],
      time: ['04', '05', '59'],
      productVersion: 'rel-26_1036_0005',
      partNumber: '0R887V_Dx',
      description: 'ConnectX-6 Lx',
      prsName: 'cx6lx.prs',
      vsd: 'image',
      hardwareIds: [0x216, 0, 0x010217],
      pciDevice: 0x101f,
      flags: 0x6104,
      securityVersion: 3,
      sections: [
        ...signed,
        romSection([
          { type: 0x10, version: [3, 6, 805], cpu: 1, protocol: 2, port: 1 },
          { type: 0x15, version: [22, 4, 13], cpu: 2 },
          { type: 0x7f, version: [1, 2, 3], cpu: 9 },
        ]),
      ],
      flash,
    })
    expect(parseImage(bytes)).toMatchObject({
      info: {
        psid: 'DEL0000000016',
        version: { major: 26, minor: 1036, subminor: 5 },
        releaseDate: '2024-02-09',
        releaseTime: '04:05:59',
        productVersion: 'rel-26_1036_0005',
        partNumber: '0R887V_Dx',
        description: 'ConnectX-6 Lx',
        prsName: 'cx6lx.prs',
        vsd: 'image',
        chips: [
          { hardwareId: 0x216, revision: 0 },
          { hardwareId: 0x217, revision: 1 },
        ],
        pci: { vendor: 0x15b3, device: 0x101f, subsystemVendor: 0x15b3, subsystem: 0x28 },
        flags: { secureBoot: true, firmwareControl: true, debug: true, signed: true, secure: false, encrypted: false },
      },
      securityAttributes: ['signed-fw', 'debug'],
      firmwareControl: true,
      securityVersion: 3,
      roms: [
        { type: 'PXE', version: [3, 6, 805], cpu: 'AMD64', protocol: 'VPI', port: 1 },
        { type: 'UEFI Virtio blk', version: [22, 4, 13], cpu: 'AARCH64', protocol: null, port: null },
        { type: '0x7f', version: [1, 2, 3], cpu: '0x9', protocol: null, port: null },
      ],
      device: {
        originalPsid: 'MT_0000000838',
        vsd: 'a device of this test',
        guids: [{ base: 'b8cef60300123456', count: 16 }],
        macs: [{ base: '0000b8cef6123456', count: 16 }],
      },
      problems: [],
    })
  })

  test('a key of development is told; without keys there are no attributes', () => {
    const key = Buffer.alloc(0x140)
    key.writeUInt32BE(0xd, 16)
    const [, keys] = signed
    const own = [{ type: 0xa0, data: key }, ...(keys === undefined ? [] : [keys])]
    const attributes = (recipe: ImageRecipe): readonly string[] =>
      parseImage(buildImage(recipe).bytes).securityAttributes
    expect(attributes({ flags: 0xa100, sections: own })).toEqual(['secure-fw', 'debug', 'dev'])
    expect(attributes({ flags: 0xa100, sections: signed })).toEqual(['secure-fw', 'debug'])
    expect(attributes({ flags: 0xa100 })).toEqual([])
    expect(attributes({ flags: 0x8000, sections: signed })).toEqual([])
  })

  test.each([0, ...Array.from({ length: 10 }, (_, power) => 0x10000 << power)])('it is found at byte %i', (offset) => {
    for (const format of offset > 0x400000 ? (['FS4'] as const) : (['FS3', 'FS4', 'FS5'] as const)) {
      const { bytes } = buildImage({ format, offset })
      const image = parseImage(bytes)
      // A burn size is counted from the begin of the image, so that nothing is missing.
      expect([image.format, image.offset, image.info?.psid, image.problems]).toEqual([
        format,
        offset,
        'MT_0000000838',
        [],
      ])
    }
  })

  test('a copy of a flash may hold two images: the first is read, the other named', () => {
    const first = buildImage({ version: [28, 39, 2048] }).bytes
    const both = Buffer.alloc(0x200000, 0xff)
    both.set(first)
    both.set(buildImage({ offset: 0x100000 }).bytes.subarray(0x100000), 0x100000)
    const table = buildImage({ flash: { ...flash, size: both.length } }).bytes.subarray(both.length - 0x5000)
    both.set(table, both.length - 0x5000)
    const image = parseImage(both)
    expect(image).toMatchObject({ offset: 0, others: [0x100000], info: { version: { subminor: 2048 } }, problems: [] })
  })

  test('lines of encrypted code have tags in place of CRCs: they are not checked', () => {
    const code = filler(68 * 20, 9)
    const image = (tag: number): FirmwareImage => {
      code.writeUInt32BE(tag, 64)
      return parseImage(buildImage({ sections: [{ type: 3, data: code, lines: true }] }).bytes)
    }
    expect(image(0x1234).sections.find(({ name }) => name === 'MAIN_CODE')?.crc.ok).toBe(true)
    expect(image(0x12345678).sections.find(({ name }) => name === 'MAIN_CODE')?.crc.ok).toBeNull()
  })
})

describe('encrypted images', () => {
  const sealed = (flags: number, fill: (length: number) => Buffer): Buffer => {
    const { bytes } = buildImage({ flags, burnSize: 0x8e20 })
    fill(0x2000).copy(bytes, 0x5000)
    return bytes
  }

  test('they say so, or have cipher in place of a table: only IMAGE_INFO is read', () => {
    for (const flags of [0x8118, 0x8100]) {
      const image = parseImage(sealed(flags, (length) => filler(length, 77)))
      expect(image).toMatchObject({ encrypted: true, info: { psid: 'MT_0000000838' }, problems: [] })
      expect(image.securityAttributes).toEqual(['secure-fw'])
      expect(image.sections.map(({ name }) => name)).toEqual(['HW_POINTERS', 'TOOLS_AREA'])
    }
  })

  test('nothing else tells how long they are, so that one without a length is damaged', () => {
    const { bytes } = buildImage({ flags: 0x8118, burnSize: 0 })
    filler(0x2000, 77).copy(bytes, 0x5000)
    expect(parseImage(bytes)).toMatchObject({
      encrypted: true,
      problems: [{ section: 'IMAGE_INFO', message: expect.stringContaining('does not tell how long') as string }],
    })
  })

  test('a table that is blank, or has one flipped bit, is damage', () => {
    const blank = parseImage(sealed(0x8100, (length) => Buffer.alloc(length, 0xff)))
    expect(blank).toMatchObject({ encrypted: false, problems: [{ section: 'ITOC', offset: 0x5000 }] })
    const { bytes } = buildImage()
    bytes.writeUInt8(bytes.readUInt8(0x5004) ^ 1, 0x5004)
    expect(parseImage(bytes)).toMatchObject({ encrypted: false, problems: [{ section: 'ITOC', offset: 0x5000 }] })
  })
})

describe('damage', () => {
  /** What is said about a place: of a table whose header is damaged, that there is none. */
  const isNamed = ({ name }: Place, image: FirmwareImage): boolean => {
    const [subject = name] = /^[ID]TOC entry \d+/.exec(name) ?? []
    const also = /^([ID]TOC)_HEADER$/.exec(name)?.[1]
    return image.problems.some(({ section }) => section.startsWith(subject) || section === also)
  }
  const flipped = (bytes: Buffer, bit: number, look: () => void): void => {
    const at = bit >>> 3
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (bit & 7)), at)
    look()
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << (bit & 7)), at)
  }

  test.each(named)('%s: a flipped bit is found, wherever it is, and the section is named', (_, recipe) => {
    process.stderr.write(`flips: seed ${seed}\n`)
    const random = new Random(seed)
    const { bytes, places } = buildImage(recipe)
    const unseen: string[] = []
    for (const place of places.filter(({ guarded }) => guarded)) {
      const bits = place.size * 8
      const every = bits <= 0x400
      for (let turn = 0; turn < (every ? bits : 24); turn++) {
        const bit = place.offset * 8 + (every ? turn : random.below(bits))
        if (place.crcAt !== undefined && (bit >> 4) * 2 === place.offset + place.crcAt - 2) continue
        flipped(bytes, bit, () => {
          if (!isNamed(place, parseImage(bytes))) unseen.push(`${place.name}, bit ${bit - place.offset * 8}`)
        })
      }
    }
    expect(unseen).toEqual([])
    expect(parseImage(bytes).problems).toEqual([])
  })

  test.each(named)('%s: cut off anywhere, it is not sound', (_, recipe) => {
    const { bytes, places } = buildImage(recipe)
    const ends = new Set(places.flatMap(({ offset, size }) => [offset, offset + 1, offset + size - 1, offset + size]))
    // Cut behind its last section an image is one without the sections of a device; FS3 has nothing behind its last one.
    const whole = places.filter(({ offset, name }) => offset < 0x10000 && !name.startsWith('ITOC end'))
    const last = Math.max(...whole.map(({ offset, size }) => offset + size))
    const sound: number[] = []
    for (const length of [...ends].filter((end) => end < bytes.length)) {
      const cut = bytes.subarray(0, length)
      if (orMalformed(() => parseImage(cut)) && parseImage(cut).problems.length === 0) sound.push(length)
    }
    expect(sound.filter((length) => length !== last)).toEqual([])
  })

  test('an image that is larger than its slot of flash', () => {
    expect(parseImage(buildImage({ slotLog: 16 }).bytes).problems).toEqual([])
    const [problem, other] = parseImage(buildImage({ slotLog: 15 }).bytes).problems
    expect([problem?.section, other]).toEqual(['UNKNOWN_0x7b', undefined])
    expect(problem?.message).toBe('ends at 0x8e20 of the image, behind the slot of flash, 0x8000')
  })

  test('an image of FS5 that says it ends before its sections do', () => {
    const recipe: ImageRecipe = { format: 'FS5', hardwareIds: [0x21e] }
    const { places } = buildImage(recipe)
    const { offset = 0, size = 0 } = places.find(({ name }) => name === 'UNKNOWN_0x7b') ?? {}
    const named = (burnSize: number): string[] =>
      parseImage(buildImage({ ...recipe, burnSize }).bytes)
        .problems.filter(({ message }) => message.includes('behind its end'))
        .map(({ section }) => section)
    expect(named(offset + size)).toEqual([])
    expect(named(offset + size - 1)).toEqual(['UNKNOWN_0x7b'])
  })

  test('an end mark in the middle of a table is told by what follows it', () => {
    const { bytes } = buildImage()
    bytes.writeUInt8(0xff, 0x5000 + 0x20 * 3)
    const { problems } = parseImage(bytes)
    expect(problems[0]).toMatchObject({
      section: 'ITOC entry 2',
      message: 'is an end mark, but a sound entry follows it',
    })
  })

  test('a table without an end, full of sections that lie over one another, takes no longer than its file', () => {
    const data = filler(0x100000, 12)
    const { bytes } = buildImage({ sections: [{ type: 3, data }] })
    const entry = Buffer.from(bytes.subarray(0x5040, 0x5060))
    for (let index = 2; index < 64; index++) bytes.set(entry, 0x5020 + 0x20 * index)
    const start = process.hrtime.bigint()
    const { problems } = parseImage(bytes)
    expect(Number(process.hrtime.bigint() - start) / 1e6).toBeLessThan(500)
    expect(problems.filter(({ message }) => message.startsWith('lies over MAIN_CODE')).length).toBeGreaterThan(50)
    expect(problems).toContainEqual(expect.objectContaining({ message: 'has no end mark among its first 64 entries' }))
  })

  test('a layout of IMAGE_INFO that nobody knows, and a kind of CRC that nobody knows', () => {
    const { bytes } = buildImage({ flags: 0x1000100 })
    expect(parseImage(bytes).problems).toMatchObject([
      { section: 'IMAGE_INFO', message: expect.stringContaining('version 1') as string },
    ])
    const other = buildImage().bytes
    other.writeUInt16BE(5, 0x5020 + 0x18)
    other.writeUInt16BE(crc16(other.subarray(0x5020, 0x503c)), 0x503e)
    expect(parseImage(other).problems).toMatchObject([
      { section: 'IMAGE_INFO', message: 'has an unknown kind of CRC, 5' },
    ])
  })
})

describe('other files', () => {
  const withHead = (hex: string): Buffer => Buffer.concat([Buffer.from(hex, 'hex'), filler(0x400)])
  const fs2 = Buffer.alloc(0x1000)
  fs2.write('4d5446578cdfd000dead92704154beef', 'hex')
  const future = buildImage().bytes
  future[0x10] = 6
  test.each([
    ['an empty file', Buffer.alloc(0), 'empty'],
    ['blank flash', Buffer.alloc(0x10000, 0xff), 'blank'],
    ['a text', Buffer.from('<html>404</html>'), 'unknown'],
    ['random bytes', filler(0x20000, 3), 'unknown'],
    ['PLDM', withHead('f018878ccb7d49439800a02f059aca02'), 'PLDM'],
    ['MFA2', withHead(Buffer.from('MLNX.MFA2.XZ.00!').toString('hex')), 'MFA2'],
    ['a component', withHead(Buffer.from('#BIN.COMPONENT!#').toString('hex')), 'component'],
    ['cable firmware', withHead(Buffer.from('MTCF').toString('hex')), 'FC1'],
    ['a BlueField boot stream', withHead('42660213'), 'BFB'],
    ['zip', withHead('504b0304'), 'zip'],
    ['xz', withHead('fd377a585a0000'), 'xz'],
    ['FS2', fs2, 'FS2'],
    ['a format of the future', future, 'FS6'],
  ])('%s is told', async (_, bytes, format) => {
    const error = await parseFirmware(bytes).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ForeignFile)
    expect(error).toMatchObject({ kind: 'malformed', format, path: 'file', offset: 0 })
  })

  test('a magic with nothing behind it', () => {
    expect(() => parseImage(buildImage().bytes.subarray(0, 0x90))).toThrow(/^image header: is cut off.*byte offset 0/)
    expect(() => parseImage(buildImage({ offset: 0x10000 }).bytes.subarray(0, 0x10020))).toThrow(/byte offset 65536/)
  })
})

/** Compressed archives are made by the xz program; without it they are left out, and that is said. */
const noXz = missingProgram('xz')
if (noXz !== undefined) process.stderr.write(`SKIPPED compressed archives: ${noXz}\n`)
const testPacked = noXz === undefined ? test : test.skip

describe('archives', () => {
  const images = [buildImage().bytes, buildImage({ psid: 'MT_0000001244', version: [28, 43, 1014] }).bytes] as const
  const halves = [images[0].subarray(0, 0x6000), images[0].subarray(0x6000)] as const
  const recipe = {
    boards: [
      {
        psid: 'MT_0000000838',
        metadata: { PN: 'MCX75310AAS-NEA_Ax', DESCRIPTION: 'one card', NOTE: 'not\x1b[31m red' },
        parts: [
          { bytes: halves[0], content: 1, version: [28, 39, 1002] },
          { bytes: filler(64, 1), group: 0, content: 1 },
          { bytes: filler(64, 2), selectTag: 'other', content: 0x110, version: [9, 9, 9] },
          { bytes: halves[1], group: 3, content: 0x110, version: [3, 7, 2, 1] },
        ],
      },
      { psid: 'MT_0000001244', parts: [{ bytes: images[1], version: [28, 43, 1014] }] },
    ],
  }
  const parse = async (bytes: Buffer): Promise<FirmwareArchive> => {
    const file = await parseFirmware(bytes)
    if (file.kind !== 'archive') throw new Error('no archive')
    return file.archive
  }

  test.each(noXz === undefined ? [false, true] : [false])(
    'boards, versions and images come back (compressed: %s)',
    async (compress) => {
      const bytes = buildArchive({ ...recipe, compress })
      const archive = await parse(bytes)
      expect(archive).toMatchObject({
        format: 'MFA',
        version: '0.1',
        crc: { ok: true },
        problems: [],
        data: { compressed: compress },
      })
      expect(archive.boards.map(({ psid, metadata }) => [psid, metadata])).toEqual([
        ['MT_0000000838', { ...recipe.boards[0]?.metadata, NOTE: 'not.[31m red' }],
        ['MT_0000001244', {}],
      ])
      const [first] = archive.boards
      expect(first === undefined ? [] : boardVersions(first)).toEqual([
        { content: 'FW', version: [28, 39, 1002] },
        { content: 'PXE', version: [9, 9, 9] },
        { content: 'PXE', version: [3, 7, 2, 1] },
      ])
      for (const [index, psid] of ['MT_0000000838', 'MT_0000001244'].entries()) {
        const image = await extractImage(bytes, archive, psid)
        expect(Buffer.compare(image, images[index] ?? Buffer.alloc(0))).toBe(0)
        expect(parseImage(image)).toMatchObject({ info: { psid }, problems: [] })
      }
      await expect(extractImage(bytes, archive, 'MT_0000000999')).rejects.toThrow('has no image for PSID MT_0000000999')
    },
  )

  test('a flipped bit anywhere is found', async () => {
    const bytes = buildArchive(recipe)
    const random = new Random(seed)
    for (let turn = 0; turn < 300; turn++) {
      const copy = Buffer.from(bytes)
      const at = turn < 100 ? turn : random.below(bytes.length)
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << random.below(8)), at)
      const archive = await parse(copy).catch((error: unknown) => error)
      if (archive instanceof Error) expect(archive).toBeInstanceOf(MalformedData)
      else expect(archive).toMatchObject({ crc: { ok: false }, problems: [{ section: 'archive' }] })
    }
  })

  testPacked('compressed lists that are damaged, though the CRC32 is right', async () => {
    const bytes = buildArchive({ ...recipe, compress: true })
    for (const at of [24, 40, 60]) {
      const copy = Buffer.from(bytes)
      copy.writeUInt8(copy.readUInt8(at) ^ 0x10, at)
      await expect(parse(withArchiveCrc(copy))).rejects.toThrow(MalformedData)
    }
  })

  test('cut off, of another version, with sizes that cannot be', async () => {
    const bytes = buildArchive(recipe)
    for (const length of [4, 15, 16, 23, 24, 60, 200, 400, bytes.length - 1]) {
      const archive = await parse(Buffer.from(bytes.subarray(0, length))).catch((error: unknown) => error)
      expect(archive instanceof MalformedData || (archive as FirmwareArchive).problems.length > 0).toBe(true)
    }
    await expect(parse(buildArchive({ ...recipe, version: 0x20000 }))).rejects.toThrow('version 2')
    const sizes: readonly (readonly [offset: number, value: number, width: 1 | 2 | 4])[] = [
      [20, 0xffffffff, 4],
      [24 + 32, 0xff, 1],
      [24 + 34, 0xffff, 2],
      [24 + 36 + bytes.readUInt16BE(24 + 34), 0x7fffffff, 4],
    ]
    for (const [offset, value, width] of sizes) {
      const copy = Buffer.from(bytes)
      copy.writeUIntBE(value, offset, width)
      await expect(parse(withArchiveCrc(copy))).rejects.toThrow(MalformedData)
    }
  })

  test('an image that ends behind the data, or is larger than any flash, is refused before memory is taken', async () => {
    for (const compress of noXz === undefined ? [false, true] : [false]) {
      const bytes = buildArchive({ boards: [{ psid: 'A', parts: [{ bytes: images[0] }] }], compress })
      const archive = await parse(bytes)
      const [board] = archive.boards
      const [image] = board?.images ?? []
      if (board === undefined || image === undefined) throw new Error('no board')
      const changed = (change: object): FirmwareArchive => ({
        ...archive,
        boards: [{ ...board, images: [{ ...image, ...change }] }],
      })
      for (const change of [{ size: image.size + 1 }, { offset: 1 }, { size: 0xffffffff }, { offset: 2 ** 47 }])
        await expect(extractImage(bytes, changed(change), 'A')).rejects.toThrow(MalformedData)
      await expect(extractImage(bytes, changed({ type: 2 }), 'A')).rejects.toThrow('no firmware')
    }
  })

  testPacked('lists that unfold to more than lists can are refused', async () => {
    const bytes = buildArchive({
      boards: [
        { psid: 'A', metadata: { KEY: 'x' }, parts: Array.from({ length: 200 }, () => ({ bytes: Buffer.alloc(0) })) },
      ],
      compress: true,
    })
    expect((await parse(bytes)).boards[0]?.images).toHaveLength(200)
    const large = buildArchive({ boards: [], map: Buffer.alloc(17 << 20), compress: true })
    expect(large.length).toBeLessThan(1 << 20)
    await expect(parse(large)).rejects.toThrow('unfolds to more than')
  })
})

describe('mutated headers', () => {
  /** MLX5CTL_FUZZ=10 takes ten times as long. */
  const SECONDS = 8 * Number(process.env.MLX5CTL_FUZZ ?? 1)
  const COUNT = 1_000_000
  const small = { hashes: false, boot2Dwords: 4, sections: [{ type: 3, data: filler(0x20, 1) }] }

  const milliseconds = (work: () => void): number => {
    const start = process.hrtime.bigint()
    work()
    return Number(process.hrtime.bigint() - start) / 1e6
  }

  test(`up to ${COUNT} of them: every one is read or refused, in no more memory`, () => {
    const random = new Random(seed)
    const built = (['FS4', 'FS5', 'FS3'] as const).map((format) => ({
      bytes: buildImage({ ...small, format }).bytes,
      targets: buildImage({ ...small, format }).places.filter(({ name }) => name !== 'boot component'),
    }))
    const before = process.memoryUsage().rss
    const end = Date.now() + SECONDS * 1000
    const outcomes = { sound: 0, damaged: 0, refused: 0 }
    let [count, slowest] = [0, 0]
    for (; count < COUNT && (count % 256 !== 0 || Date.now() < end); count++) {
      const { bytes, targets } = random.one(built)
      const undo: [number, number][] = []
      for (let change = 0; change <= random.below(4); change++) {
        const { offset, size } = random.one(targets)
        const at = offset + random.below(size)
        undo.unshift([at, bytes.readUInt8(at)])
        bytes.writeUInt8(random.one([0, 0xff, 0x7f, 0x80, random.below(256)]), at)
      }
      let problems = -1
      const parse = (): boolean => orMalformed(() => (problems = parseImage(bytes).problems.length))
      const took = milliseconds(parse)
      // Whatever takes long is done again: a busy machine is no slow reader.
      if (took > slowest) slowest = Math.max(slowest, Math.min(took, milliseconds(parse), milliseconds(parse)))
      outcomes[problems < 0 ? 'refused' : problems > 0 ? 'damaged' : 'sound']++
      for (const [at, byte] of undo) bytes.writeUInt8(byte, at)
    }
    const grown = (process.memoryUsage().rss - before) / 2 ** 20
    process.stderr.write(
      `mutated headers: ${count}, ${JSON.stringify(outcomes)}, slowest ${slowest.toFixed(1)} ms, seed ${seed}\n`,
    )
    expect(count).toBeGreaterThan(COUNT / 100)
    expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0)
    expect(grown).toBeLessThan(200)
    expect(slowest).toBeLessThan(500)
    for (const { bytes } of built) expect(parseImage(bytes).problems).toEqual([])
  })
})
