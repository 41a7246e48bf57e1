import { MalformedData } from '../errors'

/** A version of firmware: three numbers of 16 bits. */
export interface FirmwareVersion {
  readonly major: number
  readonly minor: number
  readonly subminor: number
}

/**
 * As the vendor prints it (facts: firmware manager, C.4): 28.39.1002, and 16.0101.0005 where the minor has three digits.
 */
export function formatVersion({ major, minor, subminor }: FirmwareVersion): string {
  const middle = minor > 99 ? padded(minor) : String(minor)
  return `${major}.${middle}.${padded(subminor)}`
}

/** Of an expansion ROM: 3.7.0201. With four numbers the third and fourth are one: third * 100 + fourth. */
export function formatRomVersion(numbers: readonly number[]): string {
  const [first = 0, second = 0, third = 0, fourth] = numbers
  if (numbers.length < 3) return numbers.join('.')
  return `${first}.${second}.${padded(fourth === undefined ? third : third * 100 + fourth)}`
}

/** Reads "28.39.1002", with or without leading zeros. @throws MalformedData */
export function parseVersion(text: string): FirmwareVersion {
  const match = /^(\d{1,5})\.(\d{1,5})\.(\d{1,5})$/.exec(text.trim())
  const [major = -1, minor = -1, subminor = -1] = match === null ? [] : match.slice(1).map(Number)
  if (match === null || Math.max(major, minor, subminor) > 0xffff)
    throw new MalformedData('version', `${JSON.stringify(text)} is no version like 28.39.1002`)
  return { major, minor, subminor }
}

/**
 * Below 0 when the first is older, above 0 when it is newer. Schemes of numbering are compared first, then field by field
 * (facts: firmware manager, C.4): the numbers of ConnectIB 10.0 to 10.10 and SwitchIB 11.0 to 11.1 came first, then minors of
 * 100 and more (10.0100.0000), then all others.
 */
export function compareVersions(a: FirmwareVersion, b: FirmwareVersion): number {
  return scheme(a) - scheme(b) || a.major - b.major || a.minor - b.minor || a.subminor - b.subminor
}

function scheme({ major, minor }: FirmwareVersion): number {
  if (minor >= 100) return 1
  return (major === 10 && minor <= 10) || (major === 11 && minor <= 1) ? 0 : 2
}

/** How an image stands to what a device has. */
export type VersionChange = 'newer' | 'same' | 'older'

/** What the image would be for the device. */
export function versionChange(image: FirmwareVersion, device: FirmwareVersion): VersionChange {
  const order = compareVersions(image, device)
  return order > 0 ? 'newer' : order < 0 ? 'older' : 'same'
}

const padded = (number: number): string => String(number).padStart(4, '0')
