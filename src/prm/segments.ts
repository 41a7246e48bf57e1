import { MalformedData } from './errors'

/** Types of segments that are no resources (facts: dumps, C.2). */
export const segmentType = {
  NOTICE: 0xfff9,
  COMMAND: 0xfffa,
  TERMINATE: 0xfffb,
  ERROR: 0xfffc,
  REFERENCE: 0xfffd,
  INFO: 0xfffe,
  MENU: 0xffff,
} as const

/** The longest type of a resource. */
export const LAST_RESOURCE = 0xfeff

export interface Segment {
  readonly type: number
  /** Byte offset in the stream. */
  readonly offset: number
  /** With its header; valid until the next bytes are pushed. */
  readonly bytes: Uint8Array
}

const HEADER = 4

/**
 * Cuts the stream of a resource dump into segments, whatever the pieces in which it comes. A segment begins with a big-endian
 * dword: its length in dwords, this one included, and its type. Keeps no more than one segment: at most 256 KiB.
 */
export class SegmentReader {
  private offset = 0
  /** Bytes of a segment that goes on in the next piece. */
  private begun = Buffer.alloc(0)
  private filled = 0

  /** @throws MalformedData when the stream ends inside a segment */
  end(): void {
    if (this.filled === 0) return
    const length = this.filled < HEADER ? HEADER : this.lengthOf(this.begun)
    throw new MalformedData('segment', `of ${length} bytes has only ${this.filled}`, this.offset)
  }

  /** @throws MalformedData for a segment of length 0, behind which nothing can be found */
  *push(piece: Uint8Array): Generator<Segment> {
    let at = 0
    while (at < piece.length) {
      if (this.filled > 0) {
        at += this.goOn(piece.subarray(at))
        const length = this.filled < HEADER ? undefined : this.lengthOf(this.begun)
        if (length === undefined || this.filled < length) continue
        const bytes = this.begun.subarray(0, length)
        this.filled = 0
        yield this.segment(bytes)
        continue
      }
      const rest = piece.subarray(at)
      const length = rest.length < HEADER ? undefined : this.lengthOf(rest)
      if (length === undefined || rest.length < length) {
        at += this.goOn(rest)
        continue
      }
      at += length
      yield this.segment(rest.subarray(0, length))
    }
  }

  /** Takes what the segment that was begun still needs; returns how much that was. */
  private goOn(rest: Uint8Array): number {
    const wanted = this.filled < HEADER ? HEADER : this.lengthOf(this.begun)
    if (this.begun.length < wanted) this.begun = Buffer.concat([this.begun.subarray(0, this.filled)], wanted)
    const taken = Math.min(rest.length, wanted - this.filled)
    this.begun.set(rest.subarray(0, taken), this.filled)
    this.filled += taken
    return taken
  }

  private lengthOf(bytes: Uint8Array): number {
    const dwords = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)
    if (dwords === 0) throw new MalformedData('segment', 'has length 0', this.offset)
    return dwords * 4
  }

  private segment(bytes: Uint8Array): Segment {
    const { offset } = this
    this.offset += bytes.length
    return { type: ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0), offset, bytes }
  }
}
