import { ValueError } from '../prm/errors'
import { parseInteger } from '../prm/value-text'

/** What goes wrong with one command. */
export interface Fault {
  readonly errno?: string
  readonly status?: number
  /** Milliseconds. */
  readonly delay?: number
  readonly unplug?: boolean
  readonly short?: boolean
}

interface Rule extends Fault {
  /** Counted from 1; undefined for every command. */
  readonly at: number | undefined
}

const GRAMMAR =
  'a comma-separated list of errno=NAME@N, status=CODE@N, delay=TIME@N (ms or s), unplug@N, short@N, lose=COUNT@SAMPLE (diagnostic counters: rounds that the device does not take, from this one on), stuck=ADDRESS, unplug=ADDRESS (at this word of CR space), eperm, stuck, held, livefish, frozen (its clock stands still), traced (mlx5_core has the firmware tracer), lossy (the firmware tracer loses events), mcc=CODE (the error that an update ends with), reset=STATE (the state that a reset ends in); without @N it is every command'

/** Faults of one word of CR space. */
const atAddress = /^(stuck|unplug)=(0x[0-9a-f]+|\d+)$/i

/** Rounds of diagnostic counters that are lost. */
const lost = /^lose=(\d+)@(\d+)$/
/** Numbers that firmware fails with: the error of an update, the state of a reset. */
const inFirmware = /^(mcc|reset)=(0x[0-9a-f]+|\d+)$/i

/** Faults that are there from the start. */
const standing = ['eperm', 'stuck', 'held', 'livefish', 'frozen', 'traced', 'lossy']

/**
 * Faults on request: `errno=EIO@3,delay=200ms`. Commands are counted from 1, over all handles of a device.
 * @throws ValueError with the grammar
 */
export class Faults {
  private readonly rules: readonly Rule[]
  /** Every open, ioctl and write is refused with EPERM, as where the kernel is locked down. */
  readonly eperm: boolean
  /** The flag of the PCI gateway never changes. */
  readonly stuck: boolean
  /** The semaphore of the PCI gateway is held by somebody who is gone. */
  readonly held: boolean
  /** The device runs without firmware, from its recovery image. */
  readonly livefish: boolean
  /** The clock of the device stands still: nothing grows, nothing happens by itself. */
  readonly frozen: boolean
  /** mlx5_core owns the firmware tracer. */
  readonly traced: boolean
  /** The firmware tracer loses events. */
  readonly lossy: boolean
  /** Rounds of diagnostic counters that the device does not take. */
  readonly losses: readonly { readonly at: number; readonly count: number }[]
  /** error_code of MCC, and reset_state of MFRL, that firmware fails with. */
  readonly updateError: number | undefined
  readonly resetState: number | undefined
  /** Words of CR space at which it happens. */
  private readonly stuckAt: ReadonlySet<number>
  private readonly unplugAt: ReadonlySet<number>
  private count = 0
  unplugged = false

  constructor(spec = '') {
    const parts = spec.split(',').filter((part) => part !== '')
    this.eperm = parts.includes('eperm')
    this.stuck = parts.includes('stuck')
    this.held = parts.includes('held')
    this.livefish = parts.includes('livefish')
    this.frozen = parts.includes('frozen')
    this.traced = parts.includes('traced')
    this.lossy = parts.includes('lossy')
    this.losses = parts.flatMap((part) => lossOf(part))
    this.updateError = numberIn(parts, 'mcc')
    this.resetState = numberIn(parts, 'reset')
    this.stuckAt = addresses(parts, 'stuck')
    this.unplugAt = addresses(parts, 'unplug')
    const own = [atAddress, lost, inFirmware]
    this.rules = parts.filter((part) => !standing.includes(part) && !own.some((form) => form.test(part))).map(parseRule)
  }

  /** A word of CR space is read. Whether the gateway answers. */
  answersAt(address: number): boolean {
    if (this.unplugAt.has(address)) this.unplugged = true
    return !this.stuck && !this.stuckAt.has(address)
  }

  /** The next command's faults; the rule that says less about when yields to the one that says more. */
  next(): Fault {
    this.count++
    const rules = this.rules.filter((rule) => rule.at === undefined || rule.at === this.count)
    const fault: Fault = Object.assign({}, ...rules.sort((a, b) => (a.at ?? 0) - (b.at ?? 0))) as Fault
    if (fault.unplug === true) this.unplugged = true
    return fault
  }
}

function numberIn(parts: readonly string[], kind: string): number | undefined {
  const found = parts.map((part) => inFirmware.exec(part)).find((match) => match?.[1]?.toLowerCase() === kind)
  return found?.[2] === undefined ? undefined : Number(found[2])
}

function addresses(parts: readonly string[], kind: string): ReadonlySet<number> {
  const found = parts.map((part) => atAddress.exec(part)).filter((match) => match?.[1] === kind)
  return new Set(found.map((match) => Number(match?.[2])))
}

function lossOf(text: string): { at: number; count: number }[] {
  const [, count = '0', at = '0'] = lost.exec(text) ?? []
  if (lost.test(text) && !(Number(count) > 0 && Number(at) > 0)) throw wrong(text)
  return Number(at) > 0 ? [{ at: Number(at), count: Number(count) }] : []
}

function parseRule(text: string): Rule {
  const match = /^(errno|status|delay|unplug|short)(?:=([^@]+))?(?:@(\d+))?$/.exec(text)
  const [, kind, value, at] = match ?? []
  if (kind === undefined || at === '0') throw wrong(text)
  const when = { at: at === undefined ? undefined : Number(at) }
  if (kind === 'unplug' || kind === 'short') {
    if (value !== undefined) throw wrong(text)
    return { ...when, [kind]: true }
  }
  if (value === undefined) throw wrong(text)
  if (kind === 'errno') {
    if (!/^E[A-Z0-9]+$/.test(value)) throw wrong(text)
    return { ...when, errno: value }
  }
  if (kind === 'status') {
    const code = parseInteger(value)
    if (code === undefined || code > 255n) throw wrong(text)
    return { ...when, status: Number(code) }
  }
  const time = /^(\d+)(ms|s)$/.exec(value)
  if (time === null) throw wrong(text)
  return { ...when, delay: Number(time[1]) * (time[2] === 's' ? 1000 : 1) }
}

function wrong(text: string): ValueError {
  return new ValueError('--fault', `${text} is not understood; it takes ${GRAMMAR}`)
}
