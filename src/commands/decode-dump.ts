import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { UsageError } from '../device/errors'
import type { Catalogue } from '../prm/catalogue'
import type { Codec } from '../prm/codec'
import { dumpsOfText, looksLikeDumpText, looksLikeSegments } from '../prm/dump-input'
import { MalformedData } from '../prm/errors'
import { SegmentReader } from '../prm/segments'
import { JsonSegments, SegmentView } from './segment-view'
import type { Context, Result } from './types'

/** Bytes that are read at once, and that are looked at to tell what it is. */
const PIECE = 1 << 20
const START = 4096

type Facts = { readonly catalogue: Catalogue; readonly codec: Codec }

/** Decodes a resource dump, however long, one piece after the other. @param file - is stdin */
export async function decodeDump(context: Context, facts: Facts, file: string): Promise<Result> {
  const { format } = context.options
  const dumps: { path: string; segments: JsonSegments }[] = []
  const views: SegmentView[] = []
  const fd = opened(file)
  let failure: Error | undefined
  try {
    for (const { path, parts } of dumpsIn(fd, file)) {
      const dump = { path, segments: new JsonSegments() }
      const view = new SegmentView(facts)
      dumps.push(dump)
      views.push(view)
      if (path !== '' && format === 'text') await context.write(`${path}\n`)
      await decodeParts(context, view, dump, parts)
    }
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    const isKept = format === 'json' && dumps.some(({ segments }) => segments.list.length > 0)
    if (!isKept || failure instanceof UsageError) throw failure
  } finally {
    if (file !== '-') closeSync(fd)
  }
  return {
    data: { dumps: dumps.map(({ path, segments }) => ({ path, segments: segments.list })) },
    records: [],
    text: () => '',
    warnings: views.flatMap(({ errors }) => errors.map((text) => `the dump ends with an error of firmware: ${text}`)),
    failure,
  }
}

async function decodeParts(
  context: Context,
  view: SegmentView,
  { path, segments }: { readonly path: string; readonly segments: JsonSegments },
  parts: Iterable<Uint8Array>,
): Promise<void> {
  const { format } = context.options
  const reader = new SegmentReader()
  for (const part of parts)
    for (const segment of reader.push(part)) {
      if (format === 'text') for (const text of view.text(segment)) await context.write(text)
      else if (format === 'ndjson') await context.writeRecord(undefined, { path, ...view.json(segment) })
      else segments.add(segment, view)
    }
  reader.end()
}

/** Raw, as mstresourcedump prints it, or of devlink; what is read to tell is part of it. @throws MalformedData */
function* dumpsIn(
  fd: number,
  file: string,
): Generator<{ readonly path: string; readonly parts: Iterable<Uint8Array> }> {
  const start = readSome(fd, Buffer.alloc(START))
  if (looksLikeSegments(start)) {
    yield { path: '', parts: followed(start, fd) }
    return
  }
  if (!looksLikeDumpText(start)) throw new MalformedData(file === '-' ? 'stdin' : file, 'is no resource dump')
  const whole = Buffer.concat([...followed(start, fd)].map((part) => Buffer.from(part)))
  for (const { path, bytes } of dumpsOfText(whole)) yield { path, parts: [bytes] }
}

/** What was read already, then the rest; the pieces share their memory with those before the last. */
function* followed(start: Uint8Array, fd: number): Generator<Uint8Array> {
  yield start
  const memory = Buffer.allocUnsafe(PIECE)
  for (;;) {
    const piece = readSome(fd, memory)
    if (piece.length === 0) return
    yield piece
  }
}

/** As much as there is room for, or as there is. */
function readSome(fd: number, into: Buffer): Buffer {
  let filled = 0
  while (filled < into.length) {
    const count = readSync(fd, into, filled, into.length - filled, null)
    if (count === 0) break
    filled += count
  }
  return into.subarray(0, filled)
}

/** @throws UsageError */
function opened(file: string): number {
  try {
    const fd = file === '-' ? 0 : openSync(file, 'r')
    if (fstatSync(fd).isDirectory()) throw new Error('is a directory')
    return fd
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`)
  }
}
