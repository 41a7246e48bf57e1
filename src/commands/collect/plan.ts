import { createHash } from 'node:crypto'
import os from 'node:os'
import path from 'node:path'
import { redactedKinds, type RedactedKind } from '../../bundle/manifest'
import { UsageError } from '../../device/errors'
import { nearest } from '../../prm/nearest'
import { parseDuration } from '../durations'
import type { Context } from '../types'
import { defaultSegments, deviceItems, hostItems, type Item } from './items'

export interface PlannedDevice {
  /** As it was asked for. */
  readonly name: string
  /** Under `devices/`. */
  readonly folder: string
  readonly items: readonly Item[]
}

/** What is collected, and how. */
export interface Plan {
  readonly host: readonly Item[]
  readonly devices: readonly PlannedDevice[]
  readonly redact: readonly RedactedKind[]
  /** Milliseconds: between two samples of counters; for one item. */
  readonly interval: number
  readonly itemTimeout: number
  /** Devices at a time. */
  readonly parallel: number
  /** Of all that decides about the files of a bundle: a run that was interrupted is gone on with by the same plan only. */
  readonly hash: string
}

const INTERVAL = '10s'
const ITEM_TIMEOUT = '60s'
const PARALLEL = 4
const MOST_PARALLEL = 64

/** @throws UsageError */
export function makePlan(context: Context, names: readonly string[]): Plan {
  const { own, options, table } = context
  if (options.allowTaint)
    throw new UsageError('collect has no --allow-taint', 'it sends nothing that taints the kernel')
  const twice = names.find((name, index) => names.indexOf(name) < index)
  if (twice !== undefined) throw new UsageError(`${twice} is given twice`)
  const asked = listOf(own.segments, '--segments')
  const segments = asked ?? defaultSegments
  const wrong = segments.find((segment) => !/^\w+$/.test(segment))
  if (wrong !== undefined)
    throw new UsageError(`--segments ${wrong}: it takes names or numbers of the resource dump menu`)
  const choice = { segments, asked: asked !== undefined, tracer: own.tracer === true }
  const isWanted = selection(own, [...hostItems(), ...deviceItems('', choice, table)])
  const folders = new Set<string>()
  const devices = names.map((name) => ({
    name,
    folder: folderOf(name, folders),
    items: deviceItems(name, choice, table).filter(isWanted),
  }))
  const plan = {
    host: hostItems().filter(isWanted),
    devices,
    redact: redactedKindsOf(own.redact),
    interval: parseDuration(own.interval ?? INTERVAL, '--interval'),
    itemTimeout: parseDuration(own.itemTimeout ?? ITEM_TIMEOUT, '--item-timeout'),
    parallel: parallelOf(own.parallel),
  }
  const { devRoot, sysfsRoot, transport } = options
  const deciding = [
    context.version,
    os.hostname(),
    names,
    devices.map(named),
    plan.host.map(nameOf),
    plan.redact,
    plan.interval,
    choice,
  ]
  const hash = createHash('sha256')
    .update(JSON.stringify([deciding, devRoot, sysfsRoot, transport]))
    .digest('hex')
  return { ...plan, hash }
}

const nameOf = ({ name }: Item): string => name
const named = ({ items }: PlannedDevice): string[] => items.map(nameOf)

/** By --only and --skip; a name may end in a star. */
function selection(own: Context['own'], items: readonly Item[]): (item: Item) => boolean {
  const only = listOf(own.only, '--only')
  const skip = listOf(own.skip, '--skip') ?? []
  const names = items.map(nameOf)
  const matches = (pattern: string, name: string): boolean =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern
  for (const pattern of [...(only ?? []), ...skip])
    if (!names.some((name) => matches(pattern, name))) {
      const like = nearest(pattern, names)
      throw new UsageError(
        `there is no item ${pattern}${like.length === 0 ? '' : `; did you mean ${like.join(', ')}?`}`,
        'collect --dry-run lists them',
      )
    }
  return ({ name }) =>
    (only === undefined || only.some((pattern) => matches(pattern, name))) &&
    !skip.some((pattern) => matches(pattern, name))
}

function redactedKindsOf(value: unknown): RedactedKind[] {
  const asked = listOf(value, '--redact') ?? []
  if (asked.includes('all')) return [...redactedKinds]
  for (const kind of asked)
    if (!redactedKinds.some((known) => known === kind))
      throw new UsageError(`--redact ${kind}: it takes ${redactedKinds.join(', ')} or all`)
  return redactedKinds.filter((kind) => asked.includes(kind))
}

function parallelOf(value: unknown): number {
  if (typeof value !== 'string') return PARALLEL
  const number = Number(value)
  if (Number.isInteger(number) && number >= 1 && number <= MOST_PARALLEL) return number
  throw new UsageError(`--parallel ${value}: it is a number of devices, up to ${MOST_PARALLEL}`)
}

function listOf(value: unknown, option: string): string[] | undefined {
  if (typeof value !== 'string') return undefined
  const words = value.split(',').map((word) => word.trim())
  if (words.includes('')) throw new UsageError(`${option} takes names, separated by commas`)
  return [...new Set(words)]
}

/** A name without slashes that no other device has: a PCI address stays as it is. */
function folderOf(name: string, taken: Set<string>): string {
  const base = path.basename(name).replace(/^mlx5ctl-/, '')
  const isAddress = /^(?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(base)
  const plain = (isAddress ? base : base.replace(/[^A-Za-z0-9._-]/g, '-')).replace(/^\.+/, '') || 'device'
  let folder = plain
  for (let number = 2; taken.has(folder); number++) folder = `${plain}-${number}`
  taken.add(folder)
  return folder
}
