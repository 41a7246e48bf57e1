import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buildImage, defaultSections, signed } from '../support/firmware-builder'
import { describeUnless } from '../support/oracle'
import { Random, seed } from '../support/random'
import { parseEnvelope } from '../support/schema'
import { Mstflint } from './mstflint'

/** fw against the unmodified mstflint of Debian, on the same emulated device. */

const sid = new Mstflint('sid')
const bookworm = new Mstflint('bookworm')

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-firmware-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

/** What fw query -j says of one device. */
interface Queried {
  readonly partNumber: string
  readonly description: string
  readonly psid: string
  readonly baseMac: { readonly address: string; readonly original: string; readonly count: number }
  readonly baseGuid: { readonly address: string; readonly original: string; readonly count: number }
  readonly versions: {
    readonly running: string
    readonly pending: string | null
    readonly product: string
    readonly roms: readonly { readonly type: string; readonly version: string; readonly architecture: string | null }[]
  }
  readonly security: {
    readonly attributes: readonly string[]
    readonly lifeCycle: string
    readonly secureBoot: boolean
    readonly encryption: boolean
    readonly rollback: {
      readonly fuses: number
      readonly image: number
      readonly programming: string
      readonly allowed: boolean
    } | null
  }
  readonly imageVsd: string | null
  readonly deviceVsd: string | null
}

function queriedOf(stdout: string): Queried {
  const { devices } = parseEnvelope(stdout).data as { devices: { firmware: Queried }[] }
  expect(devices).toHaveLength(1)
  return (devices[0] as { firmware: Queried }).firmware
}

/** Labels and values of mstflint; a label that comes twice has both values, and ROMs stand on lines of their own. */
function fieldsOf(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  let label = ''
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^([^:]{1,22}):\s+(.*)$/.exec(line) ?? []
    const [, more] = /^ {23}(\S.*)$/.exec(line) ?? []
    if (name !== undefined) label = name
    if (name !== undefined || more !== undefined)
      fields.set(label, [...(fields.get(label) ?? []), (more ?? value).trim()])
  }
  return fields
}

/** The fields of mstflint, as what fw query says would have them. */
function expected(info: Queried, keys: ReadonlySet<string>): Map<string, string[]> {
  const plain = (version: string): string => version.split('.').map(Number).join('.')
  const uid = ({ address, count }: Queried['baseMac']): string => `${address} ${count}`
  const original = (one: Queried['baseMac']): string => `${one.original} ${one.count}`
  const roms = info.versions.roms.map(
    ({ type, version, architecture }) =>
      `type=${type} version=${plain(version)}${architecture === null ? '' : ` cpu=${architecture}`}`,
  )
  const all: [string, string[]][] = [
    ['Image type', ['FS4']],
    ['FW Version', [info.versions.pending ?? info.versions.running]],
    ['FW Version(Running)', info.versions.pending === null ? [] : [info.versions.running]],
    ['Part Number', [info.partNumber]],
    ['Product Version', [info.versions.product]],
    ['Rom Info', roms.sort()],
    ['Description', [...(keys.has('Part Number') ? [info.description] : []), 'UID                GuidsNumber']],
    ['Base GUID', [uid(info.baseGuid)]],
    ['Base MAC', [uid(info.baseMac)]],
    ['Orig Base GUID', info.baseGuid.original === info.baseGuid.address ? [] : [original(info.baseGuid)]],
    ['Orig Base MAC', info.baseMac.original === info.baseMac.address ? [] : [original(info.baseMac)]],
    ['Image VSD', [info.imageVsd ?? 'N/A']],
    ['Device VSD', [info.deviceVsd ?? 'N/A']],
    ['PSID', [info.psid]],
    ['Security Attributes', [info.security.attributes.join(', ') || 'N/A']],
    ['Default Update Method', ['fw_ctrl']],
    ['Life cycle', [info.security.lifeCycle.toUpperCase().replace('-', ' ')]],
    ['Secure Boot Capable', [info.security.secureBoot ? 'Enabled' : 'Disabled']],
    ...rollbackRows(info.security.rollback),
    ['Encryption', [info.security.encryption ? 'Enabled' : 'Disabled']],
  ]
  return new Map(all.filter(([label, values]) => keys.has(label) && values.length > 0))
}

