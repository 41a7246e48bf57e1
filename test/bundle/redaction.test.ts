import { Redaction } from '../../src/bundle/redaction/redaction'
import type { Manifest } from '../../src/bundle/manifest'
import { redactedManifest } from '../../src/bundle/redaction/redact-manifest'
import { Random, seed } from '../support/random'
import { check } from '../support/schema'

const random = new Random(seed)
process.stderr.write(`redaction: MLX5CTL_SEED=${seed}\n`)

const all = new Set(['serial', 'mac', 'guid', 'hostname'] as const)
const group = (digits: string, size: number, separator: string): string =>
  (digits.match(new RegExp(`.{${size}}`, 'g')) ?? []).join(separator)
const backwards = (digits: string): string => group(digits, 2, ' ').split(' ').reverse().join('')
const ascii = (text: string): string => [...text].map((char) => char.charCodeAt(0).toString(16)).join('')

/** Ways in which people, kernels and firmware write a MAC. */
function waysOfMac(mac: string): string[] {
  const flipped = (Number.parseInt(mac.slice(0, 2), 16) ^ 2).toString(16).padStart(2, '0')
  const interfaceId = `${flipped}${mac.slice(2, 6)}fffe${mac.slice(6)}`
  const groups = group(interfaceId, 4, ':').split(':')
  return [
    ...[':', '-', ' ', ''].map((separator) => group(mac, 2, separator)),
    group(mac, 4, '.'),
    mac.toUpperCase(),
    group(mac.toUpperCase(), 2, ':'),
    `0x${mac}`,
    String(BigInt(`0x${mac}`)),
    backwards(mac),
    `fe80::${groups.map((part) => Number.parseInt(part, 16).toString(16)).join(':')}`,
    `fe80:0000:0000:0000:${groups.join(':')}`,
    ascii(mac),
    ascii(group(mac.toUpperCase(), 2, ':')),
    `${mac.slice(0, 6)}0300${mac.slice(6)}`,
  ]
}

function waysOfGuid(guid: string): string[] {
  return [
    guid,
    guid.toUpperCase(),
    group(guid, 4, ':'),
    group(guid, 2, ':'),
    `0x${guid}`,
    String(BigInt(`0x${guid}`)),
    backwards(guid),
    `${backwards(guid.slice(0, 8))}${backwards(guid.slice(8))}`,
    ascii(guid),
  ]
}

/** No digits of a real vendor are needed; but no group address, and no digits that are met by chance. */
const digitsOf = (bytes: number): string =>
  `b8${random
    .bytes(bytes - 1)
    .toString('hex')
    .replace(/^00/, '1b')}`

/** Nothing of the secret in any form: compared without case and separators. */
const bare = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '')

