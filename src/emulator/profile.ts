import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { MalformedData, NameError } from '../prm/errors'
import { nearest } from '../prm/nearest'

/** Values by field name; numbers, decimal or 0x strings for wide fields, text for byte arrays. */
export interface Values {
  readonly [field: string]: number | string | Values | readonly (number | string | Values)[]
}

export interface RegisterProfile {
  readonly values: Values
  /** Fields that a write changes; all others are read-only. */
  readonly writable?: readonly string[]
  /** Fields that select an instance, and the values they may have. */
  readonly index?: Readonly<Record<string, readonly number[]>>
  /** What differs by instance: index values joined by a comma -> values. */
  readonly instances?: Readonly<Record<string, Values>>
}

/** A device as data: fixtures/devices/NAME.json. */
export interface Profile {
  readonly name: string
  readonly description: string
  readonly identity: {
    readonly deviceId: number
    readonly subsystemVendor: number
    readonly subsystemDevice: number
    readonly revision: number
    readonly psid: string
    readonly firmware: string
    readonly uctxCap: number
  }
  /** By type; what differs at the maximum stands in capabilitiesMax. */
  readonly capabilities: Readonly<Record<string, Values>>
  readonly capabilitiesMax: Readonly<Record<string, Values>>
  /** Outboxes of commands that have one fixed answer. */
  readonly answers: Readonly<Record<string, Values>>
  readonly registers: Readonly<Record<string, RegisterProfile>>
}

/** @throws NameError with the profiles there are; MalformedData when the file is none */
export function loadProfile(name: string): Profile {
  const folder = profileFolder()
  const file = path.join(folder, `${name}.json`)
  if (!/^[\w-]+$/.test(name) || !existsSync(file)) {
    const there = profileNames()
    throw new NameError(`there is no device profile ${name}; there is ${there.join(', ')}`, nearest(name, there))
  }
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Profile
  } catch (error) {
    throw new MalformedData(file, (error as Error).message)
  }
}

export function profileNames(): string[] {
  return readdirSync(profileFolder())
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort()
}

function profileFolder(): string {
  const beside = path.join(__dirname, 'devices')
  return existsSync(beside) ? beside : path.resolve(__dirname, '../../fixtures/devices')
}
