import type { TracerProfile } from '../profile'

/** A message as firmware writes it. */
export interface FirmwareMessage {
  /** Ticks, 53 bits. */
  readonly time: number
  readonly eventId: number
  /** Counts the messages of all ids, 13 bits. */
  readonly number: number
  /** Address of the string. */
  readonly address: number
  readonly string: string
  readonly parameters: readonly number[]
  /** Events before it were lost. */
  readonly lost: boolean
}

/** More at once than any ring holds: what there is beyond is lost, and said to be. */
const MOST = 16_384
/** Ticks between the messages that firmware writes when a trace begins. */
const START_STEP = 517
/** With lossy, every so many messages one is lost. */
const LOSS = 8

/**
 * What an emulated firmware traces: the same messages whenever a trace begins, some of them at once, the others as time goes by.
 * Which one comes, and with what parameters, depends on its number alone.
 */
export class MessageSource {
  private readonly strings: readonly { readonly address: number; readonly string: string }[]
  private readonly step: number
  private next = 0

  constructor(
    private readonly profile: TracerProfile,
    private readonly start: number,
    kilohertz: number,
    private readonly lossy: boolean,
  ) {
    // The string at the beginning is that of the version, which no event points to.
    this.strings = stringsOf(profile).slice(1)
    this.step = Math.max(1, Math.floor((kilohertz * 1000) / profile.rate))
  }

  /** The messages since the last time. */
  until(now: number): FirmwareMessage[] {
    const messages: FirmwareMessage[] = []
    let lost = false
    const due = this.dueBy(now)
    if (due - this.next > MOST) {
      this.next = due - MOST
      lost = true
    }
    for (; this.next < due; this.next++) {
      if (this.lossy && this.next % LOSS === LOSS - 1) lost = true
      else {
        messages.push(this.message(this.next, lost))
        lost = false
      }
    }
    return messages
  }

  /** How many there are by then. */
  private dueBy(now: number): number {
    const { atStart } = this.profile
    return atStart + Math.max(0, Math.floor((now - this.start - atStart * START_STEP) / this.step))
  }

  private timeOf(index: number): number {
    const { atStart } = this.profile
    const since = index < atStart ? index * START_STEP : atStart * START_STEP + (index - atStart) * this.step
    return this.start + since + (hash(index) % Math.min(START_STEP, this.step))
  }

  private message(index: number, lost: boolean): FirmwareMessage {
    const seed = hash(index)
    const chosen = this.strings[seed % this.strings.length]
    if (chosen === undefined) throw new Error('the profile has no strings')
    const parameters = kindsOf(chosen.string).flatMap((kind, at) => {
      const value = hash(seed + at + 1)
      if (kind === 'letter') return [0x20 + (value % 95)]
      // The low half of a 64-bit value has all its digits: the kernel prints others ambiguously.
      return kind === 'wide' ? [value & 0xff, (value | 0x1000_0000) >>> 0] : [value % 5 === 0 ? value : value % 128]
    })
    return {
      time: this.timeOf(index),
      eventId: this.profile.firstString + (hash(index + 7) % this.profile.stringCount),
      number: index & 0x1fff,
      ...chosen,
      parameters,
      lost,
    }
  }
}

/** All strings with their addresses: one behind the other, each with its NUL. */
export function stringsOf({ sections }: TracerProfile): { address: number; string: string }[] {
  return sections.flatMap(({ base, strings }) => {
    let address = Number(base)
    return strings.map((string) => {
      const one = { address, string }
      address += Buffer.byteLength(string, 'latin1') + 1
      return one
    })
  })
}

/** The bytes of a section, a multiple of 64. */
export function sectionBytes(strings: readonly string[]): Buffer {
  const text = Buffer.from(strings.map((string) => `${string}\0`).join(''), 'latin1')
  return Buffer.concat([text], Math.ceil(text.length / 64) * 64)
}

/** What each parameter is; a string with %s is sent without any, as nothing says what it would be. */
function kindsOf(string: string): ('wide' | 'letter' | 'number')[] {
  if (/%\w*s/.test(string)) return []
  return [...string.replaceAll('%%', '').matchAll(/%[^a-zA-Z]*l*[a-zA-Z]/g)].map(([whole]) =>
    whole === '%llx' ? 'wide' : whole.endsWith('c') ? 'letter' : 'number',
  )
}

/** A number of 32 bits that looks like any other. */
function hash(value: number): number {
  let mixed = Math.imul(value + 0x9e37, 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
