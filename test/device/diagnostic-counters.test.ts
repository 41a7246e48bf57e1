import {
  checkDiagnosticParameters,
  largestLogSamples,
  logPeriodOf,
  periodNanoseconds,
  queryDiagnosticParameters,
  readDiagnosticCapabilities,
  setDiagnosticParameters,
  stopDiagnosticCounters,
  stopped,
  ticksToNanoseconds,
  type DiagnosticCapabilities,
  type DiagnosticParameters,
} from '../../src/device/diagnostic-counters'
import { DiagnosticRing, recordAt } from '../../src/device/diagnostic-ring'
import { measurePeriod } from '../../src/device/diagnostic-period'
import { withDiagnosticSampling, type PutBack } from '../../src/device/diagnostic-sampling'
import { Unsupported, UsageError } from '../../src/device/errors'
import { MalformedData } from '../../src/prm/errors'
import { codec } from '../support/scripted-device'
import { Random, seed } from '../support/random'
import { SamplingDevice } from '../support/sampling-device'

const wanted: DiagnosticParameters = {
  counters: [0x0401, 0x2006, 0x040b],
  logSamples: 4,
  logPeriod: 10,
  single: true,
  repetitive: false,
  sync: true,
  clear: true,
  onDemand: false,
  enable: true,
}

test('what a device can do; an entry without an id is none', async () => {
  const counters = [
    [0x0401, true],
    [0, false],
    [0x2006, false],
    [0x1111, true],
  ] as const
  const { device } = new SamplingDevice({
    counters,
    count: 3,
    logMaxSamples: 12,
    logMinPeriod: 7,
    frequencyKhz: 156_250,
  })
  expect(await readDiagnosticCapabilities(device)).toEqual({
    counters: [
      { id: 0x0401, sync: true },
      { id: 0x2006, sync: false },
    ],
    single: true,
    repetitive: true,
    logMaxSamples: 12,
    logMinSamplePeriod: 7,
    frequencyKhz: 156_250,
  })
})

