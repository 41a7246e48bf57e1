import { DeliveryError, type Transport } from '../../src/transport/contract'

/** QUERY_ISSI: any device answers it, at fwctl scope 1. */
const QUERY_ISSI = Uint8Array.from([0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const issi = { inbox: QUERY_ISSI, outboxLength: 112, scope: 1 as const }
/** An opcode that no firmware knows: delivered where nothing filters, and refused by its status. */
const UNKNOWN = Uint8Array.from([0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

/** One check of a sentence of the contract; throws when it does not hold. */
export interface Check {
  readonly sentence: string
  readonly run: (open: () => Promise<Transport>) => Promise<void>
}

/** Every guarantee of src/transport/contract.ts. Plain functions, so that they also run inside an emulated machine. */
export const checks: readonly Check[] = [
  {
    sentence: 'identify gives a uid and capability bits',
    run: (open) =>
      using(open, async (transport) => {
        const { uid, uctxCap, uapi } = await transport.identify()
        must(typeof uid === 'number' && uid > 0 && uid < 0x10000, `uid ${uid}`)
        must(Number.isInteger(uctxCap) && uapi !== '', `cap ${uctxCap}`)
      }),
  },
  {
    sentence: 'execute resolves with exactly outboxLength bytes, which are the caller’s',
    run: (open) =>
      using(open, async (transport) => {
        const outbox = await transport.execute(issi)
        must(outbox.length === 112 && outbox[0] === 0, `${outbox.length} bytes, status ${outbox[0]}`)
        outbox.fill(0xff)
        const again = await transport.execute(issi)
        must(again[0] === 0, 'a later answer shares memory with an earlier one')
      }),
  },
  {
    sentence: 'the inbox is not modified',
    run: (open) =>
      using(open, async (transport) => {
        const inbox = QUERY_ISSI.slice()
        await transport.execute({ ...issi, inbox })
        must(
          inbox.every((byte, index) => byte === QUERY_ISSI[index]),
          'the inbox was changed',
        )
      }),
  },
  {
    sentence: 'a firmware status is an answer, not an error',
    run: (open) =>
      using(open, async (transport) => {
        if (transport.device.transport === 'fwctl' || transport.device.transport === 'replay') return
        const outbox = await transport.execute({ inbox: UNKNOWN, outboxLength: 16, scope: null })
        must(outbox[0] === 2, `status ${outbox[0]}, not bad operation`)
      }),
  },
  {
    sentence: 'calls may overlap and are answered each',
    run: (open) =>
      using(open, async (transport) => {
        const answers = await Promise.all(Array.from({ length: 20 }, () => transport.execute(issi)))
        must(
          answers.every((outbox) => outbox.length === 112 && outbox[0] === 0),
          'an overlapping call was answered wrongly',
        )
      }),
  },
  {
    sentence: 'mailboxes below 16 bytes are refused with a RangeError',
    run: (open) =>
      using(open, async (transport) => {
        await rejects(transport.execute({ ...issi, inbox: new Uint8Array(15) }), (error) => error instanceof RangeError)
        await rejects(transport.execute({ ...issi, outboxLength: 15 }), (error) => error instanceof RangeError)
        await rejects(transport.execute({ ...issi, outboxLength: Number.NaN }), (error) => error instanceof RangeError)
      }),
  },
  {
    sentence: 'memory is page aligned, of at least the length, zeroed, and gone after release',
    run: (open) =>
      using(open, async (transport) => {
        const memory = await transport.memory?.register(5000)
        if (memory === undefined) return
        must(memory.address % 4096n === 0n, `address ${memory.address}`)
        must(memory.bytes.length === 8192 && memory.bytes.every((byte) => byte === 0), `${memory.bytes.length} bytes`)
        await memory.release()
        await memory.release()
        must(memory.bytes.length === 0, 'bytes are left after release')
      }),
  },
  {
    sentence: 'CR space gives the words that are asked for, from aligned addresses below 2^30',
    run: (open) =>
      using(open, async ({ crSpace }) => {
        if (crSpace === undefined) return
        const words = await crSpace.read(0xf0010, 3)
        must(words.length === 3, `${words.length} words`)
        must(words[1] === (await crSpace.read(0xf0014, 1))[0], 'the same word read twice is another one')
        for (const address of [2, -4, 2 ** 30 - 8, Number.NaN])
          await rejects(crSpace.read(address, 3), (error) => error instanceof RangeError)
      }),
  },
  {
    sentence: 'close waits for what is pending, releases memory, and is idempotent',
    run: async (open) => {
      const transport = await open()
      const memory = await transport.memory?.register(4096)
      const pending = transport.execute(issi)
      await Promise.all([transport.close(), transport.close()])
      must((await pending)[0] === 0, 'the pending call was not answered')
      must(memory === undefined || memory.bytes.length === 0, 'close left memory')
      await transport.close()
    },
  },
  {
    sentence: 'after close calls reject with EBADF',
    run: async (open) => {
      const transport = await open()
      await transport.close()
      const isBadFile = (error: unknown): boolean => error instanceof DeliveryError && error.errno === 'EBADF'
      await rejects(transport.execute(issi), isBadFile)
      await rejects(transport.identify(), isBadFile)
    },
  },
]

async function using(open: () => Promise<Transport>, use: (transport: Transport) => Promise<void>): Promise<void> {
  const transport = await open()
  try {
    await use(transport)
  } finally {
    await transport.close()
  }
}

function must(condition: boolean, message: string): void {
  if (!condition) throw new Error(message)
}

async function rejects(promise: Promise<unknown>, expected: (error: unknown) => boolean): Promise<void> {
  try {
    await promise
  } catch (error) {
    if (expected(error)) return
    throw error
  }
  throw new Error('it was not refused')
}
