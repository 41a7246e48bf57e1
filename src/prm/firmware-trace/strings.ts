import { printable } from './format'

/** Strings that lie in the firmware's memory from an address on. */
export interface StringSection {
  /** Address of the first byte. */
  readonly base: number
  readonly bytes: Uint8Array
}

/** What the device tells about its trace beside the strings. */
export interface TraceParameters {
  /** trc_ver: decides which bit says that a timestamp is unreliable. */
  readonly version: number
  /** Ids of string events: `stringCount` from `firstString` on. */
  readonly firstString: number
  readonly stringCount: number
  /** Frequency of the clock of timestamps, where it is known. */
  readonly frequencyKilohertz?: number | undefined
}

/** What is read of one string: more than a message can have. */
const LONGEST_STRING = 512

/** The strings that events point to (facts: dumps, D.1, D.4). */
export class StringsDatabase {
  constructor(
    readonly sections: readonly StringSection[],
    readonly parameters: TraceParameters,
  ) {}

  /**
   * The string at an address, up to its NUL or the end of its section, at most 512 bytes; a line feed at its end is left out.
   * @returns undefined for an address in no section
   */
  find(address: number): string | undefined {
    const section = this.sections.find(({ base, bytes }) => address >= base && address - base < bytes.length)
    if (section === undefined) return undefined
    const from = address - section.base
    const part = section.bytes.subarray(from, from + LONGEST_STRING)
    const end = part.indexOf(0)
    const text = Buffer.from(part.buffer, part.byteOffset, end < 0 ? part.length : end).toString('latin1')
    return printable(text.replace(/[\r\n]+$/, ''))
  }
}
