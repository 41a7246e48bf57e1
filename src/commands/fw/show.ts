import { UsageError } from '../../device/errors'
import { extractImage } from '../../prm/firmware-image/archive'
import { parseFirmware, parseImage } from '../../prm/firmware-image/firmware-file'
import type { FirmwareArchive, FirmwareImage, ImageProblem } from '../../prm/firmware-image/types'
import { MalformedData } from '../../prm/errors'
import { describeError } from '../../render/envelope'
import { readInput } from '../input'
import { refuseBytes, refuseDeviceOptions } from '../refuse'
import { openFacts } from '../session'
import type { Context, Result } from '../types'
import { fileData } from './show-data'
import { fileText } from './show-text'

/** One file, and what became of it. */
export interface ShownFile {
  readonly file: string
  /** Bytes; null where it could not be read. */
  readonly size: number | null
  readonly image: FirmwareImage | null
  readonly archive: FirmwareArchive | null
  /** What keeps it from being used. */
  readonly error: Error | null
}

/** Names of chips, by hardware id. */
export type ChipName = (hardwareId: number) => string | undefined

/** fw show FILE...: what is in images and archives, whether it is sound, and why not. One bad file hides none of the others. */
export async function showFiles(context: Context, files: readonly string[]): Promise<Result> {
  refuseDeviceOptions(context, 'fw show')
  refuseBytes(context, 'fw show')
  if (files.length === 0) throw new UsageError('fw show takes files: images (FS3, FS4, FS5) or MFA archives')
  const psid = context.own.psid as string | undefined
  const shown: ShownFile[] = []
  for (const file of files) shown.push(await show(file, psid))
  const bad = shown.flatMap(({ error }) => (error === null ? [] : [error]))
  const [only] = bad
  const isAlone = shown.length === 1
  if (only !== undefined && isAlone && shown[0]?.size === null) throw only
  const { catalogue } = openFacts()
  const chip: ChipName = (id) => catalogue.chipName(id)
  const withSections = context.own.sections === true || context.options.verbose
  const data = shown.map((one) => fileData(one, chip))
  return {
    data: { files: data },
    records: data,
    text: () => shown.map((one) => fileText(one, chip, { withSections, withName: !isAlone })).join('\n'),
    warnings: shown.flatMap(({ file, image }) =>
      image === null || image.others.length === 0
        ? []
        : [`${file} holds ${1 + image.others.length} images; the first is shown`],
    ),
    verdict: only === undefined || isAlone ? only : severalBad(bad, shown.length),
  }
}

async function show(file: string, psid: string | undefined): Promise<ShownFile> {
  const nothing = { file, size: null, image: null, archive: null }
  let bytes: Uint8Array
  try {
    bytes = readInput(file)
  } catch (error) {
    return { ...nothing, error: error as Error }
  }
  const there = { ...nothing, size: bytes.length }
  try {
    const parsed = await parseFirmware(bytes)
    if (parsed.kind === 'image') {
      if (psid !== undefined) throw new UsageError(`${file} is one image: --psid chooses out of an archive`)
      return { ...there, image: parsed.image, error: damage(file, parsed.image.problems) }
    }
    const { archive } = parsed
    if (psid === undefined) return { ...there, archive, error: damage(file, archive.problems) }
    const image = parseImage(await extractImage(bytes, archive, psid))
    return { ...there, archive, image, error: damage(file, [...archive.problems, ...image.problems]) }
  } catch (error) {
    if (describeError(error).kind === 'internal') throw error
    return { ...there, error: named(file, error as Error) }
  }
}

/** The same error, that begins with the file. */
function named(file: string, error: Error): Error {
  if (error instanceof UsageError) return error
  const { message, hint } = describeError(error)
  return Object.assign(new MalformedData(file, message.replace(/^file: /, '')), hint === null ? {} : { hint })
}

function damage(file: string, problems: readonly ImageProblem[]): MalformedData | null {
  const [first] = problems
  if (first === undefined) return null
  const more = problems.length === 1 ? '' : `, and ${problems.length - 1} more`
  return new MalformedData(file, `is damaged: ${first.section} ${first.message}${more}`, first.offset)
}

function severalBad(bad: readonly Error[], count: number): Error {
  const [first] = bad
  const sentence = `${bad.length} of ${count} files cannot be used: ${bad.map(({ message }) => message).join('; ')}`
  return bad.every((error) => error instanceof UsageError) && first !== undefined
    ? new UsageError(sentence)
    : new MalformedData('fw show', sentence)
}
