import type { Device } from '../../device/device'
import { FirmwareError, Interrupted, Unsupported, UsageError, withHint } from '../../device/errors'
import { queryFirmware } from '../../device/firmware/query'
import {
  isResetOver,
  LEVEL,
  readResetSupport,
  requestReset,
  resetPatience,
  resetRequest,
  ResetFailed,
  SYNC,
  TYPE,
  type ResetChoice,
  type ResetRequest,
  type ResetView,
} from '../../device/firmware/reset'
import { formatVersion } from '../../prm/firmware-image/version'
import { DeliveryError, OpenError } from '../../transport/contract'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { outcomeText, queryText, stepsOf, type ResetOutcome } from './reset-text'

/** Milliseconds between two attempts to see the device again. */
const ATTEMPT = 250

interface Before extends ResetView {
  readonly identity: Device['identity']
  /** Milliseconds. */
  readonly patience: number
}

/**
 * fw reset: without --level what resets the device can; with it, that reset. What takes the hands of an operator is told.
 */
export async function resetDevice(context: Context, words: readonly string[]): Promise<Result> {
  const [name, other] = words
  if (name === undefined || other !== undefined) throw new UsageError('fw reset takes one device')
  const wanted = wantedOf(context)
  const before = await withDevice(context, name, async (device) => ({
    ...(await look(device)),
    identity: device.identity,
    patience: await resetPatience(device),
  }))
  const asItIs = { after: before.info, support: before.support, performed: false, armed: false }
  if (wanted.level === undefined) return result(before, { ...asItIs, request: undefined })
  const request = resetRequest(before.support, wanted)
  checkPossible(before, request)
  if (context.options.dryRun) return result(before, { ...asItIs, request })
  await confirm(context, name, before, request)
  if (request.level === LEVEL.WARM_REBOOT) {
    await withDevice(context, name, (device) => send(device, before, request))
    return result(before, { ...asItIs, request, armed: true })
  }
  const { info: after, support } = await resetAndWait(context, name, before, request)
  return result(before, { request, armed: false, performed: true, after, support })
}

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

async function look(device: Device): Promise<ResetView> {
  const support = await readResetSupport(device)
  const info = await queryFirmware(device)
  return { support, info, seenAt: performance.now() / 1000 }
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

async function confirm(context: Context, name: string, { info }: Before, request: ResetRequest): Promise<void> {
  const loads = info.pendingReset ? `, and ${formatVersion(info.pending ?? info.running)} is loaded` : ''
  await context.confirm(`${name}: ${effectOf(request)}${loads}`, 'Reset it?')
}

function effectOf({ level, type }: ResetRequest): string {
  const when = level === LEVEL.WARM_REBOOT ? ' with the next reboot' : ''
  if (type === TYPE.ARM_ONLY) return `its embedded CPU is reset${when}, and what runs on it ends`
  if (type === TYPE.ARM_SHUTDOWN) return `the OS of its embedded CPU is shut down${when}`
  if (level === LEVEL.WARM_REBOOT) return 'it will be reset with the next reboot'
  return level === LEVEL.LIVE_PATCH
    ? 'its firmware is exchanged while it works'
    : 'its drivers go down and up again on all hosts, and its links with them'
}

/** A device that is reset may be gone before it answers. */
const goneErrors = new Set(['ENODEV', 'ENXIO', 'EIO', 'ETIMEDOUT'])

async function send(device: Device, { info }: Before, request: ResetRequest): Promise<void> {
  const { psid } = await queryFirmware(device)
  if (psid !== info.psid) throw new Unsupported(`this is another device by now: PSID ${psid}, not ${info.psid}`)
  try {
    await requestReset(device, request)
  } catch (error) {
    const isGone = error instanceof DeliveryError && goneErrors.has(error.errno)
    if (!isGone || request.level === LEVEL.WARM_REBOOT) throw error
  }
}

/** Asks for the reset, then looks again and again until it is over, each time through the door as it is then. @throws ResetFailed */
async function resetAndWait(context: Context, name: string, before: Before, request: ResetRequest): Promise<ResetView> {
  const { signal, options } = context
  const patience = Math.min(before.patience, (options.timeout ?? Infinity) * 1000)
  const end = performance.now() + patience
  let isAsked = false
  for (;;) {
    let last: string
    try {
      const now = await withDevice(context, name, async (device) => {
        if (!isAsked) await send(device, before, request)
        isAsked = true
        return look(device)
      })
      if (isResetOver(before, now, request)) return now
      last = `the device still runs ${formatVersion(now.info.running)} (${now.support.state.name})`
    } catch (error) {
      if (!isAsked || !(error instanceof Error) || error instanceof ResetFailed) throw error
      if (!isPassing(error)) throw withHint(error, GOES_ON)
      last = error.message
    }
    if (signal.aborted) throw withHint(new Interrupted(String(signal.reason)), GOES_ON)
    if (performance.now() > end)
      throw new DeliveryError(
        `the reset was asked for, but is not over after ${Math.round(patience / 1000)} s: ${last}`,
        'ETIMEDOUT',
        { hint: 'fw reset DEVICE tells its state; a reboot loads what is on flash' },
      )
    await new Promise((resolve) => setTimeout(resolve, ATTEMPT))
  }
}

const GOES_ON = 'the reset was asked for, and goes on without this command; fw reset DEVICE tells its state'

/** What a device that is on its way down or up may answer. */
const isPassing = (error: Error): boolean =>
  error instanceof DeliveryError || error instanceof OpenError || error instanceof FirmwareError

function result({ identity, info }: Before, outcome: ResetOutcome): Result {
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
      rebootRequired: after.pendingReset || armed,
      steps,
    },
    text: () => (request === undefined ? queryText(support, steps) : outcomeText(identity.node, info, outcome, steps)),
  }
}
