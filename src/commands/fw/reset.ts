import type { Device } from '../../device/device'
import { Interrupted, Unsupported, UsageError, withHint } from '../../device/errors'
import { queryFirmware, type FirmwareInfo } from '../../device/firmware/query'
import {
  failedStates,
  LEVEL,
  readResetSupport,
  requestReset,
  resetPatience,
  ResetFailed,
  resetRequest,
  SYNC,
  type ResetChoice,
  type ResetRequest,
  type ResetSupport,
} from '../../device/firmware/reset'
import { formatVersion } from '../../prm/firmware-image/version'
import { DeliveryError, OpenError } from '../../transport/contract'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

/** Milliseconds between two attempts to see the device again. */
const ATTEMPT = 250

interface Before {
  readonly identity: Device['identity']
  readonly info: FirmwareInfo
  readonly support: ResetSupport
  /** Milliseconds. */
  readonly patience: number
}

interface Outcome {
  readonly request: ResetRequest | undefined
  readonly performed: boolean
  readonly armed: boolean
  readonly after: FirmwareInfo
  readonly support: ResetSupport
}

/**
 * fw reset: without --level what resets the device can; with it, that reset. What takes the hands of an operator is told.
 */
export async function resetDevice(context: Context, words: readonly string[]): Promise<Result> {
  const [name, other] = words
  if (name === undefined || other !== undefined) throw new UsageError('fw reset takes one device')
  const wanted = wantedOf(context)
  const before = await withDevice(context, name, lookBefore)
  if (wanted.level === undefined) return result(before, { ...asked(before), request: undefined })
  const request = resetRequest(before.support, wanted)
  checkPossible(before, request)
  if (context.options.dryRun) return result(before, { ...asked(before), request })
  await confirm(context, name, before, request)
  const sent = await withDevice(context, name, (device) => send(device, before, request))
  if (request.level === LEVEL.WARM_REBOOT) return result(before, { ...asked(before), request, armed: true })
  const back = sent ?? (await awaitReturn(context, name, before))
  return result(before, { request, armed: false, performed: true, ...back })
}

const asked = ({ info, support }: Before): Omit<Outcome, 'request'> => ({
  performed: false,
  armed: false,
  after: info,
  support,
})

function wantedOf({ own }: Context): Partial<ResetRequest> {
  const number = (name: 'level' | 'type' | 'sync'): { readonly [K in typeof name]?: number } => {
    const text = own[name]
    if (text === undefined) return {}
    if (typeof text !== 'string' || !/^\d$/.test(text)) throw new UsageError(`--${name} takes a number`)
    return { [name]: Number(text) }
  }
  const wanted = { ...number('level'), ...number('type'), ...number('sync') }
  if (wanted.level === undefined && Object.keys(wanted).length > 0)
    throw new UsageError('--type and --sync go with --level')
  return wanted
}

async function lookBefore(device: Device): Promise<Before> {
  return {
    identity: device.identity,
    support: await readResetSupport(device),
    info: await queryFirmware(device),
    patience: await resetPatience(device),
  }
}

/** What takes the PCI link down and up cannot be done from here. @throws Unsupported with what the operator can do */
function checkPossible({ identity, support }: Before, { level, sync }: ResetRequest): void {
  if (level !== LEVEL.PCI || sync !== SYNC.TOOL) return
  const { node, pci = 'BDF' } = identity
  const byDriver = support.syncs.some((one) => one.number === SYNC.DRIVER && one.supported)
  throw new Unsupported(
    'a reset of level 3 with sync 0 takes the PCI link down and scans the bus anew, which no door of this tool can do; nothing was sent',
    [
      ...(byDriver ? [`let the drivers do it: fw reset ${node} --level 3 --sync 1`] : []),
      `or arm it and reboot: fw reset ${node} --level 4`,
      `or, where PCI config space is open: mstfwreset -d ${pci} --level 3 --sync 0 reset`,
    ].join('; '),
  )
}

async function confirm(context: Context, name: string, { info }: Before, { level }: ResetRequest): Promise<void> {
  if (context.options.yes) return
  const what =
    level === LEVEL.PCI
      ? 'its drivers go down and up again on all hosts, and its links with them'
      : level === LEVEL.WARM_REBOOT
        ? 'it will be reset with the next reboot'
        : 'its firmware is exchanged while it works'
  const loads = info.pending === undefined ? '' : `, and ${formatVersion(info.pending)} is loaded`
  context.note(`${name}: ${what}${loads}`)
  if (!(await context.ask('Reset it? [y/N] '))) throw new Unsupported('not confirmed: nothing was reset')
}

interface Returned {
  readonly after: FirmwareInfo
  readonly support: ResetSupport
}

/** A device that is reset may be gone before it answers. What it is where it is back at once. */
async function send(device: Device, { info }: Before, request: ResetRequest): Promise<Returned | undefined> {
  const { psid } = await queryFirmware(device)
  if (psid !== info.psid) throw new Unsupported(`this is another device by now: PSID ${psid}, not ${info.psid}`)
  try {
    await requestReset(device, request)
    return request.level === LEVEL.WARM_REBOOT ? undefined : returned(info, await lookBefore(device))
  } catch (error) {
    if (!(error instanceof DeliveryError) || request.level === LEVEL.WARM_REBOOT) throw error
    return undefined
  }
}

