import { opModOf, scopeOf, type Device } from '../device/device'
import { UsageError } from '../device/errors'
import {
  objectInbox,
  objectOutboxLength,
  objectType,
  objectTypes,
  queryObject,
  type ObjectType,
  type QueriedObject,
} from '../device/objects'
import type { Codec, Struct } from '../prm/codec'
import { columns, fieldRows } from '../render/columns'
import { hexView } from '../render/hex'
import { flatten, hexString, toJson } from '../render/values'
import { splitAssignment } from './assignment'
import { refuseBytes } from './refuse'
import { collect, refusalData, type Refused } from './refusals'
import { enumNamer } from './naming'
import { numberRange } from './number-range'
import { summarizeObjects } from './obj-summary'
import { openFacts, withDevice } from './session'
import type { Context, Result } from './types'

/** Ids of one run. */
const MAX_IDS = 65_536
const SUMMARY_IDS = '0..31'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [first = '', second, ...rest] = args
  if (first === 'list' && second === undefined) return listTypes()
  if (second === undefined)
    throw new UsageError('obj takes list, or summary DEVICE, or DEVICE TYPE [ID] [FIELD=VALUE...]')
  if (first === 'summary' && rest.length === 0) return summary(context, second)
  const { catalogue, codec } = openFacts()
  const type = objectType(catalogue, second)
  const { ids, single } = wantedIds(context, type, rest)
  const values = otherValues(
    codec,
    type,
    rest.filter((word) => word.includes('=')),
  )
  if (context.options.dryRun) return dryRun(codec, type, ids, values)
  return withDevice(context, first, async (device) => {
    const { found, refused, failure } = await collect(ids, { label: type.name, watched: context.interactive() }, (id) =>
      queryObject(device, type, id, values),
    )
    const [refusal] = refused
    if (refusal !== undefined && (single || found.length === 0)) throw refusal.error
    return { device: device.identity, ...render(device, type, found, refused), failure }
  })
}

function listTypes(): Result {
  const { catalogue, codec } = openFacts()
  const types = objectTypes(catalogue).map((type) => ({
    name: type.name,
    command: type.command.name,
    opcode: type.command.opcode,
    type: type.general?.type ?? null,
    id: type.idField ?? null,
    fields: type.otherFields,
    outboxBytes: objectOutboxLength(codec, type),
  }))
  return {
    data: { types },
    records: types,
    text: () =>
      columns([
        ['TYPE', 'OPCODE', 'ID', 'OTHER FIELDS'],
        ...types.map(({ name, opcode, type, id, fields }) => [
          name,
          `0x${opcode.toString(16)}${type === null ? '' : ` type 0x${type.toString(16)}`}`,
          id ?? '-',
          fields.join(' '),
        ]),
      ]),
  }
}

function summary(context: Context, name: string): Promise<Result> {
  refuseBytes(context, 'obj summary')
  const { id } = context.own
  const ids = idList(typeof id === 'string' ? id : SUMMARY_IDS, { name: 'any type', idWidth: 32 })
  return summarizeObjects(context, name, ids)
}

/** The id is a word of its own, or --id with ranges: 0..63, 1,2,0x10..0x1f. */
function wantedIds(
  { own }: Context,
  type: ObjectType,
  words: readonly string[],
): { ids: readonly (number | undefined)[]; single: boolean } {
  const plain = words.filter((word) => !word.includes('='))
  const option = typeof own.id === 'string' ? own.id : undefined
  if (plain.length + (option === undefined ? 0 : 1) > 1) throw new UsageError('one id, or one --id with a list')
  const text = option ?? plain[0]
  if (text === undefined) return { ids: [undefined], single: true }
  if (type.idField === undefined) throw new UsageError(`there is only one ${type.name}: it takes no id`)
  const ids = idList(text, type)
  return { ids, single: ids.length === 1 }
}

function idList(text: string, type: Pick<ObjectType, 'idWidth' | 'name'>): number[] {
  const ids = text.split(',').flatMap((part) => idRange(part, type))
  if (ids.length > MAX_IDS) throw new UsageError(`up to ${MAX_IDS} ids in one run`)
  return ids
}

