import { boardVersions } from '../../prm/firmware-image/archive'
import type { ChipId, FirmwareArchive, FirmwareImage, ImageSection, RomVersion } from '../../prm/firmware-image/types'
import { formatVersion } from '../../prm/firmware-image/version'
import { columns } from '../../render/columns'
import type { ChipName, ShownFile } from './show'
import { versionText } from './show-data'

/** Width of the labels of flint's query (facts: firmware manager, C.8). */
const LABEL = 23
/** Width of a GUID or MAC in front of how many there are. */
const UID = 24
const NOTHING = 'N/A'

interface How {
  readonly withSections: boolean
  readonly withName: boolean
}

type Row = readonly [label: string, value: string | null]

/**
 * The rows of `flint -i FILE q full`, then what it is for and whether it is sound. Of one file alone that is something else there
 * is nothing: the message on stderr says it.
 */
export function fileText({ file, image, archive, error }: ShownFile, chip: ChipName, how: How): string {
  const rows: Row[] = how.withName ? [['File', file]] : []
  const isShown = image !== null || archive !== null
  if (!isShown && how.withName) rows.push(['Error', error?.message ?? null])
  const parts = [
    rowsText(rows),
    ...(image !== null ? [rowsText(imageRows(image, chip))] : archive !== null ? [archiveText(archive)] : []),
    rowsText(isShown ? verdictRows(image, archive) : []),
  ]
  if (how.withSections && image !== null) parts.push(`\n${sectionsText(image.sections)}`)
  return parts.join('')
}

function rowsText(rows: readonly Row[]): string {
  return rows
    .flatMap(([label, value]) => (value === null ? [] : [`${label === '' ? '' : `${label}:`}`.padEnd(LABEL) + value]))
    .map((line) => `${line}\n`)
    .join('')
}

function imageRows(image: FirmwareImage, chip: ChipName): Row[] {
  const { info, device, securityAttributes, securityVersion } = image
  const or = (value: string | undefined): string => (value === undefined || value === '' ? NOTHING : value)
  const given = (value: string | undefined): string | null => (value === undefined || value === '' ? null : value)
  return [
    ['Image type', image.format],
    ['FW Version', info === null ? NOTHING : formatVersion(info.version)],
    ['FW Release Date', dateText(info?.releaseDate ?? null)],
    ['PRS Name', given(info?.prsName)],
    ['Part Number', given(info?.partNumber)],
    ['Description', given(info?.description)],
    ['Product Version', given(info?.productVersion)],
    ...image.roms.map((rom, index): Row => [index === 0 ? 'Rom Info' : '', romText(rom)]),
    ...deviceRows(image),
    ['Image VSD', or(info?.vsd)],
    ['Device VSD', or(device?.vsd ?? undefined)],
    ['PSID', or(info?.psid)],
    ['Orig PSID', device === null || device.originalPsid === info?.psid ? null : or(device.originalPsid ?? undefined)],
    ['Security Attributes', or(securityAttributes.join(', '))],
    ['Security Ver', securityVersion === null ? null : String(securityVersion)],
    ['Default Update Method', image.firmwareControl ? 'fw_ctrl' : 'Legacy'],
    ['Chips', or(info?.chips.map((one) => chipText(one, chip(one.hardwareId))).join(', '))],
    ['PCI device', info === null ? null : `${word(info.pci.vendor)}:${word(info.pci.device)}`],
    ['Starts at', image.offset === 0 ? null : `0x${image.offset.toString(16)} of the file`],
  ]
}

/** The parts are written as flint does it: 15.10.2023, without leading zeros. */
function dateText(date: string | null): string | null {
  const [year = '', month = '', day = ''] = date?.split('-') ?? []
  const short = (part: string): string => part.replace(/^0(?=.)/, '')
  return date === null ? null : `${short(day)}.${short(month)}.${year}`
}

function romText({ type, version, port, protocol, cpu }: RomVersion): string {
  const details = { port, proto: protocol, cpu }
  return [
    `type=${type}`,
    `version=${version.join('.')}`,
    ...Object.entries(details).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`])),
  ].join(' ')
}

function deviceRows({ device }: FirmwareImage): Row[] {
  if (device === null) return []
  const rows = (kind: string, list: typeof device.guids, digits: number): Row[] =>
    list.map(({ base, count }, index) => {
      const value = base.slice(-digits).padEnd(UID)
      return [`Base ${kind}${list.length > 1 ? index + 1 : ''}`, `${value}${count}`]
    })
  return [
    ['Description', 'UID                GuidsNumber'],
    ...rows('GUID', device.guids, 16),
    ...rows('MAC', device.macs, 12),
  ]
}

const chipText = ({ hardwareId, revision }: ChipId, name: string | undefined): string =>
  `${name ?? 'unknown'} (0x${hardwareId.toString(16)}${revision === 0 ? '' : `, revision 0x${revision.toString(16)}`})`
const word = (value: number): string => value.toString(16).padStart(4, '0')

function archiveText(archive: FirmwareArchive): string {
  const contents = [...new Set(archive.boards.flatMap((board) => boardVersions(board).map(({ content }) => content)))]
  const rows = archive.boards.map((board) => {
    const versions = contents.map((content) => {
      const found = boardVersions(board).find((one) => one.content === content)
      return found === undefined ? NOTHING : versionText(content, found.version)
    })
    const [partNumber, description] = [board.metadata.PN ?? NOTHING, board.metadata.DESCRIPTION ?? '']
    return [board.psid, partNumber, ...versions, description]
  })
  return `${rowsText([
    ['Archive type', `MFA ${archive.version}`],
    ['Boards', String(archive.boards.length)],
  ])}\n${columns([['PSID', 'Part Number', ...contents, 'Description'], ...rows])}\n`
}

/** One line for each problem; or how much was checked. */
function verdictRows(image: FirmwareImage | null, archive: FirmwareArchive | null): Row[] {
  const problems = [...(archive?.problems ?? []), ...(image?.problems ?? [])]
  if (problems.length > 0)
    return problems.map(({ section, offset, message }, index) => [
      index === 0 ? 'Damaged' : '',
      `${section} at 0x${offset.toString(16)} ${message}`,
    ])
  return [['Verified', image === null ? 'CRC32 of the archive' : soundText(image)]]
}

function soundText({ sections, encrypted }: FirmwareImage): string {
  const checked = sections.filter(({ crc }) => crc.ok === true).length
  const rest = sections.length - checked
  const unread = encrypted ? ', encrypted: its sections cannot be checked' : rest > 0 ? `, ${rest} without one` : ''
  return `${checked} checksums${unread}`
}

function sectionsText(sections: readonly ImageSection[]): string {
  const rows = sections.map(({ table, name, offset, size, encrypted, crc }) => {
    const state = crc.ok === true ? 'OK' : crc.ok === false ? 'wrong CRC' : encrypted ? 'encrypted' : 'no CRC'
    return [hex(offset), hex(size), table ?? '-', name, state]
  })
  return columns([['Offset', 'Size', 'Table', 'Section', 'CRC'], ...rows])
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
