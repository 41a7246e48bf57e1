import { opModOf, scopeOf } from '../../device/device'
import {
  accessRegister,
  decodeRegister,
  indexHint,
  registerInbox,
  resolveField,
  type Method,
  type RegisterReading,
} from '../../device/registers'
import { UsageError } from '../../device/errors'
import type { Catalogue } from '../../prm/catalogue'
import type { Codec } from '../../prm/codec'
import { fieldRows } from '../../render/columns'
import { flatten, hexString, toJson } from '../../render/values'
import { openFacts, withDevice } from '../session'
import type { Context, Result } from '../types'
import { registerRequest, type RegisterRequest } from './request'
import { readingData, readingHex, readingText, targetData } from './view'

export async function getRegister(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const facts = openFacts()
  const { codec } = facts
  const request = registerRequest(context, facts, words)
  if (context.options.dryRun) return dryRun(facts, request, 'read')
  const { target, given } = request
  const { layout } = target
  return withDevice(context, name, async (device) => {
    const hint = layout === undefined ? undefined : () => indexHint(codec, layout, given)
    const image = await accessRegister(device, target, 'read', request.image, hint)
    const reading = decodeRegister(codec, target, image, context.options.reserved)
    const { field } = context.own
    return {
      device: device.identity,
      ...(typeof field === 'string' ? oneField(codec, reading, field) : whole(context, codec, reading)),
    }
  })
}

function whole({ own }: Context, codec: Codec, reading: RegisterReading): Result {
  const style = { fullPath: own.fullPath === true, detailed: own.detailed === true }
  return {
    data: readingData(codec, reading),
    text: () => readingText(codec, reading, style),
    hex: () => readingHex(codec, reading),
    raw: () => reading.image,
  }
}

/** A number alone on its line, for scripts; a structure or an array as rows. */
function oneField(codec: Codec, { target, image }: RegisterReading, name: string): Result {
  const { layout } = target
  if (layout === undefined) throw new UsageError('--field needs a register with a layout')
  const ref = resolveField(codec, layout, image, name)
  const value = codec.get(layout, image, ref.path)
  const enumName = codec.enumName(ref.enum, value)
  const plain = typeof value === 'number' || typeof value === 'bigint'
  return {
    data: {
      register: targetData(target, image.length),
      field: { path: ref.path, value: toJson(value), name: enumName ?? null },
    },
    text: () => (plain ? `${value}\n` : fieldRows(flatten(value, undefined, ref.path))),
    raw: () => image,
  }
}

/** The inbox of ACCESS_REG, which is not sent. */
export function dryRun(
  facts: { readonly catalogue: Catalogue; readonly codec: Codec },
  { target, image }: Pick<RegisterRequest, 'target' | 'image'>,
  method: Method,
): Result {
  const { command, inbox } = registerInbox(facts, target, method, image)
  return {
    data: {
      dryRun: true,
      register: targetData(target, image.length),
      method,
      inbox: hexString(inbox),
      scope: scopeOf(command, opModOf(inbox)),
    },
    text: () => `${hexString(inbox)}\n`,
    hex: () => readingHex(facts.codec, { target, image, values: undefined }),
    raw: () => inbox,
  }
}