/** mstflint has them of chips in the GA secured state that boot securely, and no others. */
function rollbackRows(rollback: Queried['security']['rollback']): [string, string[]][] {
  if (rollback === null) return []
  const { fuses, image, programming, allowed } = rollback
  return [
    ['EFUSE Security Ver', [String(fuses)]],
    ['Image Security Ver', [String(image)]],
    [
      'Security Ver Program',
      [programming === 'automatic' ? 'Automatically' : `Manually ; ${allowed ? 'Enabled' : 'Disabled'}`],
    ],
  ]
}

function compare(theirs: string, info: Queried): number {
  const found = fieldsOf(theirs)
  for (const label of ['Base GUID', 'Base MAC', 'Orig Base MAC'])
    found.set(
      label,
      (found.get(label) ?? []).map((value) => value.replace(/\s+/g, ' ').replace(/ N\/A$/, '')),
    )
  if (found.get('Orig Base MAC')?.length === 0) found.delete('Orig Base MAC')
  found.set('Rom Info', (found.get('Rom Info') ?? []).sort())
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected(info, new Set(found.keys()))))
  return [...found.values()].flat().length
}

const tell = (what: string, count: number): void =>
  void process.stdout.write(`${what}: ${count} fields compared, 0 mismatches\n`)

describeUnless(sid.missing ?? bookworm.missing, 'fw query and mstflint query', () => {
  test.each(['connectx6dx', 'connectx7', 'bluefield3'])(
    '%s: every field of mstflint 4.33 and 4.21, over PCI and fwctl',
    (profile) => {
      const { status, stderr } = sid.run(
        `${sid.command('mstflint')} -d fwctl0 q full >${folder}/fwctl
         ${sid.command('mstflint')} -d 03:00.0 q >${folder}/pci
         mlx5ctl fw query fwctl0 -j >${folder}/ours-fwctl && mlx5ctl fw query 03:00.0 --transport pci -j >${folder}/ours-pci`,
        '--profile',
        profile,
      )
      expect([status, stderr]).toEqual([0, ''])
      // The older one knows no fwctl.
      bookworm.run(`${bookworm.command('mstflint')} -d 03:00.0 q >${folder}/old`, '--profile', profile)
      const read = (name: string): string => readFileSync(at(name), 'utf8')
      const [fwctl, pci] = [queriedOf(read('ours-fwctl')), queriedOf(read('ours-pci'))]
      expect(pci).toEqual(fwctl)
      const count = compare(read('fwctl'), fwctl) + compare(read('pci'), fwctl) + compare(read('old'), fwctl)
      expect(count).toBeGreaterThan(40)
      tell(profile, count)
    },
    60_000,
  )

  test('MGIR and MFSV with random flags, life cycles and ROMs', () => {
    process.stdout.write(`seed ${seed}\n`)
    const random = new Random(seed)
    let count = 0
    for (const isFused of [true, false, false]) {
      const registers = {
        'MGIR/*': mgir(random, isFused).toString('hex'),
        'MFSV/*': mfsv(random).toString('hex'),
      }
      writeFileSync(at('state'), JSON.stringify({ version: 1, profile: 'connectx7', registers }))
      sid.run(
        `${sid.command('mstflint')} -d fwctl0 q full >${folder}/theirs; mlx5ctl fw query fwctl0 -j >${folder}/ours`,
        '--profile',
        'connectx7',
        '--emu-state',
        at('state'),
      )
      const [theirs, ours] = [readFileSync(at('theirs'), 'utf8'), queriedOf(readFileSync(at('ours'), 'utf8'))]
      expect(theirs.includes('EFUSE Security Ver')).toBe(ours.security.rollback !== null)
      count += compare(theirs, ours)
    }
    tell('random MGIR', count)
  }, 60_000)
})

describeUnless(bookworm.missing, 'fw reset and mstfwreset query', () => {
  test('the same rows of levels, types and syncs, with the same defaults', () => {
    // It is a script that starts another tool by its name.
    mkdirSync(at('bin'))
    writeFileSync(at('bin/mstmcra'), `#!/bin/sh\nexec ${bookworm.command('mstmcra')} "$@"\n`, { mode: 0o755 })
    bookworm.run(
      `PATH=${at('bin')}:$PATH ${bookworm.python('mstfwreset', '-d 03:00.0 q')} >${at('theirs')}
       mlx5ctl fw reset 03:00.0 --transport pci >${at('ours')}`,
      ...['--profile', 'connectx7'],
    )
    const rowsOf = (name: string): string[] =>
      readFileSync(at(name), 'utf8')
        .split('\n')
        .filter((line) => /^\d: /.test(line))
        // Who owns a reset by default differs: we are never the owner.
        .map((line) => (line.includes('owner') ? line.replace('(default)', '') : line).trimEnd().toLowerCase())
    const theirs = rowsOf('theirs')
    expect(theirs.length).toBeGreaterThanOrEqual(8)
    expect(rowsOf('ours')).toEqual(expect.arrayContaining(theirs))
  }, 60_000)
})

