import type { Device } from '../../device/device'
import type { FirmwareInfo } from '../../device/firmware/query'
import type { ResetChoice, ResetRequest, ResetSupport } from '../../device/firmware/reset'
import { formatVersion } from '../../prm/firmware-image/version'

/** What fw reset did, and what the device is afterwards. */
export interface ResetOutcome {
  readonly request: ResetRequest | undefined
  readonly performed: boolean
  /** The reset comes with the next reboot. */
  readonly armed: boolean
  readonly after: FirmwareInfo
  readonly support: ResetSupport
}

/** What remains for the operator. */
export function stepsOf({ pci }: Device['identity'], { armed, support, after }: ResetOutcome): string[] {
  const address = pci ?? 'BDF'
  return [
    ...(armed ? ['reboot this machine, and every other host of the device'] : []),
    ...(support.rescanRequired
      ? [
          `scan the PCI bus anew: echo 1 >/sys/bus/pci/devices/${address}/remove for each function of the card, then echo 1 >/sys/bus/pci/rescan`,
        ]
      : []),
    ...(!armed && after.pendingReset
      ? [`reset the device to load ${formatVersion(after.pending ?? after.running)}, which is on flash`]
      : []),
  ]
}

/** As mstfwreset lists them (facts: firmware manager, D). */
export function queryText(support: ResetSupport, steps: readonly string[]): string {
  const rows = (all: readonly ResetChoice[]): string =>
    all
      .map(({ number, name, supported, isDefault }) => {
        const can = (supported ? 'Supported' : 'Not Supported').padEnd(14)
        return `${number}: ${name.padEnd(62)}-${can}${isDefault ? '(default)' : ''}\n`
      })
      .join('')
  return [
    `Reset-levels:\n${rows(support.levels)}`,
    `\nReset-types (relevant only for reset-levels 1,3,4):\n${rows(support.types)}`,
    `\nReset-sync (relevant only for reset-level 3):\n${rows(support.syncs)}`,
    `\nState: ${support.state.name}\n`,
    ...steps.map((step) => `To do: ${step}\n`),
  ].join('')
}

export function outcomeText(
  node: string,
  before: FirmwareInfo,
  { request, performed, armed, after }: ResetOutcome,
  steps: readonly string[],
): string {
  const old = formatVersion(before.running)
  const now = formatVersion(after.running)
  const how = `level ${request?.level}, type ${request?.type}, sync ${request?.sync}`
  const what = performed
    ? `was reset (${how}); ${old === now ? `${now} runs` : `${now} runs in place of ${old}`}`
    : armed
      ? `will be reset with the next reboot (${how})`
      : `would be reset (${how})`
  return `${node}: ${what}\n${steps.map((step) => `To do: ${step}\n`).join('')}`
}
