import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { UsageError } from '../device/errors'
import type { Catalogue } from '../prm/catalogue'
import type { Codec } from '../prm/codec'
import { dumpsOfText, looksLikeDumpText, looksLikeSegments } from '../prm/dump-input'
import { MalformedData } from '../prm/errors'
import { SegmentReader } from '../prm/segments'
import { readInput } from './input'
import { SegmentView } from './segment-view'
import type { Context, Result } from './types'

/** Bytes that are read from a file at once, and looked at to tell what it is. */
const PIECE = 1 << 20
const START = 4096
/** JSON keeps the segments of all of a dump. */
const MOST_JSON = 128 << 20

/** Whether a file is a resource dump: raw, as mstresourcedump prints it, or of devlink. */
export function isResourceDump(file: string): boolean {
  if (file === '-') return false
  const start = [...pieces(file, START)][0] ?? new Uint8Array(0)
  return looksLikeSegments(start) || looksLikeDumpText(start)
}

/** Decodes a resource dump, however long, one piece after the other. @param file - is stdin */
export function decodeDump(
  context: Context,
  facts: { readonly catalogue: Catalogue; readonly codec: Codec },
  file: string,
): Result {
  const { format } = context.options
  const dumps: { path: string; segments: unknown[] }[] = []
  const views: SegmentView[] = []
  let failure: Error | undefined
  try {
    for (const { path, parts } of inputs(file)) {
      const dump = { path, segments: [] as unknown[] }
      const view = new SegmentView(facts)
      dumps.push(dump)
      views.push(view)
      if (path !== '' && format === 'text') context.write(`${path}\n`)
      decodeParts(context, view, dump, parts)
    }
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    if (format !== 'json' || !dumps.some(({ segments }) => segments.length > 0)) throw failure
  }
  return {
    data: { dumps },
    records: [],
    text: () => '',
    warnings: views.flatMap(({ errors }) => errors.map((text) => `the dump ends with an error of firmware: ${text}`)),
    failure,
  }
}

function decodeParts(
  context: Context,
  view: SegmentView,
  { path, segments }: { readonly path: string; readonly segments: unknown[] },
  parts: Iterable<Uint8Array>,
): void {
  const { format } = context.options
  const reader = new SegmentReader()
  let length = 0
  for (const part of parts) {
    length += part.length
    if (format === 'json' && length > MOST_JSON)
      throw new UsageError('the dump is too long for one JSON document', 'use --format ndjson')
    for (const segment of reader.push(part)) {
      if (format === 'text') for (const text of view.text(segment)) context.write(text)
      else if (format === 'ndjson') context.writeRecord(undefined, { path, ...view.json(segment) })
      else segments.push(view.json(segment))
    }
  }
  reader.end()
}

function* inputs(file: string): Generator<{ readonly path: string; readonly parts: Iterable<Uint8Array> }> {
  if (file === '-') {
    yield* of(readInput(file))
    return
  }
  const start = [...pieces(file, START)][0] ?? new Uint8Array(0)
  if (looksLikeSegments(start)) yield { path: '', parts: pieces(file) }
  else yield* of(readInput(file))
}

function of(bytes: Uint8Array): { readonly path: string; readonly parts: Iterable<Uint8Array> }[] {
  if (looksLikeSegments(bytes)) return [{ path: '', parts: [bytes] }]
  if (!looksLikeDumpText(bytes.subarray(0, START))) throw new MalformedData('input', 'is no resource dump')
  return dumpsOfText(bytes).map(({ path, bytes: dump }) => ({ path, parts: [dump] }))
}

/** A file in pieces, which share their memory. @throws UsageError */
function* pieces(file: string, most = Number.POSITIVE_INFINITY): Generator<Uint8Array> {
  const fd = opened(file)
  try {
    if (fstatSync(fd).isDirectory()) throw new UsageError(`${file} is a directory`)
    const piece = Buffer.allocUnsafe(Math.min(most, PIECE))
    for (let total = 0; total < most;) {
      const count = readSync(fd, piece, 0, piece.length, null)
      if (count === 0) return
      total += count
      yield piece.subarray(0, count)
    }
  } finally {
    closeSync(fd)
  }
}

function opened(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`)
  }
}
