import { SaxesParser } from 'saxes'
import { emulated, mlx5ctl } from '../support/cli'
import { expectParsersAgree } from '../support/firmware-parsers'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

interface QueriedDevice {
  readonly name: string
  readonly device: { readonly pci: string } | null
  readonly error: { readonly kind: string } | null
  readonly firmware: {
    readonly psid: string
    readonly versions: { readonly running: string; readonly pending: string | null }
  } | null
}

const devicesOf = (stdout: string): QueriedDevice[] =>
  (parseEnvelope(stdout).data as { devices: QueriedDevice[] }).devices

/** Elements in their order, with their attributes, and the text of those that have one. */
function elementsOf(xml: string): { name: string; attributes: Record<string, string>; text: string }[] {
  const found: { name: string; attributes: Record<string, string>; text: string }[] = []
  const open: (typeof found)[number][] = []
  const parser = new SaxesParser()
  parser.on('opentag', ({ name, attributes }) => {
    const element = { name, attributes: attributes as Record<string, string>, text: '' }
    found.push(element)
    open.push(element)
  })
  parser.on('text', (text) => {
    const element = open.at(-1)
    if (element !== undefined) element.text += text.trim()
  })
  parser.on('closetag', () => void open.pop())
  parser.write(xml).close()
  return found
}