describe('redaction', () => {
  test('a MAC in any form, in text and in JSON, becomes one token', () => {
    for (let turn = 0; turn < 50; turn++) {
      const mac = digitsOf(6)
      const redaction = new Redaction(all)
      redaction.learn(JSON.stringify({ 'net/eth0/address': group(mac, 2, ':') }), true)
      for (const way of waysOfMac(mac)) {
        const text = redaction.redactText(`mlx5_core 0000:03:00.0: address ${way}, port 1\n`)
        expect([way, text]).toEqual([way, 'mlx5_core 0000:03:00.0: address MAC-1, port 1\n'])
        const json = redaction.redact(JSON.stringify({ said: `of ${way} it is` }), true)
        expect([way, JSON.parse(json)]).toEqual([way, { said: 'of MAC-1 it is' }])
      }
    }
  })

  test('a GUID, as a number, in dwords and in bytes', () => {
    for (let turn = 0; turn < 50; turn++) {
      const guid = digitsOf(8)
      const [high, low] = [Number(`0x${guid.slice(0, 8)}`), Number(`0x${guid.slice(8)}`)]
      const redaction = new Redaction(all)
      const values = { sys_guid: [0, 0, high, low], node_guid: String(BigInt(`0x${guid}`)) }
      redaction.learn(JSON.stringify({ values }), true)
      for (const way of waysOfGuid(guid))
        expect([way, redaction.redactText(`guid=${way};`)]).toEqual([way, 'guid=GUID-1;'])
      const image = `00112233${'0'.repeat(16)}${guid}44556677`
      const json = redaction.redact(
        JSON.stringify({ values, image, bytes: [1, ...Buffer.from(guid, 'hex'), 2], alone: high, others: [low, 7, 8] }),
        true,
      )
      expect(JSON.parse(json)).toEqual({
        values: { sys_guid: [0, 0, 'GUID-1', 'GUID-1'], node_guid: 'GUID-1' },
        image: `00112233${'0'.repeat(32)}44556677`,
        bytes: [1, ...Array.from({ length: 8 }, () => 'GUID-1'), 2],
        alone: 'GUID-1',
        others: ['GUID-1', 7, 8],
      })
      expect(redaction.isClean(json, true)).toBe(true)
      expect(bare(json)).not.toContain(guid)
    }
  })

  test('a MAC that is split over two fields, even where one of them is small', () => {
    const redaction = new Redaction(all)
    const members = { permanent_address: { mac_addr_47_32: 2, mac_addr_31_0: 0xc9000005 }, lanes: 2 }
    redaction.learn(JSON.stringify(members), true)
    expect(JSON.parse(redaction.redact(JSON.stringify(members), true))).toEqual({
      permanent_address: { mac_addr_47_32: 'MAC-1', mac_addr_31_0: 'MAC-1' },
      lanes: 2,
    })
    expect(redaction.redactText('0002c9000005 0x2c9000005 00:02:C9:00:00:05')).toBe('MAC-1 MAC-1 MAC-1')
  })

  test('serial numbers and host names, as text, in images, in dwords', () => {
    const redaction = new Redaction(all)
    const serial = 'MT2146X01234'
    const dwords = [...Buffer.from(serial.padEnd(24, '\0')).toString('latin1').matchAll(/.{4}/gs)].map(([four]) =>
      Buffer.from(four, 'latin1').readUInt32BE(),
    )
    const values = { serial_number: dwords, part_number: [0x4d435836, 0x32333130] }
    redaction.learnName('hostname', 'rack7-node12.example.com')
    redaction.learn(
      JSON.stringify({ values, vpd: { SN: serial, VU: `${serial}MLNXS0D0F0`, PN: 'MCX623106AN-CDA' } }),
      true,
    )
    const text = `${serial} on rack7-node12 (RACK7-NODE12.example.com) rack7-node12: MCX623106AN-CDA`
    expect(redaction.redactText(text)).toBe('SERIAL-1 on HOST-2 (HOST-1) HOST-2: MCX623106AN-CDA')
    const image = `${Buffer.from(serial).toString('hex')}00000000${Buffer.from('rack7-node12 mlx5_0').toString('hex')}`
    expect(JSON.parse(redaction.redact(JSON.stringify({ values, image }), true))).toEqual({
      values: { serial_number: ['SERIAL-1', 'SERIAL-1', 'SERIAL-1', 0, 0, 0], part_number: values.part_number },
      image: `${'00'.repeat(16)}${'00'.repeat(12)}${Buffer.from(' mlx5_0').toString('hex')}`,
    })
  })

  test('a host name of two letters goes where it is a word', () => {
    const redaction = new Redaction(all)
    redaction.learnName('hostname', 'vm')
    const json = redaction.redact(JSON.stringify({ host: 'vm', said: 'vm1 of vm', name: 'VLQ_GVMI', vm: 1 }), true)
    expect(JSON.parse(json)).toEqual({ host: 'HOST-1', said: 'vm1 of HOST-1', name: 'VLQ_GVMI', vm: 1 })
  })

  test('a list of names and values is looked through as members are', () => {
    const redaction = new Redaction(all)
    const values = [
      { name: 'vendor_name', value: 'Mellanox', type: 'info' },
      { name: 'vendor_sn', value: 'MT2146VS01234', type: 'info' },
      { name: 'rx_packets', value: '201330593280', type: 'counter' },
    ]
    redaction.learn(JSON.stringify({ data: { values } }), true)
    const [vendor, serial, packets] = values
    expect(JSON.parse(redaction.redact(JSON.stringify({ data: { values } }), true))).toEqual({
      data: { values: [vendor, { ...serial, value: 'SERIAL-1' }, packets] },
    })
  })

  test.each(['3f2a9c81b7d4', 'deadbeef', '2146051234', '20214605'])('a name of hex digits only: %s', (name) => {
    const redaction = new Redaction(all)
    redaction.learnName('hostname', name)
    const facts = { host: name, said: `of ${name.toUpperCase()}.`, list: [name], image: `00112233${name}` }
    expect(redaction.isClean(JSON.stringify(facts), true)).toBe(false)
    expect(redaction.isClean(JSON.stringify([name]), true)).toBe(false)
    const json = redaction.redact(JSON.stringify(facts), true)
    expect(JSON.parse(json)).toMatchObject({ host: 'HOST-1', said: 'of HOST-1.', list: ['HOST-1'] })
    expect(redaction.isClean(json, true)).toBe(true)
  })

  test.each([
    'a',
    'vm',
    'host',
    'bundle',
    'ok',
    'mlx5ctl',
    'items',
    'list',
    'emu',
    'HOST-1',
    '3f2a9c81b7d4',
    'devices',
  ])('a manifest of the host %s says its name nowhere, and can be read', (host) => {
    const item = {
      device: `emu-${host}`,
      name: 'list',
      command: 'mlx5ctl list -j',
      file: `devices/emu-${host}/list.json`,
      status: 'partial',
      reason: `of ${host}.`,
      exit: { code: 8, kind: null },
      started: '2026-11-26T02:45:03.000Z',
      duration: 0,
      size: 1,
      sha256: '0'.repeat(64),
    } as const
    const manifest: Manifest = {
      schemaVersion: '1.0',
      kind: 'mlx5ctl bundle',
      tool: { name: 'mlx5ctl', version: '1.0.0' },
      host,
      started: '2026-11-26T02:45:03.000Z',
      finished: '2026-11-26T02:45:04.000Z',
      resumed: 0,
      redacted: ['hostname'],
      devices: [{ name: `emu:${host}`, folder: `emu-${host}`, identity: { node: `/dev/${host}` } }],
      items: [item, { ...item, device: null, file: 'host/list.json' }],
    }
    const redaction = new Redaction(new Set(['hostname'] as const))
    redaction.learnName('hostname', host)
    const made = redactedManifest(manifest, redaction)
    check('bundle-manifest', made)
    const [device] = made.devices
    expect(made.host).toMatch(/^HOST-[12]$/)
    expect(made.items.map(({ name, status, file }) => [name, status, file])).toEqual([
      ['list', 'partial', `devices/${device?.folder ?? ''}/list.json`],
      ['list', 'partial', 'host/list.json'],
    ])
    if (host.length === 1) return
    const said = [device?.name.slice(-6), device?.folder.slice(-6), device?.identity?.node, made.items[0]?.reason]
    const { host: token } = made
    expect(said).toEqual([token, token, `/dev/${token}`, `of ${token}.`])
  })

  test('a document of a host that is called as the tool calls things stays what it is', () => {
    const redaction = new Redaction(all)
    redaction.learnName('hostname', 'host')
    const facts = { schemaVersion: '1.0', kind: 'mlx5ctl host', hostname: 'host' }
    const json = redaction.redact(JSON.stringify(facts), true)
    expect([JSON.parse(json), redaction.isClean(json, true)]).toEqual([{ ...facts, hostname: 'HOST-1' }, true])
  })

  test('parts of an address, lists of bytes, words of either byte order', () => {
    const redaction = new Redaction(all)
    redaction.learn(JSON.stringify({ mac_addr: 'b8:ce:f6:a1:b2:c3' }), true)
    const ways = [
      ...['b8,ce,f6,a1,b2,c3', 'b8, ce, f6, a1, b2, c3', '0xb8 0xce 0xf6 0xa1 0xb2 0xc3'],
      ...['0xb8, 0xce, 0xf6, 0xa1, 0xb2, 0xc3', 'b8\tce\tf6\ta1\tb2\tc3', 'f6a1b2c3', '0xf6a1b2c3', '4137792195'],
    ]
    for (const way of ways)
      expect([way, redaction.redactText(`the low is ${way}. 1.5`)]).toEqual([way, 'the low is MAC-1. 1.5'])
    const lists = [
      [0xb8ce, 0xf6a1, 0xb2c3],
      [0xceb8, 0xa1f6, 0xc3b2],
      [0xb8ce, 0xf6a1b2c3],
      [0xa1f6ceb8, 0xc3b2],
      [0xf6, 0xa1, 0xb2, 0xc3],
      [0xb8cef6a1, 0xb2c30000],
    ]
    for (const list of lists) {
      const json = redaction.redact(JSON.stringify({ list, high: 0xb8cef6a1 }), true)
      expect([list, JSON.parse(json)]).toEqual([list, { list: list.map(() => 'MAC-1'), high: 'MAC-1' }])
    }
  })

  test('addresses that only a kernel log has are found in it', () => {
    const redaction = new Redaction(all)
    const log = 'mlx5_core 0000:03:00.1 enp3s0f1: VF 3 mac 0c:42:a1:55:66:77 set, guid 0c42:a103:0055:6677\n'
    redaction.learn(log, false)
    expect(redaction.redact(log, false)).toBe('mlx5_core 0000:03:00.1 enp3s0f1: VF 3 mac MAC-1 set, guid GUID-1\n')
  })

  test('what is no secret stays: PCI addresses, counters, capabilities, short numbers, hashes', () => {
    const redaction = new Redaction(all)
    redaction.learnName('hostname', 'localhost')
    const kept = {
      pci: '0000:03:00.0',
      firmware: '22.44.1036',
      psid: 'MT_0000000359',
      log_max_mac: 3,
      a_pause_mac_ctrl_frames_received_high: 0,
      a_pause_mac_ctrl_frames_received_low: 17,
      mac: '00:00:00:00:00:00',
      broadcast: 'ff:ff:ff:ff:ff:ff',
      time: '2026-11-26T02:45:03.000Z',
      said: 'on localhost',
    }
    const text = `${JSON.stringify(kept, null, 2)}\n`
    redaction.learn(text, true)
    expect(redaction.redact(text, true)).toBe(text)
  })

  test('only the kinds that were asked for', () => {
    const redaction = new Redaction(new Set(['serial'] as const))
    const members = { SN: 'MT2146X01234', address: 'b8:ce:f6:00:00:01' }
    redaction.learn(JSON.stringify(members), true)
    expect(JSON.parse(redaction.redact(JSON.stringify(members), true))).toEqual({ ...members, SN: 'SERIAL-1' })
  })
})
