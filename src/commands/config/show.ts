import { namedParameter } from '../../device/nv-config'
import { nvScope, nvType } from '../../prm/nv'
import { columns } from '../../render/columns'
import { refuseDeviceOptions } from '../refuse'
import { openFacts } from '../session'
import type { Context, Result } from '../types'
import { choicesOf } from './view'

/** What the catalogue knows of a parameter. */
export function showParameter(context: Context, name: string): Result {
  refuseDeviceOptions(context, 'config show')
  const { catalogue } = openFacts()
  const { tlv, parameter } = namedParameter({ catalogue }, name)
  const {
    title = '',
    name: own,
    offset,
    width,
    count,
    type,
    values,
    dependency,
    validBit,
    least,
    most,
    rule,
    since,
    text,
  } = parameter
  const choices = choicesOf({ parameter })
  const scope = nvScope(tlv)
  const rows: [string, string | undefined][] = [
    ['Parameter:', title],
    ['Description:', text],
    [
      'TLV:',
      `${tlv.name} (type 0x${nvType(tlv).toString(16).padStart(8, '0')}, ${tlv.bytes} bytes, per ${scope === 'global' ? 'device' : scope})`,
    ],
    ['Field:', `${own}, bit ${offset}, ${width} bits${count === undefined ? '' : `, ${count} elements`}`],
    ['Type:', type],
    ['Values:', choices === '' ? undefined : choices],
    ['Least:', least],
    ['Most:', most],
    ['Rule:', rule],
    ['Needs:', dependency === 'ignore_dependency' ? undefined : dependency],
    ['Valid bit:', validBit],
    ['Since version:', since === undefined ? undefined : String(since)],
  ]
  return {
    data: {
      name: title,
      tlv: tlv.name,
      type: `0x${nvType(tlv).toString(16).padStart(8, '0')}`,
      scope,
      bytes: tlv.bytes,
      parameter: own,
      offset,
      width,
      count: count ?? null,
      kind: type,
      values: values ?? null,
      dependency: dependency ?? null,
      validBit: validBit ?? null,
      least: least ?? null,
      most: most ?? null,
      rule: rule ?? null,
      since: since ?? null,
      description: text ?? null,
    },
    text: () => columns(rows.flatMap(([label, value]) => (value === undefined ? [] : [[label, value]]))),
  }
}