describe('fw query', () => {
  test.each(['connectx6dx', 'connectx7', 'bluefield3'])('the text of %s is what other programs parse', (profile) => {
    const text = mlx5ctl('fw', 'query', `emu:${profile}`)
    expect([text.status, text.stderr]).toEqual([0, ''])
    const [device] = devicesOf(mlx5ctl('fw', 'query', `emu:${profile}`, '-j').stdout)
    if (device?.firmware == null) throw new Error('it has no firmware')
    expectParsersAgree(text.stdout, device.firmware)
  })

  test('one that fails hides none of the others: exit 8, by name, in every format', async () => {
    const names = ['emu:connectx7', 'replay:/no/such', 'emu:bluefield3']
    const json = await runInProcess(['fw', 'query', ...names, '-j'])
    expect(json.status).toBe(8)
    expect(json.stderr).toMatch(/^mlx5ctl: warning: replay:\/no\/such: .*no such file/m)
    expect(devicesOf(json.stdout).map(({ name, firmware, error }) => [name, firmware?.psid, error?.kind])).toEqual([
      ['emu:connectx7', 'MT_0000000838', undefined],
      ['replay:/no/such', undefined, 'not-found'],
      ['emu:bluefield3', 'MT_0000000884', undefined],
    ])
    const text = await runInProcess(['fw', 'query', ...names])
    expect(text.status).toBe(8)
    expect(text.stdout.match(/^Device #\d:$/gm)).toHaveLength(3)
    expect(text.stdout).toMatch(/^ {2}Status: {11}Failed to open device$/m)
    const ndjson = await runInProcess(['fw', 'query', ...names, '--format', 'ndjson'])
    expect(ndjson.stdout.trim().split('\n')).toHaveLength(3)
  })

  test('alone, a device that fails has its own exit code; its XML is there with empty fields', async () => {
    expect((await runInProcess(['fw', 'query', 'replay:/no/such'])).status).toBe(3)
    expect((await runInProcess(['fw', 'query', 'emu:connectx7', '--fault', 'errno=EIO'])).status).toBe(5)
    const { status, stdout } = await runInProcess([
      'fw',
      'query',
      'emu:connectx7',
      '--fault',
      'errno=EIO',
      '--format',
      'xml',
    ])
    expect(status).toBe(5)
    // Where all fail for the same reason it decides; what there is of each is shown all the same.
    const all = await runInProcess(['fw', 'query', 'emu:connectx7', 'emu:connectx6dx', '--fault', 'eperm', '-j'])
    expect(all.status).toBe(4)
    expect(parseEnvelope(all.stdout)).toMatchObject({
      error: { kind: 'permission' },
      data: { devices: [{ name: 'emu:connectx7' }, { name: 'emu:connectx6dx' }] },
    })
    const elements = elementsOf(stdout)
    expect(elements.find(({ name }) => name === 'Device')?.attributes).toMatchObject({ psid: '', partNumber: '--' })
    expect(elements.find(({ name }) => name === 'FW')?.attributes).toEqual({ current: '--', available: '--' })
    expect(elements.find(({ name }) => name === 'MACs')?.attributes).toEqual({ Base_Mac: 'N/A' })
    expect(elements.find(({ name }) => name === 'Status')?.text).toBe('Failed to open device')
  })

  test('XML has the elements and attributes of mstfwmanager', async () => {
    const { status, stdout } = await runInProcess(['fw', 'query', 'emu:bluefield3', '--format', 'xml'])
    expect(status).toBe(0)
    expect(elementsOf(stdout)).toEqual([
      { name: 'Devices', attributes: {}, text: '' },
      {
        name: 'Device',
        attributes: {
          pciName: '0000:03:00.0',
          type: 'BlueField3',
          psid: 'MT_0000000884',
          partNumber: '900-9D3B6-00CV-A',
        },
        text: '',
      },
      { name: 'Versions', attributes: {}, text: '' },
      { name: 'FW', attributes: { current: '32.42.1000', available: 'N/A' }, text: '' },
      { name: 'PXE', attributes: { current: '3.7.0500', available: 'N/A' }, text: '' },
      { name: 'UEFI', attributes: { current: '14.35.0015', available: 'N/A' }, text: '' },
      { name: 'UEFI_Virtio_blk', attributes: { current: '22.4.0013', available: 'N/A' }, text: '' },
      { name: 'UEFI_Virtio_net', attributes: { current: '21.4.0013', available: 'N/A' }, text: '' },
      { name: 'MACs', attributes: { Base_Mac: 'b8cef6000000' }, text: '' },
      { name: 'GUIDs', attributes: { Base_Guid: 'b8cef60300000000' }, text: '' },
      { name: 'Status', attributes: {}, text: 'No matching image found' },
      {
        name: 'Description',
        attributes: {},
        text: 'NVIDIA BlueField-3 B3220 P-Series FHHL DPU; 200GbE (default mode) / NDR200 IB; Dual-port QSFP112; PCIe Gen5.0 x16',
      },
    ])
  })

  test('an empty machine has no devices, and that is no failure', async () => {
    const empty = ['--dev-root', '/no/such', '--sysfs-root', '/no/such']
    const { status, stdout, stderr } = await runInProcess(['fw', 'query', ...empty, '--format', 'xml'])
    expect([status, stdout, stderr]).toEqual([
      0,
      '<Devices>\n</Devices>\n',
      'mlx5ctl: warning: no mlx5 device was found\n',
    ])
    expect(devicesOf((await runInProcess(['fw', 'query', ...empty, '-j'])).stdout)).toEqual([])
  })

  test('other formats, and words that it does not know', async () => {
    for (const [words, code] of [
      [['fw'], 2],
      [['fw', 'bogus'], 2],
      [['fw', 'query', 'emu:connectx7', '--format', 'csv'], 2],
      [['list', '--format', 'xml'], 2],
    ] as const)
      expect([words, (await runInProcess(words)).status]).toEqual([words, code])
  })

  describeUnless(missingForEmulatedNodes(), 'every card of the machine', () => {
    test('is found by itself', () => {
      const { status, stdout } = emulated(
        'mlx5ctl fw query -j',
        ...['connectx6dx', 'connectx7', 'bluefield3'].flatMap((profile) => ['--profile', profile]),
      )
      expect(status).toBe(0)
      expect(devicesOf(stdout).map(({ name, firmware }) => [name, firmware?.versions.running])).toEqual([
        ['0000:03:00.0', '22.44.1036'],
        ['0000:04:00.0', '28.43.1014'],
        ['0000:05:00.0', '32.42.1000'],
      ])
    })
  })
})
