import { createHash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { MalformedData } from '../prm/errors'
import type { Firmware } from './firmware/firmware'
import type { NvState } from './firmware/nv-config'
import type { RegisterState } from './firmware/registers'
import { ImageRefused } from './firmware/update/image-check'

interface StateFile {
  readonly version: 1
  readonly profile: string
  readonly registers: RegisterState
  /** Absent in files of before there was NV configuration. */
  readonly nv?: NvState
  /** The image on flash, where one was written: a file beside this one, by its name and the hash of its bytes. */
  readonly flash?: { readonly file: string; readonly sha256: string }
}

/**
 * Keeps what was written to the device in a file: read now, and written after every change, to a temporary name and then
 * renamed, so that a reader sees the old or the new one. An image on flash lies in a file of its own beside it, which is there
 * before the state names it.
 * @throws MalformedData when the file is no state, or that of another profile
 */
export function keepState(firmware: Firmware, file: string): void {
  const { registers, configuration, flash } = firmware
  let image: StateFile['flash']
  if (existsSync(file)) {
    const known = read(file, firmware.profile.name)
    registers.restore(known.registers)
    if (known.nv !== undefined) configuration.restore(known.nv)
    if (known.flash !== undefined) restoreFlash(firmware, file, known.flash)
    image = known.flash
  }
  const save = (): void => {
    const { name: profile } = firmware.profile
    const kept = image === undefined ? {} : { flash: image }
    const state: StateFile = { version: 1, profile, registers: registers.state(), nv: configuration.state(), ...kept }
    write(file, `${JSON.stringify(state, null, 2)}\n`)
  }
  registers.changed = save
  configuration.changed = save
  flash.changed = () => {
    const before = image
    const { image: bytes } = flash
    if (bytes === undefined) return
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    image = { file: `${path.basename(file)}.${sha256.slice(0, 16)}.flash`, sha256 }
    write(path.join(path.dirname(file), image.file), bytes)
    save()
    if (before !== undefined && before.file !== image.file)
      rmSync(path.join(path.dirname(file), before.file), { force: true })
  }
}

function restoreFlash(firmware: Firmware, file: string, { file: name, sha256 }: Required<StateFile>['flash']): void {
  const beside = path.join(path.dirname(file), path.basename(name))
  try {
    const bytes = readFileSync(beside)
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw new MalformedData(beside, `is not the image that ${file} names`)
    firmware.flash.restore(bytes)
  } catch (error) {
    if (error instanceof MalformedData) throw error
    if (error instanceof ImageRefused) throw new MalformedData(beside, 'is no image for this device')
    throw new MalformedData(beside, `cannot be read: ${(error as Error).message}`)
  }
}

function write(file: string, contents: string | Uint8Array): void {
  const temporary = `${file}.${process.pid}.tmp`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, file)
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
  const { version, profile, registers, nv = {}, flash } = value as Partial<StateFile>
  if (version !== 1 || typeof profile !== 'string' || typeof registers !== 'object' || registers === null) return false
  if (typeof nv !== 'object' || !Object.values(nv).every((text) => typeof text === 'string')) return false
  if (flash !== undefined && (typeof flash.file !== 'string' || typeof flash.sha256 !== 'string')) return false
  return Object.values(registers).every((hex) => typeof hex === 'string' && /^(?:[0-9a-f]{2})*$/.test(hex))
}
