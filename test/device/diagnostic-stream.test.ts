import {
  readDiagnosticCapabilities,
  setDiagnosticParameters,
  type DiagnosticParameters,
} from '../../src/device/diagnostic-counters'
import { SampleClock } from '../../src/device/diagnostic-samples'
import {
  DiagnosticStream,
  type DiagnosticItem,
  type DiagnosticStreamOptions,
  type DiagnosticStreamSummary,
} from '../../src/device/diagnostic-stream'
import { MalformedData } from '../../src/prm/errors'
import { DeliveryError } from '../../src/transport/contract'
import { Random, seed } from '../support/random'
import { SamplingDevice, writeRecord, type SamplingOptions } from '../support/sampling-device'

console.log(`seed ${seed}`)
const random = new Random(seed)

const parameters: DiagnosticParameters = {
  counters: [0x0401, 0x2006],
  logSamples: 10,
  logPeriod: 0,
  single: false,
  repetitive: true,
  sync: true,
  clear: true,
  onDemand: false,
  enable: true,
}

interface Streamed {
  readonly sampling: SamplingDevice
  readonly summary: DiagnosticStreamSummary
  /** Numbers and times of all rounds, and where rounds were lost: kept by the test, not by the stream. */
  readonly rounds: { readonly sample: number; readonly ticks: bigint }[]
  readonly lost: { readonly after: number; readonly before: number; readonly exact: boolean }[]
  readonly largestBatch: number
}

/** Streams in simulated time. Every value that comes is checked with that of the device at that time. */
async function stream(
  options: SamplingOptions,
  {
    change = {},
    slow = () => 0,
    ...wanted
  }: DiagnosticStreamOptions & {
    change?: Partial<DiagnosticParameters>
    /** Milliseconds that whoever reads lets the stream wait before each batch. */
    slow?: (batch: number) => number
  },
): Promise<Streamed> {
  const sampling = new SamplingDevice(options)
  const given = { ...parameters, ...change }
  const capabilities = await readDiagnosticCapabilities(sampling.device)
  await setDiagnosticParameters(sampling.device, given)
  const source = new DiagnosticStream(sampling.device, capabilities, given, { clock: sampling, ...wanted })
  const found: Omit<Streamed, 'sampling' | 'summary' | 'largestBatch'> = { rounds: [], lost: [] }
  let [largestBatch, batch] = [0, 0]
  for await (const items of source.batches()) {
    largestBatch = Math.max(largestBatch, items.length)
    for (const item of items) note(item, given.counters, found)
    await sampling.sleep(slow(batch++))
  }
  return { ...found, largestBatch, sampling, summary: source.summary() }
}

function note(
  item: DiagnosticItem,
  counters: readonly number[],
  { rounds, lost }: Pick<Streamed, 'rounds' | 'lost'>,
): void {
  if (item.kind === 'lost') {
    lost.push({ after: item.after, before: item.before, exact: item.exact })
    return
  }
  const { sample, ticks, values, records } = item
  rounds.push({ sample, ticks })
  for (const [index, counter] of counters.entries())
    if (values[index] !== undefined && values[index] !== SamplingDevice.value(counter, ticks))
      throw new Error(`sample ${sample}: counter ${counter} is ${values[index]}`)
  if (records.length !== counters.length * 16) throw new Error(`${records.length} bytes of records`)
}

/** Every round that was given is one that the device took, with its full number and time; what was not given was told. */
function expectTrue({ sampling, rounds, lost, summary }: Streamed): void {
  const first = rounds[0]
  if (first === undefined) throw new Error('nothing came')
  // The number begins with the 16 bits, and the time with the 32 bits, of the first round.
  let place = 0
  const [{ id: firstId, ticks: firstTicks } = { id: 0, ticks: 0 }] = sampling.taken
  const offset = Math.floor(firstId / 65_536) * 65_536
  const epoch = Math.floor(firstTicks / 2 ** 32) * 2 ** 32
  let before: number | undefined
  const gaps = []
  for (const { sample, ticks } of rounds) {
    while ((sampling.taken[place]?.id ?? Number.POSITIVE_INFINITY) < sample + offset) place++
    const { id, ticks: time } = sampling.taken[place] ?? { id: -1, ticks: -1 }
    if (id !== sample + offset || time !== Number(ticks) + epoch)
      throw new Error(`sample ${sample} at ${ticks} is not of the device`)
    if (before !== undefined && sample !== before + 1) gaps.push({ after: before, before: sample })
    before = sample
  }
  expect(lost.map(({ after, before: next }) => ({ after, before: next }))).toEqual(gaps)
  const missing = gaps.reduce((sum, gap) => sum + gap.before - gap.after - 1, 0)
  expect([summary.rounds, summary.lostRounds, summary.gaps]).toEqual([rounds.length, missing, gaps.length])
  expect(summary.lostRecords).toBe(missing * 2)
}

