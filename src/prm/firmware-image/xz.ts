import type * as XzModule from 'xz-decompress'
import { MalformedData } from '../errors'

/** Bytes that are given to the decompressor at once. */
const PIECE = 1 << 20

/**
 * Decompresses xz, and gives what is wanted of it: pieces are thrown away as they come, so that memory stays small whatever the
 * stream unfolds to. The stream is read as far as it has to be.
 * @param path what it is, for errors
 * @throws MalformedData when it is damaged, or ends before what is wanted
 */
export async function unxz(packed: Uint8Array, path: string, from: number, wanted: number): Promise<Uint8Array> {
  const out = new Uint8Array(wanted)
  const { position } = await eachPiece(packed, path, (piece, at) => {
    const start = Math.max(from, at)
    const end = Math.min(from + wanted, at + piece.length)
    if (start < end) out.set(piece.subarray(start - at, end - at), start - from)
    return at + piece.length < from + wanted
  })
  if (position < from + wanted)
    throw new MalformedData(path, `unfolds to ${position} bytes, and should have ${from + wanted}`)
  return out
}

/** All of a stream. @throws MalformedData when it unfolds to more than a limit, in bytes */
export async function unxzAll(packed: Uint8Array, path: string, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  await eachPiece(packed, path, (piece, at) => {
    if (at + piece.length > limit) throw new MalformedData(path, `unfolds to more than ${limit} bytes`)
    pieces.push(piece)
    return true
  })
  return Buffer.concat(pieces)
}

type Xz = typeof XzModule

/** What it exports is the default export where a bundle imports it, and has names elsewhere. */
async function loadXz(): Promise<Xz> {
  const loaded: Xz & { readonly default?: Xz } = await import('xz-decompress')
  return loaded.default ?? loaded
}

async function eachPiece(
  packed: Uint8Array,
  path: string,
  take: (piece: Uint8Array, at: number) => boolean,
): Promise<{ readonly position: number }> {
  const { XzReadableStream } = await loadXz()
  let given = 0
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (given >= packed.length) return controller.close()
      // A copy: the stream may hand its memory to somebody else.
      controller.enqueue(packed.slice(given, (given += PIECE)))
    },
  })
  const reader = new XzReadableStream(source).getReader()
  let position = 0
  try {
    for (;;) {
      const next = await reader.read()
      if (next.done) return { position }
      const isWanted = take(next.value, position)
      position += next.value.length
      if (!isWanted) return { position }
    }
  } catch (error) {
    if (error instanceof MalformedData) throw error
    throw new MalformedData(path, `is damaged: xz cannot be decompressed beyond ${position} bytes`)
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}
