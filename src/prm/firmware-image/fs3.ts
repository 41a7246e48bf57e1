import { readBoot2 } from './fs4'
import type { ImageBytes } from './image-bytes'
import { guardOf, IMAGE_INFO, readDeviceData, readListedInfo } from './image-info'
import { readRoms } from './rom'
import { sectionType } from './section-types'
import { findSection, isTable, readTable, SECTOR } from './toc'
import type { FirmwareImage } from './types'

/** BOOT2 stands behind the header. */
const HEADER = 0x38

/** Reads an image of FS3 that begins at an offset: header, BOOT2, and the table at a sector behind it (facts: firmware manager, C.7). */
export function readFs3(image: ImageBytes, start: number): Omit<FirmwareImage, 'others'> {
  const boot2 = readBoot2(image, start + HEADER)
  const first = start + Math.ceil((HEADER + (boot2 ?? 0)) / SECTOR) * SECTOR
  const table = findTable(image, first)
  if (table === undefined) image.problem('ITOC', first, 'no table was found at any sector from here on')
  else readTable(image, table, 'ITOC', 'FS3', start)
  const listed = findSection(image, sectionType.IMAGE_INFO)
  const info = listed === undefined || listed.size < IMAGE_INFO ? null : readListedInfo(image, listed.offset)
  if (info === null) image.problem('IMAGE_INFO', table ?? first, 'is in no table')
  const ends = image.sections.map(({ offset, size }) => offset + size).filter((end) => end <= image.length)
  const guard = guardOf(image, info, false, null)
  return {
    format: 'FS3',
    offset: start,
    size: Math.max(start, ...ends) - start,
    encrypted: false,
    info,
    securityAttributes: guard.attributes,
    firmwareControl: guard.firmwareControl,
    securityVersion: null,
    roms: readRoms(image),
    device: readDeviceData(image),
    sections: image.sections,
    problems: image.problems,
  }
}

function findTable(image: ImageBytes, first: number): number | undefined {
  for (let at = first; at < image.length; at += SECTOR) if (isTable(image, at, 'ITOC')) return at
  return undefined
}
