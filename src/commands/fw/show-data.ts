import { boardVersions } from '../../prm/firmware-image/archive'
import type { FirmwareArchive, FirmwareImage } from '../../prm/firmware-image/types'
import { formatRomVersion, formatVersion } from '../../prm/firmware-image/version'
import { describeError } from '../../render/envelope'
import type { ChipName, ShownFile } from './show'

/** What JSON says of a file (schema/fw-show.json). */
export function fileData({ file, size, image, archive, error }: ShownFile, chip: ChipName): Record<string, unknown> {
  return {
    file,
    size,
    ok: error === null,
    format: image?.format ?? archive?.format ?? null,
    image: image === null ? null : imageData(image, chip),
    archive: archive === null ? null : archiveData(archive),
    problems: [...(archive?.problems ?? []), ...(image?.problems ?? [])],
    error: error === null ? null : describeError(error),
  }
}

function imageData(image: FirmwareImage, chip: ChipName): Record<string, unknown> {
  const { info } = image
  return {
    format: image.format,
    offset: image.offset,
    size: image.size,
    otherImages: image.others,
    encrypted: image.encrypted,
    psid: info?.psid ?? null,
    version: info === null ? null : formatVersion(info.version),
    releaseDate: info?.releaseDate ?? null,
    releaseTime: info?.releaseTime ?? null,
    productVersion: text(info?.productVersion),
    partNumber: text(info?.partNumber),
    description: text(info?.description),
    prsName: text(info?.prsName),
    imageVsd: text(info?.vsd),
    chips: (info?.chips ?? []).map((one) => ({ ...one, name: chip(one.hardwareId) ?? null })),
    pci: info?.pci ?? null,
    flags: info?.flags ?? null,
    securityAttributes: image.securityAttributes,
    firmwareControl: image.firmwareControl,
    securityVersion: image.securityVersion,
    roms: image.roms.map(({ version, ...rest }) => ({ ...rest, version: formatRomVersion(version) })),
    device: image.device,
    sections: image.sections,
  }
}

const text = (value: string | undefined): string | null => (value === undefined || value === '' ? null : value)

function archiveData(archive: FirmwareArchive): Record<string, unknown> {
  return {
    version: archive.version,
    compressed: archive.data.compressed,
    crc: archive.crc,
    boards: archive.boards.map((board) => ({
      psid: board.psid,
      metadata: board.metadata,
      versions: boardVersions(board).map(({ content, version }) => ({
        content,
        version: versionText(content, version),
      })),
      images: board.images.map(({ type, group, selectTag, content, size }) => ({
        type,
        group,
        selectTag,
        content,
        size,
      })),
    })),
  }
}

/** Firmware is written differently from expansion ROMs. */
export function versionText(content: string, numbers: readonly number[]): string {
  const [major = 0, minor = 0, subminor = 0] = numbers
  return content === 'FW' && numbers.length === 3
    ? formatVersion({ major, minor, subminor })
    : formatRomVersion(numbers)
}
