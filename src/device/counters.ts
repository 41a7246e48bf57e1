import type { Struct } from '../prm/codec'
import { NameError } from '../prm/errors'
import { nearest } from '../prm/nearest'
import { queryCapabilities } from './capabilities'
import { counterGroups } from './counters/groups'
import type { CounterGroup, CounterScope, Labels, Surroundings } from './counters/reading'
import type { CounterValue } from './counters/values'
import type { Device } from './device'
import { FirmwareError, Unsupported } from './errors'

export { counterGroups } from './counters/groups'
export type { CounterGroup, CounterScope, Labels } from './counters/reading'
export { changesOf, type CounterChange } from './counters/rates'
export type { CounterValue, Unit, ValueType } from './counters/values'

/** A group to read, or of one only some values. */
export interface WantedGroup {
  readonly group: CounterGroup
  /** Names of values; absent for all of them. */
  readonly fields?: readonly string[]
}

/** One instance of a group, as it was read. */
export interface CounterReading {
  readonly group: CounterGroup
  readonly labels: Labels
  readonly values: readonly CounterValue[]
  /** Milliseconds of the host's monotonic clock when the answer was there. */
  readonly at: number
}

/** One instance that the device, or the door to it, does not give. */
export interface RefusedCounters {
  readonly group: CounterGroup
  /** Absent where already the instances could not be told. */
  readonly labels: Labels
  readonly error: FirmwareError | Unsupported
}

export interface CountersRead {
  readonly readings: readonly CounterReading[]
  readonly refused: readonly RefusedCounters[]
  /** What ended it before all was read. */
  readonly failure?: Error
}

/**
 * Finds groups by name, or single values of them as GROUP.VALUE. Without names it is every group that may be read without being
 * asked for.
 * @throws NameError with the names that resemble it
 */
export function wantedGroups(words: readonly string[]): WantedGroup[] {
  if (words.length === 0)
    return counterGroups.filter((group) => group.onlyByName === undefined).map((group) => ({ group }))
  const fields = new Map<CounterGroup, string[] | undefined>()
  for (const word of words) {
    const at = word.indexOf('.')
    const group = findGroup(at < 0 ? word : word.slice(0, at))
    const known = fields.get(group)
    if (at < 0) fields.set(group, undefined)
    else if (known !== undefined || !fields.has(group)) fields.set(group, [...(known ?? []), word.slice(at + 1)])
  }
  return [...fields].map(([group, names]) => (names === undefined ? { group } : { group, fields: names }))
}

/** @throws NameError with the names that resemble it */
export function findGroup(name: string): CounterGroup {
  const plain = name.toLowerCase().replaceAll('-', '_')
  const found = counterGroups.find((group) => group.name === plain)
  if (found !== undefined) return found
  const like = nearest(
    plain,
    counterGroups.map((group) => group.name),
  )
  const hint = like.length === 0 ? 'mlx5ctl counters list has them' : `did you mean ${like.join(', ')}?`
  throw new NameError(`there is no group of counters ${name}; ${hint}`, like)
}

/** Reads groups of counters of one device, again and again if need be: what instances there are is asked once. */
export class CounterReader {
  private around: Surroundings | undefined
  private readonly instances = new Map<CounterGroup, readonly Labels[]>()

  constructor(
    private readonly device: Device,
    private readonly wanted: readonly WantedGroup[],
    private readonly scope: CounterScope = {},
  ) {}

  /**
   * Reads all that is wanted. Nothing is cleared. What firmware refuses hides none of the others; what keeps the device from being
   * reached ends it, with what was read until then.
   * @throws NameError for a value that a group does not have
   */
  async read(): Promise<CountersRead> {
    const readings: CounterReading[] = []
    const refused: RefusedCounters[] = []
    try {
      for (const wanted of this.wanted) await this.readGroup(wanted, readings, refused)
    } catch (error) {
      if (error instanceof NameError || !(error instanceof Error)) throw error
      return { readings, refused, failure: error }
    }
    return { readings, refused }
  }

  private async readGroup(
    { group, fields }: WantedGroup,
    readings: CounterReading[],
    refused: RefusedCounters[],
  ): Promise<void> {
    const found: CounterReading[] = []
    try {
      const around = (this.around ??= await surroundings(this.device, this.scope))
      const known = this.instances.get(group) ?? (await group.instances(around, this.device))
      this.instances.set(group, known)
      for (const labels of known) {
        try {
          const values = await group.read(this.device, labels, around)
          found.push({ group, labels, values, at: performance.now() })
        } catch (error) {
          refused.push({ group, labels, error: refusal(error) })
        }
      }
    } catch (error) {
      refused.push({ group, labels: {}, error: refusal(error) })
    } finally {
      readings.push(...selected(group, found, fields))
    }
  }
}

/** What hides only what was asked for; anything else is thrown on. */
function refusal(error: unknown): FirmwareError | Unsupported {
  if (error instanceof FirmwareError || error instanceof Unsupported) return error
  if (error instanceof Error && 'kind' in error && error.kind === 'unsupported') return new Unsupported(error.message)
  throw error
}

/**
 * Only the values that are wanted. Instances differ in what they have: one that has none of them is left out.
 * @throws NameError for a name that no instance has
 */
function selected(
  group: CounterGroup,
  found: readonly CounterReading[],
  fields: readonly string[] | undefined,
): readonly CounterReading[] {
  if (fields === undefined || found.length === 0) return found
  const names = [...new Set(found.flatMap(({ values }) => values.map(({ name }) => name)))]
  const unknown = fields.find((field) => !names.includes(field))
  if (unknown !== undefined) {
    const like = nearest(unknown, names)
    const hint = like.length === 0 ? `it has ${names.join(', ')}` : `did you mean ${like.join(', ')}?`
    throw new NameError(`${group.name} has no value ${unknown} here; ${hint}`, like)
  }
  return found
    .map((reading) => ({
      ...reading,
      values: fields.flatMap((field) => reading.values.find(({ name }) => name === field) ?? []),
    }))
    .filter(({ values }) => values.length > 0)
}

const MOST_TRAFFIC_CLASSES = 8

/** Ports, traffic classes and so on, by the GENERAL capabilities; where they cannot be read, what every function has: port 1. */
async function surroundings(device: Device, scope: CounterScope): Promise<Surroundings> {
  const general = await generalCapabilities(device)
  const number = (name: string): number => Number(general[name] ?? 0)
  const count = Math.max(1, number('num_ports'))
  const classes = number('max_tc')
  const kind = device.codec.enumName('mlx5_cmd_hca_cap_port_type', number('port_type'))
  return {
    ports: scope.ports ?? [...Array(count).keys()].map((index) => index + 1),
    trafficClasses: classes === 0 ? MOST_TRAFFIC_CLASSES : Math.min(MOST_TRAFFIC_CLASSES, classes + 1),
    isInfiniband: general.port_type !== undefined && kind === 'IB',
    sumsQueueCounters: number('q_counter_aggregation') === 1,
    has: (capability) => (general[capability] === undefined ? undefined : number(capability) === 1),
    scope,
  }
}

async function generalCapabilities(device: Device): Promise<Struct> {
  try {
    const { values } = await queryCapabilities(device, device.catalogue.capability('GENERAL'), 'current')
    return values
  } catch (error) {
    refusal(error)
    return {}
  }
}
