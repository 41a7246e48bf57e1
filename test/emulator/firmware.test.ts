import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Faults } from '../../src/emulator/faults'
import { Firmware } from '../../src/emulator/firmware/firmware'
import { loadProfile, profileNames } from '../../src/emulator/profile'
import { keepState } from '../../src/emulator/state'
import { openCatalogue } from '../../src/prm/catalogue'
import { Codec } from '../../src/prm/codec'
import { MalformedData, ValueError } from '../../src/prm/errors'

const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
const codec = new Codec(catalogue)
let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-firmware-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const make = (): Firmware => new Firmware(loadProfile('connectx6dx'), catalogue, codec)

/** Inboxes as hex, from the command layouts of the PRM. */
function run(firmware: Firmware, hex: string, outLength = 16): Buffer {
  return Buffer.from(firmware.execute(Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex')), outLength))
}
const status = (outbox: Buffer): number => outbox.readUInt8(0)
const syndrome = (outbox: Buffer): number => outbox.readUInt32BE(4)

test.each([
  ['unknown opcode', '0fff0000 00000000 00000000 00000000', 16, 0x02],
  ['inbox too short', '07730000 00000000 00000000 00000000', 256, 0x50],
  ['outbox too short', '01000000 00000001 00000000 00000000', 4111, 0x51],
  ['capability type that is none', '01000000 0000001d 00000000 00000000', 4112, 0x03],
  ['QUERY_ISSI with an op_mod', '010a0000 00000001 00000000 00000000', 112, 0x03],
  ['DEALLOC_PD of nothing', '08010001 00000000 00000099 00000000', 16, 0x05],
  ['QUERY_MKEY of nothing', '02010001 00000000 00000099 00000000', 304, 0x05],
  ['a vport that is not there', '07500001 00000000 80000007 00000000', 16, 0x0a],
  ['a register that is not there', '08050001 00000001 00001234 00000000 00000000', 32, 0x03],
])('%s is refused with its status and a syndrome', (_, inbox, outLength, expected) => {
  const outbox = run(make(), inbox, outLength)
  expect(status(outbox)).toBe(expected)
  expect(syndrome(outbox)).toBeGreaterThan(0)
  expect(syndrome(outbox)).toBeLessThanOrEqual(0xffffff)
  expect(syndrome(run(make(), inbox, outLength))).toBe(syndrome(outbox))
  expect(outbox).toHaveLength(outLength)
})

test('capabilities: current and maximum of what the profile says', () => {
  const current = run(make(), '01000000 00000001 00000000 00000000', 4112)
  const maximum = run(make(), '01000000 00000000 00000000 00000000', 4112)
  // device_frequency_khz lies at byte 0x9c of the general capabilities, uctx_cap at 0xd4.
  expect(current.readUInt32BE(16 + 0x9c)).toBe(1_000_000)
  expect(current.readUInt32BE(16 + 0xd4)).toBe(7)
  expect(maximum.subarray(16).equals(current.subarray(16))).toBe(false)
  const debug = run(make(), '01000000 0000001b 00000000 00000000', 4112)
  // core_dump_general, core_dump_qp, log_cr_dump_to_mem_size 8, resource_dump, log_max_samples 14; first counter 0x401, sync.
  expect(debug.readUInt32BE(16)).toBe((3 * 2 ** 30 + 8 * 2 ** 23 + 2 ** 22 + 14) >>> 0)
  expect(debug.readUInt32BE(16 + 64)).toBe(0x80000401)
})

test('objects belong to the context that made them, and are busy while they are used', () => {
  const firmware = make()
  const [one, two] = [firmware.createContext(), firmware.createContext()]
  const as = (uid: number, opcode: string, rest: string): string =>
    `${opcode}${uid.toString(16).padStart(4, '0')}${rest}`
  const pd = run(firmware, as(one, '0800', '000000000000000000000000')).readUInt32BE(8)
  const memory = { read: () => new Uint8Array(0), write: () => undefined }
  const umem = firmware.createUmem(one, memory, 0x10000n, 8192)
  const mkc = codec.encode('create_mkey_in', {
    mkey_umem_valid: 1,
    mkey_umem_id: umem,
    memory_key_mkey_entry: { access_mode_1_0: 1, pd, start_addr: 0x10000n, len: 8192n },
  })
  Buffer.from(mkc.buffer).writeUInt16BE(0x200, 0)
  Buffer.from(mkc.buffer).writeUInt16BE(one, 2)
  const mkey = Buffer.from(firmware.execute(mkc, 16))
  expect(status(mkey)).toBe(0)
  const pdHex = pd.toString(16).padStart(8, '0')
  expect(status(run(firmware, as(two, '0801', `00000000${pdHex}00000000`)))).toBe(0x05)
  expect(status(run(firmware, as(one, '0801', `00000000${pdHex}00000000`)))).toBe(0x06)
  expect(() => firmware.destroyUmem(one, umem)).toThrow(/in use/)
  expect(
    status(run(firmware, as(one, '0202', `00000000${mkey.readUInt32BE(8).toString(16).padStart(8, '0')}00000000`))),
  ).toBe(0)
  firmware.destroyUmem(one, umem)
  expect(firmware.destroyContext(one)).toEqual({ umems: 0, mkeys: 0, pds: 1, others: 0 })
  expect(firmware.objects.counts()).toEqual({ umems: 0, mkeys: 0, pds: 0, others: 0, contexts: 1 })
})

/** ACCESS_REG: op_mod 1 reads, 0 writes; register id at byte 10; data from byte 16. */
const access = (opMod: number, id: number, data: string): string =>
  `08050001 0000000${opMod} 0000${id.toString(16).padStart(4, '0')} 00000000 ${data}`

test('registers: the index selects, read-only fields stay, writes stick', () => {
  const firmware = make()
  const image = (localPort: number, admin: string): string =>
    `00${localPort.toString(16).padStart(2, '0')}0004${'0'.repeat(40)}${admin}${'0'.repeat(72)}`
  const read = run(firmware, access(1, 0x5004, image(1, '00000000')), 80)
  expect(status(read)).toBe(0)
  expect(read.readUInt32BE(16 + 0x18)).toBe(0x18c0a0f0)
  expect(read.readUInt32BE(16 + 0x24)).toBe(0x00800000)
  // Writes everything: eth_proto_admin at 0x18 changes, eth_proto_oper at 0x24 does not.
  const written = run(firmware, access(0, 0x5004, image(1, '00100000').slice(0, 56).padEnd(128, 'f')), 80)
  expect(status(written)).toBe(0)
  const after = run(firmware, access(1, 0x5004, image(1, '00000000')), 80)
  expect(after.readUInt32BE(16 + 0x18)).toBe(0x00100000)
  expect(after.readUInt32BE(16 + 0x24)).toBe(0x00800000)
  expect(status(run(firmware, access(1, 0x5004, image(9, '00000000')), 80))).toBe(0x0a)
  expect(status(run(firmware, access(0, 0x9020, '0'.repeat(320)), 176))).toBe(0x03)
})

test.each(profileNames())('the registers of %s go by the names that the catalogue lists them under', (name) => {
  const { registers, registersExcept = [] } = loadProfile(name)
  const named = [...Object.keys(registers), ...registersExcept]
  expect(named.map((one) => catalogue.register(one).name)).toEqual(named)
})

test('MCAM advertises exactly the registers that are answered', () => {
  const firmware = make()
  const groups = [0, 1, 2, 3].map((group) => run(firmware, access(1, 0x907f, `0000000${group}${'0'.repeat(136)}`), 88))
  for (const [group, outbox] of groups.entries())
    for (let bit = 0; bit < 128; bit++) {
      const id = 0x9000 + group * 0x80 + bit
      const advertised = ((outbox.readUInt8(16 + 8 + 15 - (bit >> 3)) >> (bit & 7)) & 1) === 1
      const answer = run(firmware, access(1, id, '0'.repeat(512)), 272)
      const answered = status(answer) !== 0x03
      if (advertised !== answered)
        throw new Error(`register 0x${id.toString(16)}: advertised ${advertised}, answered ${answered}`)
    }
})

test('state survives in a file; a damaged or foreign one is refused', () => {
  const file = path.join(folder, 'state.json')
  const first = make()
  keepState(first, file)
  run(first, access(0, 0x6001, Buffer.from('rack 12, slot 3').toString('hex').padEnd(128, '0')), 80)
  const second = make()
  keepState(second, file)
  expect(run(second, access(1, 0x6001, '0'.repeat(128)), 80).toString('latin1', 16, 31)).toBe('rack 12, slot 3')
  const text = readFileSync(file, 'utf8')
  for (const damaged of [
    '',
    '{}',
    text.slice(0, -10),
    text.replace('"version": 1', '"version": 2'),
    text.replace('connectx6dx', 'other'),
  ]) {
    writeFileSync(file, damaged)
    expect(() => keepState(make(), file)).toThrow(MalformedData)
  }
})

test('faults: each command counts, and a bad one tells the grammar', () => {
  const faults = new Faults('errno=EIO@2,status=0x3@3,delay=20ms,unplug@4')
  expect([faults.next(), faults.next(), faults.next()]).toMatchObject([{ delay: 20 }, { errno: 'EIO' }, { status: 3 }])
  expect(faults.unplugged).toBe(false)
  faults.next()
  expect(faults.unplugged).toBe(true)
  expect(new Faults('eperm').eperm).toBe(true)
  for (const bad of [
    'x',
    'errno',
    'errno=5',
    'status=256',
    'delay=5',
    'unplug=x',
    'stuck=',
    'unplug=0x1@2',
    'errno=EIO@0',
    'short@x',
  ]) {
    expect(() => new Faults(bad)).toThrow(ValueError)
    expect(() => new Faults(bad)).toThrow(/errno=NAME@N/)
  }
})
