import { createHash } from 'node:crypto'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync, gunzipSync } from 'node:zlib'
import { parseJson } from '../../src/bundle/json'
import { bundleLimits, openBundle, readBundle, readManifest } from '../../src/bundle/read'
import { TarReader } from '../../src/bundle/tar'
import { verifyBundle } from '../../src/bundle/verify'
import { MalformedData } from '../../src/prm/errors'
import { makeBundle, manifestOf, packFiles, type MadeBundle } from '../support/bundles'
import { Random, seed } from '../support/random'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-archive-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

const made: MadeBundle = {
  devices: [{ folder: '0000:03:00.0' }],
  items: [
    { name: 'list', device: null, file: 'list.json', content: '{"devices":[]}' },
    { name: 'info', device: '0000:03:00.0', file: 'info.json', content: '{"model":"ConnectX-7"}' },
    { name: 'coredump', device: '0000:03:00.0', file: 'coredump.bin', content: Buffer.alloc(3000, 0xa5) },
    { name: 'empty', device: '0000:03:00.0', file: 'empty.txt', content: '' },
    { name: 'fwtrace', device: '0000:03:00.0', file: null },
  ],
}

interface RawEntry {
  readonly name: string
  readonly content?: string | Uint8Array
  readonly type?: string
  readonly size?: string
  readonly magic?: string
  readonly link?: string
  readonly prefix?: string
  readonly checksum?: string
}

