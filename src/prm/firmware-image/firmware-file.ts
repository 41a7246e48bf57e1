import { MalformedData } from '../errors'
import { parseArchive } from './archive'
import { readFs3 } from './fs3'
import { readFs4 } from './fs4'
import { archiveOrForeign, findImages, ForeignFile } from './identify'
import { hex, ImageBytes } from './image-bytes'
import type { FirmwareFile, FirmwareImage } from './types'

/** Header, pointers and version: less is no image. */
const SMALLEST = 0x98

/**
 * Reads a file with firmware: an image of FS3, FS4 or FS5, or an MFA archive of images. What is damaged but can be told apart is
 * in `problems`, each with its section.
 * @example
 * const file = await parseFirmware(readFileSync('fw-ConnectX7.bin'))
 * if (file.kind === 'image' && file.image.problems.length === 0) console.log(file.image.info?.psid)
 * @throws ForeignFile what is something else, and says what
 * @throws MalformedData what is too damaged to be read at all
 */
export async function parseFirmware(bytes: Uint8Array): Promise<FirmwareFile> {
  const other = archiveOrForeign(bytes)
  if (other instanceof ForeignFile) throw other
  if (other === 'MFA') return { kind: 'archive', archive: await parseArchive(bytes) }
  return { kind: 'image', image: parseImage(bytes) }
}

/**
 * Reads an image of FS3, FS4 or FS5, at any of the offsets where one may begin.
 * @throws ForeignFile, MalformedData as parseFirmware
 */
export function parseImage(bytes: Uint8Array): FirmwareImage {
  const image = new ImageBytes(bytes)
  const { format, offsets } = findImages(image)
  const [start = 0, ...others] = offsets
  if (!image.holds(start, SMALLEST))
    throw new MalformedData('image header', `is cut off: the file has ${hex(bytes.length - start)} bytes of it`, start)
  return { ...(format === 'FS3' ? readFs3(image, start) : readFs4(image, format, start)), others }
}
