import type { Device } from '../../device/device'
import { UsageError } from '../../device/errors'
import {
  accessRegister,
  advertisedRegisters,
  assignFields,
  decodeRegister,
  emptyImage,
  fittedImage,
  registerTarget,
  registerTitle,
  type RegisterTarget,
} from '../../device/registers'
import { NameError } from '../../prm/errors'
import { splitAssignment } from '../assignment'
import { collect, refusalData } from '../refusals'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { readingData, readingText, targetData } from './view'

/** Port registers know ports from 1 on; 4 is Ethernet. */
const defaultIndex: readonly (readonly [string, string])[] = [
  ['local_port', '1'],
  ['proto_mask', '4'],
]

/** Many registers in one run: those that are named, or all that the device has. A refusal hides no other register. */
export async function dumpRegisters(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const names = words.filter((word) => !word.includes('='))
  const index = words.filter((word) => word.includes('=')).map(splitAssignment)
  const all = context.own.allReadable === true
  if (all === names.length > 0) throw new UsageError('reg dump takes registers, or --all-readable')
  return withDevice(context, name, async (device) => {
    const advertised = all ? await advertisedRegisters(device) : undefined
    const targets = advertised?.targets ?? names.map((one) => registerTarget(device.catalogue, one))
    const requests = targets.map((target) => ({ target, image: requestImage(device, target, index) }))
    const { found, refused, failure } = await collect(
      requests,
      { label: 'registers', watched: context.interactive() },
      async ({ target, image }) =>
        decodeRegister(device.codec, target, await accessRegister(device, target, 'read', image)),
    )
    const readings = found.map((reading) => readingData(device.codec, reading))
    const refusals = refused.map(({ item: { target, image }, error }) => ({
      register: targetData(target, image.length),
      error: { ...refusalData(error), message: error.message },
    }))
    const named = refused.map(({ item }) => registerTitle(item.target))
    return {
      device: device.identity,
      data: {
        registers: readings,
        refused: refusals,
        absent: (advertised?.absent ?? []).map((target) => target.name),
        skipped: (advertised?.skipped ?? []).map(({ target, reason }) => ({ name: target.name, reason })),
      },
      records: [...readings, ...refusals],
      text: () =>
        found
          .map(
            (reading) =>
              `${registerTitle(reading.target)}\n${readingText(device.codec, reading, { fullPath: true, detailed: false })}`,
          )
          .join('\n'),
      warnings: named.length === 0 ? [] : [`refused by firmware: ${named.join(', ')}`],
      partial: !all && refused.length > 0,
      failure,
    }
  })
}

/** Index fields that a register does not have are for the others. */
function requestImage(
  { codec }: Device,
  { layout = '' }: RegisterTarget,
  index: readonly (readonly [string, string])[],
): Uint8Array {
  const image = emptyImage(codec, layout)
  const given = new Set(index.map(([field]) => field))
  for (const [field, text] of [...defaultIndex.filter(([one]) => !given.has(one)), ...index]) {
    try {
      if (codec.resolve(layout, field).access === 'INDEX') assignFields(codec, layout, image, [[field, text]])
    } catch (error) {
      if (!(error instanceof NameError)) throw error
    }
  }
  return fittedImage(codec, layout, image)
}