test.each([
  [{ debug: 0 }, /no debug capability/],
  [{ count: 0 }, /num_of_diagnostic_counters is 0/],
])('a device without: %j', async (options, message) => {
  const error: unknown = await readDiagnosticCapabilities(new SamplingDevice(options).device).catch(
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(Unsupported)
  expect((error as Error).message).toMatch(message)
})

test('the inbox of SET_DIAGNOSTIC_PARAMS, byte for byte, and of a stop', async () => {
  const sampling = new SamplingDevice()
  await setDiagnosticParameters(sampling.device, wanted)
  await setDiagnosticParameters(sampling.device, {
    ...wanted,
    counters: [1],
    ...{
      single: false,
      repetitive: true,
      sync: false,
      clear: false,
      onDemand: true,
      logPeriod: 0xff,
      logSamples: 0x0e,
    },
  })
  await stopDiagnosticCounters(sampling.device)
  const zeros = '00'.repeat(16)
  expect(sampling.sets.map((inbox) => inbox.toString('hex'))).toEqual([
    `0820000000000000${'00030004'}${'b400000a'}${zeros}000004010000200600${'00040b'}`,
    `0820000000000000${'0001000e'}${'4c0000ff'}${zeros}00000001`,
    `0820000000000000${'00000000'}${'10000000'}${zeros}`,
  ])
  expect(sampling.commands.map(({ outboxLength }) => outboxLength)).toEqual([16, 16, 16])
})

test('parameters come back as they were set, however many counters there are', async () => {
  for (const count of [0, 1, 20, 1008]) {
    const sampling = new SamplingDevice()
    const parameters = { ...wanted, counters: Array.from({ length: count }, (_, index) => 0x1000 + index) }
    await setDiagnosticParameters(sampling.device, parameters)
    expect(await queryDiagnosticParameters(sampling.device)).toEqual(parameters)
  }
})

test('more counters than a device can have are malformed', async () => {
  const sampling = new SamplingDevice()
  sampling.usurp(Buffer.from(`03f1${'00'.repeat(22)}`, 'hex'))
  await expect(queryDiagnosticParameters(sampling.device)).rejects.toThrow(MalformedData)
})

test('periods and times are exact', () => {
  const capabilities = { frequencyKhz: 1_000_000, logMinSamplePeriod: 4 } as DiagnosticCapabilities
  expect(periodNanoseconds(1_000_000, 29)).toBe(536_870_912n)
  expect(periodNanoseconds(156_250, 10)).toBe(6553n)
  expect(periodNanoseconds(0, 10)).toBeUndefined()
  // (2^64 - 1) ticks of 156.25 MHz: 6.4 ns each.
  expect(ticksToNanoseconds(2n ** 64n - 1n, 156_250)).toBe(118_059_162_071_741_130_336n)
  expect(logPeriodOf(capabilities, 1)).toBe(19)
  expect(logPeriodOf(capabilities, 2 ** 20 / 1e6)).toBe(20)
  expect(logPeriodOf(capabilities, 16e-6)).toBe(4)
  expect(() => logPeriodOf(capabilities, 15e-6)).toThrow(/shorter than the shortest of this device, 16 ns/)
  expect(() => logPeriodOf({ ...capabilities, frequencyKhz: 0 }, 1)).toThrow(/--log-period/)
})

test('what the device cannot do is told before it is asked', async () => {
  const { device, commands } = new SamplingDevice({ logMinPeriod: 5, logMaxSamples: 6 })
  const capabilities = await readDiagnosticCapabilities(device)
  const asked = commands.length
  const base = { ...wanted, sync: false }
  expect(() => checkDiagnosticParameters(capabilities, base)).not.toThrow()
  expect(largestLogSamples(capabilities, 3)).toBe(4)
  expect(largestLogSamples(capabilities, 1)).toBe(6)
  const refused: [Partial<DiagnosticParameters>, RegExp][] = [
    [{ counters: [] }, /no counters/],
    [{ counters: [0x0401, 0x9999] }, /^0x9999: this device has no such/],
    [{ counters: [0x0401, 0x0401] }, /twice/],
    [{ sync: true }, /0x040b cannot be sampled at the same instant/],
    [{ repetitive: true }, /exclude each other/],
    [{ single: false, repetitive: true, onDemand: true }, /exclude each other/],
    [{ single: false }, /single, repetitive or on demand/],
    [{ logPeriod: 4 }, /takes 2\^5 or more/],
    [{ logSamples: 5 }, /3 counters in a ring of 2\^5 samples: .* room for 2\^6 records, so 2\^4/],
  ]
  for (const [change, message] of refused) {
    const check = (): void => checkDiagnosticParameters(capabilities, { ...base, ...change })
    expect(check).toThrow(UsageError)
    expect(check).toThrow(message)
  }
  expect(() => checkDiagnosticParameters({ ...capabilities, single: false }, base)).toThrow(/single/)
  expect(() =>
    checkDiagnosticParameters({ ...capabilities, repetitive: false }, { ...base, single: false, repetitive: true }),
  ).toThrow(/repetitive/)
  expect(commands).toHaveLength(asked)
})

test('records are read as the layout says', () => {
  console.log(`seed ${seed}`)
  const random = new Random(seed)
  for (let turn = 0; turn < 200; turn++) {
    const bytes = random.bytes(48)
    const { counter, sampleId, timeStamp, value } = recordAt(bytes, 16)
    expect(codec.decode('diagnostic_cntr_layout', bytes.subarray(16, 32))).toEqual({
      counter_id: counter,
      sample_id: sampleId,
      time_stamp_31_0: timeStamp,
      counter_value_h: Number(value >> 32n),
      counter_value_l: Number(value & 0xffff_ffffn),
    })
  }
})

describe('the ring', () => {
  const filled = async (
    options: ConstructorParameters<typeof SamplingDevice>[0],
    logSamples: number,
  ): Promise<SamplingDevice> => {
    const sampling = new SamplingDevice({ logMaxSamples: 18, ...options })
    await setDiagnosticParameters(sampling.device, {
      ...wanted,
      counters: [0x0401],
      logSamples,
      single: false,
      repetitive: true,
    })
    sampling.time += 93_246n * BigInt(2 ** logSamples + 5)
    return sampling
  }
  const ids = (bytes: Uint8Array): number[] => {
    const buffer = Buffer.from(bytes)
    return Array.from({ length: bytes.length / 16 }, (_, index) => buffer.readUInt16BE(index * 16 + 2))
  }

  test('more than one command where one is not enough: 16 bits of num_of_samples', async () => {
    const sampling = await filled({}, 16)
    sampling.commands.length = 0
    const bytes = await new DiagnosticRing(sampling.device, 1).read(0, 65_536)
    expect(bytes).toHaveLength(65_536 * 16)
    expect(sampling.commands.map(({ outboxLength }) => outboxLength)).toEqual([16 + 65_535 * 16, 32])
    const read = ids(bytes)
    // Slots 0 to 4 hold the second lap.
    expect([read[0], read[4], read[5], read[65_535]]).toEqual([1, 5, 6, 0])
    expect(new Set(read).size).toBe(65_536)
  })

  test('firmware that takes short mailboxes only', async () => {
    const sampling = await filled({ longestOutbox: 4112, commandTime: 0 }, 10)
    const bytes = await new DiagnosticRing(sampling.device, 1).read(3, 1000)
    expect(ids(bytes)).toEqual(Array.from({ length: 1000 }, (_, slot) => (slot < 2 ? 1028 + slot : slot + 4)))
    expect(sampling.commands.filter(({ opcode }) => opcode === 0x821).length).toBeLessThan(12)
  })

  test('a refusal that has another reason stays one', async () => {
    const sampling = await filled({ longestOutbox: 16 }, 4)
    await expect(new DiagnosticRing(sampling.device, 1).read(0, 16)).rejects.toThrow(/bad output length/)
    await expect(new DiagnosticRing(sampling.device, 1).read(99, 1)).rejects.toThrow(/bad output length|bad index/)
  })
})

describe('what was set before is put back', () => {
  const before = Buffer.from(`0001${'00'}03${'44'}${'0000'}08${'00'.repeat(16)}00002006`, 'hex')
  const during = async (
    sampling: SamplingDevice,
    work: (sampling: SamplingDevice) => void | Promise<void>,
  ): Promise<[PutBack | undefined, unknown]> => {
    let put: PutBack | undefined
    const failure: unknown = await withDiagnosticSampling(
      sampling.device,
      wanted,
      async () => work(sampling),
      (what) => (put = what),
    ).catch((error: unknown) => error)
    return [put, failure]
  }

  test('nothing was sampled: it is stopped', async () => {
    const sampling = new SamplingDevice()
    expect(await during(sampling, () => undefined)).toEqual(['stopped', undefined])
    expect(await queryDiagnosticParameters(sampling.device)).toEqual(stopped)
  })

  test('something was: it goes on, with an empty ring', async () => {
    const sampling = new SamplingDevice()
    sampling.usurp(before)
    expect(await during(sampling, () => undefined)).toEqual(['restored', undefined])
    const expected = Buffer.from(before)
    expected.writeUInt8(0x54, 4)
    expect(sampling.context.toString('hex')).toBe(expected.toString('hex'))
  })

  test('after an error too, which is the one that is thrown', async () => {
    const sampling = new SamplingDevice()
    sampling.usurp(before)
    const failure = new Error('the work failed')
    expect(await during(sampling, () => Promise.reject(failure))).toEqual(['restored', failure])
    expect(sampling.context.readUInt8(4)).toBe(0x54)
  })

  test('what somebody else set meanwhile is left', async () => {
    const sampling = new SamplingDevice()
    expect(await during(sampling, () => sampling.usurp(before))).toEqual(['left', undefined])
    expect(sampling.context.equals(before)).toBe(true)
  })

  test('a device that is gone', async () => {
    const sampling = new SamplingDevice()
    const [put] = await during(sampling, () => void (sampling.failing = () => 'gone'))
    expect(put).toBeInstanceOf(Error)
  })

  test('a set that was not answered may have been done', async () => {
    const sampling = new SamplingDevice({ leastLogSamples: 6 })
    sampling.usurp(before)
    sampling.failing = (opcode, count) => (opcode === 0x820 && count === 2 ? 'lost' : 'ok')
    const [put, failure] = await during(sampling, () => undefined)
    expect([put, (failure as Error).message]).toEqual(['restored', 'not answered'])
    expect(sampling.context.readUInt8(4)).toBe(0x54)
    expect(sampling.context.readUInt16BE(26)).toBe(0x2006)
  })

  test('a set that did not arrive changed nothing, and nothing is put back', async () => {
    const sampling = new SamplingDevice()
    sampling.usurp(before)
    sampling.failing = (opcode) => (opcode === 0x820 ? 'gone' : 'ok')
    const [put, failure] = await during(sampling, () => undefined)
    expect([put, (failure as Error).message]).toEqual(['restored', 'gone'])
    expect(sampling.commands.filter(({ opcode }) => opcode === 0x820)).toHaveLength(1)
  })

  test.each([true, false])('what the device made of it was never read, and it rounds: %s', async (isSampling) => {
    const sampling = new SamplingDevice({ leastLogSamples: 6 })
    if (isSampling) sampling.usurp(before)
    // The query after the set is lost.
    sampling.failing = (_, count) => (count === 3 ? 'lost' : 'ok')
    const [put, failure] = await during(sampling, () => undefined)
    expect([put, (failure as Error).message]).toEqual([isSampling ? 'restored' : 'stopped', 'not answered'])
    expect(sampling.context.readUInt8(4)).toBe(isSampling ? 0x54 : 0x10)
    expect(sampling.context.readUInt16BE(0)).toBe(isSampling ? 1 : 0)
  })
})

describe('the period that is measured', () => {
  const periodic = { ...wanted, logSamples: 8, single: false, repetitive: true }
  const measured = async (logPeriod: number, clear: boolean): Promise<bigint | undefined> => {
    const sampling = new SamplingDevice({ keeps: true })
    const capabilities = await readDiagnosticCapabilities(sampling.device)
    // Rounds of before lie in the first slots, 1.048576 ms apart.
    await setDiagnosticParameters(sampling.device, { ...periodic, logPeriod: 20 })
    sampling.time += 50_000_000n
    const parameters = { ...periodic, logPeriod, clear }
    await queryDiagnosticParameters(sampling.device)
    await setDiagnosticParameters(sampling.device, parameters)
    return measurePeriod(sampling.device, capabilities, parameters, sampling)
  }

  test.each([true, false])('is that of the new rounds; emptied first: %s', async (clear) => {
    expect(await measured(10, clear)).toBe(93_246n)
    expect(await measured(24, clear)).toBe(2n ** 24n)
  })

  test.each([true, false])('is none when no two come soon; emptied first: %s', async (clear) => {
    expect(await measured(28, clear)).toBeUndefined()
  })
})
