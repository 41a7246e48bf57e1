import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { MalformedData } from '../prm/errors'
import type { Firmware } from './firmware/firmware'
import type { NvState } from './firmware/nv-config'
import type { RegisterState } from './firmware/registers'

interface StateFile {
  readonly version: 1
  readonly profile: string
  readonly registers: RegisterState
  /** Absent in files of before there was NV configuration. */
  readonly nv?: NvState
}

/**
 * Keeps what was written to the device in a file: read now, and written after every change, to a temporary name and then
 * renamed, so that a reader sees the old or the new one.
 * @throws MalformedData when the file is no state, or that of another profile
 */
export function keepState(firmware: Firmware, file: string): void {
  const { registers, configuration } = firmware
  if (existsSync(file)) {
    const known = read(file, firmware.profile.name)
    registers.restore(known.registers)
    if (known.nv !== undefined) configuration.restore(known.nv)
  }
  const save = (): void => {
    const temporary = `${file}.${process.pid}.tmp`
    const fd = openSync(temporary, 'w', 0o600)
    const { name: profile } = firmware.profile
    const state: StateFile = { version: 1, profile, registers: registers.state(), nv: configuration.state() }
    writeSync(fd, `${JSON.stringify(state, null, 2)}\n`)
    fsyncSync(fd)
    closeSync(fd)
    renameSync(temporary, file)
  }
  registers.changed = save
  configuration.changed = save
}

function read(file: string, profile: string): StateFile {
  let state: unknown
  try {
    state = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new MalformedData(file, `is no state of an emulated device: ${(error as Error).message}`)
  }
  if (!isState(state)) throw new MalformedData(file, 'is no state of an emulated device')
  if (state.profile !== profile)
    throw new MalformedData(file, `is the state of a ${state.profile}, not of a ${profile}`)
  return state
}

function isState(value: unknown): value is StateFile {
  if (typeof value !== 'object' || value === null) return false
  const { version, profile, registers, nv = {} } = value as Partial<StateFile>
  if (version !== 1 || typeof profile !== 'string' || typeof registers !== 'object' || registers === null) return false
  if (typeof nv !== 'object' || !Object.values(nv).every((text) => typeof text === 'string')) return false
  return Object.values(registers).every((hex) => typeof hex === 'string' && /^(?:[0-9a-f]{2})*$/.test(hex))
}
