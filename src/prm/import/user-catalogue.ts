import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'
import { userCatalogueFolder } from '../catalogue'
import { MalformedData, ValueError } from '../errors'
import { packCatalogue } from '../pack'
import type { Entries } from '../entries'
import type { Problem } from './declarations'
import { importHeaders } from './headers'

export interface UserImport {
  readonly file: string
  readonly entries: Entries
  readonly problems: readonly Problem[]
}

/**
 * Imports headers into the user's catalogue, which stands in front of the built-in one.
 * @throws MalformedData when a file cannot be read, cannot be a header, or nothing in it is a layout or an enum
 */
export function importForUser(files: readonly string[], name: string): UserImport {
  if (!/^[\w.+-]+$/.test(name)) throw new ValueError('--name', `${name} cannot be the name of a file`)
  const sources = files.map((file) => ({ name: path.basename(file), text: readHeader(file) }))
  const { entries, problems } = importHeaders(sources)
  if (entries.layouts.length === 0 && entries.enumerations.length === 0)
    throw new MalformedData(files.join(', '), 'holds no layout and no enumeration of mlx5')
  const digest = createHash('sha256')
    .update(sources.map(({ text }) => text).join('\0'))
    .digest('hex')
  const version = `sha256 ${digest.slice(0, 12)}`
  const packed = packCatalogue(entries, [{ name: files.map((file) => path.basename(file)).join(', '), version }])
  const target = path.join(userCatalogueFolder(), `${name}.bin`)
  writeSafely(target, packed)
  return { file: target, entries, problems }
}

function readHeader(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new MalformedData(file, `cannot be read: ${(error as Error).message}`)
  }
}

function writeSafely(target: string, bytes: Uint8Array): void {
  mkdirSync(path.dirname(target), { recursive: true })
  const temporary = `${target}.${process.pid}.tmp`
  const fd = openSync(temporary, 'w')
  writeSync(fd, bytes)
  fsyncSync(fd)
  closeSync(fd)
  renameSync(temporary, target)
}
