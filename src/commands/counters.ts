import {
  CounterReader,
  counterGroups,
  wantedGroups,
  type CounterScope,
  type CountersRead,
  type WantedGroup,
} from '../device/counters'
import { UsageError } from '../device/errors'
import { nearest } from '../prm/nearest'
import { columns } from '../render/columns'
import { describeError } from '../render/envelope'
import { prometheusText } from '../render/prometheus'
import type { DeviceIdentity } from '../transport/contract'
import { samplesOf } from './counters/prometheus'
import { readDevice, type DeviceRead } from './counters/read'
import { countersData, countersText, readingData, refusalWarnings, refusedData } from './counters/view'
import { watch, watchOptions } from './counters/watch'
import { numberRange } from './number-range'
import { refuseDeviceOptions, refuseOptions } from './refuse'
import { withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, words: readonly string[]): Promise<Result> {
  if (words[0] === 'list') {
    if (words.length > 1) throw new UsageError('counters list takes no device: it shows what can be asked for')
    return listGroups(context)
  }
  const [first = ''] = words
  if (counterGroups.some(({ name }) => name === first)) throw new UsageError(`devices come first, and then ${first}`)
  const { names, groups } = split(words)
  const wanted = wantedGroups(groups)
  const scope = scopeOf(context)
  const byName = groups.length > 0
  const watched = watchOptions(context, byName)
  const [name = '', other] = names
  if (other !== undefined && (watched !== undefined || context.options.record !== undefined))
    throw new UsageError(`${watched === undefined ? '--record' : '--watch'} is for one device, not ${names.join(', ')}`)
  const twice = names.find((one, index) => names.indexOf(one) !== index)
  if (twice !== undefined) throw new UsageError(`the device ${twice} is given twice`)
  if (watched !== undefined) {
    refuseOptions(context, ['nonzero'], 'counters --watch')
    return withDevice(context, name, (device) => watch(context, device, wanted, scope, watched))
  }
  if (other !== undefined || context.options.format === 'prometheus')
    return readMany(context, names, { wanted, scope, byName })
  return withDevice(context, name, async (device) =>
    ofOne(context, device.identity, await new CounterReader(device, wanted, scope).read(), byName),
  )
}

function ofOne(context: Context, identity: DeviceIdentity, read: CountersRead, byName: boolean): Result {
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

interface Asked {
  readonly wanted: readonly WantedGroup[]
  readonly scope: CounterScope
  readonly byName: boolean
}

/** Several devices, one after the other: one that cannot be read hides none of the others, and makes the result partial. */
async function readMany(context: Context, names: readonly string[], { wanted, scope, byName }: Asked): Promise<Result> {
  const devices: DeviceRead[] = []
  for (const name of names) devices.push(await readDevice(context, name, wanted, scope))
  const { format } = context.options
  const nonzero = context.own.nonzero === true
  if (format === 'ndjson')
    for (const { name, identity, read, error } of devices) {
      const failed = error === undefined ? [] : [{ name, error: describeError(error) }]
      for (const record of [...read.readings.map(readingData), ...read.refused.map(refusedData), ...failed])
        await context.writeRecord(identity, record)
    }
  return {
    data: { devices: devices.map(deviceData) },
    records: [],
    text: () =>
      format === 'prometheus'
        ? prometheusText(samplesOf(devices))
        : devices.map(({ name, read }) => `== ${name}\n${countersText(read.readings, nonzero)}`).join('\n'),
    warnings: devices.flatMap(({ name, read, error }) => [
      ...(error === undefined ? [] : [`${name}: ${error.message}`]),
      ...refusalWarnings(read.refused, byName).map((text) => `${name}: ${text}`),
    ]),
    partial: devices.some(({ read, error }) => error !== undefined || (byName && read.refused.length > 0)),
  }
}

function deviceData({ name, identity, read, error }: DeviceRead): Record<string, unknown> {
  return {
    name,
    device: identity === undefined ? null : { ...identity },
    ...countersData(read),
    error: error === undefined ? null : describeError(error),
  }
}

/** Devices come first; what is the name of a group, and all behind it, is one. */
function split(words: readonly string[]): { names: string[]; groups: string[] } {
  const at = words.findIndex((word, index) => index > 0 && isGroup(word))
  const names = at < 0 ? [...words] : words.slice(0, at)
  return { names, groups: at < 0 ? [] : words.slice(at) }
}

/**
 * Known, or so much like one, or so little like a device, that it is a mistyped one: devices have a digit, a colon or a slash.
 * A name with a digit (p0, pf1hpf) is like no group but those that have one too.
 */
function isGroup(word: string): boolean {
  const [name = ''] = word.toLowerCase().replaceAll('-', '_').split('.')
  if (/[:/]/.test(word)) return false
  const known = counterGroups.map((group) => group.name)
  if (known.includes(name) || !/\d/.test(word)) return true
  return nearest(name, /\d/.test(name) ? known.filter((group) => /\d/.test(group)) : known).length > 0
}

function listGroups(context: Context): Result {
  refuseOptions(context, ['watch', 'interval', 'count', 'nonzero', 'port', 'vport', 'qCounter'], 'counters list')
  refuseDeviceOptions(context, 'counters list')
  if (context.options.format === 'prometheus') throw new UsageError('counters list has no --format prometheus')
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
    const range = numberRange(part)
    if (range === undefined || range.last > most)
      throw new UsageError(`${option} ${part}: it is a number up to ${most}, or a range of them (0..7)`)
    return [...Array(range.last - range.first + 1).keys()].map((index) => range.first + index)
  })
  return { [key]: [...new Set(list)] }
}
