import { DeliveryError, type RegisteredMemory } from './contract'

/** Serves calls one at a time, in order, and closes once: what every transport over a file descriptor shares. */
export class Serial {
  private last: Promise<unknown> = Promise.resolve()
  private closing: Promise<void> | undefined
  /** What is registered, for close to release. */
  readonly memories = new Set<RegisteredMemory>()

  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.closing !== undefined)
      return Promise.reject(new DeliveryError('the device is closed', 'EBADF', { kind: 'delivery' }))
    return this.queue(work)
  }

  /** Also after close has begun: releasing memory is part of closing. */
  queue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work)
    this.last = result.catch(() => undefined)
    return result
  }

  /** Waits for what is pending, releases every memory, then does the last thing. Idempotent. */
  close(last: () => Promise<void>): Promise<void> {
    this.closing ??= (async () => {
      await this.last
      for (const memory of [...this.memories]) await memory.release()
      await this.last
      await last()
    })()
    return this.closing
  }
}

/** @throws RangeError for what is no mailbox command */
export function checkLengths(inbox: Uint8Array, outboxLength: number): void {
  if (inbox.length < 16) throw new RangeError(`an inbox has at least 16 bytes, not ${inbox.length}`)
  if (!Number.isSafeInteger(outboxLength) || outboxLength < 16)
    throw new RangeError(`an outbox has at least 16 bytes, not ${outboxLength}`)
}
