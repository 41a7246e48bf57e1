import { readFileSync } from 'node:fs'
import { UsageError } from '../device/errors'
import type { Catalogue } from '../prm/catalogue'
import { parseBytes } from '../prm/input-bytes'
import { fieldRows } from '../render/columns'
import { hexView } from '../render/hex'
import { flatten, hexString, toJson } from '../render/values'
import { enumNamer } from './naming'
import { openFacts } from './session'
import type { Context, Result } from './types'

export async function run({ options }: Context, [name = '', file = '-']: readonly string[]): Promise<Result> {
  const { catalogue, codec } = openFacts()
  const layout = layoutName(catalogue, name)
  const { bytes, format } = parseBytes(readInput(file))
  const values = codec.decode(layout, bytes, { reserved: options.reserved })
  const size = codec.sizeBytes(layout)
  const trailing = codec.ranges(layout, bytes).at(-1)?.path === '(trailing)' ? bytes.length - size : 0
  return {
    data: { layout, format, bytes: hexString(bytes), trailingBytes: trailing, values: toJson(values) },
    text: () => fieldRows(flatten(values, enumNamer(codec, layout))),
    hex: () => hexView(bytes, codec.ranges(layout, bytes)),
    raw: () => bytes,
    warnings: trailing > 0 ? [`${trailing} bytes follow the ${size} of ${layout}`] : [],
  }
}

/** A layout, or the inbox or outbox of a command: QUERY_QP.in, QUERY_QP.out. */
function layoutName(catalogue: Catalogue, name: string): string {
  const match = /^(.+)\.(in|out)$/.exec(name)
  if (match?.[1] === undefined || catalogue.findLayout(name) !== undefined) return catalogue.layout(name).name
  const command = catalogue.command(match[1])
  const layout = match[2] === 'in' ? command.inbox : command.outbox
  if (layout === undefined) throw new UsageError(`${command.name} has no known ${match[2]}box layout`)
  return layout
}

function readInput(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(`${file === '-' ? 'stdin' : file} cannot be read: ${(error as Error).message}`)
  }
}
