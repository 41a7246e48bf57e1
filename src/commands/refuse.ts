import { UsageError } from '../device/errors'
import type { Context } from './types'

/** Options of a command that one of its forms cannot heed are refused, not ignored. @throws UsageError */
export function refuseOptions({ own }: Context, names: readonly string[], form: string): void {
  for (const name of names)
    if (own[name] !== undefined)
      throw new UsageError(`${form} has no --${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
}

/** The same, for options of a device where there is none. @throws UsageError */
export function refuseDeviceOptions({ options }: Context, form: string): void {
  const { record, transport, timeout, fault, emuState } = options
  const given = { record, transport, timeout, fault, 'emu-state': emuState }
  for (const [name, value] of Object.entries(given))
    if (value !== undefined) throw new UsageError(`${form} opens no device: it has no --${name}`)
}

/** @throws UsageError */
export function refuseBytes({ options }: Context, form: string): void {
  if (options.raw || options.hex) throw new UsageError(`${form} has no --${options.raw ? 'raw' : 'hex'}`)
}
