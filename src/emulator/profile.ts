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
  /** Fields that a read gives back as they came, as long as nothing was written. */
  readonly echo?: readonly string[]
  /** What differs by instance: index values joined by a comma -> values. */
  readonly instances?: Readonly<Record<string, Values>>
}

/** A QSFP module in the port, for its EEPROM (SFF-8636). */
export interface ModuleProfile {
  readonly identifier: number
  readonly revision: number
  readonly connector: number
  readonly temperatureCelsius: number
  readonly voltage: number
  readonly rxPowerMilliwatt: readonly number[]
  readonly lengthMetres: number
  readonly vendorName: string
  readonly partNumber: string
  readonly hardwareRevision: string
  readonly serialNumber: string
  readonly dateCode: string
}

/** A kind of resource that RESOURCE_DUMP dumps: its record in the menu, and what there is of it. */
export interface DumpedResource {
  readonly type: number
  readonly name: string
  /** Names of the indices; absent where it has none. */
  readonly index1?: string
  readonly index2?: string
  /** Indices that must be given. */
  readonly must?: readonly ('index1' | 'index2')[]
  /** What num_of_obj may be beside 0 and 1; absent where only these. */
  readonly num1?: readonly ('all' | 'active')[]
  readonly num2?: readonly ('all' | 'active')[]
  /** Payload of one object, or of one entry of it; of a query it is that of the command. */
  readonly dwords?: number
  /** Objects: those of this command of `objects`, or so many from 0 on. */
  readonly objects?: string
  readonly count?: number
  /** Entries of each object, selected by index2. */
  readonly entries?: number
  /** All objects in one dump, without an index. */
  readonly everything?: boolean
  /** The outbox of this command is the payload. */
  readonly query?: string
  /** Other resources of the same object, by name: they are referred to, not dumped. */
  readonly references?: readonly string[]
  /** Said where there is no object. */
  readonly notice?: string
}

/** Something that grows: what it is when the device starts, and by how much in a second. */
export interface Growing {
  readonly start: number
  readonly perSecond: number
}

/** Packets of one kind, and the mean size of one. */
export interface Flow extends Growing {
  readonly bytes: number
}

type Flows = Readonly<Record<'unicast' | 'multicast' | 'broadcast', Flow>>

/** What runs through the device: counters of all registers and commands are made from it. */
export interface TrafficProfile {
  readonly received: Flows
  readonly transmitted: Flows
  /** Received pause frames; received frames without a buffer, and without a steering rule. */
  readonly pauses: Growing
  readonly discards: Growing
  readonly steeringDiscards: Growing
  readonly line: {
    readonly clearedMillisecondsAgo: number
    readonly bitsPerBlock: number
    /** Blocks of the error correction, and what of them was corrected: blocks with one wrong symbol or two. */
    readonly blocks: Growing
    readonly correctedBlocks: Growing
    readonly correctedSymbols: Growing
  }
  /** Stalls of the link to the host. */
  readonly stalls: Growing
  readonly remoteWrites: Growing
  readonly remoteReads: Growing
  /** Temperatures go up and down by so many steps of 0.125 degrees, in so many seconds. */
  readonly wander: Readonly<Record<'chip' | 'module', readonly [steps: number, seconds: number]>>
}

/** A device as data: fixtures/devices/NAME.json. With "extends": NAME, what differs from another one. */
export interface Profile {
  readonly name: string
  readonly description: string
  readonly identity: {
    readonly deviceId: number
    /** Id of the chip, by which tools choose their data. */
    readonly hardwareId: number
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
  /** By the name that the catalogue lists a register under, not by another one that it also goes by. */
  readonly registers: Readonly<Record<string, RegisterProfile>>
  /** What commands that query objects find, by command: the field of the inbox with the id, and values by id. */
  readonly objects: Readonly<
    Record<string, { readonly field: string; readonly instances: Readonly<Record<string, Values>> }>
  >
  /** General objects by type, then by id. */
  readonly generalObjects: Readonly<Record<string, Readonly<Record<string, Values>>>>
  /** When given: every register of the catalogue but these is there, and reads as zero where `registers` has no values. */
  readonly registersExcept?: readonly string[]
  readonly module?: ModuleProfile
  readonly traffic?: TrafficProfile
  /** Texts of MQIS by info_type: 1 the name, 2 the description, ... */
  readonly texts?: Readonly<Record<string, string>>
  /** What CR space has beside the dump table of its chip: [byte address, dwords]. */
  readonly crSpace?: {
    readonly besideTable?: readonly (readonly [address: number, dwords: number])[]
    /** Blocks that firmware itself adds to a dump, each in the chain that begins at 0x18. */
    readonly chain?: readonly (readonly [address: number, dwords: number])[]
  }
  /** What RESOURCE_DUMP dumps, in the order of its menu. */
  readonly resourceDump?: readonly DumpedResource[]
  /**
   * NV configuration: defaults of each TLV that there is, by its name, with /p1 for a port and /m0 for a module; "nvChanged" has
   * what is now, or will be after the next start, another value; "nvReadOnly" those that cannot be written.
   */
  readonly nv?: Readonly<Record<string, Values>>
  readonly nvChanged?: Readonly<Record<string, { readonly current?: Values; readonly next?: Values }>>
  readonly nvReadOnly?: readonly string[]
  /** TLVs that somebody of a higher priority wrote: 1 the OEM, 3 the maker. What a user writes is refused. */
  readonly nvPriority?: Readonly<Record<string, number>>
  /** TLVs whose section in flash is damaged, and those that were erased too often to be written. */
  readonly nvCorrupt?: readonly string[]
  readonly nvWornOut?: readonly string[]
  /** Fields of its VPD, by keyword: PN, SN, ... and ID for the product name. */
  readonly vpd: Readonly<Record<string, string>>
}

/** @throws NameError with the profiles there are; MalformedData when the file is none */
export function loadProfile(name: string): Profile {
  const folder = profileFolder()
  const file = path.join(folder, `${name}.json`)
  if (!/^[\w-]+$/.test(name) || !existsSync(file)) {
    const there = profileNames()
    throw new NameError(`there is no device profile ${name}; there is ${there.join(', ')}`, nearest(name, there))
  }
  return readProfile(file, []) as unknown as Profile
}

type Json = { readonly [key: string]: unknown }

function readProfile(file: string, above: readonly string[]): Json {
  if (above.includes(file)) throw new MalformedData(file, 'extends itself')
  let raw: Json
  try {
    raw = JSON.parse(readFileSync(file, 'utf8')) as Json
  } catch (error) {
    throw new MalformedData(file, (error as Error).message)
  }
  const { extends: base, ...own } = raw
  return typeof base === 'string' ? merge(readProfile(siblingOf(file, base), [...above, file]), own) : own
}

const siblingOf = (file: string, name: string): string => path.join(path.dirname(file), `${name}.json`)

/** Objects are merged member by member; a list or a value stands in place of the other; null takes a member away. */
function merge(base: Json, own: Json): Json {
  const result: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(own)) {
    if (value === null) delete result[key]
    else result[key] = isObject(value) && isObject(base[key]) ? merge(base[key], value) : value
  }
  return result
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

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
