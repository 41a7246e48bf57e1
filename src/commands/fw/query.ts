import { queryFirmware } from '../../device/firmware/query'
import { describeError } from '../../render/envelope'
import type { Context, Result } from '../types'
import { commonFailure, everyCard, withEachDevice, type Outcome } from './devices'
import { queryData } from './query-data'
import { queryText } from './query-text'
import { queryXml } from './query-xml'

/** Status of mstfwmanager where no image was given to compare with. */
const STATUS = 'No matching image found'

/** Firmware of the devices that are named, or of every card. A device that fails hides none of the others. */
export async function queryDevices(context: Context, given: readonly string[]): Promise<Result> {
  const names = given.length > 0 ? given : everyCard(context)
  const outcomes = await withEachDevice(context, names, queryFirmware)
  const [only, other] = outcomes
  const isXml = context.options.format === 'xml'
  // Alone it has an exit code of its own; XML is whole also then.
  if (given.length === 1 && only?.error !== undefined && !isXml) throw only.error
  const devices = outcomes.map((outcome) => ({ outcome, status: STATUS, available: undefined }))
  const failed = failuresOf(outcomes)
  const notes = outcomes.flatMap((one) =>
    one.error === undefined ? one.value.warnings.map((text) => `${one.name}: ${text}`) : [],
  )
  return {
    device: other === undefined ? only?.identity : undefined,
    data: { devices: outcomes.map(queryData) },
    records: outcomes.map(queryData),
    text: () => (isXml ? queryXml(devices) : queryText(devices, { details: true })),
    warnings: [...(names.length === 0 ? ['no mlx5 device was found'] : []), ...failed, ...notes],
    partial: failed.length > 0,
    verdict: commonFailure(outcomes),
  }
}

/** Those that failed, by name, with what helps. */
export const failuresOf = (outcomes: readonly Outcome<unknown>[]): string[] =>
  outcomes.flatMap(({ name, error }) => (error === undefined ? [] : [`${name}: ${hinted(error)}`]))

function hinted(error: Error): string {
  const { message, hint } = describeError(error)
  return hint === null ? message : `${message} (${hint})`
}
