import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { spawnSync } from 'node:child_process'
import { bin, mlx5ctl } from '../support/cli'
import { buildArchive, buildImage, devInfo, filler, mfgInfo, signed, withArchiveCrc } from '../support/firmware-builder'
import { missingProgram } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-fw-show-'))
  const image = buildImage({ flags: 0x8100, sections: signed, version: [28, 43, 1014] }).bytes
  const flash = { size: 0x40000, sections: [mfgInfo('MT_0000000838', 1n, 2n), devInfo('vsd', 1n, 2n)] }
  const damaged = Buffer.from(image)
  damaged.writeUInt8(damaged.readUInt8(0x7400) ^ 1, 0x7400)
  const boards = [
    {
      psid: 'MT_0000000838',
      metadata: { PN: 'MCX75310AAS-NEA_Ax', DESCRIPTION: 'one' },
      parts: [{ bytes: image, version: [28, 43, 1014] }],
    },
    {
      psid: 'MT_0000000839',
      parts: [
        { bytes: image, version: [28, 43, 1014] },
        { bytes: filler(8), content: 0x110, version: [3, 7, 2, 1] },
      ],
    },
  ]
  const files: Readonly<Record<string, Buffer>> = {
    'good.bin': image,
    'flash.bin': buildImage({ flash }).bytes,
    'damaged.bin': damaged,
    'cut.bin': image.subarray(0, 0x7500),
    'stub.bin': image.subarray(0, 0x40),
    'page.html': Buffer.from('<html>not found</html>'),
    'pldm.fwpkg': Buffer.concat([Buffer.from('f018878ccb7d49439800a02f059aca02', 'hex'), filler(100)]),
    'all.mfa': buildArchive({ boards, compress: missingProgram('xz') === undefined }),
    'wrong-crc.mfa': Buffer.concat([buildArchive({ boards }).subarray(0, -4), Buffer.from('deadbeef', 'hex')]),
    'inner.mfa': withArchiveCrc(buildArchive({ boards: [{ psid: 'X', parts: [{ bytes: damaged }] }] })),
  }
  for (const [name, bytes] of Object.entries(files)) writeFileSync(at(name), bytes)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)
interface Shown {
  readonly file: string
  readonly ok: boolean
  readonly image: { readonly psid: string; readonly version: string; readonly sections: readonly unknown[] } | null
  readonly archive: { readonly boards: readonly { readonly psid: string }[] } | null
  readonly problems: readonly { readonly section: string; readonly offset: number }[]
  readonly error: { readonly kind: string; readonly message: string } | null
}
const shownBy = (stdout: string): readonly Shown[] => parseEnvelope(stdout).data?.files as readonly Shown[]