function idRange(text: string, { idWidth, name }: Pick<ObjectType, 'idWidth' | 'name'>): number[] {
  const range = numberRange(text)
  if (range === undefined) throw new UsageError(`${text} is no id and no range of ids (0..63)`)
  const { first, last } = range
  if (last >= 2 ** idWidth) throw new UsageError(`${text}: ids of ${name} have ${idWidth} bits`)
  if (last - first >= MAX_IDS) throw new UsageError(`${text}: up to ${MAX_IDS} ids in one run`)
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** op_mod and the fields beside the id, by name. */
function otherValues(codec: Codec, type: ObjectType, words: readonly string[]): Struct {
  const layout = type.command.inbox ?? ''
  const entries = words.map((word): [string, number | bigint] => {
    const [path, text] = splitAssignment(word)
    const ref = codec.resolve(layout, path)
    if (['opcode', 'uid', type.idField].includes(ref.path)) throw new UsageError(`${ref.path} is not set this way`)
    const value = codec.parse(ref, text)
    if (ref.path.includes('.') || (typeof value !== 'number' && typeof value !== 'bigint'))
      throw new UsageError(`${ref.path} cannot be set here; mlx5ctl cmd can`)
    return [ref.path, value]
  })
  return Object.fromEntries(entries)
}

function render(
  device: Device,
  type: ObjectType,
  found: readonly QueriedObject[],
  refused: readonly Refused<number | undefined>[],
): Omit<Result, 'device'> {
  const { codec } = device
  const objects = found.map(({ id, values, result }) => ({
    type: type.name,
    id: id ?? null,
    values: toJson(values),
    outbox: hexString(result.outbox),
  }))
  const absent = refused.map(({ item: id, error }) => ({ type: type.name, id: id ?? null, error: refusalData(error) }))
  const layout = type.general?.layout ?? type.command.outbox
  return {
    data: { type: type.name, command: type.command.name, objects, refused: absent },
    records: [...objects, ...absent],
    text: () => found.map((one) => objectText(codec, type, layout, one, found.length > 1)).join('\n'),
    hex: () => found.map(({ result }) => objectHex(codec, type, result.outbox)).join('\n'),
    raw: () => Buffer.concat(found.map(({ result }) => result.outbox)),
    warnings: [
      ...(layout === undefined ? [`${type.name} has no known layout; --hex or --raw show its bytes`] : []),
      ...(refused.length === 0
        ? []
        : [
            `${refused.length} of ${found.length + refused.length} ids are refused by firmware: they are not there, or not to be seen from here`,
          ]),
    ],
  }
}

function objectText(
  codec: Codec,
  type: ObjectType,
  layout: string | undefined,
  { id, values, result }: QueriedObject,
  titled: boolean,
): string {
  const title = titled ? `${type.name} ${id === undefined ? '' : `0x${id.toString(16)}`}\n` : ''
  const body =
    layout === undefined
      ? hexView(result.outbox)
      : fieldRows(flatten(values, enumNamer(codec, layout)), titled ? '  ' : '')
  return title + body
}

function objectHex(codec: Codec, { command, general }: ObjectType, outbox: Uint8Array): string {
  if (general?.layout !== undefined)
    return hexView(outbox.subarray(16), codec.ranges(general.layout, outbox.subarray(16)))
  return hexView(outbox, command.outbox === undefined ? [] : codec.ranges(command.outbox, outbox))
}

function dryRun(codec: Codec, type: ObjectType, ids: readonly (number | undefined)[], values: Struct): Result {
  const inboxes = ids.map((id) => objectInbox(codec, type, id, values))
  const requests = inboxes.map((inbox) => ({ inbox: hexString(inbox), scope: scopeOf(type.command, opModOf(inbox)) }))
  return {
    data: { dryRun: true, type: type.name, outboxLength: objectOutboxLength(codec, type), requests },
    records: requests,
    text: () => requests.map(({ inbox }) => `${inbox}\n`).join(''),
    hex: () => inboxes.map((inbox) => hexView(inbox, codec.ranges(type.command.inbox ?? '', inbox))).join('\n'),
    raw: () => Buffer.concat(inboxes),
  }
}
