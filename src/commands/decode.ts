import { existsSync } from 'node:fs'
import { UsageError } from '../device/errors'
import { emptyImage, fittedImage, registerTarget } from '../device/registers'
import type { Catalogue } from '../prm/catalogue'
import type { Codec } from '../prm/codec'
import { MalformedData } from '../prm/errors'
import { parseBytes } from '../prm/input-bytes'
import type { Command } from '../prm/layout'
import { imageOfRows, parseRegisterTable, type TextRow } from '../prm/register-text'
import { fieldRows } from '../render/columns'
import { hexView } from '../render/hex'
import { flatten, hexString, toJson } from '../render/values'
import { decodeDump } from './decode-dump'
import { readInput } from './input'
import { enumNamer } from './naming'
import { openFacts } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [name = '', file]: readonly string[]): Promise<Result> {
  const facts = openFacts()
  if (name === 'rscdump' || (file === undefined && isDumpFile(facts.catalogue, name)))
    return dumpOf(context, facts, name === 'rscdump' ? (file ?? '-') : name)
  return decodeLayout(context, facts, name, file ?? '-')
}

/** The word is no name of the catalogue, but that of a file. */
function isDumpFile(catalogue: Catalogue, name: string): boolean {
  const isKnown = catalogue.findLayout(name) !== undefined || catalogue.findRegister(name) !== undefined
  return !isKnown && existsSync(name)
}

async function dumpOf(context: Context, facts: Facts, file: string): Promise<Result> {
  const { raw, hex, reserved } = context.options
  if (raw || hex || reserved)
    throw new UsageError('a resource dump is decoded as text or JSON: no --raw, --hex, --reserved')
  return decodeDump(context, facts, file)
}

type Facts = ReturnType<typeof openFacts>

function decodeLayout({ options }: Context, facts: Facts, name: string, file: string): Result {
  const { codec } = facts
  const layout = layoutName(facts.catalogue, name)
  const { bytes, format, unknown } = bytesFor(codec, layout, readInput(file))
  const values = codec.decode(layout, bytes, { reserved: options.reserved })
  const size = codec.sizeBytes(layout)
  const trailing = codec.ranges(layout, bytes).at(-1)?.path === '(trailing)' ? bytes.length - size : 0
  return {
    data: { layout, format, bytes: hexString(bytes), trailingBytes: trailing, values: toJson(values) },
    text: () => fieldRows(flatten(values, enumNamer(codec, layout))),
    hex: () => hexView(bytes, codec.ranges(layout, bytes)),
    raw: () => bytes,
    warnings: [
      ...(trailing > 0 ? [`${trailing} bytes follow the ${size} of ${layout}`] : []),
      ...unknown.map((row) => `line ${row.line}: ${row.name} is no field of ${layout}`),
    ],
    partial: unknown.length > 0,
  }
}

/** A layout; a register; or the inbox or outbox of a command: QUERY_QP.in, QUERY_QP.out. */
function layoutName(catalogue: Catalogue, name: string): string {
  if (catalogue.findLayout(name) !== undefined) return name
  const match = /^(.+)\.(in|out)$/.exec(name)
  if (match?.[1] !== undefined) return mailboxLayout(catalogue.command(match[1]), match[2])
  if (catalogue.findRegister(name) === undefined) return catalogue.layout(name).name
  return registerTarget(catalogue, name).layout
}

function mailboxLayout({ name, inbox, outbox }: Command, which: string | undefined): string {
  const layout = which === 'in' ? inbox : outbox
  if (layout === undefined) throw new UsageError(`${name} has no known ${which}box layout`)
  return layout
}

interface Input {
  readonly bytes: Uint8Array
  readonly format: string
  /** Rows of a register's table that have no place in the layout. */
  readonly unknown: readonly TextRow[]
}

/** @throws MalformedData */
function bytesFor(codec: Codec, layout: string, input: Uint8Array): Input {
  const rows = parseRegisterTable(input)
  if (rows === undefined) return { ...parseBytes(input), unknown: [] }
  const { image, unknown } = imageOfRows(codec, layout, rows, emptyImage(codec, layout))
  if (unknown.length === rows.length) throw new MalformedData('input', `has no field of ${layout}`)
  return { bytes: fittedImage(codec, layout, image), format: 'register', unknown }
}