test('60 seconds at the top rate: all samples, over wraps of ids and times, with little memory', async () => {
  const streamed = await stream({ firstId: 65_000, firstTicks: 2 ** 32 - 10_000_000 }, { duration: 60_000 })
  expectTrue(streamed)
  const { summary, rounds, largestBatch, sampling } = streamed
  expect([summary.lostRounds, summary.repeated, summary.foreign, summary.reading]).toEqual([0, 0, 0, 'slots'])
  expect(summary.silence).toBe(0)
  // 60 s at 93.246 us are 643,459 rounds: 9 wraps of the id, 14 of the time.
  expect(rounds.length).toBeGreaterThan(643_000)
  expect(rounds.length).toBe(sampling.taken.length)
  expect(summary.periodNanoseconds).toBe(93_246n)
  expect(summary.last).toEqual(rounds.at(-1))
  expect(largestBatch).toBeLessThan(1024)
  const longest = Math.max(...sampling.commands.map(({ outboxLength }) => outboxLength))
  expect(longest).toBeLessThanOrEqual(4112 * 16)
  // A quarter of the ring at a time.
  expect(sampling.commands.length).toBeLessThan(3500)
})

test('a device that loses samples: each is told, and no other', async () => {
  const ends = new Set<number>()
  for (let at = 1; at < 100_000; at += 1 + random.below(3000)) {
    const length = random.below(4) === 0 ? 1 + random.below(3000) : 1 + random.below(3)
    for (let id = at + 1; id <= at + length; id++) ends.add(id)
    at += length
  }
  const streamed = await stream({ loses: (id) => ends.has(id) }, { duration: 5000 })
  expectTrue(streamed)
  const all = [...ends].filter((id) => id < (streamed.rounds.at(-1)?.sample ?? 0)).length
  expect([streamed.summary.lostRounds, streamed.summary.repeated]).toEqual([all, 0])
  expect(streamed.lost.every(({ exact }) => exact)).toBe(true)
  expect(all).toBeGreaterThan(0)
})

test.each([
  ['half a lap of the ring', 50, 93_246],
  ['more than a lap', 250, 93_246],
  ['a second', 1000, 93_246],
  ['a wrap of the time stamp', 4400, 93_246],
  ['a wrap of the id', 7000, 93_246],
  ['many wraps of both', 140_000, 1_000_000],
])('a reader that lets the stream wait for %s', async (_, pause, fastest) => {
  const streamed = await stream(
    { fastest },
    { count: 11_000, slow: (batch) => (batch === 20 || batch === 40 ? pause : 0) },
  )
  expectTrue(streamed)
  const { summary, lost } = streamed
  if (pause < 95) expect(summary.lostRounds).toBe(0)
  else {
    // Twice, and what the ring still held came: all but a lap, and what was overwritten while it was read.
    const expected = 2 * ((pause * 1e6) / fastest - 1024)
    expect(lost).toHaveLength(2)
    expect(Math.abs(summary.lostRounds - expected)).toBeLessThan(2 * 600)
    expect(lost.every(({ exact }) => exact)).toBe(pause < 4000)
  }
})

