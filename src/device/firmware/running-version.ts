import type { Struct } from '../../prm/codec'
import type { FirmwareVersion } from '../../prm/firmware-image/version'

/**
 * The version of firmware that runs, by fw_info of MGIR: the fields that have room for every version, or, of firmware of before
 * there were any, those with 8 bits for each number.
 */
export function runningVersion(firmware: Struct): FirmwareVersion {
  const of = (major: string, minor: string, subminor: string): FirmwareVersion => ({
    major: Number(firmware[major]),
    minor: Number(firmware[minor]),
    subminor: Number(firmware[subminor]),
  })
  const extended = of('extended_major', 'extended_minor', 'extended_sub_minor')
  return extended.major === 0 ? of('major', 'minor', 'sub_minor') : extended
}
