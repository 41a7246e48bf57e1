import type { Device } from '../../device/device'
import { FirmwareError, UsageError } from '../../device/errors'
import {
  accessRegister,
  advertisedRegisters,
  assignFields,
  decodeRegister,
  emptyImage,
  fittedImage,
  registerTarget,
  registerTitle,
  type RegisterReading,
  type RegisterTarget,
} from '../../device/registers'
import { NameError } from '../../prm/errors'
import { Progress } from '../../render/progress'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { split } from './request'
import { readingData, readingText, targetData } from './view'

interface Refused {
  readonly target: RegisterTarget
  readonly length: number
  readonly error: FirmwareError
}

/** Port registers know ports from 1 on; 4 is Ethernet. */
const defaultIndex: readonly (readonly [string, string])[] = [
  ['local_port', '1'],
  ['proto_mask', '4'],
]

/** Many registers in one run: those that are named, or all that the device has. A refusal hides no other register. */
export async function dumpRegisters(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const names = words.filter((word) => !word.includes('='))
  const index = words.filter((word) => word.includes('=')).map(split)
  const all = context.own.allReadable === true
  if (all === names.length > 0) throw new UsageError('reg dump takes registers, or --all-readable')
  return withDevice(context, name, async (device) => {
    const advertised = all ? await advertisedRegisters(device) : undefined
    const targets = advertised?.targets ?? names.map((one) => registerTarget(device.catalogue, one))
    const { read, refused } = await readAll(device, targets, index, context.interactive())
    const records = [
      ...read.map((reading) => readingData(device.codec, reading)),
      ...refused.map(({ target, length, error }) => ({
        register: targetData(target, length),
        error: refusalData(error),
      })),
    ]
    const named = refused.map(({ target }) => registerTitle(target))
    return {
      device: device.identity,
      data: {
        registers: records.slice(0, read.length),
        refused: records.slice(read.length),
        absent: (advertised?.absent ?? []).map((target) => target.name),
        skipped: (advertised?.skipped ?? []).map(({ target, reason }) => ({ name: target.name, reason })),
      },
      records,
      text: () =>
        read
          .map(
            (reading) =>
              `${registerTitle(reading.target)}\n${readingText(device.codec, reading, { fullPath: true, detailed: false })}`,
          )
          .join('\n'),
      warnings: named.length === 0 ? [] : [`refused by firmware: ${named.join(', ')}`],
      partial: !all && refused.length > 0,
    }
  })
}

async function readAll(
  device: Device,
  targets: readonly RegisterTarget[],
  index: readonly (readonly [string, string])[],
  interactive: boolean,
): Promise<{ read: RegisterReading[]; refused: Refused[] }> {
  const read: RegisterReading[] = []
  const refused: Refused[] = []
  const progress = new Progress('registers', targets.length, interactive)
  for (const target of targets) {
    const image = requestImage(device, target, index)
    try {
      read.push(decodeRegister(device.codec, target, await accessRegister(device, target, 'read', image)))
    } catch (error) {
      if (!(error instanceof FirmwareError)) throw error
      refused.push({ target, length: image.length, error })
    }
    await progress.step()
  }
  progress.stop()
  return { read, refused }
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

function refusalData({ status, statusName, syndrome, message }: FirmwareError): Record<string, unknown> {
  return { status, statusName, syndrome: `0x${syndrome.toString(16)}`, message }
}
