import { UsageError } from '../device/errors'
import { diffRegisters } from '../device/register-diff'
import { parseDump } from '../device/register-dump-files'
import { MalformedData } from '../prm/errors'
import { columns } from '../render/columns'
import { readInput } from './input'
import { refuseBytes, refuseDeviceOptions, refuseOptions } from './refuse'
import type { Context, Result } from './types'

/** Which registers differ between two or three dumps, of any form that regdump reads. */
export function diffDumps(context: Context, files: readonly string[]): Result {
  if (files.length < 2 || files.length > 3) throw new UsageError('regdump diff takes two or three dumps, oldest first')
  refuseOptions(context, ['from', 'via', 'scan', 'table'], 'regdump diff')
  refuseDeviceOptions(context, 'regdump diff')
  refuseBytes(context, 'regdump diff')
  const { compared, changed, unmatched } = diffRegisters(files.map(readDump))
  if (context.interactive()) context.note(`${changed.length} of ${compared} registers differ`)
  return {
    data: {
      files,
      compared,
      changed: changed.map(({ kind, ...rest }) => ({ ...rest, kind: kind ?? null })),
      unmatched,
    },
    records: changed.map(({ kind, ...rest }) => ({ ...rest, kind: kind ?? null })),
    text: () => columns(changed.map(({ address, values, kind }) => [...[address, ...values].map(word), kind ?? ''])),
    warnings: unmatched.flatMap((count, index) =>
      count === 0 ? [] : [`${files[index]}: ${count} registers are not in every dump, and were not compared`],
    ),
  }
}

function readDump(file: string): Uint8Array {
  try {
    return parseDump(readInput(file))
  } catch (error) {
    if (error instanceof MalformedData) throw new MalformedData(file, error.message)
    throw error
  }
}

const word = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
