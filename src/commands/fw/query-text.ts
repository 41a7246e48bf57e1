import type { ActivationMethods, FirmwareComponent } from '../../device/firmware/components'
import type { FirmwareInfo, RollbackProtection } from '../../device/firmware/query'
import { formatVersion } from '../../prm/firmware-image/version'
import { columns } from '../../render/columns'
import type { Outcome } from './devices'

/** A device, and what there is for it. */
export interface Shown {
  readonly outcome: Outcome<FirmwareInfo>
  readonly status: string
  /** Versions of an image for it, by the names of the rows; undefined where there is none. */
  readonly available: ReadonlyMap<string, string> | undefined
}

const ABSENT = 'N/A'
const UNKNOWN = '--'
export const FAILED = 'Failed to open device'

/** Rows of the table of versions: what is on flash, what runs where that is something else, and the ROMs. */
export function versionRows({
  outcome,
  available,
}: Shown): (readonly [name: string, current: string, available: string])[] {
  if (outcome.error !== undefined) return [['FW', UNKNOWN, UNKNOWN]]
  const { running, pending, roms } = outcome.value
  const current = new Map([
    ['FW', formatVersion(pending ?? running)],
    ...(pending === undefined ? [] : [['FW (Running)', formatVersion(running)] as const]),
    ...roms.map(({ type, version }) => [type, version] as const),
  ])
  const [, ...others] = [...new Set([...current.keys(), ...(available?.keys() ?? [])])]
  return ['FW', ...others.sort()].map((name) => [name, current.get(name) ?? ABSENT, available?.get(name) ?? ABSENT])
}

/** The name that a device is shown under: its PCI address where it has one. */
export const shownName = ({ name, identity }: Shown['outcome']): string => identity?.pci ?? identity?.node ?? name

/**
 * The layout of mstfwmanager, and behind it what that does not show. Programs look for "FW" at the beginning of a line: no row
 * of ours begins so.
 */
export function queryText(devices: readonly Shown[], options: { readonly details: boolean }): string {
  return devices.map((one, index) => `${block(one, index)}${options.details ? details(one) : ''}`).join('')
}

function block(shown: Shown, index: number): string {
  const { outcome } = shown
  const info = outcome.error === undefined ? outcome.value : undefined
  const label = (name: string, value: string): string => `  ${`${name}:`.padEnd(18)}${value}\n`
  const cell = (text: string): string => text.padEnd(14)
  const rows = versionRows(shown).map(([name, ...cells]) => `     ${name.padEnd(12)}   ${cells.map(cell).join(' ')}\n`)
  return [
    `Device #${index + 1}:\n----------\n\n`,
    label('Device Type', info?.chip ?? ABSENT),
    label('Part Number', info === undefined ? UNKNOWN : (info.partNumber ?? ABSENT)),
    label('Description', info?.description ?? ABSENT),
    label('PSID', info?.psid ?? ''),
    label('PCI Device Name', shownName(outcome)),
    label('Base GUID', info?.addresses.guid.base ?? ABSENT),
    label('Base MAC', info?.addresses.mac.base ?? ABSENT),
    label('Versions', `${cell('Current')} ${cell('Available')}`),
    ...rows,
    `\n  Status:           ${outcome.error === undefined ? shown.status : FAILED}\n\n`,
  ].join('')
}

function details({ outcome }: Shown): string {
  if (outcome.error !== undefined) return ''
  const { value: info } = outcome
  const { mac, guid } = info.addresses
  const rows: [string, string | undefined][] = [
    ['Stored FW Version:', formatVersion(info.pending ?? info.running)],
    ['Active FW Version(Running):', info.pending === undefined ? undefined : formatVersion(info.running)],
    ['Product Version:', info.productVersion],
    ['Built:', info.built ?? undefined],
    ['GUIDs, MACs:', counts(guid.count, mac.count)],
    ['Original Base GUID:', guid.original === guid.base ? undefined : guid.original],
    ['Original Base MAC:', mac.original === mac.base ? undefined : mac.original],
    ['Image VSD:', info.imageVsd],
    ['Device VSD:', info.deviceVsd],
    ['Security Attributes:', info.security.attributes.join(', ') || ABSENT],
    ['Life cycle:', info.security.lifeCycle],
    ['Secure boot:', onOff(info.security.secureBoot)],
    ['Encryption:', onOff(info.security.encryption)],
    ['Security version:', rollbackText(info.security.rollback)],
    ['Updates by firmware:', info.control.missing ?? 'supported'],
    ['Activation:', activationText(info.activation)],
    ['Pending:', pendingText(info)],
  ]
  const there = rows.flatMap(([name, value]) => (value === undefined ? [] : [[`     ${name}`, value]]))
  return `  Details:\n${columns(there)}${componentTable(info.components)}\n`
}

const onOff = (on: boolean): string => (on ? 'enabled' : 'disabled')

function rollbackText(rollback: RollbackProtection | null): string | undefined {
  if (rollback === null) return undefined
  const { fuses, image, programming, allowed } = rollback
  const raised =
    programming === 'automatic' ? 'at the next start' : allowed ? 'at the next start, as allowed' : 'by hand'
  return `${image}; fuses ${fuses}, raised ${raised}`
}

function counts(guids: number | undefined, macs: number | undefined): string | undefined {
  return guids === undefined && macs === undefined ? undefined : `${guids ?? ABSENT}, ${macs ?? ABSENT}`
}

const needNames: Readonly<Record<ActivationMethods['needs'][number], string>> = {
  'firmware-reset': 'a reset of the firmware',
  'server-reboot': 'a reboot',
  'dc-power-cycle': 'a DC power cycle',
  'ac-power-cycle': 'an AC power cycle',
}

function activationText(methods: ActivationMethods | undefined): string | undefined {
  if (methods === undefined) return undefined
  const ways = methods.needs.map((need) => needNames[need])
  const all = methods.allHosts ? ', with all hosts of the device' : ''
  return ways.length === 0 ? 'at once' : `by ${ways.join(' or ')}${all}`
}

function pendingText({ running, pending, pendingReset, rescanRequired }: FirmwareInfo): string {
  const needs = [
    ...(pendingReset
      ? [`a reset loads ${formatVersion(pending ?? running)}${pending === undefined ? ' anew' : ''}`]
      : []),
    ...(rescanRequired ? ['the PCI bus must be scanned anew'] : []),
  ]
  return needs.length === 0 ? 'nothing' : needs.join('; ')
}

function componentTable(components: readonly FirmwareComponent[]): string {
  if (components.length === 0) return ''
  const rows = components.map(({ index, name, status, updateState, capabilities }) => [
    `       ${index}`,
    name,
    status,
    updateState,
    capabilities === null || capabilities.maxSize === 0 ? '' : `up to ${capabilities.maxSize} bytes`,
  ])
  return `     Components:\n${columns(rows)}`
}
