import { scopeOf } from '../../device/device'
import type { Catalogue } from '../../prm/catalogue'
import { columns } from '../../render/columns'
import { openFacts } from '../session'
import type { Result } from '../types'
import type { Item } from './items'
import type { Plan } from './plan'

/** What would be sent, with the scopes of fwctl; nothing is opened. */
export function showPlan(plan: Plan): Result {
  const { catalogue } = openFacts()
  const items = [
    ...plan.host.map((item) => plannedItem(catalogue, item, null)),
    ...plan.devices.flatMap(({ folder, items: own }) => own.map((item) => plannedItem(catalogue, item, folder))),
  ]
  const devices = plan.devices.map(({ name, folder }) => ({ name, folder }))
  const estimate = items.reduce((sum, item) => sum + item.estimate, 0)
  return {
    data: { dryRun: true, devices, interval: plan.interval, redacted: plan.redact, estimate, items },
    records: items,
    text: () => planText(items, estimate),
  }
}

interface PlannedItem {
  readonly device: string | null
  readonly name: string
  readonly command: string | null
  readonly file: string
  readonly sends: readonly { readonly command: string; readonly scope: number | null; readonly what: string }[]
  readonly needs: string | null
  readonly redactable: boolean
  readonly estimate: number
}

function plannedItem(
  catalogue: Catalogue,
  { name, file, form, sends, needs, estimate, source }: Item,
  device: string | null,
): PlannedItem {
  return {
    device,
    name,
    command: 'words' in source ? `mlx5ctl ${source.words.join(' ')}` : source.shown,
    file: device === null ? `host/${file}` : `devices/${device}/${file}`,
    sends: sends.map(({ command, opMod, what }) => ({
      command,
      scope: scopeOf(catalogue.command(command), opMod),
      what,
    })),
    needs: needs ?? null,
    redactable: form !== 'bytes',
    estimate,
  }
}

function planText(items: readonly PlannedItem[], estimate: number): string {
  const rows = items.map(({ device, name, sends, needs, estimate: bytes }) => [
    device ?? 'host',
    name,
    `${Math.ceil(bytes / 1024)}K`,
    [...sendingTexts(sends), ...(needs === null ? [] : [`needs ${needs}`])].join('; ') || 'nothing is sent',
  ])
  return `${columns([['WHERE', 'ITEM', 'SIZE', 'SENDS'], ...rows])}about ${Math.ceil(estimate / 1024)}K before compression\n`
}

/** Commands that are sent for the same thing, together. */
function sendingTexts(sends: PlannedItem['sends']): string[] {
  const commands = new Map<string, string[]>()
  for (const { command, scope, what } of sends) {
    const rest = `(${scope === null ? 'never over fwctl' : `scope ${scope}`}): ${what}`
    commands.set(rest, [...(commands.get(rest) ?? []), command])
  }
  return [...commands].map(([rest, names]) => `${names.join(', ')} ${rest}`)
}
