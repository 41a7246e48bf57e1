import { readFileSync } from 'node:fs'
import { UsageError } from '../device/errors'

/** What a file holds, or stdin for "-". @throws UsageError */
export function readInput(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(`${file === '-' ? 'stdin' : file} cannot be read: ${(error as Error).message}`)
  }
}
