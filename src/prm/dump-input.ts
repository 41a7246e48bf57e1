import { devlinkBinaries, type DevlinkBinary } from './devlink'
import { MalformedData } from './errors'
import { segmentType } from './segments'

const HEADER = 4
/** What a type of segment is that only a stream of segments begins with: info, and whatever follows the resources. */
const FIRST_CONTROL = segmentType.NOTICE

/** Whether bytes begin as a resource dump does: a segment of info, or another one that is no resource. */
export function looksLikeSegments(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return view.getUint16(0) > 0 && view.getUint16(2) >= FIRST_CONTROL
}

/** Whether text begins as what mstresourcedump prints, or as the JSON of devlink. */
export function looksLikeDumpText(start: Uint8Array): boolean {
  const text = Buffer.from(start).toString('latin1')
  return text.trimStart().startsWith('{') || /^(?:#|Found \d+ segments|-{20,}$|Segment Type:)/m.test(text)
}

/**
 * Resource dumps out of text: what mstresourcedump prints of segments, or JSON of `devlink health dump show`, which may hold
 * several, each with the names that lead to it.
 * @throws MalformedData
 */
export function dumpsOfText(input: Uint8Array): DevlinkBinary[] {
  const text = Buffer.from(input).toString('latin1')
  if (!text.trimStart().startsWith('{')) return [{ path: '', bytes: printedSegments(text) }]
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new MalformedData('JSON', (error as Error).message)
  }
  const found = devlinkBinaries(json).filter(({ bytes }) => looksLikeSegments(bytes))
  if (found.length === 0) throw new MalformedData('JSON', 'holds no resource dump')
  return found
}

/** Rows of dwords behind "Segment Data:", each printed as a number: "0x0004FFFE 0x00000001". */
function printedSegments(text: string): Uint8Array {
  const words: number[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (!/^\s*0x/i.test(line)) continue
    const numbers = line.trim().split(/\s+/)
    if (!numbers.every((number) => /^0x[0-9a-f]{1,8}$/i.test(number)))
      throw new MalformedData(`line ${index + 1}`, `is no row of dwords: ${line.slice(0, 60)}`)
    words.push(...numbers.map(Number))
  }
  if (words.length === 0) throw new MalformedData('dump', 'has no segment')
  return Buffer.from(Uint32Array.from(words).buffer).swap32()
}
