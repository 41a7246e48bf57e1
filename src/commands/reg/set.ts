import type { Device } from '../../device/device'
import { UsageError } from '../../device/errors'
import {
  accessRegister,
  indexHint,
  isSentWithRead,
  registerTitle,
  type Assignment,
  type RegisterTarget,
} from '../../device/registers'
import type { Codec, Value } from '../../prm/codec'
import { columns } from '../../render/columns'
import { toJson } from '../../render/values'
import { openFacts, withDevice } from '../session'
import type { Context, Result } from '../types'
import { dryRun } from './get'
import { registerRequest, type RegisterRequest } from './request'
import { readingHex, targetData } from './view'

/** What becomes of one field. */
interface Change {
  readonly path: string
  /** Null where nothing was read before. */
  readonly before: Value | null
  readonly wanted: Value
  /** Null for what cannot be read back. */
  after: Value | null
}

export async function setRegister(context: Context, name: string, words: readonly string[]): Promise<Result> {
  const facts = openFacts()
  const { codec } = facts
  const request = registerRequest(context, facts, words)
  const { target, image, given } = request
  const { layout } = target
  if (layout === undefined) {
    if (context.own.overwrite !== true)
      throw new UsageError('a register without a layout is written as it is given: say so with --overwrite')
    if (context.options.dryRun) return dryRun(facts, request, 'write')
    return writeRaw(context, name, request)
  }
  const data = given.filter(({ ref }) => !isSentWithRead(codec, layout, ref) || ref.access === 'OP')
  if (data.length === 0) throw new UsageError('nothing to set: give FIELD=VALUE for a field that can be written')
  if (context.options.dryRun) return dryRun(facts, { target, image }, 'write')
  return withDevice(context, name, async (device) => {
    const hint = (): string | undefined => indexHint(codec, layout, given)
    // A read is sent what selects, and nothing of what is to be written.
    const selectors = given.filter(({ ref }) => isSentWithRead(codec, layout, ref))
    const selecting = put(codec, layout, new Uint8Array(image.length), selectors)
    const before =
      context.own.overwrite === true ? undefined : await accessRegister(device, target, 'read', selecting, hint)
    const next = before === undefined ? image : put(codec, layout, before.slice(), given)
    const changes = data.map((assignment): Change => {
      const { path } = assignment.ref
      const hidden = before === undefined || assignment.ref.access === 'WO' || assignment.ref.access === 'OP'
      return {
        path,
        before: hidden ? null : codec.get(layout, before, path),
        wanted: codec.get(layout, next, path),
        after: null,
      }
    })
    const due = changes.filter(({ before: old, wanted }) => old === null || !same(old, wanted))
    if (due.length === 0) return outcome(device, { target, image: next }, changes, false, [])
    await confirm(context, codec, target, due)
    await accessRegister(device, target, 'write', next, hint)
    const warnings = await readBack(device, target, { layout, selecting, data }, changes)
    return outcome(device, { target, image: next }, changes, true, warnings)
  })
}

function put(codec: Codec, layout: string, image: Uint8Array, given: readonly Assignment[]): Uint8Array {
  for (const { ref, text } of given) codec.set(layout, image, ref.path, codec.parse(ref, text))
  return image
}

/** Shows what changes and asks. @throws UsageError where nobody can be asked, Unsupported when the answer is no */
async function confirm(context: Context, codec: Codec, target: RegisterTarget, due: readonly Change[]): Promise<void> {
  await context.confirm(`${registerTitle(target)} will be written:\n${changeTable(codec, target, due)}`, 'Write it?')
}

async function readBack(
  device: Device,
  target: RegisterTarget,
  {
    layout,
    selecting,
    data,
  }: { readonly layout: string; readonly selecting: Uint8Array; readonly data: readonly Assignment[] },
  changes: readonly Change[],
): Promise<string[]> {
  const readable = new Set(
    data.filter(({ ref }) => ref.access !== 'WO' && ref.access !== 'OP').map(({ ref }) => ref.path),
  )
  if (readable.size === 0) return []
  let now: Uint8Array
  try {
    now = await accessRegister(device, target, 'read', selecting)
  } catch (error) {
    return [`written, but it cannot be read back: ${(error as Error).message}`]
  }
  return changes.flatMap((change) => {
    if (!readable.has(change.path)) return []
    change.after = device.codec.get(layout, now, change.path)
    return same(change.after, change.wanted)
      ? []
      : [`${change.path} was written, but reads as ${valueText(change.after)} instead of ${valueText(change.wanted)}`]
  })
}

function outcome(
  device: Device,
  { target, image }: Pick<RegisterRequest, 'target' | 'image'>,
  changes: readonly Change[],
  changed: boolean,
  warnings: readonly string[],
): Result {
  const { codec } = device
  return {
    device: device.identity,
    data: {
      register: targetData(target, image.length),
      changed,
      fields: changes.map(({ path, before, wanted, after }) => ({
        path,
        before: before === null ? null : toJson(before),
        wanted: toJson(wanted),
        after: after === null ? null : toJson(after),
      })),
    },
    text: () => (changed ? changeTable(codec, target, changes) : `${registerTitle(target)}: nothing to change\n`),
    hex: () => readingHex(codec, { target, image, values: undefined }),
    raw: () => image,
    warnings,
    partial: warnings.length > 0,
  }
}

async function writeRaw(context: Context, name: string, request: RegisterRequest): Promise<Result> {
  const { target, image } = request
  return withDevice(context, name, async (device) => {
    await confirm(context, device.codec, target, [])
    await accessRegister(device, target, 'write', image)
    return outcome(device, { target, image }, [], true, [])
  })
}

function changeTable(codec: Codec, { layout }: RegisterTarget, changes: readonly Change[]): string {
  const shown = (path: string, value: Value | null): string => {
    if (value === null) return '-'
    const name = layout === undefined ? undefined : codec.enumName(codec.resolve(layout, path).enum, value)
    return name === undefined ? valueText(value) : `${valueText(value)} ${name}`
  }
  return columns([
    ['FIELD', 'BEFORE', 'WANTED', 'AFTER'],
    ...changes.map(({ path, before, wanted, after }) => [
      path,
      shown(path, before),
      shown(path, wanted),
      shown(path, after),
    ]),
  ])
}

function valueText(value: Value): string {
  return typeof value === 'number' || typeof value === 'bigint'
    ? `0x${value.toString(16)}`
    : JSON.stringify(toJson(value))
}

const same = (a: Value, b: Value): boolean => JSON.stringify(toJson(a)) === JSON.stringify(toJson(b))