describe('what other programs find in it', () => {
  test('nic-configuration-operator and ironic-python-agent read what JSON says', () => {
    const { stdout, status } = mlx5ctl('fw', 'show', at('good.bin'))
    expect(status).toBe(0)
    const [shown] = shownBy(mlx5ctl('fw', 'show', at('good.bin'), '-j').stdout)
    // The operator takes lines by their beginning, in small letters, and what follows the colon.
    const operator = (prefix: string): string | undefined =>
      stdout
        .split('\n')
        .map((line) => line.trim())
        .find((line) => line.toLowerCase().startsWith(prefix))
        ?.slice(prefix.length)
        .trim()
    expect([operator('fw version:'), operator('psid:')]).toEqual([shown?.image?.version, shown?.image?.psid])
    expect(/FW Version:\s*\t*(\d+\.\d+\.\d+)/.exec(stdout)?.[1]).toBe('28.43.1014')
    expect(/PSID:\s*\t*(\w+)/.exec(stdout)?.[1]).toBe('MT_0000000838')
  })

  test('the text of a whole flash', async () => {
    const { stdout } = await runInProcess(['fw', 'show', at('flash.bin')])
    expect(stdout).toBe(`Image type:            FS4
FW Version:            28.39.1002
FW Release Date:       15.10.2023
PRS Name:              cx7_MCX75310AAS-NEA_Ax.prs
Part Number:           MCX75310AAS-NEA_Ax
Description:           An adapter card; it exists in tests only
Product Version:       rel-28_39_1002
Rom Info:              type=UEFI version=14.32.12 cpu=AMD64,AARCH64
                       type=PXE version=3.7.201 cpu=AMD64
Description:           UID                GuidsNumber
Base GUID:             0000000000000001        16
Base MAC:              000000000002            16
Image VSD:             built for a test
Device VSD:            vsd
PSID:                  MT_0000000838
Security Attributes:   N/A
Security Ver:          0
Default Update Method: Legacy
Chips:                 ConnectX7 (0x218)
PCI device:            15b3:1021
Verified:              14 checksums, 1 without one
`)
  })

  test('sections, with --sections or -v', async () => {
    const { stdout } = await runInProcess(['fw', 'show', at('damaged.bin'), '--sections'])
    expect(stdout).toContain('Damaged:               IMAGE_SIGNATURE_256 at 0x7400 has CRC ')
    expect(stdout).toMatch(/^0x00007000 {2}0x00000400 {2}ITOC {3}IMAGE_INFO +OK$/m)
    expect(stdout).toMatch(/^0x00007400 {2}0x00000140 {2}ITOC {3}IMAGE_SIGNATURE_256 +wrong CRC$/m)
    expect((await runInProcess(['fw', 'show', at('damaged.bin'), '-v'])).stdout).toBe(stdout)
  })
})

describe('files that are no sound image: exit 7, the reason, and whatever can be read', () => {
  test.each([
    [
      'damaged.bin',
      /^mlx5ctl: \S+damaged\.bin: is damaged: IMAGE_SIGNATURE_256 has CRC 0x[0-9a-f]+, and should have 0x[0-9a-f]+ \(byte offset 29696\)\n$/,
    ],
    [
      'cut.bin',
      /is damaged: IMAGE_SIGNATURE_256 0x7400 to 0x7540 lies beyond the end of the file, 0x7500, and \d more/,
    ],
    ['stub.bin', /image header: is cut off: the file has 0x40 bytes of it \(byte offset 0\)/],
    ['page.html', /is no firmware image: there is no magic/],
    ['pldm.fwpkg', /is a PLDM package, not a firmware image \(byte offset 0\)\nmlx5ctl: hint: /],
    ['wrong-crc.mfa', /is damaged: archive has CRC32 0x[0-9a-f]+, and should have 0xdeadbeef/],
  ])('%s', async (name, reason) => {
    const text = await runInProcess(['fw', 'show', at(name)])
    expect([text.status, text.stderr]).toEqual([7, expect.stringMatching(reason)])
    expect(text.stdout).toMatch(/^(?:Image type: .*Damaged: |Archive type: .*Damaged: |$)/s)
    const json = await runInProcess(['fw', 'show', at(name), '-j'])
    expect([json.status, json.stderr]).toEqual([7, text.stderr])
    const { status, error } = parseEnvelope(json.stdout)
    expect([status, error?.kind]).toEqual(['partial', 'malformed'])
    const [shown] = shownBy(json.stdout)
    expect(shown).toMatchObject({ file: at(name), ok: false, error: { kind: 'malformed' } })
    expect(text.stderr).toContain(shown?.error?.message)
  })

  test('one bad file hides none of the others, in any order', async () => {
    const names = ['page.html', 'good.bin', 'missing.bin', 'damaged.bin', 'flash.bin']
    const json = await runInProcess(['fw', 'show', ...names.map(at), '-j'])
    expect(json.status).toBe(7)
    expect(shownBy(json.stdout).map(({ ok, image }) => [ok, image?.psid])).toEqual([
      [false, undefined],
      [true, 'MT_0000000838'],
      [false, undefined],
      [false, 'MT_0000000838'],
      [true, 'MT_0000000838'],
    ])
    const text = await runInProcess(['fw', 'show', ...names.map(at)])
    expect([
      text.status,
      text.stdout.match(/^FW Version:.*/gm)?.length,
      text.stdout.match(/^File:.*/gm)?.length,
    ]).toEqual([7, 3, 5])
    expect(text.stderr).toContain('3 of 5 files cannot be used: ')
    const records = (await runInProcess(['fw', 'show', ...names.map(at), '--format', 'ndjson'])).stdout
      .trim()
      .split('\n')
    expect(records.map((line) => (JSON.parse(line) as { data: Shown }).data.ok)).toEqual([
      false,
      true,
      false,
      false,
      true,
    ])
  })

  test('to a file: all of it, also of what is damaged', () => {
    const out = at('out.json')
    expect(mlx5ctl('fw', 'show', at('damaged.bin'), '-j', '-o', out).status).toBe(7)
    expect(shownBy(readFileSync(out, 'utf8'))).toHaveLength(1)
    rmSync(out)
  })
})

