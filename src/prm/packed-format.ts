import { type EntryKind } from './entries'
import { MalformedData } from './errors'

/**
 * A packed catalogue, little-endian: "MLX5CAT" and a format byte; 4 bytes length of the table; 20 bytes SHA-1 of all that
 * follows them; the table (JSON: sources, and for each kind how many entries there are and where its index lies); then the
 * indices (JSON: entries as [name, number, offset, length, ...other names]) and the slices, one line of JSON each. Offsets are in bytes from
 * the end of the table. A start reads the table, the indices of the kinds it asks for, and the few slices it needs.
 */
export const magic = 'MLX5CAT'
export const formatVersion = 5
export const headerBytes = 32

/** Where the facts of a catalogue come from. */
export interface Source {
  readonly name: string
  readonly version: string
}

export type IndexEntry = readonly [name: string, number: number, offset: number, length: number, ...aliases: string[]]

/** Where the other names of an entry begin in its line of the index. */
export const FIRST_ALIAS = 4

/** Where the index of a kind lies. */
export interface IndexPlace {
  readonly count: number
  readonly offset: number
  readonly length: number
}

export interface Table {
  readonly sources: readonly Source[]
  readonly kinds: { readonly [K in EntryKind]: IndexPlace }
}

/** @throws MalformedData when the header is not that of a packed catalogue of this format */
export function readHeader(header: Uint8Array, file: string): { tableLength: number; hash: string } {
  const view = Buffer.from(header.buffer, header.byteOffset, header.length)
  if (view.length < headerBytes || view.toString('latin1', 0, magic.length) !== magic)
    throw new MalformedData(file, 'is not a packed catalogue')
  const version = view.readUInt8(magic.length)
  if (version !== formatVersion)
    throw new MalformedData(file, `has format ${version}, this tool reads ${formatVersion}; import it again`)
  return { tableLength: view.readUInt32LE(8), hash: view.toString('hex', 12, headerBytes) }
}