/** Opens the device again and again until it tells that the reset is over. @throws ResetFailed */
async function awaitReturn(context: Context, name: string, { info, patience }: Before): Promise<Returned> {
  const { signal, options } = context
  const end = Date.now() + Math.min(patience, (options.timeout ?? Infinity) * 1000)
  let last: Error | undefined
  for (;;) {
    try {
      const now = await withDevice(context, name, lookBefore)
      const back = returned(info, now)
      if (back !== undefined) return back
      const state = `${formatVersion(now.info.running)} (${now.support.state.name})`
      last = new DeliveryError(`the device still runs ${state}`, 'ETIMEDOUT')
    } catch (error) {
      if (!(error instanceof DeliveryError || error instanceof OpenError)) throw error
      last = error
    }
    if (signal.aborted)
      throw withHint(
        new Interrupted(String(signal.reason)),
        'the reset was asked for, and goes on without this command',
      )
    if (Date.now() > end)
      throw new DeliveryError(
        `the reset was asked for, but is not over after ${Math.round(patience / 1000)} s: ${last.message}`,
        'ETIMEDOUT',
        {
          hint: 'fw reset DEVICE tells its state; a reboot loads what is on flash',
        },
      )
    await new Promise((resolve) => setTimeout(resolve, ATTEMPT))
  }
}

/** What the device is once the reset is over; undefined until then. @throws ResetFailed */
function returned(before: FirmwareInfo, { info, support }: Before): Returned | undefined {
  const { code, name } = support.state
  if (failedStates.has(code)) throw new ResetFailed(code, name)
  return code === 0 && isOver(before, info) ? { after: info, support } : undefined
}

/** What was on flash runs; where that ran before, the device counts its time anew (one that counts none answers). */
function isOver(before: FirmwareInfo, now: FirmwareInfo): boolean {
  if (before.pending !== undefined) return formatVersion(now.running) === formatVersion(before.pending)
  return before.uptime === 0 || now.uptime < before.uptime
}

function result({ identity, info }: Before, outcome: Outcome): Result {
  const { request, performed, armed, after, support } = outcome
  const steps = stepsOf(identity, outcome)
  const choice = (key: string, all: readonly ResetChoice[]): unknown[] =>
    all.map(({ number, name, supported, isDefault }) => ({ [key]: number, name, supported, default: isDefault }))
  return {
    device: identity,
    data: {
      performed,
      armed,
      request: request ?? null,
      levels: choice('level', support.levels),
      types: choice('type', support.types),
      syncs: choice('sync', support.syncs),
      state: support.state,
      rescanRequired: support.rescanRequired,
      before: formatVersion(info.running),
      running: formatVersion(after.running),
      pending: after.pending === undefined ? null : formatVersion(after.pending),
      rebootRequired: after.pending !== undefined || armed,
      steps,
    },
    text: () => (request === undefined ? queryText(support, steps) : outcomeText(identity.node, info, outcome, steps)),
  }
}

/** What remains for the operator. */
function stepsOf({ pci }: Device['identity'], { armed, support, after }: Outcome): string[] {
  const address = pci ?? 'BDF'
  return [
    ...(armed ? ['reboot this machine, and every other host of the device'] : []),
    ...(support.rescanRequired
      ? [
          `scan the PCI bus anew: echo 1 >/sys/bus/pci/devices/${address}/remove for each function of the card, then echo 1 >/sys/bus/pci/rescan`,
        ]
      : []),
    ...(!armed && after.pending !== undefined
      ? [`reset the device to load ${formatVersion(after.pending)}, which is on flash`]
      : []),
  ]
}

/** As mstfwreset lists them (facts: firmware manager, D). */
function queryText(support: ResetSupport, steps: readonly string[]): string {
  const rows = (all: readonly ResetChoice[]): string =>
    all
      .map(({ number, name, supported, isDefault }) => {
        const can = (supported ? 'Supported' : 'Not Supported').padEnd(14)
        return `${number}: ${name.padEnd(62)}-${can}${isDefault ? '(default)' : ''}\n`
      })
      .join('')
  return [
    `Reset-levels:\n${rows(support.levels)}`,
    `\nReset-types (relevant only for reset-levels 1,3,4):\n${rows(support.types)}`,
    `\nReset-sync (relevant only for reset-level 3):\n${rows(support.syncs)}`,
    `\nState: ${support.state.name}\n`,
    ...steps.map((step) => `To do: ${step}\n`),
  ].join('')
}

function outcomeText(
  node: string,
  before: FirmwareInfo,
  { request, performed, armed, after }: Outcome,
  steps: readonly string[],
): string {
  const old = formatVersion(before.running)
  const now = formatVersion(after.running)
  const how = `level ${request?.level}, type ${request?.type}, sync ${request?.sync}`
  const what = performed
    ? `was reset (${how}); ${old === now ? `${now} runs` : `${now} runs in place of ${old}`}`
    : armed
      ? `will be reset with the next reboot (${how})`
      : `would be reset (${how})`
  return `${node}: ${what}\n${steps.map((step) => `To do: ${step}\n`).join('')}`
}
