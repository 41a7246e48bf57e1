import { asciiText } from '../ascii-text'
import { imageCrc } from './crc'
import type { ImageProblem, ImageSection, SectionCrc } from './types'

/** CRCs stand in the low half of a big-endian dword. */
export const CRC_MASK = 0xffff

/**
 * The file, what was found in it, and what is wrong with it. Nothing that the file says of itself is trusted: whatever is read
 * lies inside of it, and no byte is summed up twice, so that an image takes no longer than its length.
 */
export class ImageBytes {
  readonly sections: ImageSection[] = []
  readonly problems: ImageProblem[] = []
  private readonly view: DataView
  /** Sections that lie in the file, and over none before them. */
  private readonly taken: { readonly name: string; readonly start: number; readonly end: number }[] = []

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get length(): number {
    return this.bytes.length
  }

  holds(offset: number, size: number): boolean {
    return offset >= 0 && size >= 0 && offset + size <= this.length
  }

  /** A big-endian dword; 0 outside of the file. */
  word(offset: number): number {
    return this.holds(offset, 4) ? this.view.getUint32(offset) : 0
  }

  /** A little-endian dword; 0 outside of the file. */
  littleWord(offset: number): number {
    return this.holds(offset, 4) ? this.view.getUint32(offset, true) : 0
  }

  /** ASCII up to the first NUL; what is not printable is a dot. */
  text(offset: number, length: number): string {
    return asciiText(this.bytes.subarray(offset, offset + length)).trim()
  }

  /** Whether every byte is 0xff: flash that was never written. */
  isBlank(offset: number, size: number): boolean {
    return this.holds(offset, size) && this.bytes.subarray(offset, offset + size).every((byte) => byte === 0xff)
  }

  problem(section: string, offset: number, message: string): void {
    this.problems.push({ section, offset, message })
  }

  /** Takes a section up that a header points to, or says why it is none. */
  pointed(name: string, offset: number, size: number, guarded = true): void {
    const crc = !this.isApart(name, offset, size) ? unchecked : guarded ? this.checkTail(name, offset, size) : unchecked
    this.sections.push({ table: null, type: null, name, offset, size, encrypted: false, crc })
  }

  /** Compares, and takes down what differs. */
  check(section: string, offset: number, mode: 'entry' | 'section', expected: number, computed: number): SectionCrc {
    const ok = expected === computed
    if (!ok) this.problem(section, offset, `has CRC ${hex(computed)}, and should have ${hex(expected)}`)
    return { mode, expected, computed, ok }
  }

  /** A structure with its CRC in the last of its dwords. */
  checkTail(section: string, offset: number, size: number): SectionCrc {
    const tail = offset + size - 4
    return this.check(section, offset, 'section', this.word(tail) & CRC_MASK, imageCrc(this.bytes, offset, tail))
  }

  /** Whether a section lies in the file, and over none that came before; what is not so is taken down. */
  isApart(name: string, offset: number, size: number): boolean {
    if (!this.holds(offset, size)) {
      const past = `${hex(offset)} to ${hex(offset + size)} lies beyond the end of the file, ${hex(this.length)}`
      this.problem(name, offset, past)
      return false
    }
    const other = this.taken.find(({ start, end }) => offset < end && start < offset + size)
    if (other === undefined) this.taken.push({ name, start: offset, end: offset + size })
    else this.problem(name, offset, `lies over ${other.name} at ${hex(other.start)}`)
    return other === undefined
  }
}

export const unchecked: SectionCrc = { mode: 'none', expected: null, computed: null, ok: null }

export const hex = (value: number): string => `0x${value.toString(16)}`
