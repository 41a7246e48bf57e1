import type { FirmwareInfo } from '../../device/firmware/query'
import { formatVersion } from '../../prm/firmware-image/version'
import { describeError } from '../../render/envelope'
import type { Outcome } from './devices'

/** One device of fw query, as JSON. */
export function queryData(outcome: Outcome<FirmwareInfo>): Readonly<Record<string, unknown>> {
  const { name, identity } = outcome
  const base = { name, device: identity === undefined ? null : { ...identity } }
  if (outcome.error !== undefined) return { ...base, firmware: null, error: describeError(outcome.error) }
  const { value: info } = outcome
  const { mac, guid } = info.addresses
  return {
    ...base,
    firmware: {
      type: info.chip ?? null,
      hardwareId: info.chipId.hardwareId,
      hardwareRevision: info.chipId.revision,
      pciDeviceId: info.pciDeviceId,
      partNumber: info.partNumber ?? null,
      description: info.description ?? null,
      psid: info.psid,
      baseMac: { address: mac.base ?? null, original: mac.original ?? null, count: mac.count ?? null },
      baseGuid: { address: guid.base ?? null, original: guid.original ?? null, count: guid.count ?? null },
      versions: {
        running: formatVersion(info.running),
        pending: info.pending === undefined ? null : formatVersion(info.pending),
        product: info.productVersion ?? null,
        built: info.built,
        roms: info.roms,
      },
      security: info.security,
      control: { supported: info.control.missing === undefined, reason: info.control.missing ?? null },
      components: info.components,
      activation: {
        pendingReset: info.pendingReset,
        rescanRequired: info.rescanRequired,
        methods: info.activation ?? null,
      },
      imageVsd: info.imageVsd ?? null,
      deviceVsd: info.deviceVsd ?? null,
      uptimeSeconds: info.uptime,
    },
    error: null,
  }
}
