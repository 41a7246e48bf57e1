import type { MalformedData } from '../../prm/errors'
import { matchPsid } from '../../prm/firmware-image/psid'
import type { FirmwareImage, ImageInfo } from '../../prm/firmware-image/types'
import { formatVersion, versionChange } from '../../prm/firmware-image/version'
import { Unsupported, UsageError } from '../errors'
import type { FirmwareInfo } from './query'

/** An image that may be for a device. */
export interface Candidate {
  /** What it is called: its file, and the board where that is an archive. */
  readonly label: string
  /** As the archive lists it, or as the image says. */
  readonly psid: string
  readonly image: FirmwareImage
  readonly info: ImageInfo
  /** Why it cannot be used: it is damaged. */
  readonly problem: MalformedData | undefined
}

/** How what there is stands to what a device has. */
export type Relation = 'newer' | 'same' | 'older' | 'none' | 'several' | 'damaged' | 'foreign-chip'

export interface UpdatePlan<T extends Candidate = Candidate> {
  readonly relation: Relation
  /** The one that is for this device; undefined where there is none, or more than one. */
  readonly candidate: T | undefined
  /** Whether the image is to be written. */
  readonly isUpdate: boolean
  /** Why it must not be: nothing is sent to the device. */
  readonly refusal: Error | undefined
  readonly notes: readonly string[]
}

export interface PlanOptions {
  /** Older versions, the same one, images before which a reset should stand, and a named one of another variant of the board. */
  readonly force?: boolean
  /** Where the candidates came from, for what is said about them. */
  readonly from: string
  /** Whether that is one image, which was named. */
  readonly isNamed?: boolean
}

/** Chooses the image of a device by its PSID, and compares it with what is on flash. */
export function planUpdate<T extends Candidate>(
  info: FirmwareInfo,
  candidates: readonly T[],
  { force = false, from, isNamed = false }: PlanOptions,
): UpdatePlan<T> {
  // Another variant of the board is another PSID: only who names the image and insists gets it.
  const matching = fitting(info, candidates, force && isNamed)
  const [candidate, other] = matching
  const refuse = (relation: Relation, refusal: Error): UpdatePlan<T> => ({
    relation,
    candidate: other === undefined ? candidate : undefined,
    isUpdate: false,
    refusal,
    notes: [],
  })
  if (candidate === undefined) return refuse('none', noneFits(info, candidates, { from, isNamed }))
  if (other !== undefined) return refuse('several', several(info, matching, from))
  if (candidate.problem !== undefined) return refuse('damaged', candidate.problem)
  if (!candidate.info.chips.some(({ hardwareId }) => hardwareId === info.chipId.hardwareId))
    return refuse('foreign-chip', foreignChip(info, candidate))
  return compared(info, candidate, force)
}

/** Those of the same PSID, and those of another variant of the same board where these are taken too. */
function fitting<T extends Candidate>({ psid }: FirmwareInfo, candidates: readonly T[], takesVariants: boolean): T[] {
  const kinds = takesVariants ? ['same', 'minor'] : ['same']
  return candidates.filter((one) => kinds.includes(matchPsid(one.psid, psid)))
}

function compared<T extends Candidate>(info: FirmwareInfo, candidate: T, force: boolean): UpdatePlan<T> {
  const { running, pending } = info
  const stored = pending ?? running
  const { version } = candidate.info
  const relation = versionChange(version, stored)
  const plan = { relation, candidate, notes: notesOn(info, candidate) }
  const refuse = (refusal: Error): UpdatePlan<T> => ({ ...plan, isUpdate: false, refusal })
  if (info.control.missing !== undefined)
    return refuse(new Unsupported(`firmware of this device takes no updates: ${info.control.missing}`))
  if (isUnfit(candidate))
    return refuse(
      new UsageError(`${candidate.label} is not signed and not made for updates by firmware`, 'take a newer image'),
    )
  const { securityVersion } = candidate.image
  const { rollback } = info.security
  if (rollback !== null && securityVersion !== null && securityVersion < rollback.fuses)
    return refuse(
      new UsageError(
        `${candidate.label} has security version ${securityVersion}, and the fuses of this device allow none below ${rollback.fuses}`,
        'the device would never boot it: take a newer image',
      ),
    )
  if (force) return { ...plan, isUpdate: true, refusal: undefined }
  if (relation === 'same') return { ...plan, isUpdate: false, refusal: undefined }
  if (info.pendingReset)
    return refuse(
      new UsageError(
        `firmware ${formatVersion(stored)} is on flash and waits for a reset (${formatVersion(running)} runs): firmware takes no other image before it`,
        'fw reset, or a reboot, loads it',
      ),
    )
  if (relation === 'older')
    return refuse(
      new UsageError(
        `${candidate.label} has ${formatVersion(version)}, which is older than ${formatVersion(stored)} on the device`,
        'give --force to go back to it',
      ),
    )
  return { ...plan, isUpdate: true, refusal: undefined }
}

function notesOn({ psid, chipId }: FirmwareInfo, { label, psid: wanted, info }: Candidate): string[] {
  const { hardwareId, revision } = chipId
  const revisions = info.chips.filter((chip) => chip.hardwareId === hardwareId).map((chip) => chip.revision)
  return [
    ...(matchPsid(wanted, psid) === 'minor'
      ? [`${label} is for PSID ${wanted}, another variant of the board of this device (${psid})`]
      : []),
    // Firmware compares it too, and has the last word.
    ...(revisions.includes(revision)
      ? []
      : [`${label} is for revision ${revisions.map(hex).join(', ')} of the chip, this device has ${hex(revision)}`]),
  ]
}

const isUnfit = ({ info, image }: Candidate): boolean =>
  !info.flags.firmwareControl && image.securityAttributes.length === 0

function noneFits(
  { psid }: FirmwareInfo,
  candidates: readonly Candidate[],
  { from, isNamed }: Pick<PlanOptions, 'from' | 'isNamed'>,
): UsageError {
  const [only] = candidates
  if (isNamed === true && only !== undefined)
    return new UsageError(
      `${only.label} is for PSID ${only.psid || '(none)'}, this device has ${psid || 'none'}`,
      `an image of another PSID can leave the card unusable; the vendor has images by PSID${
        matchPsid(only.psid, psid) === 'minor' ? '; this one is for a variant of the same board: --force takes it' : ''
      }`,
    )
  return new UsageError(`${from} has no image for PSID ${psid || '(none)'}`, 'fw show names the PSIDs of files')
}

const several = ({ psid }: FirmwareInfo, matching: readonly Candidate[], from: string): UsageError =>
  new UsageError(
    `${from} has ${matching.length} images for PSID ${psid}: ${matching.map(({ label, info }) => `${label} (${formatVersion(info.version)})`).join(', ')}`,
    'name one of them: --from FILE',
  )

function foreignChip({ chipId, chip }: FirmwareInfo, { label, info }: Candidate): UsageError {
  const ids = info.chips.map(({ hardwareId }) => hex(hardwareId)).join(', ')
  const own = `${hex(chipId.hardwareId)}${chip === undefined ? '' : ` (${chip})`}`
  return new UsageError(
    ids === ''
      ? `${label} names no chip that it is for, this device is ${own}`
      : `${label} is for chips of hardware id ${ids}, this device is ${own}`,
  )
}

const hex = (value: number): string => `0x${value.toString(16)}`
