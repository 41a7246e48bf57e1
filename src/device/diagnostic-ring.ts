import { encodeInbox, type Device } from './device'
import { FirmwareError } from './errors'

/** Bytes of a record: counter id, sample id, time stamp, value; big-endian. */
export const RECORD = 16
const HEADER = 16
/** Records of one command: num_of_samples has 16 bits, a mailbox of fwctl and mlx5ctl 2 MiB. */
const MOST_RECORDS = 0xffff
/** Answers of firmware to a mailbox that it finds too long. */
const tooLong = ['BAD_OUTP_LEN_ERR', 'LIM_ERR', 'NO_RES_ERR']
/** Answers to a number that it finds too large. */
const tooMany = ['BAD_PARAM_ERR', 'IX_ERR']

/** The members of a record, at a byte of a view. The offsets are those of diagnostic_cntr_layout: records are read by the thousand. */
export const counterAt = (view: DataView, at: number): number => view.getUint16(at)
/** The low 16 bits of the number of the round. */
export const sampleIdAt = (view: DataView, at: number): number => view.getUint16(at + 2)
/** The low 32 bits of the time, in ticks. */
export const timeStampAt = (view: DataView, at: number): number => view.getUint32(at + 4)
export const valueAt = (view: DataView, at: number): bigint => view.getBigUint64(at + 8)

export interface DiagnosticRecord {
  readonly counter: number
  readonly sampleId: number
  readonly timeStamp: number
  readonly value: bigint
}

export function recordAt(bytes: Uint8Array, at: number): DiagnosticRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD)
  return {
    counter: counterAt(view, 0),
    sampleId: sampleIdAt(view, 0),
    timeStamp: timeStampAt(view, 0),
    value: valueAt(view, 0),
  }
}

/** A slot that was never written is all zero: no counter has the id 0. */
export function isEmpty(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0 && bytes[at + 1] === 0
}

/**
 * Reads rounds out of the device's ring by their slots. Where a range needs more than one command, it sends more. What
 * num_of_samples counts is told in two ways, records (facts: dumps, E) and rounds (FreeBSD's driver): records are asked for,
 * and rounds when firmware finds so many too many. Neither ever gets more memory than it was given.
 */
export class DiagnosticRing {
  private unit: 'records' | 'rounds' = 'records'
  private most: number
  private answered = false

  constructor(
    private readonly device: Device,
    private readonly counters: number,
  ) {
    this.most = Math.max(1, Math.floor(MOST_RECORDS / counters))
  }

  /**
   * @param slot the first; the range does not reach beyond the end of the ring
   * @returns records of the rounds, slot by slot; slots that were never written are zero
   * @throws FirmwareError, DeliveryError
   */
  async read(slot: number, rounds: number): Promise<Uint8Array> {
    let all: Uint8Array | undefined
    const round = this.counters * RECORD
    for (let done = 0; done < rounds;) {
      const count = Math.min(this.most, rounds - done)
      const part = await this.part(slot + done, count)
      if (part === undefined) continue
      if (count === rounds) return part
      all ??= new Uint8Array(rounds * round)
      all.set(part, done * round)
      done += count
    }
    return all ?? new Uint8Array(0)
  }

  /** Undefined when firmware wants to be asked in another way. */
  private async part(slot: number, rounds: number): Promise<Uint8Array | undefined> {
    const { counters } = this
    const command = this.device.catalogue.command('QUERY_DIAGNOSTIC_COUNTERS')
    const inbox = encodeInbox(this.device.codec, command, {
      num_of_samples: this.unit === 'records' ? rounds * counters : rounds,
      sample_index: slot,
    })
    try {
      const outboxLength = HEADER + rounds * counters * RECORD
      const { outbox } = await this.device.run(command, inbox, { outboxLength, undecoded: true })
      this.answered = true
      return outbox.subarray(HEADER)
    } catch (error) {
      if (!(error instanceof FirmwareError)) throw error
      if (tooLong.includes(error.statusName) && rounds > 1) this.most = Math.ceil(rounds / 2)
      else if (tooMany.includes(error.statusName) && this.unit === 'records' && !this.answered) this.unit = 'rounds'
      else throw error
      return undefined
    }
  }
}
