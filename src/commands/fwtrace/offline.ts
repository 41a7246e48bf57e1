import { MalformedData } from '../../prm/errors'
import { TraceDecoder } from '../../prm/firmware-trace/decoder'
import { storedRing, TRACE_BLOCK } from '../../prm/firmware-trace/ring'
import { parseStrings } from '../../prm/firmware-trace/strings-file'
import { readInput } from '../input'
import type { Context, Result } from '../types'
import type { TraceOptions } from './options'
import { TraceWriter } from './writer'

/** Blocks that are decoded before their messages are written. */
const AT_ONCE = 256

/** A ring that was saved, with the strings of the same firmware. @throws MalformedData */
export async function traceFile(
  context: Context,
  ringFile: string,
  stringsFile: string,
  options: TraceOptions,
): Promise<Result> {
  const strings = parseStrings(Buffer.from(readInput(stringsFile)).toString('utf8'), stringsFile)
  const bytes = readInput(ringFile)
  if (bytes.length % TRACE_BLOCK !== 0)
    throw new MalformedData(ringFile, `is no ring: ${bytes.length} bytes are no whole blocks of ${TRACE_BLOCK}`)
  const { parts, blocks, withoutTime, backwards } = storedRing(bytes)
  if (blocks > 0 && parts.length === 0 && bytes.some((byte) => byte !== 0))
    throw new MalformedData(ringFile, 'is no ring: no block ends with a timestamp')
  const frequency = strings.parameters.frequencyKilohertz
  const writer = new TraceWriter(context, { source: 'file', frequency }, options)
  const decoder = new TraceDecoder(strings)
  for (const [index, part] of parts.entries()) {
    if (index > 0) decoder.gap()
    for (let at = 0; at < part.length; at += AT_ONCE * TRACE_BLOCK)
      await writer.messages(decoder.push(part.subarray(at, at + AT_ONCE * TRACE_BLOCK)))
  }
  await writer.messages(decoder.finish())
  const more = [
    ...(backwards > 0 ? [`${ringFile}: the times of its blocks go back, ${backwards} times`] : []),
    ...(withoutTime > 0 && withoutTime < blocks
      ? [`${ringFile}: ${withoutTime} blocks of ${blocks} do not end with a timestamp, and are left out`]
      : []),
  ]
  return writer.result(decoder.counts, { more })
}
