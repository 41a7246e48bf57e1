import { deviceInfo, uctxCapNames, type DeviceInfo } from '../device/info'
import { columns } from '../render/columns'
import type { DeviceIdentity } from '../transport/contract'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [name = '']: readonly string[]): Promise<Result> {
  return withDevice(context, name, async (device) => {
    const info = await deviceInfo(device)
    const { identity } = device
    return {
      device: identity,
      data: { ...info.context, uctxCapNames: capNames(info.context.uctxCap ?? 0), ...known(info) },
      text: () => text(identity, info),
      warnings: info.warnings,
    }
  })
}

/** The first lines are what other programs have always read: their order and labels stay. */
function text(identity: DeviceIdentity, info: DeviceInfo): string {
  const { uid, uctxCap, devUctxCap, userCap, uapi } = info.context
  const lines = [
    `mlx5dev: ${identity.pci ?? identity.auxiliary ?? identity.node}`,
    ...(uid === undefined ? [] : [`UCTX UID: ${uid}`]),
    ...(uctxCap === undefined ? [] : [`UCTX CAP: ${capText(uctxCap)}`]),
    ...(devUctxCap === undefined ? [] : [`DEV UCTX CAP: ${capText(devUctxCap)}`]),
    ...(userCap === undefined ? [] : [`USER CAP: 0x${userCap.toString(16)}`]),
  ]
  const rows = [
    ['Transport:', identity.transport],
    ['Node:', identity.node],
    ['Driver interface:', uapi],
    ['Device:', deviceText(identity, info)],
    ['PSID:', info.psid],
    ['Firmware:', info.firmware],
    ['RDMA:', identity.rdma.join(', ')],
    ['Net:', identity.net.join(', ')],
  ].filter((row): row is [string, string] => row[1] !== undefined && row[1] !== '')
  return `${lines.join('\n')}\n${columns(rows)}`
}

function deviceText({ vendorId, deviceId }: DeviceIdentity, { model }: DeviceInfo): string | undefined {
  if (vendorId === undefined || deviceId === undefined) return model
  const ids = [vendorId, deviceId].map((id) => id.toString(16).padStart(4, '0')).join(':')
  return model === undefined ? ids : `${model} (${ids})`
}

function capText(mask: number): string {
  const names = capNames(mask)
  return `0x${mask.toString(16)}${names.length === 0 ? '' : ` (${names.join(', ')})`}`
}

function capNames(mask: number): string[] {
  return uctxCapNames.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name)
}

function known({ model, psid, firmware }: DeviceInfo): Record<string, string | null> {
  return { model: model ?? null, psid: psid ?? null, firmware: firmware ?? null }
}
