import { UsageError } from '../device/errors'

/** NAME and VALUE of a word NAME=VALUE. @throws UsageError */
export function splitAssignment(word: string): [name: string, value: string] {
  const cut = word.indexOf('=')
  if (cut <= 0) throw new UsageError(`${word}: fields are given as FIELD=VALUE`)
  return [word.slice(0, cut), word.slice(cut + 1)]
}
