import { integer, text } from './entry-values'
import { MalformedData } from './errors'
import type { NvParameter, NvParameterType, NvTlv } from './nv'

/** One line of JSON for each TLV; a parameter is [name, offset, width, type] and, where there is more, an object. */

const texts = ['title', 'dependency', 'validBit', 'temporary', 'least', 'most', 'rule', 'text'] as const
const types: readonly string[] = ['BOOL', 'ENUM', 'UNSIGNED', 'INTEGER', 'BINARY', 'BYTES', 'STRING']

export function writeNvTlv({
  name,
  title,
  id,
  class: kind,
  bytes,
  capability,
  target,
  parameters,
  text,
}: NvTlv): string {
  return JSON.stringify({
    tlv: name,
    title,
    id,
    class: kind,
    bytes,
    ...(capability ? { capability } : {}),
    target,
    text,
    params: parameters.map(({ name: own, offset, width, type, ...more }) =>
      Object.keys(more).length === 0 ? [own, offset, width, type] : [own, offset, width, type, more],
    ),
  })
}

/** @throws MalformedData for what is no TLV */
export function readNvTlv(raw: Readonly<Record<string, unknown>>, where: string): NvTlv {
  const bytes = integer(raw.bytes, where)
  const { params } = raw
  if (!Array.isArray(params)) throw new MalformedData(where, 'has no parameters')
  return {
    name: text(raw.tlv, where),
    ...(raw.title === undefined ? {} : { title: text(raw.title, where) }),
    id: integer(raw.id, where),
    class: integer(raw.class, where),
    bytes,
    capability: raw.capability === true,
    target: text(raw.target, where),
    ...(raw.text === undefined ? {} : { text: text(raw.text, where) }),
    parameters: (params as unknown[]).map((packed) => readParameter(packed, bytes, where)),
  }
}

function readParameter(packed: unknown, bytes: number, where: string): NvParameter {
  if (!Array.isArray(packed)) throw new MalformedData(where, 'has a parameter that is none')
  const [name, offset, width, type, more = {}] = packed as unknown[]
  if (typeof type !== 'string' || !types.includes(type)) throw new MalformedData(where, 'has a parameter of no type')
  const extra = more as Readonly<Record<string, unknown>>
  const count = extra.count === undefined ? undefined : integer(extra.count, where)
  const parameter: NvParameter = {
    name: text(name, where),
    offset: integer(offset, where),
    width: integer(width, where),
    type: type as NvParameterType,
    ...Object.fromEntries(texts.flatMap((key) => (extra[key] === undefined ? [] : [[key, text(extra[key], where)]]))),
    ...(count === undefined ? {} : { count }),
    ...(extra.since === undefined ? {} : { since: integer(extra.since, where) }),
    ...(extra.values === undefined ? {} : { values: values(extra.values, where) }),
  }
  const end = parameter.offset + parameter.width * (count ?? 1)
  if (parameter.width < 1 || parameter.offset < 0 || end > bytes * 8)
    throw new MalformedData(where, `${parameter.name} leaves its TLV`)
  return parameter
}

function values(raw: unknown, where: string): Record<string, number> {
  if (typeof raw !== 'object' || raw === null) throw new MalformedData(where, 'has values that are none')
  return Object.fromEntries(Object.entries(raw).map(([name, value]) => [name, integer(value, where)]))
}
