import type { FirmwareVersion } from './version'

/** Formats that are read whole; what else a file may be is named by `ForeignFile`. */
export type ImageFormat = 'FS3' | 'FS4' | 'FS5'

/** What guards the bytes of a section, and whether it agrees. */
export interface SectionCrc {
  /** Where the expected value stands: in the table's entry, at the end of the section, or nowhere. */
  readonly mode: 'entry' | 'section' | 'none'
  readonly expected: number | null
  readonly computed: number | null
  /** null: nothing to check, or nothing that can be checked (encrypted, blank, outside of the file). */
  readonly ok: boolean | null
}

export interface ImageSection {
  /** The table that lists it; null for what a header points to. */
  readonly table: 'ITOC' | 'DTOC' | null
  /** Number in the table, null for what has none. */
  readonly type: number | null
  readonly name: string
  /** Byte offset in the file. */
  readonly offset: number
  /** Bytes. */
  readonly size: number
  readonly encrypted: boolean
  readonly crc: SectionCrc
}

/** One thing that is wrong with an image. */
export interface ImageProblem {
  /** The section, or the header, that it is about. */
  readonly section: string
  /** Byte offset in the file. */
  readonly offset: number
  readonly message: string
}

/** An expansion ROM: what boots a host over this device. */
export interface RomVersion {
  /** PXE, UEFI, ...; unknown ones by number. */
  readonly type: string
  /** As many numbers as it has: 3.7.201 */
  readonly version: readonly number[]
  readonly cpu: string | null
  readonly protocol: string | null
  readonly port: number | null
  readonly pciDeviceId: number | null
}

/** By which chips are told apart. */
export interface ChipId {
  /** 0x218 */
  readonly hardwareId: number
  /** Of the silicon: 0 is the first. */
  readonly revision: number
}

/** What the section IMAGE_INFO tells. */
export interface ImageInfo {
  readonly psid: string
  readonly version: FirmwareVersion
  /** YYYY-MM-DD, null where it has none. */
  readonly releaseDate: string | null
  /** hh:mm:ss */
  readonly releaseTime: string | null
  readonly productVersion: string
  readonly partNumber: string
  readonly description: string
  /** Name of the product's settings that the image was made of. */
  readonly prsName: string
  readonly vsd: string
  /** Chips that it is for. */
  readonly chips: readonly ChipId[]
  readonly pci: {
    readonly vendor: number
    readonly device: number
    readonly subsystemVendor: number
    readonly subsystem: number
  }
  readonly flags: {
    readonly secureBoot: boolean
    readonly firmwareControl: boolean
    readonly debug: boolean
    readonly signed: boolean
    readonly secure: boolean
    readonly encrypted: boolean
  }
  /** What a burner writes, in bytes; 0 where the image does not say. */
  readonly burnSize: number
  /** Where the table of the device's own sections stands: file size / (2 * this) - 4096; 0: at the end. */
  readonly dtocOffset: number
}

/** A GUID or MAC, and how many follow it. */
export interface BaseId {
  /** 16 hex digits. */
  readonly base: string
  readonly count: number
  readonly step: number
}

/** What a whole flash holds of one device; images for many devices have none of it. */
export interface DeviceData {
  /** The PSID that the device was made with. */
  readonly originalPsid: string | null
  readonly vsd: string | null
  readonly guids: readonly BaseId[]
  readonly macs: readonly BaseId[]
}

export interface FirmwareImage {
  readonly format: ImageFormat
  /** Where it starts in the file, in bytes. */
  readonly offset: number
  /** From there to the end of its last section, in bytes. */
  readonly size: number
  /** Offsets of further images in the same file: a copy of a flash may hold two. */
  readonly others: readonly number[]
  /** Its sections cannot be read without the key of the chip: only headers and IMAGE_INFO are. */
  readonly encrypted: boolean
  /** null where there is none that can be read; `problems` says why. */
  readonly info: ImageInfo | null
  /** secure-fw or signed-fw, then debug, dev; empty for firmware that is not signed. */
  readonly securityAttributes: readonly string[]
  /** Burned by the firmware that runs (MCC), not by a tool that writes flash. */
  readonly firmwareControl: boolean
  /** Of anti-rollback fuses; null in formats without. */
  readonly securityVersion: number | null
  readonly roms: readonly RomVersion[]
  readonly device: DeviceData | null
  readonly sections: readonly ImageSection[]
  /** Empty: every checksum agrees. */
  readonly problems: readonly ImageProblem[]
}

/** One board of an archive. */
export interface ArchiveBoard {
  readonly psid: string
  /** Keys and values that the archive has of it: PN, Description, ... */
  readonly metadata: Readonly<Record<string, string>>
  readonly images: readonly ArchiveImage[]
}

export interface ArchiveImage {
  /** 1 firmware, 2 expansion ROM. */
  readonly type: number
  /** Alternatives have the same group. */
  readonly group: number
  readonly selectTag: string
  /** FW, PXE, UEFI, ...; unknown ones by number. */
  readonly content: string
  readonly version: readonly number[]
  /** In the data section, decompressed; bytes. */
  readonly offset: number
  readonly size: number
}

/** An MFA archive: images of many boards. `extractImage` gives the image of one. */
export interface FirmwareArchive {
  readonly format: 'MFA'
  readonly version: string
  readonly boards: readonly ArchiveBoard[]
  /** CRC32 over the file. */
  readonly crc: { readonly expected: number; readonly computed: number; readonly ok: boolean }
  /** Where the data section stands in the file. */
  readonly data: { readonly offset: number; readonly size: number; readonly compressed: boolean }
  readonly problems: readonly ImageProblem[]
}

export type FirmwareFile =
  | { readonly kind: 'image'; readonly image: FirmwareImage }
  | { readonly kind: 'archive'; readonly archive: FirmwareArchive }
