import { createHash } from 'node:crypto'
import { MalformedData } from '../errors'
import { StringsDatabase, type StringSection, type TraceParameters } from './strings'

const FORMAT = 'mlx5ctl-fwtrace-strings'
const VERSION = 1

/** What MTRC_CAP has room for, and 16 MiB of strings, which 24 bits of size can tell. */
const MOST_SECTIONS = 8
const LARGEST_SECTION = 2 ** 24

/** Whose strings they are; for people, nothing is decided by it. */
export interface StringsOrigin {
  readonly pci?: string | undefined
  readonly firmware?: string | undefined
}

/** A strings database as it is saved: JSON, with all that decoding needs beside the events. */
export interface StringsDocument {
  readonly format: typeof FORMAT
  readonly version: typeof VERSION
  readonly pci: string | null
  readonly firmware: string | null
  readonly trace: {
    readonly version: number
    readonly firstString: number
    readonly stringCount: number
    /** null: not known. */
    readonly frequencyKilohertz: number | null
  }
  readonly sections: readonly {
    /** Address of the first byte: 0x.... */
    readonly base: string
    readonly size: number
    readonly sha256: string
    /** The bytes, in base64. */
    readonly data: string
  }[]
}

export function stringsDocument(
  { sections, parameters }: StringsDatabase,
  origin: StringsOrigin = {},
): StringsDocument {
  const { version, firstString, stringCount, frequencyKilohertz } = parameters
  return {
    format: FORMAT,
    version: VERSION,
    pci: origin.pci ?? null,
    firmware: origin.firmware ?? null,
    trace: { version, firstString, stringCount, frequencyKilohertz: frequencyKilohertz ?? null },
    sections: sections.map(({ base, bytes }) => ({
      base: `0x${base.toString(16).padStart(8, '0')}`,
      size: bytes.length,
      sha256: digest(bytes),
      data: Buffer.from(bytes).toString('base64'),
    })),
  }
}

/**
 * Reads a saved strings database: the document, or the envelope of `fwtrace strings -j` around it.
 * @param path what errors call it
 * @throws MalformedData
 */
export function parseStrings(text: string, path: string): StringsDatabase {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new MalformedData(path, `is no strings database: ${(error as Error).message}`)
  }
  const outer = record(parsed, path)
  const document = 'schemaVersion' in outer ? record(outer.data, path) : outer
  if (document.format !== FORMAT) throw new MalformedData(path, 'is no strings database of fwtrace strings')
  if (document.version !== VERSION)
    throw new MalformedData(
      path,
      `is a strings database of version ${String(document.version)}; this tool reads ${VERSION}`,
    )
  const sections = document.sections
  if (!Array.isArray(sections) || sections.length > MOST_SECTIONS)
    throw new MalformedData(path, `sections: a list of up to ${MOST_SECTIONS} is wanted`)
  return new StringsDatabase(
    sections.map((section, index) => parseSection(section, `${path}: sections[${index}]`)),
    parseParameters(record(document.trace, `${path}: trace`), `${path}: trace`),
  )
}

function parseParameters(trace: Readonly<Record<string, unknown>>, path: string): TraceParameters {
  const frequency = trace.frequencyKilohertz ?? null
  return {
    version: integer(trace.version, `${path}.version`, 3),
    firstString: integer(trace.firstString, `${path}.firstString`, 255),
    stringCount: integer(trace.stringCount, `${path}.stringCount`, 255),
    ...(frequency === null
      ? {}
      : { frequencyKilohertz: integer(frequency, `${path}.frequencyKilohertz`, 0xffff_ffff, 1) }),
  }
}

function parseSection(value: unknown, path: string): StringSection {
  const { base, size, sha256, data } = record(value, path)
  if (typeof base !== 'string' || !/^0x[0-9a-f]{1,8}$/i.test(base))
    throw new MalformedData(path, 'base: an address of 32 bits, as 0x01000000, is wanted')
  if (typeof data !== 'string') throw new MalformedData(path, 'data: base64 is wanted')
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'))
  if (bytes.length !== integer(size, `${path}.size`, LARGEST_SECTION))
    throw new MalformedData(path, `says that it has ${String(size)} bytes, and has ${bytes.length}`)
  if (digest(bytes) !== sha256)
    throw new MalformedData(path, 'the bytes do not match their sha256: the file is damaged')
  return { base: Number(base), bytes }
}

function record(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new MalformedData(path, 'an object is wanted')
}

function integer(value: unknown, path: string, most: number, least = 0): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  throw new MalformedData(path, `${JSON.stringify(value) ?? 'nothing'}: a number from ${least} to ${most} is wanted`)
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
