import { MalformedData } from './errors'

/** A TLV of a raw file of mstconfig: its header of 3 dwords as it stands there, and the data (facts: mstconfig, C.6). */
export interface RawTlv {
  readonly line: number
  readonly header: Uint8Array
  readonly type: number
  readonly data: Uint8Array
}

const SIGNATURE = 'MLNX_RAW_TLV_FILE'
const HEADER_DWORDS = 3
const MOST_BYTES = 0x10c
const LENGTH_MASK = 0x1ff

/** @throws MalformedData with the line */
export function parseRawTlvs(text: string, file: string): RawTlv[] {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''))
  if (lines[0] !== SIGNATURE)
    throw new MalformedData(`${file}:1`, `is no raw file of mstconfig: the first line is not ${SIGNATURE}`)
  const tlvs: RawTlv[] = []
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === '' || line.startsWith('%')) continue
    tlvs.push(parseLine(line.trim(), index + 1, `${file}:${index + 1}`))
  }
  return tlvs
}

function parseLine(text: string, line: number, where: string): RawTlv {
  const words = text.split(/\s+/)
  const dwords = words.map((word) => {
    const number = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(word) ? Number(word) : Number.NaN
    if (!(number <= 0xffffffff)) throw new MalformedData(where, `${word.slice(0, 20)} is no dword`)
    return number
  })
  if (dwords.length < HEADER_DWORDS) throw new MalformedData(where, 'is shorter than the header of a TLV')
  const bytes = Buffer.from(Uint32Array.from(dwords).buffer).swap32()
  const length = (dwords[0] ?? 0) & LENGTH_MASK
  const header = HEADER_DWORDS * 4
  if (length !== bytes.length - header)
    throw new MalformedData(where, `says ${length} bytes in its header, and has ${bytes.length - header}`)
  if (bytes.length > MOST_BYTES)
    throw new MalformedData(where, `has ${bytes.length} bytes; ${MOST_BYTES} fit into a register`)
  return { line, header: bytes.subarray(0, header), type: dwords[1] ?? 0, data: bytes.subarray(header) }
}

/** The text of a raw file. @param remark what stands above a TLV */
export function formatRawTlvs(
  tlvs: readonly { readonly header: Uint8Array; readonly data: Uint8Array; readonly remark: string }[],
): string {
  const dwords = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex').replace(/.{8}/g, '0x$& ')
  return `${SIGNATURE}\n${tlvs.map(({ header, data, remark }) => `% ${remark}\n${dwords(header)}${dwords(data)}\n`).join('')}`
}