/** One entry of a tar archive, byte by byte. */
function entry({ name, content = '', type = '0', magic = 'ustar\x0000', ...more }: RawEntry): Buffer {
  const bytes = Buffer.from(content)
  const header = Buffer.alloc(512)
  header.write(name, 0, 100, 'utf8')
  header.write('0000644\0', 100)
  header.write(more.size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  header.write('00000000000\0', 136)
  header.write('        ', 148)
  header.write(type, 156)
  header.write(more.link ?? '', 157)
  header.write(magic, 257)
  header.write(more.prefix ?? '', 345)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(more.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

const end = Buffer.alloc(1024)
const manifest = (bundle: MadeBundle = { items: [] }): Buffer =>
  entry({ name: 'b/manifest.json', content: JSON.stringify(manifestOf(bundle)) })

function written(...parts: readonly Uint8Array[]): string {
  writeFileSync(at('x.tar.gz'), gzipSync(Buffer.concat(parts)))
  return at('x.tar.gz')
}

const pax = (...records: readonly [string, string][]): string =>
  records
    .map(([key, value]) => {
      const body = ` ${key}=${value}\n`
      let length = body.length + 1
      while (String(length).length + body.length !== length) length = String(length).length + body.length
      return `${length}${body}`
    })
    .join('')

const readAll = (file: string): ReturnType<typeof readBundle> => readBundle(file, () => true)

describe('a bundle', () => {
  test('is read as it was packed by tar and gzip; the manifest alone too', async () => {
    const file = makeBundle(at('x.tar.gz'), made)
    expect(await readManifest(file)).toEqual(manifestOf(made))
    const { items } = await readAll(file)
    expect(items.map(({ item }) => item.name)).toEqual(['list', 'info', 'coredump', 'empty'])
    expect(Buffer.from(items[2]?.bytes ?? []).equals(Buffer.alloc(3000, 0xa5))).toBe(true)
    expect((await readBundle(file, ({ name }) => name === 'info')).items).toHaveLength(1)
  })

  test('may come in pieces of any size', () => {
    const bytes = gunzipSync(readFileSync(makeBundle(at('x.tar.gz'), made)))
    const digest = (piece: number): string => {
      const tar = new TarReader('x')
      const hash = createHash('sha256')
      for (let from = 0; from < bytes.length; from += piece)
        for (const event of tar.push(bytes.subarray(from, from + piece)))
          if (event.kind === 'data') hash.update(event.part)
          else hash.update(event.kind === 'file' ? `${event.entry.path} ${event.entry.size}` : event.kind)
      tar.finish()
      return hash.digest('hex')
    }
    const whole = digest(bytes.length)
    for (const piece of [1, 7, 511, 512, 513, 4096]) expect(digest(piece)).toBe(whole)
  })

  test('may have been packed by GNU tar or with pax headers, long names, folders and ./ in front', async () => {
    const name = `${'n'.repeat(120)}.txt`
    const long: MadeBundle = {
      items: [{ name: 'long', device: null, file: name, content: 'long' }],
    }
    const tree = at('tree')
    execFileSync('mkdir', ['-p', path.join(tree, 'b/host')])
    writeFileSync(path.join(tree, 'b/manifest.json'), JSON.stringify(manifestOf(long)))
    writeFileSync(path.join(tree, 'b/host', name), 'long')
    for (const format of ['gnu', 'pax', 'ustar']) {
      const words = ['b/manifest.json', 'b/host'].map((one) => (format === 'pax' ? `./${one}` : one))
      const { status } = spawnSync('tar', [`--format=${format}`, '-czf', at('x.tgz'), '-C', tree, ...words])
      // ustar has no room for such a name.
      if (format === 'ustar') expect(status).not.toBe(0)
      else expect((await verifyBundle(at('x.tgz'))).problems).toEqual([])
    }
  })

  test.each<[string, () => string, RegExp]>([
    ['empty', () => (writeFileSync(at('x'), ''), at('x')), /x: is empty$/],
    ['JSON', () => (writeFileSync(at('x'), '{"a":1}'), at('x')), /is no bundle \(.tar.gz\): it is JSON/],
    ['xz', () => (writeFileSync(at('x'), Buffer.from('fd377a585a000000', 'hex')), at('x')), /compressed by xz/],
    ['zip', () => (writeFileSync(at('x'), 'PK\x03\x04'), at('x')), /zip archive/],
    [
      'a tar that is not compressed',
      () => (writeFileSync(at('x'), manifest()), at('x')),
      /tar archive that is not compressed/,
    ],
    ['text', () => (writeFileSync(at('x'), 'hello'), at('x')), /not compressed by gzip/],
    ['gzipped text', () => (writeFileSync(at('x'), gzipSync('hello')), at('x')), /is cut off/],
    ['longer gzipped text', () => (writeFileSync(at('x'), gzipSync('hello'.repeat(200))), at('x')), /no tar archive/],
    ['an empty archive', () => written(end), /it has no files/],
    ['a report of sos', () => packFiles(at('x.tgz'), [['sosreport-web01/sos.txt', 'x']]), /is a report of sos/],
    ['another archive', () => packFiles(at('x.tgz'), [['src/main.c', 'x']]), /src\/main.c comes first/],
    ['a manifest that comes second', () => written(entry({ name: 'b/x' }), manifest(), end), /b\/x comes first/],
  ])('%s is none, and the message says what it is', async (_, make, message) => {
    await expect(readManifest(make())).rejects.toThrow(message)
    await expect(readManifest(make())).rejects.toThrow(MalformedData)
  })
})

describe('an archive that could do harm', () => {
  test.each<[string, readonly Buffer[], RegExp]>([
    ['a symbolic link', [entry({ name: 'b/x', type: '2', link: '/etc/passwd' })], /"b\/x" is a symbolic link/],
    ['a hard link', [entry({ name: 'b/x', type: '1', link: 'b/manifest.json' })], /is a hard link/],
    ['a device', [entry({ name: 'b/x', type: '3' })], /is a character device/],
    ['a FIFO', [entry({ name: 'b/x', type: '6' })], /is a FIFO/],
    ['an unknown kind', [entry({ name: 'b/x', type: 'Q' })], /of an unknown kind/],
    ['a name that leads up', [entry({ name: 'b/../../etc/cron.d/x' })], /unsafe name: "b\/\.\./],
    ['an absolute name', [entry({ name: '/etc/cron.d/x' })], /unsafe name/],
    ['an absolute name by its prefix', [entry({ name: 'x', prefix: '/etc' })], /unsafe name/],
    [
      'an absolute name by pax',
      [entry({ name: 'h', type: 'x', content: pax(['path', '/etc/x']) }), entry({ name: 'b/x' })],
      /unsafe name/,
    ],
    [
      'a name that leads up, by GNU tar',
      [entry({ name: 'l', type: 'L', content: 'b/../x\0' }), entry({ name: 'b/x' })],
      /unsafe name/,
    ],
    ['a name of control characters', [entry({ name: 'b/\u001b[2J' })], /unsafe name: "b\/\\u001b/],
    ['an empty segment', [entry({ name: 'b//x' })], /unsafe name/],
    ['a folder that leads up', [entry({ name: 'b/../..', type: '5' })], /unsafe name/],
    ['a file that comes twice', [entry({ name: 'b/x' }), entry({ name: 'b/x' })], /has "b\/x" twice/],
    ['a second manifest', [manifest()], /has "b\/manifest.json" twice/],
    ['a file outside the folder', [entry({ name: 'c/x' })], /c\/x is not in the folder b/],
    ['a wrong checksum', [entry({ name: 'b/x', checksum: '000000\0 ' })], /checksum is wrong/],
    ['an old kind of archive', [entry({ name: 'b/x', magic: '' })], /old kind/],
    ['a negative size', [entry({ name: 'b/x', size: `\xff${'\xff'.repeat(11)}` })], /no possible size/],
    ['a size beyond all', [entry({ name: 'b/x', size: `\x80${'\xff'.repeat(11)}` })], /no possible size/],
    ['a size that is no number', [entry({ name: 'b/x', size: '12x45678901\0' })], /no possible size/],
    [
      'a size by pax that is none',
      [entry({ name: 'h', type: 'x', content: pax(['size', '-5']) }), entry({ name: 'b/x' })],
      /no possible size/,
    ],
    [
      'a pax header that is damaged',
      [entry({ name: 'h', type: 'x', content: '99 path=x\n' })],
      /pax header that is damaged/,
    ],
    ['a pax header without an end', [entry({ name: 'h', type: 'x', content: '0 =\n' })], /pax header that is damaged/],
    [
      'a header that is too long',
      [entry({ name: 'l', type: 'L', content: 'x'.repeat(70_000) })],
      /header that is too long/,
    ],
    ['a folder with bytes', [entry({ name: 'b/x', type: '5', content: 'x' })], /folder with bytes/],
    ['data behind the end', [end, entry({ name: 'b/x' })], /behind the end of the archive/],
  ])('is refused: %s', async (_, parts, message) => {
    const file = written(manifest(), ...parts, end)
    await expect(readAll(file)).rejects.toThrow(message)
    await expect(readAll(file)).rejects.toThrow(MalformedData)
    expect((await verifyBundle(file)).problems.at(-1)).toMatchObject({ path: null, problem: 'damaged' })
  })

  test('what it unpacks to is limited: ratio, total, one file, the manifest, the number of files', async () => {
    const bomb = written(manifest(), entry({ name: 'b/host/zeros', content: Buffer.alloc(4 << 20) }), end)
    const limits = (some: Partial<typeof bundleLimits>): Promise<unknown> =>
      readBundle(bomb, () => false, { ...bundleLimits, ...some })
    await expect(limits({ ratioFrom: 1 << 20 })).rejects.toThrow(/more than 300 times its size/)
    await expect(limits({ total: 1 << 20 })).rejects.toThrow(/more than 1048576 bytes/)
    await expect(limits({ manifest: 10 })).rejects.toThrow(/manifest of more than 10 bytes/)
    await expect(limits({ files: 1 })).rejects.toThrow(/more than 1 files/)
    await expect(limits({})).resolves.toMatchObject({ items: [] })
    const bundle = await openBundle(bomb, { ...bundleLimits, kept: 1000 })
    await expect(bundle.files(() => 'keep').next()).rejects.toThrow(/b?host\/zeros has more than 1000 bytes/)
    bundle.close()
  })

  test('so is what is held of it at once, by any number of files', async () => {
    const file = makeBundle(at('x.tar.gz'), made)
    const held = { ...bundleLimits, held: 3035 }
    await expect(readBundle(file, () => true, held)).rejects.toThrow(/x.tar.gz: has items of more than 3035 bytes/)
    expect((await readBundle(file, () => true, { ...held, held: 3036 })).items).toHaveLength(4)
    expect((await readBundle(file, ({ name }) => name !== 'list', held)).items).toHaveLength(3)
  })

  test('JSON that takes the parser hours, or the stack of those who walk it, is told by looking it over', () => {
    const parse = (text: string | Uint8Array): unknown => parseJson('x.json', Buffer.from(text))
    const list = (count: number): string => `[${'{},'.repeat(count - 1)}{}]`
    expect(() => parse(list(4_000_000))).toThrow('x.json: has more than 500000 values')
    expect(() => parse(Buffer.alloc(33 << 20, ' '))).toThrow('x.json: is too long: JSON of more than 33554432 bytes')
    expect(() => parse(`${'['.repeat(49)}${']'.repeat(49)}`)).toThrow('x.json: is nested too deep')
    expect(parse(`${'['.repeat(48)}${']'.repeat(48)}`)).toHaveLength(1)
    expect(parse(list(100_000))).toHaveLength(100_000)
    const text = { text: `${'[{,'.repeat(300_000)}"\\`, next: ['\"[', 'é'] }
    expect(parse(JSON.stringify(text))).toEqual(text)
    expect(() => parse(Buffer.from([0x22, 0xff, 0x22]))).toThrow(/x.json: is no JSON/)
  })

  test('a bomb of 10 GiB is told within its first megabytes, and takes no memory', async () => {
    const member = gzipSync(Buffer.alloc(64 << 20))
    const size = `${(10 * 2 ** 30).toString(8).padStart(11, '0')}\0`
    const head = gzipSync(Buffer.concat([manifest(), entry({ name: 'b/host/zeros', size }).subarray(0, 512)]))
    writeFileSync(at('x'), Buffer.concat([head, ...Array.from({ length: 160 }, () => member)]))
    const before = process.memoryUsage().rss
    await expect(readBundle(at('x'), () => false)).rejects.toThrow(/more than 300 times its size/)
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20)
  })

  test.each(['trailing', '\0\0\0\0\0\0\0\0\0\0\0\0', '\x1f'])(
    'bytes behind the gzip data are told: %j',
    async (rest) => {
      const file = written(manifest(), end)
      writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.from(rest)]))
      await expect(readAll(file)).rejects.toThrow(/data behind its end|is damaged: incorrect header check|is cut off/)
      await expect(readAll(file)).rejects.toThrow(MalformedData)
    },
  )

  test('cut off at any 512 bytes, packed or not, it is told as such', async () => {
    const packed = readFileSync(makeBundle(at('x.tar.gz'), made))
    const tar = gunzipSync(packed)
    let last = tar.length
    while (tar[last - 1] === 0) last--
    const cuts = [
      ...Array.from({ length: Math.ceil(packed.length / 64) }, (_, index) => packed.subarray(0, index * 64)),
      ...Array.from({ length: Math.ceil(last / 512) }, (_, index) => gzipSync(tar.subarray(0, index * 512))),
    ]
    for (const [index, cut] of cuts.entries()) {
      writeFileSync(at('cut'), cut)
      await expect(readAll(at('cut')).catch((error: unknown) => [index, error])).resolves.toMatchObject([
        index,
        expect.any(MalformedData),
      ])
    }
  })

  test(`mutated anywhere, it is refused, or is what it was (seed ${seed})`, async () => {
    const random = new Random(seed)
    const packed = readFileSync(makeBundle(at('x.tar.gz'), made))
    const tar = gunzipSync(packed)
    const until = Date.now() + 2500
    let refused = 0
    for (let turn = 0; turn < 1500 && Date.now() < until; turn++) {
      const inTar = turn % 2 === 0
      const bytes = Buffer.from(inTar ? tar : packed)
      for (let count = 1 + random.below(4); count > 0; count--) bytes[random.below(bytes.length)] = random.below(256)
      writeFileSync(at('mutated'), inTar ? gzipSync(bytes, { level: 1 }) : bytes)
      const { problems, manifest } = await verifyBundle(at('mutated'))
      if (problems.length > 0) refused++
      else {
        // Padding and fields that nobody reads; or members of the manifest that are not of the files, as the name of the host.
        const { items } = await readAll(at('mutated'))
        expect([turn, items.length, items.map(({ item }) => item.sha256)]).toEqual([
          turn,
          4,
          items.map(({ bytes }) => createHash('sha256').update(bytes).digest('hex')),
        ])
        expect(manifest?.items).toHaveLength(5)
      }
    }
    expect(refused).toBeGreaterThan(50)
  })
})

describe('a manifest', () => {
  const parsed = (change: (raw: Record<string, unknown>) => void): Promise<unknown> => {
    const raw = structuredClone(manifestOf(made)) as Record<string, unknown>
    change(raw)
    return readManifest(written(entry({ name: 'b/manifest.json', content: JSON.stringify(raw) }), end))
  }
  const item = (raw: Record<string, unknown>, index: number): Record<string, unknown> =>
    (raw.items as Record<string, unknown>[])[index] ?? {}

  test.each<[string, (raw: Record<string, unknown>) => void, RegExp]>([
    ['kind', (raw) => (raw.kind = 'other'), /manifest.json: kind is not "mlx5ctl bundle"/],
    ['version', (raw) => (raw.schemaVersion = '2.0'), /schemaVersion is "2.0": this tool reads 1.x/],
    ['host', (raw) => delete raw.host, /host is no text/],
    ['time', (raw) => (raw.started = 'yesterday'), /started is no time: "yesterday"/],
    ['time that is none', (raw) => (raw.finished = '2026-13-45T00:00:00Z'), /finished is no time/],
    ['count', (raw) => (raw.resumed = -1), /resumed is no count/],
    ['redacted', (raw) => (raw.redacted = ['names']), /redacted has "names"/],
    ['devices', (raw) => (raw.devices = {}), /devices is no list/],
    [
      'folder',
      (raw) => (raw.devices = [{ name: 'x', folder: '../x', identity: null }]),
      /devices\[0\].folder is no name/,
    ],
    [
      'folders twice',
      (raw) => (raw.devices = [...(raw.devices as []), ...(raw.devices as [])]),
      /devices name a folder twice/,
    ],
    ['status', (raw) => (item(raw, 0).status = 'fine'), /items\[0\].status is "fine"/],
    ['a device that is not there', (raw) => (item(raw, 1).device = 'x'), /items\[1\].device names no device: "x"/],
    [
      'a file elsewhere',
      (raw) => (item(raw, 1).file = 'host/info.json'),
      /items\[1\].file is not below devices\/0000:03:00.0\//,
    ],
    ['a file that leads up', (raw) => (item(raw, 0).file = 'host/../../x'), /items\[0\].file is not below host/],
    ['a file twice', (raw) => (item(raw, 2).file = item(raw, 1).file), /items name a file twice/],
    ['a hash', (raw) => (item(raw, 0).sha256 = 'abc'), /items\[0\].sha256 is no SHA-256/],
    ['a size without a file', (raw) => (item(raw, 4).size = 5), /items\[4\] needs file, size and sha256, or none/],
    ['a duration', (raw) => (item(raw, 0).duration = '5'), /items\[0\].duration is no duration/],
    ['an exit', (raw) => (item(raw, 0).exit = null), /items\[0\].exit is no object/],
  ])('is refused for its %s', async (_, change, message) => {
    await expect(parsed(change)).rejects.toThrow(message)
  })

  test('has members of later versions', async () => {
    await expect(
      parsed((raw) => {
        raw.schemaVersion = '1.7'
        raw.later = [1]
        item(raw, 0).later = true
      }),
    ).resolves.toMatchObject({ host: 'web01' })
  })

  test('that is no JSON, or nested too deep for its own good, is malformed', async () => {
    const deep = JSON.stringify(manifestOf({ devices: [{ folder: 'x', identity: { x: '@' } }], items: [] }))
    const identity = deep.replace('"@"', `${'[1,'.repeat(20_000)}1${']'.repeat(20_000)}`)
    for (const content of ['', '{', '[]', '"x"', '['.repeat(100_000), identity, Buffer.from([0xff, 0xfe])])
      await expect(readManifest(written(entry({ name: 'b/manifest.json', content }), end))).rejects.toThrow(
        MalformedData,
      )
  })
})

describe('verify', () => {
  test('finds nothing wrong with a good one', async () => {
    expect(await verifyBundle(makeBundle(at('x.tar.gz'), made))).toMatchObject({ good: 4, problems: [] })
  })

  test('finds one flipped bit in each file, and reads on', async () => {
    const tar = gunzipSync(readFileSync(makeBundle(at('x.tar.gz'), made)))
    for (const [content, name] of [
      ['{"devices":[]}', 'host/list.json'],
      ['{"model":"ConnectX-7"}', 'devices/0000:03:00.0/info.json'],
      ['\xa5\xa5\xa5\xa5', 'devices/0000:03:00.0/coredump.bin'],
    ] as const) {
      const bytes = Buffer.from(tar)
      const where = bytes.lastIndexOf(Buffer.from(content, 'latin1')) + 2
      bytes[where] = (bytes[where] ?? 0) ^ 4
      writeFileSync(at('x'), gzipSync(bytes))
      expect(await verifyBundle(at('x'))).toMatchObject({ good: 3, problems: [{ path: name, problem: 'sha256' }] })
      await expect(readAll(at('x'))).rejects.toThrow(`${name} is not what the manifest says`)
    }
  })

  test('accounts for every file, and for what the manifest says of each', async () => {
    const [list, info] = made.items
    const whole = manifestOf(made)
    const file = packFiles(at('x.tgz'), [
      ['b/manifest.json', JSON.stringify(whole)],
      ['b/host/list.json', String(list?.content)],
      ['b/host/more.txt', 'more'],
      ['b/devices/0000:03:00.0/info.json', `${String(info?.content)} `],
    ])
    const { good, problems } = await verifyBundle(file)
    expect(good).toBe(1)
    expect(problems.map(({ path, problem }) => [path, problem])).toEqual([
      ['host/more.txt', 'extra'],
      ['devices/0000:03:00.0/info.json', 'size'],
      ['devices/0000:03:00.0/coredump.bin', 'missing'],
      ['devices/0000:03:00.0/empty.txt', 'missing'],
    ])
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['ok and an exit code', { exit: { code: 5, kind: 'delivery' } }, /it is ok, and the exit code is 5/],
    ['failed and exit code 0', { status: 'failed', reason: 'x' }, /it failed, and the exit code is 0/],
    ['left out and a file', { status: 'left-out', reason: 'x' }, /left out, and has a file/],
    ['partial without a reason', { status: 'partial', exit: { code: 8, kind: null } }, /partial, and nothing says why/],
    ['ok without a file', { file: null, size: null, sha256: null }, /ok, and has no file|not in the manifest/],
  ])('finds where a manifest contradicts itself: %s', async (_, change, message) => {
    const items = [{ name: 'list', device: null, file: 'list.json', content: '{}', item: change }]
    const { problems } = await verifyBundle(makeBundle(at('x.tar.gz'), { items }))
    expect(problems.map(({ message }) => message).join()).toMatch(message)
  })

  test('JSON that is none is told, although its hash is right', async () => {
    const items = [{ name: 'list', device: null, file: 'list.json', content: '{"a":' }]
    const { problems } = await verifyBundle(makeBundle(at('x.tar.gz'), { items }))
    expect(problems).toMatchObject([
      { path: 'host/list.json', problem: 'json', message: expect.stringMatching(/^is no JSON/) as string },
    ])
  })
})
