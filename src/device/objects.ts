import type { Catalogue } from '../prm/catalogue'
import type { Codec, Struct } from '../prm/codec'
import { NameError } from '../prm/errors'
import { isReserved, type Command, type GeneralObject, type Layout } from '../prm/layout'
import { nearest } from '../prm/nearest'
import { defaultOutboxLength, encodeInbox, type CommandResult, type Device } from './device'
import { Unsupported } from './errors'

/** Something that firmware keeps and that a command queries: by a QUERY command of its own, or as a general object. */
export interface ObjectType {
  /** qp, nic_vport_context, sampler */
  readonly name: string
  readonly command: Command
  /** Field of the inbox that says which one; undefined where there is only one. */
  readonly idField: string | undefined
  /** Bits of the id. */
  readonly idWidth: number
  /** Fields of the inbox that say more. */
  readonly otherFields: readonly string[]
  /** Of a general object. */
  readonly general: GeneralObject | undefined
}

/** Queries that answer about no object, and have commands of their own here. */
const otherwise = new Set([
  'QUERY_HCA_CAP',
  'QUERY_OTHER_HCA_CAP',
  'QUERY_DIAGNOSTIC_PARAMS',
  'QUERY_DIAGNOSTIC_COUNTERS',
  'QUERY_GENERAL_OBJECT',
])

/** Header of every inbox: opcode, uid, vhca_tunnel_id, op_mod. */
const HEADER_BITS = 64
const OUT_HEADER = 16

/** Every type that can be queried by name: those whose inbox is known, then the general objects. */
export function objectTypes(catalogue: Catalogue): ObjectType[] {
  const queries = catalogue
    .commands()
    .filter(({ name, inbox }) => /(?:^|_)QUERY_/.test(name) && inbox !== undefined && !otherwise.has(name))
    .map((command) => queryType(catalogue, command))
  const taken = new Set(queries.map(({ name }) => name))
  const command = catalogue.command('QUERY_GENERAL_OBJECT')
  const general = catalogue.objects().map((object): ObjectType => {
    const name = object.name.toLowerCase()
    // QPs, CQs and the like are types of general objects too, for access by another function.
    return {
      name: taken.has(name) ? `general_${name}` : name,
      command,
      idField: 'obj_id',
      idWidth: 32,
      otherFields: [],
      general: object,
    }
  })
  return [...queries, ...general]
}

function queryType(catalogue: Catalogue, command: Command): ObjectType {
  const fields = selectingFields(catalogue.layout(command.inbox ?? ''))
  // The last field that can count objects: what stands before it says where (other_vport, port_num, table_type).
  const id =
    [...fields].reverse().find(({ width }) => width >= 8) ?? [...fields].reverse().find(({ width }) => width >= 4)
  return {
    name: command.name.replace(/(^|_)QUERY_/, '$1').toLowerCase(),
    command,
    idField: id?.name,
    idWidth: id?.width ?? 0,
    otherFields: fields.filter((field) => field !== id).map(({ name }) => name),
    general: undefined,
  }
}

function selectingFields(layout: Layout): Layout['fields'] {
  return layout.fields.filter(
    (field) =>
      field.offset >= HEADER_BITS && field.layout === undefined && field.array === undefined && !isReserved(field),
  )
}

/** By its name, that of its command, or the number of a general object. @throws NameError with the nearest names */
export function objectType(catalogue: Catalogue, name: string): ObjectType {
  const types = objectTypes(catalogue)
  const wanted = name.toLowerCase().replace(/-/g, '_')
  const number = /^0x[0-9a-f]+$|^\d+$/.test(wanted) ? Number(wanted) : undefined
  const found = types.find(
    (type) =>
      type.name === wanted ||
      type.command.name.toLowerCase() === wanted ||
      (number !== undefined && type.general?.type === number),
  )
  if (found !== undefined) return found
  const candidates = nearest(
    wanted,
    types.map((type) => type.name),
  )
  const unplaced = catalogue.commands().find((command) => command.name.toLowerCase().replace('query_', '') === wanted)
  if (unplaced !== undefined)
    throw new Unsupported(
      `${unplaced.name} has no known inbox layout`,
      `send bytes: mlx5ctl cmd DEVICE ${unplaced.name} --in FILE`,
    )
  throw new NameError(
    `there is no object type ${name}${candidates.length === 0 ? '; mlx5ctl obj list has them' : `; did you mean ${candidates.join(', ')}?`}`,
    candidates,
  )
}

export interface QueriedObject {
  readonly id: number | undefined
  readonly result: CommandResult
  readonly values: Struct
}

/** The inbox that queries one object. @throws ValueError for an id that does not fit */
export function objectInbox(codec: Codec, type: ObjectType, id: number | undefined, values: Struct): Uint8Array {
  const own = type.idField === undefined || id === undefined ? values : { ...values, [type.idField]: id }
  return encodeInbox(codec, type.command, type.general === undefined ? own : { ...own, obj_type: type.general.type })
}

/** Bytes of outbox to ask for: of a general object its header and the object. */
export function objectOutboxLength(codec: Codec, { command, general }: ObjectType): number {
  const object = general?.layout === undefined ? 0 : codec.sizeBytes(general.layout)
  return defaultOutboxLength(codec, command) + object
}

/** @throws FirmwareError that names the object, when there is none or when firmware does not tell */
export async function queryObject(
  device: Device,
  type: ObjectType,
  id: number | undefined,
  values: Struct,
): Promise<QueriedObject> {
  const { codec } = device
  const subject = id === undefined ? type.name : `${type.name} 0x${id.toString(16)}`
  const outboxLength = objectOutboxLength(codec, type)
  const result = await device.run(type.command, objectInbox(codec, type, id, values), {
    outboxLength,
    about: { subject },
  })
  return { id, result, values: objectValues(codec, type, result) }
}

/** What the outbox says of the object, its header left out. */
function objectValues(codec: Codec, { general }: ObjectType, { outbox, values }: CommandResult): Struct {
  if (general !== undefined)
    return general.layout === undefined
      ? {}
      : codec.decode(general.layout, outbox.subarray(OUT_HEADER), { partial: true })
  const { status, syndrome, ...rest } = values
  return status === undefined && syndrome === undefined ? values : rest
}
