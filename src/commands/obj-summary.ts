import { scopeOf, type Device } from '../device/device'
import { FirmwareError, UsageError } from '../device/errors'
import { objectTypes, queryObject, type ObjectType } from '../device/objects'
import { columns } from '../render/columns'
import { collect } from './refusals'
import { withDevice } from './session'
import type { Context, Result } from './types'

/** What firmware says of the objects of one type. */
interface TypeSummary {
  readonly type: string
  readonly command: string
  /** Ids that were queried; 1 for a type of which there is one. */
  readonly asked: number
  /** Ids that are there; null for the one that has no id. */
  readonly found: readonly (number | null)[]
  /** How often each status was the answer. */
  readonly refused: readonly { readonly status: number; readonly statusName: string; readonly count: number }[]
  /** Why it was not asked for. */
  readonly skipped: string | null
}

/** Which objects of each type there are, among some ids. A refusal hides no other object; types that were queried stay when the device is lost. */
export async function summarizeObjects(context: Context, name: string, ids: readonly number[]): Promise<Result> {
  if (context.options.dryRun) throw new UsageError('obj summary has no --dry-run')
  return withDevice(context, name, async (device) => {
    const { found: summaries, failure } = await collect(
      objectTypes(device.catalogue),
      { label: 'object types', watched: context.interactive() },
      (type) => summarize(device, type, ids),
    )
    return {
      device: device.identity,
      data: { ids: { first: ids[0] ?? 0, last: ids.at(-1) ?? 0, count: ids.length }, types: summaries },
      records: summaries,
      text: () => table(summaries),
      failure,
    }
  })
}

async function summarize(device: Device, type: ObjectType, ids: readonly number[]): Promise<TypeSummary> {
  const about = { type: type.name, command: type.command.name }
  const skipped = reasonToSkip(device, type)
  if (skipped !== undefined) return { ...about, asked: 0, found: [], refused: [], skipped }
  const asked = type.idField === undefined ? [undefined] : ids.filter((id) => id < 2 ** type.idWidth)
  const found: (number | null)[] = []
  const refused = new Map<number, { status: number; statusName: string; count: number }>()
  for (const id of asked) {
    try {
      await queryObject(device, type, id, {})
      found.push(id ?? null)
    } catch (error) {
      if (!(error instanceof FirmwareError)) throw error
      const { status, statusName } = error
      const known = refused.get(status) ?? { status, statusName, count: 0 }
      refused.set(status, { ...known, count: known.count + 1 })
    }
  }
  return { ...about, asked: asked.length, found, refused: [...refused.values()], skipped: null }
}

/** fwctl taints the kernel for scopes 2 and 3, and knows no others. */
function reasonToSkip({ identity }: Device, { command }: ObjectType): string | undefined {
  if (identity.transport !== 'fwctl') return undefined
  const scope = scopeOf(command, 0)
  if (scope === null) return 'fwctl never allows it'
  return scope >= 2 ? `needs fwctl scope ${scope}, which taints the kernel` : undefined
}

function table(summaries: readonly TypeSummary[]): string {
  return columns([
    ['TYPE', 'ASKED', 'FOUND', 'IDS'],
    ...summaries.map(({ type, asked, found, skipped }) => [
      type,
      String(asked),
      String(found.length),
      skipped ?? (found.filter((id) => id !== null).join(' ') || '-'),
    ]),
  ])
}
