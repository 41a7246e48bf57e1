import type { Device } from '../../device/device'
import { counterName, queryDiagnosticParameters } from '../../device/diagnostic-counters'
import { DiagnosticRing, isEmpty, RECORD, recordAt, type DiagnosticRecord } from '../../device/diagnostic-ring'
import { UsageError } from '../../device/errors'
import { hexRows } from '../../render/dump-text'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { wholeNumber } from './request'
import { recordLine } from './view'

/** What the ring of the device holds, slot by slot; changes nothing. */
export function dumpSamples(context: Context, name: string): Promise<Result> {
  const { own } = context
  return withDevice(context, name, async (device) => {
    const { counters, logSamples, onDemand } = await queryDiagnosticParameters(device)
    const slots = onDemand ? 1 : 2 ** logSamples
    const index = own.index === undefined ? 0 : wholeNumber(own.index, '--index', 0)
    if (index >= slots) throw new UsageError(`--index ${index}: the ring has ${slots} samples, counted from 0`)
    const wanted = own.samples === undefined ? slots - index : wholeNumber(own.samples, '--samples', 1)
    if (wanted > slots - index)
      throw new UsageError(`--samples ${wanted}: from ${index} on the ring has ${slots - index}`)
    if (counters.length === 0)
      return {
        ...render(context, device, new Uint8Array(0)),
        warnings: ['no counters are set: mlx5ctl diagcnt set DEVICE ID... sets them'],
      }
    const bytes = await new DiagnosticRing(device, counters.length).read(index, wanted)
    return render(context, device, written(bytes))
  })
}

/** Records that are there: slots may not have been written yet. */
function written(bytes: Uint8Array): Uint8Array {
  const there = new Uint8Array(bytes.length)
  let length = 0
  for (let at = 0; at + RECORD <= bytes.length; at += RECORD) {
    if (isEmpty(bytes, at)) continue
    there.set(bytes.subarray(at, at + RECORD), length)
    length += RECORD
  }
  return there.subarray(0, length)
}

function render({ options }: Context, device: Device, bytes: Uint8Array): Result {
  const records = Array.from({ length: bytes.length / RECORD }, (_, index) => recordAt(bytes, index * RECORD))
  const data = records.map(({ counter, sampleId, timeStamp, value }) => ({
    counter,
    name: counterName(counter),
    sampleId,
    timeStamp,
    value: value.toString(),
  }))
  return {
    device: device.identity,
    data: { records: data },
    records: data,
    text: () => (options.format === 'csv' ? csv(records) : records.map(line).join('')),
    raw: () => bytes,
    hex: () => Buffer.from(hexRows(bytes)).toString('latin1'),
  }
}

const line = ({ counter, sampleId, timeStamp, value }: DiagnosticRecord): string =>
  recordLine(counter, sampleId, timeStamp, value)

const csv = (records: readonly DiagnosticRecord[]): string =>
  `counter_id,sample_id,time_stamp,value\r\n${records
    .map(({ counter, sampleId, timeStamp, value }) => `${counterName(counter)},${sampleId},${timeStamp},${value}\r\n`)
    .join('')}`
