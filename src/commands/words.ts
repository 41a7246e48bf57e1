import { globalOptions } from './global-options'
import { commandTable } from './table'
import type { GlobalOptions } from './types'

/** `mlx5ctl DEVICE COMMAND ...` becomes `mlx5ctl COMMAND DEVICE ...`; a device alone is `info`. */
export function deviceFirst(words: readonly string[]): string[] {
  const names = new Set([...commandTable.map((entry) => entry.name), 'help'])
  const valued = new Set(
    globalOptions.flatMap(([flags]) => (flags.includes('<') ? (flags.match(/--?[\w-]+/g) ?? []) : [])),
  )
  const first = operand(words, 0, valued)
  const device = first === undefined ? undefined : words[first]
  if (first === undefined || device === undefined || names.has(device) || !looksLikeDevice(device)) return [...words]
  const second = operand(words, first + 1, valued)
  const command = second === undefined ? undefined : words[second]
  if (second === undefined || command === undefined || !names.has(command))
    return [...words.slice(0, first), 'info', device, ...words.slice(first + 1)]
  const between = words.slice(first + 1, second)
  const third = operand(words, second + 1, valued)
  const verb = third === undefined ? undefined : words[third]
  if (third !== undefined && verb !== undefined && takesDevice(command, verb))
    return [
      ...words.slice(0, first),
      ...between,
      command,
      ...words.slice(second + 1, third),
      verb,
      device,
      ...words.slice(third + 1),
    ]
  return [...words.slice(0, first), ...between, command, device, ...words.slice(second + 1)]
}

/** Whether a command has a verb that is followed by the device: reg get DEVICE. */
function takesDevice(command: string, verb: string): boolean {
  const entry = commandTable.find(({ name }) => name === command)
  return /^[a-z]+$/.test(verb) && new RegExp(`(?:^|\\| )${verb} \\[?DEVICE\\b`).test(entry?.arguments ?? '')
}

/** Index of the first word from `start` that is no option and no value of one. */
function operand(words: readonly string[], start: number, valued: ReadonlySet<string>): number | undefined {
  for (let index = start; index < words.length; index++) {
    const word = words[index] ?? ''
    if (word === '--') return undefined
    if (!word.startsWith('-')) return index
    if (valued.has(word)) index++
  }
  return undefined
}

/** A mistyped command must be told as one: a device has a digit, a colon or a slash in its name. */
function looksLikeDevice(word: string): boolean {
  return /[\d:/]/.test(word)
}

/** The format, before the command line has been understood: also its errors are JSON where JSON was asked for. */
export function requestedFormat(words: readonly string[]): GlobalOptions['format'] {
  const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words
  if (own.includes('-j') || own.includes('--json') || own.includes('--format=json')) return 'json'
  const asked = own[own.indexOf('--format') + 1]
  if (own.includes('--format') && (asked === 'json' || asked === 'ndjson')) return asked
  return own.includes('--format=ndjson') ? 'ndjson' : 'text'
}
