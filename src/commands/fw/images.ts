import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { UsageError } from '../../device/errors'
import type { Candidate } from '../../device/firmware/plan'
import { MalformedData } from '../../prm/errors'
import { extractImage } from '../../prm/firmware-image/archive'
import { parseFirmware, parseImage } from '../../prm/firmware-image/firmware-file'
import { ForeignFile } from '../../prm/firmware-image/identify'
import { matchPsid } from '../../prm/firmware-image/psid'
import type { FirmwareArchive, FirmwareImage, ImageProblem } from '../../prm/firmware-image/types'
import { describeError } from '../../render/envelope'
import { readInput } from '../input'

/** Larger than any image or archive, in bytes: what is in a folder and larger is something else. */
const LARGEST = 2 ** 28

/** An image in a file. Its bytes are read again when they are needed: a folder may hold hundreds. */
export interface ImageFile extends Candidate {
  readonly file: string
  /** What goes to the device. @throws MalformedData when the file is another one by now */
  readonly read: () => Promise<Uint8Array>
}

export interface LoadedImages {
  readonly images: readonly ImageFile[]
  /** Whether one image was named, and not a folder or an archive. */
  readonly isNamed: boolean
  readonly warnings: readonly string[]
}

/**
 * The images of a file, an archive or a folder (not of the folders in it) for some PSIDs; of a file that is one image, that image
 * whatever its PSID.
 * @throws MalformedData for a file that is damaged as a whole, or none; UsageError where there is nothing of this name
 */
export async function loadImages(from: unknown, psids: readonly string[]): Promise<LoadedImages> {
  if (typeof from !== 'string') throw new UsageError('an image is needed: --from FILE, or --from DIR with images in it')
  const found = statSync(from, { throwIfNoEntry: false })
  if (found === undefined) throw new UsageError(`--from ${from}: there is no such file or folder`)
  if (!found.isDirectory()) return loadFile(from, psids)
  const images: ImageFile[] = []
  const warnings: string[] = []
  for (const name of readdirSync(from).sort()) {
    const file = path.join(from, name)
    const entry = statSync(file, { throwIfNoEntry: false })
    if (entry?.isFile() !== true || entry.size > LARGEST) continue
    try {
      const loaded = await loadFile(file, psids)
      images.push(...loaded.images)
      warnings.push(...loaded.warnings)
    } catch (error) {
      // A folder has other files too; one that begins as an image, and cannot be read, is told.
      if (error instanceof ForeignFile) continue
      if (!(error instanceof Error) || describeError(error).kind === 'internal') throw error
      warnings.push(`left out: ${error.message.startsWith(file) ? '' : `${file}: `}${error.message}`)
    }
  }
  return { images, isNamed: false, warnings }
}

async function loadFile(file: string, psids: readonly string[]): Promise<LoadedImages> {
  const bytes = readInput(file)
  const hash = hashOf(bytes)
  try {
    const parsed = await parseFirmware(bytes)
    if (parsed.kind === 'image') {
      const image = imageFile(file, hash, parsed.image)
      return { images: [image], isNamed: true, warnings: severalIn(file, parsed.image) }
    }
    return { images: await ofArchive(file, bytes, parsed.archive, psids), isNamed: false, warnings: [] }
  } catch (error) {
    throw error instanceof MalformedData ? named(file, error) : error
  }
}

const severalIn = (file: string, { others }: FirmwareImage): string[] =>
  others.length === 0 ? [] : [`${file} holds ${1 + others.length} images; the first counts`]

/** The boards of an archive that fit, their images taken out and looked at. */
async function ofArchive(
  file: string,
  bytes: Uint8Array,
  archive: FirmwareArchive,
  psids: readonly string[],
): Promise<ImageFile[]> {
  const [problem] = archive.problems
  if (problem !== undefined) throw damage(file, [problem])
  const images: ImageFile[] = []
  for (const { psid } of archive.boards) {
    if (!psids.some((one) => matchPsid(psid, one) === 'same')) continue
    const image = parseImage(await extractImage(bytes, archive, psid))
    images.push(imageFile(file, hashOf(bytes), image, psid))
  }
  return images
}

function imageFile(file: string, hash: string, image: FirmwareImage, board?: string): ImageFile {
  const { info, problems } = image
  const label = board === undefined ? file : `${file} (${board})`
  if (info === null) throw damage(file, problems)
  const read = async (): Promise<Uint8Array> => {
    const bytes = readInput(file)
    if (hashOf(bytes) !== hash) throw new MalformedData(file, 'was changed since it was looked at')
    const parsed = await parseFirmware(bytes)
    const whole =
      board === undefined || parsed.kind === 'image' ? bytes : await extractImage(bytes, parsed.archive, board)
    return whole.subarray(image.offset, image.offset + image.size)
  }
  const psid = board ?? info.psid
  const wrongBoard = board !== undefined && matchPsid(info.psid, board) !== 'same'
  const problem = wrongBoard
    ? new MalformedData(file, `lists an image for PSID ${board}, and that is for ${info.psid}`)
    : problems.length === 0
      ? undefined
      : damage(label, problems)
  return { file, label, psid, image, info, problem, read }
}

function damage(label: string, problems: readonly ImageProblem[]): MalformedData {
  const [first] = problems
  const more = problems.length <= 1 ? '' : `, and ${problems.length - 1} more`
  const what = first === undefined ? 'it has no IMAGE_INFO' : `${first.section} ${first.message}`
  return new MalformedData(label, `is damaged: ${what}${more}`, first?.offset)
}

/** The same error, that begins with the file. */
function named(file: string, error: MalformedData): MalformedData {
  if (error.message.startsWith(file)) return error
  const { hint } = error as { hint?: string }
  const message = error.message.replace(/^file: /, '')
  if (error instanceof ForeignFile)
    return Object.assign(new ForeignFile(error.format, '', hint), { message: `${file}: ${message}` })
  return new MalformedData(file, message)
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