describe('archives', () => {
  test('boards are listed', () => {
    const { stdout, status } = mlx5ctl('fw', 'show', at('all.mfa'))
    expect([status, stdout]).toEqual([
      0,
      `Archive type:          MFA 0.1
Boards:                2

PSID           Part Number         FW          PXE       Description
MT_0000000838  MCX75310AAS-NEA_Ax  28.43.1014  N/A       one
MT_0000000839  N/A                 28.43.1014  3.7.0201

Verified:              CRC32 of the archive
`,
    ])
    const [shown] = shownBy(mlx5ctl('fw', 'show', at('all.mfa'), '-j').stdout)
    expect(shown?.archive?.boards.map(({ psid }) => psid)).toEqual(['MT_0000000838', 'MT_0000000839'])
  })

  test('--psid shows the image of one, as if it were a file', () => {
    const one = mlx5ctl('fw', 'show', at('all.mfa'), '--psid', 'MT_0000000838')
    expect([one.status, one.stdout]).toEqual([0, mlx5ctl('fw', 'show', at('good.bin')).stdout])
    const none = mlx5ctl('fw', 'show', at('all.mfa'), '--psid', 'MT_0000000999')
    expect([none.status, none.stderr]).toEqual([7, expect.stringContaining('has no image for PSID MT_0000000999')])
    const inner = mlx5ctl('fw', 'show', at('inner.mfa'), '--psid', 'X', '-j')
    expect([inner.status, shownBy(inner.stdout)[0]?.problems[0]?.section]).toEqual([7, 'IMAGE_SIGNATURE_256'])
  })
})

describe('the command line', () => {
  test.each([
    [['fw'], 'fw'],
    [['fw', 'show'], 'takes files'],
    [['fw', 'shwo', 'x'], 'fw has no shwo'],
    [['fw', 'constructor', 'x'], 'fw has no constructor'],
    [['fw', 'show', 'x', '--raw'], '--raw'],
    [['fw', 'show', 'x', '--record', 'y'], '--record'],
    [['fw', 'show', '/nonexistent/file'], 'cannot be read'],
    [['fw', 'show', '/'], 'cannot be read'],
  ])('%j is refused with exit 2', async (words, reason) => {
    const { status, stdout, stderr } = await runInProcess(words)
    expect([status, stdout, stderr]).toEqual([2, '', expect.stringContaining(reason)])
  })

  test('--psid is for archives', async () => {
    const { status, stderr } = await runInProcess(['fw', 'show', at('good.bin'), '--psid', 'X'])
    expect([status, stderr]).toEqual([2, expect.stringContaining('chooses out of an archive')])
  })

  test('an image from a pipe', () => {
    const { stdout, status } = spawnSync(process.execPath, [bin, 'fw', 'show', '-'], {
      input: readFileSync(at('good.bin')),
    })
    expect([status, String(stdout)]).toEqual([0, mlx5ctl('fw', 'show', at('good.bin')).stdout])
  })
})
