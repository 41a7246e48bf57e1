import { queryXml } from '../../src/commands/fw/query-xml'
import { readComponents } from '../../src/device/firmware/components'
import { queryFirmware } from '../../src/device/firmware/query'
import { scriptedRegisters, type Access, type ScriptedAnswer } from '../support/scripted-registers'

/** fw query against devices that behave badly; images by the offsets of facts: firmware manager, C.5. */

const MGIR = 0x9020
const MCQS = 0x9060
const MCQI = 0x9061
const MCAM = 0x907f
const SECURE_HOST = 0x402d
const BAD_PARAM = 3

function mgir(): Buffer {
  const image = Buffer.alloc(160)
  image.writeUInt16BE(536, 0xa)
  image.write('MT_0000000838', 0x30, 'latin1')
  for (const [index, number] of [28, 43, 1014].entries()) image.writeUInt32BE(number, 0x44 + index * 4)
  return image
}

/** MCAM of a device that has the registers of an update. */
function mcam(...without: number[]): Buffer {
  const image = Buffer.alloc(72)
  const bits = [0x20, 0x60, 0x61, 0x62, 0x63, 0x64].filter((bit) => !without.includes(bit))
  for (const bit of bits) {
    const at = 8 + 15 - (bit >>> 3)
    image[at] = (image[at] ?? 0) | (1 << (bit & 7))
  }
  return image
}

/** A device that has MGIR, MCAM and what else is given. */
const device = (own: (access: Access) => ScriptedAnswer | undefined): ReturnType<typeof scriptedRegisters> =>
  scriptedRegisters((access) => own(access) ?? (access.id === MGIR ? mgir() : access.id === MCAM ? mcam() : BAD_PARAM))

test('a list of components without an end is asked no further than 64', async () => {
  const { device: endless, accesses } = device(({ id, image }) => (id === MCQS ? image : undefined))
  const { components, warning } = await readComponents(endless)
  expect([components.length, warning]).toEqual([64, 'firmware names no last component; 64 were queried'])
  expect(accesses.filter(({ id }) => id === MCQS).map(({ image }) => image.readUInt32BE(0))).toEqual(
    Array.from({ length: 64 }, (_, index) => index),
  )
})

test('components that firmware does not support are left out; a refusal in the midst ends the list and is told', async () => {
  const { device: some } = device(({ id, image }) => {
    if (id !== MCQS) return undefined
    const index = image.readUInt16BE(2)
    if (index === 3) return BAD_PARAM
    const answer = Buffer.alloc(16)
    answer.writeUInt32BE(((index === 1 ? 1 << 30 : 0) | index) >>> 0, 0)
    answer.writeUInt16BE([1, 2, 0x33][index] ?? 0, 6)
    answer[11] = (1 << 4) | 4
    return answer
  })
  const { components, warning } = await readComponents(some)
  expect(components.map(({ index, name, status, updateState }) => [index, name, status, updateState])).toEqual([
    [0, 'boot image', 'present', 'active, pending reset'],
    [2, 'component 0x33', 'present', 'active, pending reset'],
  ])
  expect(warning).toMatch(/^component 3 cannot be queried: MCQS/)
})

test('a device with MGIR alone is told by it, and says what is missing', async () => {
  const { device: bare } = scriptedRegisters(({ id }) => (id === MGIR ? mgir() : BAD_PARAM))
  const info = await queryFirmware(bare)
  expect(info).toMatchObject({
    chip: 'ConnectX7',
    psid: 'MT_0000000838',
    running: { major: 28, minor: 43, subminor: 1014 },
    pending: undefined,
    components: [],
  })
  expect(info.control.missing).toBe('the device does not tell which registers it has (MCAM)')
  expect(info.warnings).toHaveLength(1)
})

test('what runs, what is on flash, and what brings it to run', async () => {
  const { device: pending } = device(({ id, image }) => {
    if (id === MCQS) return Buffer.from('80000000000000010000002000000000', 'hex')
    if (id !== MCQI) return undefined
    const answer = Buffer.from(image)
    const isPending = image[0] === 0x80
    if (image[0xb] === 0) answer.writeUInt32BE(0x4000_0080, 0x18 + 0xc)
    if (image[0xb] === 5) answer[0x18 + 3] = 0b0100100
    if (image[0xb] !== 1) return answer
    const text = isPending ? '28.43.2000' : '28.43.1014'
    answer.writeUInt32BE(((1 << 29) | text.length) >>> 0, 0x18)
    answer.writeUInt32BE((28 << 24) | (43 << 16) | (isPending ? 2000 : 1014), 0x1c)
    answer.writeUInt32BE(0x30591300, 0x20)
    answer.writeUInt32BE(0x20241205, 0x24)
    answer.write(text, 0x38, 'latin1')
    return answer
  })
  const info = await queryFirmware(pending)
  expect(info).toMatchObject({
    running: { subminor: 1014 },
    pending: { major: 28, minor: 43, subminor: 2000 },
    productVersion: '28.43.1014',
    built: '2024-12-05T13:59:30',
    activation: { needs: ['firmware-reset', 'ac-power-cycle'], automatic: false, allHosts: false },
    control: { missing: undefined },
  })
  expect(info.components[0]?.capabilities).toMatchObject({ wordSize: 16, writeLimit: 128 })
})

test.each([
  ['a register is absent', mcam(0x63), undefined, /^firmware has no MCDA: /],
  ['the host is locked out', mcam(), 1, /^this host is locked out/],
  ['updates from the host are locked', mcam(), 2, /^updates from this host are locked/],
])('no updates where %s', async (_, mask, lock, reason) => {
  const { device: locked } = device(({ id }) => {
    if (id === MCAM) return mask
    if (id !== SECURE_HOST || lock === undefined) return undefined
    const answer = Buffer.alloc(16)
    answer[3] = lock
    return answer
  })
  expect((await queryFirmware(locked)).control.missing).toMatch(reason)
})

test('a ROM type that is a number has an element of XML all the same', async () => {
  const { device: bare } = scriptedRegisters(({ id }) => (id === MGIR ? mgir() : BAD_PARAM))
  const outcome = { name: 'bare', identity: bare.identity, value: await queryFirmware(bare) }
  const available = new Map([
    ['FW', '28.44.1000'],
    ['0x22', '1.2.3'],
  ])
  const xml = queryXml([{ outcome, status: '', available }])
  expect(xml).toContain('<ROM_0x22 current="N/A" available="1.2.3"/>')
  expect(xml.match(/<(?!\/?[A-Za-z])/g)).toBeNull()
})
