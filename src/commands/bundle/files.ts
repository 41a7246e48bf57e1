import { statSync } from 'node:fs'
import type { IndexFields } from '../../bundle/facts'
import type { BundleItem } from '../../bundle/manifest'
import { UsageError } from '../../device/errors'
import { NameError } from '../../prm/errors'
import { openFacts } from '../session'

/** A file that is not there, or is none, is a mistake on the command line. @throws UsageError */
export function checkFile(file: string): void {
  if (file === '-') return
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) throw new UsageError(`${file} cannot be read: there is no such file`)
  if (stat.isDirectory()) throw new UsageError(`${file} is a folder: give the .tar.gz itself`)
}

/** Whether a word may be a file at all. */
export const isFile = (word: string): boolean => word === '-' || statSync(word, { throwIfNoEntry: false }) !== undefined

/** By the catalogue; a register that it does not know has none, and its readings are told apart by their order. */
export function indexFieldsOf(): IndexFields {
  const { catalogue } = openFacts()
  const known = new Map<string, readonly string[]>()
  return (name) => {
    const fields = known.get(name) ?? fieldsOf(name)
    known.set(name, fields)
    return fields
  }
  function fieldsOf(name: string): readonly string[] {
    try {
      return catalogue.layout(name).fields.flatMap((field) => (field.access === 'INDEX' ? [field.name] : []))
    } catch (error) {
      if (error instanceof NameError) return []
      throw error
    }
  }
}

/** 12345 -> 12.1 KiB. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10))
  const scaled = bytes / 1024 ** power
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power] ?? 'B'}`
}

/** Milliseconds as seconds, or as they are. */
export const durationText = (milliseconds: number): string =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`

/** host/list, 0000:03:00.0/registers: how an item is called in text. */
export const itemTitle = ({ device, name }: Pick<BundleItem, 'device' | 'name'>): string =>
  `${device ?? 'host'}/${name}`
