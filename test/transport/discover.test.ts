import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { OpenError } from '../../src/transport/contract'
import { listDevices } from '../../src/transport/discover'
import { openTransport } from '../../src/transport/open'

let root: string
beforeEach(() => (root = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-sysfs-'))))
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (name: string): string => path.join(root, name)
const roots = (): { devRoot: string; sysfsRoot: string } => ({ devRoot: at('dev'), sysfsRoot: at('sys') })
function file(name: string, text = ''): void {
  mkdirSync(path.dirname(at(name)), { recursive: true })
  writeFileSync(at(name), text)
}
function link(name: string, target: string): void {
  mkdirSync(path.dirname(at(name)), { recursive: true })
  symlinkSync(target, at(name))
}
const folder = (name: string): unknown => mkdirSync(at(name), { recursive: true })

/** A function as sysfs shows it, with whatever hangs below it. */
function pci(bdf: string, vendor: string, driver: string, ...below: string[]): string {
  const home = `sys/devices/pci0000:00/${bdf}`
  file(`${home}/vendor`, `${vendor}\n`)
  file(`${home}/device`, '0x1021\n')
  link(`${home}/driver`, `../../../bus/pci/drivers/${driver}`)
  link(`sys/bus/pci/devices/${bdf}`, `../../../devices/pci0000:00/${bdf}`)
  for (const name of below) folder(`${home}/${name}`)
  return home
}

test('nothing at all is an empty list', () => {
  expect(listDevices(roots())).toEqual([])
})

test('functions, their doors and names are joined by PCI address', () => {
  const home = pci(
    '0000:41:00.1',
    '0x15b3',
    'mlx5_core',
    'infiniband/mlx5_3',
    'net/enp65s0f1np1',
    'mlx5_core.ctl.7',
    'fwctl/fwctl2',
  )
  file(`${home}/infiniband/mlx5_3/fw_ver`, '28.41.1000\n')
  file(`${home}/infiniband/mlx5_3/board_id`, 'MT_0000000894\n')
  link('sys/bus/auxiliary/devices/mlx5_core.ctl.7', '../../../devices/pci0000:00/0000:41:00.1/mlx5_core.ctl.7')
  link('sys/class/fwctl/fwctl2', '../../devices/pci0000:00/0000:41:00.1/fwctl/fwctl2')
  link(`${home}/fwctl/fwctl2/device`, '../../../0000:41:00.1')
  file('dev/mlx5ctl-mlx5_core.ctl.7')
  file('dev/fwctl/fwctl2')
  pci('0000:03:00.0', '0x15b3', 'mlx5_core')
  pci('0000:05:00.0', '0x8086', 'ice', 'net/eth9')
  pci('0000:06:00.0', '0x15b3', 'vfio-pci')
  expect(listDevices(roots())).toEqual([
    {
      pci: '0000:03:00.0',
      rdma: [],
      net: [],
      vendorId: 0x15b3,
      deviceId: 0x1021,
      driver: 'mlx5_core',
      doors: [{ transport: 'pci', node: '0000:03:00.0' }],
    },
    {
      pci: '0000:41:00.1',
      auxiliary: 'mlx5_core.ctl.7',
      rdma: ['mlx5_3'],
      net: ['enp65s0f1np1'],
      vendorId: 0x15b3,
      deviceId: 0x1021,
      driver: 'mlx5_core',
      firmware: '28.41.1000',
      psid: 'MT_0000000894',
      doors: [
        { transport: 'mlx5ctl', node: at('dev/mlx5ctl-mlx5_core.ctl.7') },
        { transport: 'fwctl', node: at('dev/fwctl/fwctl2') },
        { transport: 'pci', node: '0000:41:00.1' },
      ],
    },
  ])
})

test('an SF has its own entry, with the names below its auxiliary device', () => {
  pci(
    '0000:41:00.0',
    '0x15b3',
    'mlx5_core',
    'mlx5_core.sf.4/mlx5_core.ctl.9',
    'mlx5_core.sf.4/net/enp65s0f0s88',
    'mlx5_core.sf.4/infiniband/mlx5_5',
  )
  const home = '../../../devices/pci0000:00/0000:41:00.0/mlx5_core.sf.4'
  link('sys/bus/auxiliary/devices/mlx5_core.sf.4', home)
  link('sys/bus/auxiliary/devices/mlx5_core.ctl.9', `${home}/mlx5_core.ctl.9`)
  file('dev/mlx5ctl-mlx5_core.ctl.9')
  const [, sf] = listDevices(roots())
  expect(sf).toMatchObject({
    auxiliary: 'mlx5_core.ctl.9',
    net: ['enp65s0f0s88'],
    rdma: ['mlx5_5'],
    doors: [{ transport: 'mlx5ctl' }],
  })
})

test('broken links, strange names and other fwctl devices do no harm', () => {
  link('sys/bus/pci/devices/0000:09:00.0', '../../../nowhere')
  link('sys/class/fwctl/fwctl0', '../../nowhere')
  file('dev/fwctl/fwctl0')
  file('dev/fwctl/README')
  file('dev/mlx5ctl-mlx5_core.ctl.1')
  const home = pci('0000:0a:00.0', '0x14e4', 'bnxt_en', 'fwctl/fwctl5')
  link(`${home}/fwctl/fwctl5/device`, '../../../0000:0a:00.0')
  link('sys/class/fwctl/fwctl5', '../../devices/pci0000:00/0000:0a:00.0/fwctl/fwctl5')
  file('dev/fwctl/fwctl5')
  const doors = listDevices(roots()).flatMap((entry) => entry.doors.map((door) => path.basename(door.node)))
  expect(doors.sort()).toEqual(['fwctl0', 'mlx5ctl-mlx5_core.ctl.1'])
})

test('a function without a driver node is opened through its config space; an unknown name is told what there is', async () => {
  pci('0000:03:00.0', '0x15b3', 'mlx5_core', 'infiniband/mlx5_0')
  for (const name of ['0000:03:00.0', '03:00.0', 'mlx5_0'])
    await expect(openTransport(name, roots())).rejects.toMatchObject({
      kind: 'not-found',
      message: expect.stringContaining('0000:03:00.0/config cannot be opened') as string,
    })
  const unknown = openTransport('mlx5_9', roots())
  await expect(unknown).rejects.toThrow(OpenError)
  await expect(unknown).rejects.toThrow(/no device mlx5_9.*there are 0000:03:00\.0, mlx5_0/)
  await expect(openTransport('3', roots())).rejects.toThrow(/mlx5ctl-mlx5_core\.ctl\.3, .*fwctl\/fwctl3/)
})
