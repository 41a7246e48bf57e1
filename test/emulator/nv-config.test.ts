import { Firmware } from '../../src/emulator/firmware/firmware'
import { Refusal } from '../../src/emulator/firmware/refusal'
import { loadProfile, type Profile } from '../../src/emulator/profile'
import { catalogue, codec } from '../support/scripted-device'

/** Registers and headers by hand (facts: mstconfig, C.2). */
const id = { MNVDA: 0x9024, MNVDI: 0x9025, MFRL: 0x9028, MNVQC: 0x9030, MNVIA: 0x9033, MNVGC: 0x9034, MNVGN: 0x9035 }
/** nv_global_pci_conf: 12 bytes; total_vfs is in bytes 6 and 7. */
const PCI = 0x80
const header = (length: number, type: number, mode = 0, writer = 9): Buffer => {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt32BE(((1 << 25) | (mode << 22) | (writer << 16) | length) >>> 0, 0)
  bytes.writeUInt32BE(type, 4)
  return bytes
}
const make = (more: Partial<Profile> = {}): Firmware =>
  new Firmware({ ...loadProfile('connectx7'), ...more }, catalogue, codec)

function access(firmware: Firmware, register: number, method: 'read' | 'write', image: Buffer): Buffer {
  return Buffer.from(firmware.accessRegister(register, method, image, image.length))
}
const read = (firmware: Firmware, mode: number, type = PCI): Buffer =>
  access(firmware, id.MNVDA, 'read', Buffer.concat([header(256, type, mode), Buffer.alloc(256)]))
const vfs = (firmware: Firmware, mode: number): number => read(firmware, mode).readUInt16BE(12 + 6)
function write(firmware: Firmware, change: (data: Buffer) => Buffer, type = PCI): void {
  const data = change(read(firmware, 0, type).subarray(12, 24))
  access(firmware, id.MNVDA, 'write', Buffer.concat([header(data.length, type), data]))
}
const withVfs =
  (count: number) =>
  (data: Buffer): Buffer => {
    data.writeUInt16BE(count, 6)
    return data
  }
function statusOf(work: () => unknown): number {
  try {
    work()
  } catch (error) {
    if (error instanceof Refusal) return error.registerStatus
    throw error
  }
  return 0
}

test('default, current and next: a write changes the next one, a reset brings it to count', () => {
  const firmware = make()
  expect([vfs(firmware, 2), vfs(firmware, 1), vfs(firmware, 0)]).toEqual([0, 8, 16])
  write(firmware, withVfs(5))
  expect([vfs(firmware, 2), vfs(firmware, 1), vfs(firmware, 0)]).toEqual([0, 8, 5])
  // Length, access mode and writer stand in the answer's header; the type is given back.
  expect(read(firmware, 0).subarray(0, 8).toString('hex')).toBe('0209000c00000080')
  expect(read(firmware, 1).subarray(0, 8).toString('hex')).toBe('0249000c00000080')
  // PERST (0x40) waits for the machine's next start, a link toggle (0x08) alone happens now.
  const trigger = (value: number): Buffer => Buffer.from([0, 0, 0, 0, 0, 0, 0, value])
  access(firmware, id.MFRL, 'write', trigger(0x48))
  expect(vfs(firmware, 1)).toBe(8)
  access(firmware, id.MFRL, 'write', trigger(0x08))
  expect(vfs(firmware, 1)).toBe(5)
})

test('MNVDI gives one TLV its default, MNVIA all of them', () => {
  const firmware = make()
  write(firmware, withVfs(5))
  access(firmware, id.MNVDI, 'write', header(0, PCI))
  expect(vfs(firmware, 0)).toBe(0)
  write(firmware, withVfs(6))
  access(firmware, id.MNVIA, 'write', Buffer.alloc(8))
  expect(vfs(firmware, 0)).toBe(0)
})

test('MNVQC tells what can be read and written, MNVGC which columns there are', () => {
  const query = (type: number): number => {
    const image = Buffer.alloc(8)
    image.writeUInt32BE(type, 0)
    return access(make(), id.MNVQC, 'read', image).readUInt32BE(4)
  }
  // A configuration; a read-only one (nv_host_chaining_conf, id 8); a capability; none.
  const capability = catalogue.findTlv('nv_global_pci_cap')
  expect([PCI, 8, capability?.id ?? 0, 0x123456, 0].map(query)).toEqual([3, 1, 1, 0, 0])
  expect(access(make(), id.MNVGC, 'read', Buffer.alloc(16)).readUInt32BE(0)).toBe(3)
})

test('MNVGN lists what is stored: the pointer of the last one leads to the end', () => {
  const firmware = make()
  const list = (pointer: number): Buffer => {
    const image = Buffer.alloc(0x9c)
    image.writeUInt32BE(pointer, 0)
    return access(firmware, id.MNVGN, 'read', image)
  }
  const types: number[] = []
  let pointer = 0
  do {
    const answer = list(pointer)
    pointer = answer.readUInt32BE(0)
    if (pointer !== 0) types.push(answer.readUInt32BE(20))
  } while (pointer !== 0)
  // Those that the profile has changed.
  expect(types).toEqual([PCI, 0x01010190])
  access(firmware, id.MNVIA, 'write', Buffer.alloc(8))
  expect(statusOf(() => list(0))).toBe(0x08)
})

test.each<[string, number, (firmware: Firmware) => unknown, Partial<Profile>?]>([
  ['a TLV that is not there', 0x07, (firmware) => read(firmware, 0, 0x123456)],
  ['a TLV that is too short', 0x24, (firmware) => write(firmware, (data) => data.subarray(0, 8))],
  ['a TLV that is too long', 0x20, (firmware) => write(firmware, (data) => Buffer.concat([data, Buffer.alloc(4)]))],
  ['a read-only TLV', 0x06, (firmware) => write(firmware, (data) => data, 8)],
  ['a value that is none', 0x20, (firmware) => write(firmware, () => Buffer.from('00000003', 'hex'), 0x82)],
  ['a higher priority', 0x20, (firmware) => write(firmware, withVfs(1)), { nvPriority: { nv_global_pci_conf: 3 } }],
  ['a worn-out section', 0x21, (firmware) => write(firmware, withVfs(1)), { nvWornOut: ['nv_global_pci_conf'] }],
  ['a damaged section', 0x22, (firmware) => read(firmware, 0), { nvCorrupt: ['nv_global_pci_conf'] }],
  ['half a header', 0x24, (firmware) => access(firmware, id.MNVDA, 'read', Buffer.alloc(8))],
  [
    'a target that is none',
    0x07,
    (firmware) => access(firmware, id.MNVIA, 'write', Buffer.from([0, 0, 0, 1, 0, 0, 0, 0])),
  ],
  ['a method that is none', 0x06, (firmware) => access(firmware, id.MNVDI, 'read', header(0, PCI))],
])('%s is refused with status 0x%s', (_, status, work, more = {}) => {
  expect(statusOf(() => work(make(more)))).toBe(status)
})

test('what is stored survives in the state, and a start brings it to count', () => {
  const firmware = make()
  write(firmware, withVfs(5))
  const state = firmware.configuration.state()
  const again = make()
  again.configuration.restore(state)
  expect([vfs(again, 1), vfs(again, 0)]).toEqual([5, 5])
})
