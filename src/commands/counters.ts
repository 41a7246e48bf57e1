import { CounterReader, counterGroups, wantedGroups, type CounterScope, type CountersRead } from '../device/counters'
import { UsageError } from '../device/errors'
import { nearest } from '../prm/nearest'
import { columns } from '../render/columns'
import type { DeviceIdentity } from '../transport/contract'
import { countersData, countersText, readingData, refusalWarnings, refusedData } from './counters/view'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, words: readonly string[]): Promise<Result> {
  if (words[0] === 'list' && words.length === 1) return listGroups()
  const { names, groups } = split(words)
  const wanted = wantedGroups(groups)
  const scope = scopeOf(context)
  const [name = ''] = names
  return withDevice(context, name, async (device) => {
    const read = await new CounterReader(device, wanted, scope).read()
    return shown(context, device.identity, read, groups.length > 0)
  })
}

function shown(context: Context, identity: DeviceIdentity, read: CountersRead, byName: boolean): Result {
  const { readings, refused, failure } = read
  return {
    device: identity,
    data: countersData(read),
    records: [...readings.map(readingData), ...refused.map(refusedData)],
    text: () => countersText(readings, context.own.nonzero === true),
    warnings: refusalWarnings(refused, byName),
    partial: byName && refused.length > 0,
    failure,
  }
}

/** Devices come first; what is the name of a group, and all behind it, is one. */
function split(words: readonly string[]): { names: string[]; groups: string[] } {
  const at = words.findIndex((word, index) => index > 0 && isGroup(word))
  const names = at < 0 ? [...words] : words.slice(0, at)
  return { names, groups: at < 0 ? [] : words.slice(at) }
}

/** Known, or so much like one that it is a mistyped one and no device. */
function isGroup(word: string): boolean {
  const [name = ''] = word.toLowerCase().replaceAll('-', '_').split('.')
  if (/[:/]/.test(word)) return false
  const known = counterGroups.map((group) => group.name)
  return known.includes(name) || nearest(name, known).length > 0
}

function listGroups(): Result {
  const groups = counterGroups.map(({ name, title, source, onlyByName }) => ({
    group: name,
    title,
    source,
    onlyByName: onlyByName ?? null,
  }))
  return {
    data: { groups },
    records: groups,
    text: () =>
      columns([
        ['GROUP', 'READ WITH', 'WHAT'],
        ...groups.map(({ group, source, title, onlyByName }) => [
          group,
          source,
          onlyByName === null ? title : `${title} (only by name: ${onlyByName})`,
        ]),
      ]),
  }
}

function scopeOf({ own }: Context): CounterScope {
  return {
    ...numbers(own.port, '--port', 'ports', 255),
    ...numbers(own.vport, '--vport', 'vports', 0xffff),
    ...numbers(own.qCounter, '--q-counter', 'queueCounterSets', 0xff),
  }
}

/** 0, 3..7 */
function numbers(text: unknown, option: string, key: keyof CounterScope, most: number): CounterScope {
  if (typeof text !== 'string') return {}
  const list = text.split(',').flatMap((part) => {
    const match = /^(0x[0-9a-f]+|\d+)(?:\.\.(0x[0-9a-f]+|\d+))?$/i.exec(part)
    const first = Number(match?.[1])
    const last = match?.[2] === undefined ? first : Number(match[2])
    if (match === null || last < first || last > most)
      throw new UsageError(`${option} ${part}: it is a number up to ${most}, or a range of them (0..7)`)
    return [...Array(last - first + 1).keys()].map((index) => first + index)
  })
  return { [key]: [...new Set(list)] }
}