test.each<[string, number, number, (id: number) => boolean]>([
  ['40 rounds once, in the largest ring', 15, 4000, (id) => id >= 5000 && id < 5040],
  ['half of all ids at once, in the largest ring', 15, 5500, (id) => id >= 15_000 && id < 48_000],
  ['as many as ids there are', 10, 8000, (id) => id >= 7000 && id < 7000 + 65_536],
  ['16500 rounds, in a ring of 2^14', 14, 4000, (id) => id >= 7000 && id < 23_500],
])('a device that loses %s: nothing comes twice', async (_, logSamples, duration, loses) => {
  const streamed = await stream({ loses, logMaxSamples: 16 }, { change: { logSamples }, duration })
  expectTrue(streamed)
  const { summary, sampling } = streamed
  expect([summary.rounds, summary.repeated, summary.reading]).toEqual([sampling.taken.length, 0, 'slots'])
  expect(summary.lostRounds).toBeGreaterThanOrEqual(40)
})

test.each([
  ['a ring of 2^10', 10, 6150, 0],
  ['the largest ring', 15, 6500, 0],
  ['the largest ring, over two wraps of the id', 15, 13_000, 0],
  // Times wrap as the ids do: 2^16 rounds later both are the same.
  ['periods of 2^17 ticks', 10, 8640, 17],
  ['periods of 2^17 ticks, over many wraps', 10, 52_000, 17],
])('a reader that lets the stream wait until ids wrap, with %s', async (_, logSamples, least, logPeriod) => {
  // Where in the ring the device is then differs.
  const pause = least + random.below(60)
  const streamed = await stream(
    { logMaxSamples: 16 },
    { change: { logSamples, logPeriod }, duration: pause + 2000, slow: (batch) => (batch === 25 ? pause : 0) },
  )
  expectTrue(streamed)
  const { summary, sampling } = streamed
  expect(summary.rounds + summary.lostRounds).toBe(sampling.taken.length)
  expect(summary.lostRounds).toBeGreaterThan(10_000)
})

test('jitter of the period, and a frequency that is not a thousand million', async () => {
  const jitter = (id: number): number => (Math.imul(id, 0x9e3779b1) >>> 0) % 60_000
  for (const frequencyKhz of [156_250, 1_000_000, 1_600_000]) {
    const streamed = await stream({ jitter, frequencyKhz, firstTicks: 2 ** 32 - 1000 }, { duration: 1500 })
    expectTrue(streamed)
    expect(streamed.summary.lostRounds).toBe(0)
  }
})

test('ticks that are faster than the device says', async () => {
  // The time stamps count nanoseconds, the capability says 156.25 MHz.
  const sampling = await stream({}, { count: 1 })
  const { device } = sampling.sampling
  const capabilities = { ...(await readDiagnosticCapabilities(device)), frequencyKhz: 156_250 }
  await setDiagnosticParameters(device, parameters)
  const source = new DiagnosticStream(device, capabilities, parameters, { clock: sampling.sampling, duration: 5000 })
  for await (const items of source.batches()) expect(items.length).toBeGreaterThan(0)
  expect(source.summary()).toMatchObject({ lostRounds: 0, reading: 'slots' })
  expect(source.summary().rounds).toBeGreaterThan(53_000)
})

test('periods of more than 2^32 ticks', async () => {
  // 2^34 ns: 17 s, four wraps of the time stamp between two samples.
  const streamed = await stream({}, { change: { logPeriod: 34 }, duration: 1_000_000 })
  expectTrue(streamed)
  expect(streamed.rounds).toHaveLength(58)
  expect(streamed.summary).toMatchObject({ lostRounds: 0, periodNanoseconds: 2n ** 34n })
})

test('a ring of one round, and one of 2^15', async () => {
  const one = await stream({ fastest: 20_000_000 }, { change: { logSamples: 0 }, duration: 3000 })
  expectTrue(one)
  expect([one.rounds.length, one.summary.lostRounds]).toEqual([150, 0])
  const large = await stream({ logMaxSamples: 16, firstId: 60_000 }, { change: { logSamples: 15 }, duration: 20_000 })
  expectTrue(large)
  expect(large.summary.lostRounds).toBe(0)
})

test('a device on which sample_index counts from the oldest round: the whole ring is read, and little lost', async () => {
  const streamed = await stream({ index: 'oldest' }, { duration: 10_000 })
  expectTrue(streamed)
  expect(streamed.summary).toMatchObject({ reading: 'whole', repeated: 0 })
  // Only while it was found out.
  expect(streamed.summary.lostRounds).toBeLessThan(20)
})