describeUnless(sid.missing, 'updates that one tool makes and the other sees', () => {
  /** Signed, as mstflint wants it of secured firmware. */
  const imageFile = (): string => {
    const { bytes } = buildImage({ version: [28, 44, 1000], flags: 0xc100, sections: [...defaultSections, ...signed] })
    writeFileSync(at('image.bin'), bytes)
    return at('image.bin')
  }
  const emulatedFlash = (): Buffer => {
    const name = readdirSync(folder).find((one) => one.endsWith('.flash')) ?? ''
    return readFileSync(at(name))
  }
  const versions = '| grep -E "^FW Version"'

  test('ours: mstflint says that the new version waits, and after fw reset that it runs', () => {
    const image = imageFile()
    const query = `${sid.command('mstflint')} -d fwctl0 q ${versions}`
    const { stdout, stderr } = sid.run(
      `mlx5ctl fw update fwctl0 --from ${image} --yes >/dev/null; ${query}; mlx5ctl fw reset fwctl0 --level 3 --yes >/dev/null; ${query}`,
      ...['--profile', 'connectx7', '--emu-state', at('state')],
    )
    expect(stderr).toBe('')
    expect(stdout).toBe(
      'FW Version:            28.44.1000\nFW Version(Running):   28.43.1014\nFW Version:            28.44.1000\n',
    )
    expect(emulatedFlash().equals(readFileSync(image))).toBe(true)
  }, 60_000)

  test('that of mstflint: the same bytes on flash, and fw query says what waits', () => {
    const image = imageFile()
    const { stdout } = sid.run(
      `${sid.command('mstflint')} -d fwctl0 -i ${image} -y burn >/dev/null; mlx5ctl fw query fwctl0 -j`,
      ...['--profile', 'connectx7', '--emu-state', at('state')],
    )
    expect(queriedOf(stdout).versions).toMatchObject({ running: '28.43.1014', pending: '28.44.1000' })
    expect(emulatedFlash().equals(readFileSync(image))).toBe(true)
  }, 60_000)
})

/** A ConnectX-7 by the offsets of facts: firmware manager, C.5. */
/** MFSV with random versions and programming. */
function mfsv(random: Random): Buffer {
  const image = Buffer.alloc(0x30)
  // allowed, status, automatic, pending
  image.writeUInt32BE(random.below(64) & ~0x10, 0)
  image.writeUInt32BE(random.below(1000), 4)
  image.writeUInt32BE(random.below(1000), 8)
  return image
}

/** @param isFused GA secured with secure boot, where mstflint has more to say */
function mgir(random: Random, isFused: boolean): Buffer {
  const image = Buffer.alloc(160)
  image.writeUInt16BE(4129, 2)
  image.writeUInt32BE((1 << 16) | (4 << 11), 4)
  image.writeUInt16BE(536, 0xa)
  image.writeUInt16BE(0xb8ce, 0x12)
  image.writeUInt32BE(0xf6000000 + random.below(3), 0x14)
  // secured, signed, debug, dev
  image.writeUInt32BE(((random.below(16) << 24) | 0x1c2bf6) >>> 0, 0x20)
  image.write('MT_0000000838', 0x30, 'latin1')
  image.writeUInt32BE(28, 0x44)
  image.writeUInt32BE(43, 0x48)
  image.writeUInt32BE(1014, 0x4c)
  // life cycle, secure boot, encryption
  image.writeUInt32BE(isFused ? 5 | (random.below(2) << 3) : random.below(16), 0x54)
  const types = [1, 2, 3, 4, 5, 6, 7, 8]
  for (let rom = 0; rom < 4; rom++) {
    const type = random.below(5) === 0 ? 0 : random.one(types)
    if (type > 0) types.splice(types.indexOf(type), 1)
    image[0x64 + rom] = (random.below(5) << 4) | type
    image.writeUInt32BE(random.below(2 ** 32), 0x68 + rom * 4)
  }
  return image
}
