import { table } from '../render/columns'
import { listDevices } from '../transport/open'
import type { Context, Result } from './types'

export async function run({ options, width }: Context): Promise<Result> {
  const devices = listDevices({ devRoot: options.devRoot, sysfsRoot: options.sysfsRoot })
  const head = ['PCI', 'RDMA', 'NET', 'PSID', 'FIRMWARE', 'DOORS']
  const rows = devices.map((device) => [
    device.pci ?? device.auxiliary ?? '-',
    device.rdma.join(',') || '-',
    device.net.join(',') || '-',
    device.psid ?? '-',
    device.firmware ?? '-',
    device.doors.map((door) => door.node).join(' '),
  ])
  return {
    data: { devices },
    records: devices,
    text: () => (rows.length === 0 ? '' : table(head, rows, width)),
    warnings: devices.length === 0 ? ['no mlx5 device was found'] : [],
  }
}