test('a device on which num_of_samples counts rounds', async () => {
  const streamed = await stream({ unit: 'rounds' }, { duration: 2000, change: { logSamples: 4 }, ...{} })
  expectTrue(streamed)
  expect(streamed.rounds.length).toBeGreaterThan(1000)
})

describe('answers that are not as they should be', () => {
  test('a round that is being written: it is read again', async () => {
    let torn = 0
    const spoil: SamplingOptions['spoil'] = (outbox, first, device) => {
      const newest = device.taken.at(-1)
      const at = 16 + ((device.taken.length - 1) % device.slots) * 32 - first * 32
      if (newest === undefined || at < 16 || at + 32 > outbox.length || newest.id % 3 !== 0) return
      // The second counter still has the record of the lap before.
      writeRecord(outbox, at + 16, 0x2006, Math.max(0, newest.id - device.slots), newest.ticks - 1)
      torn++
    }
    const streamed = await stream({ spoil }, { duration: 2000 })
    expectTrue(streamed)
    expect(torn).toBeGreaterThan(5)
    expect(streamed.summary).toMatchObject({ lostRecords: 0, repeated: 0 })
  })

  test('a counter that stays behind: the others come, and its records are counted as lost', async () => {
    const spoil: SamplingOptions['spoil'] = (outbox) => {
      for (let at = 16; at + 32 <= outbox.length; at += 32)
        if (outbox.readUInt16BE(at) !== 0) outbox.writeUInt16BE((outbox.readUInt16BE(at + 2) + 9) & 0xffff, at + 18)
    }
    const { summary, rounds } = await stream({ spoil }, { count: 50 })
    expect([rounds.length, summary.rounds, summary.records, summary.lostRecords - summary.lostRounds * 2]).toEqual([
      50, 50, 50, 50,
    ])
  })

  test('records in another order, and twice', async () => {
    const spoil: SamplingOptions['spoil'] = (outbox, first) => {
      for (let at = 16; at + 32 <= outbox.length; at += 32) {
        const [one, two] = [Buffer.from(outbox.subarray(at, at + 16)), Buffer.from(outbox.subarray(at + 16, at + 32))]
        outbox.set(two, at)
        outbox.set(one, at + 16)
      }
      // A slot repeats the one before it.
      if (first % 7 === 3 && outbox.length > 16 + 160) outbox.copyWithin(16 + 64, 16 + 32, 16 + 64)
    }
    const { summary, lost } = await stream({ spoil }, { duration: 1000 })
    expect(summary.rounds + summary.lostRounds).toBe((summary.last?.sample ?? 0) - (summary.first?.sample ?? 0) + 1)
    expect(summary.repeated).toBe(lost.length)
    expect(summary.repeated).toBeGreaterThan(0)
  })

  test('counters that were not asked for, and nothing else', async () => {
    const spoil: SamplingOptions['spoil'] = (outbox) => {
      for (let at = 16; at + 16 <= outbox.length; at += 16) outbox.writeUInt16BE(0x7777, at)
    }
    const failure: unknown = await stream({ spoil }, { duration: 60_000 }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(MalformedData)
    expect((failure as Error).message).toMatch(/0x7777 was not asked for/)
  })

  test('somebody else sets other parameters', async () => {
    const spoil: SamplingOptions['spoil'] = (_, __, device) => {
      if (device.taken.length > 3000)
        device.usurp(Buffer.from(`0001${'00'}03${'44'}${'0000'}08${'00'.repeat(16)}0000040b`, 'hex'))
    }
    const failure: unknown = await stream({ spoil }, { duration: 60_000 }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(DeliveryError)
    expect(failure).toMatchObject({
      errno: 'EBUSY',
      message: expect.stringMatching(/somebody has set other/) as string,
    })
  })

  test('a device that stops: the stream waits until its time is over', async () => {
    const told: number[] = []
    const { summary, sampling } = await stream(
      { loses: (id) => id > 500 },
      { duration: 14_000, silent: (milliseconds) => void told.push(milliseconds) },
    )
    expect([summary.rounds, summary.lostRounds, summary.last?.sample]).toEqual([500, 0, 500])
    // 500 rounds are 46.6 ms.
    expect(summary.silence).toBeGreaterThan(13_900)
    expect(told[0]).toBeGreaterThanOrEqual(1000)
    expect(told[0]).toBeLessThan(1100)
    expect(sampling.commands.length).toBeLessThan(5000)
  })

  test('what it says that it samples is nothing, or too much', async () => {
    const { device } = new SamplingDevice()
    const capabilities = await readDiagnosticCapabilities(device)
    for (const change of [{ counters: [] }, { logSamples: 16 }, { logSamples: 255 }])
      expect(() => new DiagnosticStream(device, capabilities, { ...parameters, ...change })).toThrow(MalformedData)
  })

  test('random bytes, random laps: it always ends, and never heaps up', async () => {
    for (let turn = 0; turn < 16; turn++) {
      const kinds = random.below(4)
      const spoil: SamplingOptions['spoil'] = (outbox) => {
        for (let at = 16; at + 16 <= outbox.length; at += 16) {
          if (kinds === 0) random.bytes(16).copy(outbox, at)
          else if (kinds === 1) outbox.writeUInt32BE(random.below(2 ** 32), at + 4)
          else if (kinds === 2) outbox.writeUInt16BE(random.below(65_536), at + 2)
          else if (random.below(20) === 0) outbox.fill(random.below(256), at, at + 1 + random.below(16))
        }
      }
      const sampling = new SamplingDevice({ spoil, logMaxSamples: 8, commandTime: 5 })
      const given = { ...parameters, logSamples: random.below(7) }
      const capabilities = await readDiagnosticCapabilities(sampling.device)
      await setDiagnosticParameters(sampling.device, given)
      const source = new DiagnosticStream(sampling.device, capabilities, given, { clock: sampling, duration: 700 })
      let items = 0
      try {
        for await (const batch of source.batches()) {
          items += batch.length
          expect(batch.length).toBeLessThanOrEqual(2 * 64)
        }
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedData)
      }
      expect(source.summary().firstGaps.length).toBeLessThanOrEqual(100)
      expect(items).toBeLessThan(2 * 64 * sampling.commands.length)
    }
  })
})

test('a signal ends it between two polls, without an error', async () => {
  const stop = new AbortController()
  const { summary } = await stream(
    {},
    { signal: stop.signal, slow: (batch) => (batch === 20 && stop.abort('SIGINT'), 0) },
  )
  expect(summary.rounds).toBeGreaterThan(0)
})

test('the clock of samples: ids, times, laps', () => {
  const clock = new SampleClock(1)
  const accept = (id: number, stamp: number): number | undefined => {
    const placed = clock.place(id, stamp, { least: 0, most: 1000, likely: 0 })
    if (placed !== undefined) clock.accept(placed)
    return placed?.skipped
  }
  expect(accept(65_534, 4_294_967_000)).toBe(0)
  expect(accept(65_535, 4_294_967_100)).toBe(0)
  expect(accept(0, 4_294_967_200)).toBe(0)
  expect(accept(1, 4)).toBe(0)
  expect(clock.isLast(1, 4)).toBe(true)
  // The same, the one before, and one that would be 2^15 ahead, for which time was not enough.
  expect(accept(1, 4)).toBeUndefined()
  expect(accept(0, 4_294_967_200)).toBeUndefined()
  expect(accept(32_769, 5)).toBeUndefined()
  expect(accept(4, 304)).toBe(2)
  // Time was enough: ids are 32771 further, or any laps more. 100 ticks a round: 98307 rounds are two laps less one.
  const later = { least: 0, most: 2 ** 32, likely: 10_000_000 }
  expect(clock.place(32_775, (304 + 98_307 * 100) % 2 ** 32, later)).toEqual({
    sample: 65_540 + 98_307,
    ticks: 2n ** 32n + 304n + 9_830_700n,
    skipped: 98_306,
    exact: true,
  })
  // More than 2^32 ticks: 100 laps of the id, where the host's clock allows for no more than 655 million ticks.
  const rounds = 100 * 65_536 + 7
  expect(
    clock.place(11, (304 + rounds * 100) % 2 ** 32, { least: 0, most: 700_000_000, likely: 600_000_000 }),
  ).toMatchObject({
    sample: 65_540 + rounds,
    ticks: 2n ** 32n + 304n + BigInt(rounds * 100),
  })
})
