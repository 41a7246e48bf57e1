import {
  changesOf,
  counterGroups,
  CounterReader,
  wantedGroups,
  type CounterReading,
  type CounterScope,
  type CountersRead,
} from '../../src/device/counters'
import { catalogue } from '../support/scripted-device'
import { ACCESS_REG, answeringDevice, type Asked, type Said } from '../support/answering-device'

/** Ids of registers and opcodes, and offsets in bytes (facts: F.4, F.5, appendix 2). */
const PPCNT = 0x5008
const MPCNT = 0x9051
const MTMP = 0x900a
const MTCAP = 0x9009
const PDDR = 0x5031
const PAOS = 0x5006
const PTYS = 0x5004
const PMLP = 0x5002
const PCAM = 0x507f
const QUERY_HCA_CAP = 0x100
const QUERY_VNIC_ENV = 0x76f
const QUERY_VPORT_COUNTER = 0x770
const QUERY_Q_COUNTER = 0x773
/** Where the counters begin in PPCNT and MPCNT, and the page in PDDR. */
const SET = 8

const groupOf = ({ image }: Asked): number => (image[3] ?? 0) & 0x3f

/** Copies what was asked, as firmware does, and writes values at offsets from the start of the counters. */
function counters({ image }: Asked, values: Readonly<Record<number, bigint>>): Buffer {
  const answer = Buffer.from(image)
  for (const [offset, value] of Object.entries(values)) answer.writeBigUInt64BE(value, SET + Number(offset))
  return answer
}

async function read(
  words: readonly string[],
  answer: (asked: Asked) => Said,
  scope: CounterScope = {},
): Promise<CountersRead & { asked: Asked[] }> {
  const { device, asked } = answeringDevice(answer)
  return { ...(await new CounterReader(device, wantedGroups(words), scope).read()), asked }
}

/** Name to value, of the one instance that was read. */
function values({ readings }: CountersRead): Record<string, unknown> {
  expect(readings).toHaveLength(1)
  return Object.fromEntries(readings[0]?.values.map(({ name, value }) => [name, value]) ?? [])
}

const find = (found: CountersRead, name: string): unknown =>
  found.readings.flatMap((one) => one.values).find((value) => value.name === name)

describe('values', () => {
  test('counters of PPCNT are the 64 bits at their offsets', async () => {
    const found = await read(['ieee_802_3'], (asked) =>
      asked.register === PPCNT && groupOf(asked) === 0 && asked.image[1] === 1
        ? counters(asked, { 0x00: 0xffff_ffff_0000_0001n, 0x08: 2n, 0x28: 0x1_0000_0000n, 0x90: 17n })
        : undefined,
    )
    expect(values(found)).toMatchObject({
      a_frames_transmitted_ok: 0xffff_ffff_0000_0001n,
      a_frames_received_ok: 2n,
      a_octets_received_ok: 0x1_0000_0000n,
      a_pause_mac_ctrl_frames_transmitted: 17n,
      a_frame_check_sequence_errors: 0n,
    })
    expect(find(found, 'a_octets_received_ok')).toMatchObject({ type: 'counter', unit: 'bytes', width: 64 })
    expect(find(found, 'a_frames_received_ok')).toMatchObject({ type: 'counter', unit: 'packets' })
    expect(find(found, 'a_frame_check_sequence_errors')).toMatchObject({ unit: null })
  })

  test('error rates are one number; times and rates are gauges', async () => {
    const found = await read(['phy_statistical'], (asked) => {
      if (groupOf(asked) !== 0x16) return undefined
      const answer = counters(asked, { 0x00: 86_400_000n, 0x08: 1n << 40n, 0x20: 5n })
      // raw_ber, effective_ber, raw_ber of lane 0: magnitude and coefficient, at their places in the register file of mstflint.
      answer.writeUInt16BE(0x0c03, SET + 0x62)
      answer.writeUInt16BE(0xff0f, SET + 0x66)
      answer.writeUInt16BE(0x0802, SET + 0x6c)
      return answer
    })
    expect(values(found)).toMatchObject({
      time_since_last_clear: 86_400_000n,
      phy_received_bits: 1n << 40n,
      phy_raw_errors_lane0: 5n,
      raw_ber: 3e-12,
      effective_ber: 15e-255,
      raw_ber_lane0: 2e-8,
    })
    expect(find(found, 'raw_ber')).toMatchObject({ type: 'gauge', unit: 'ratio' })
    expect(find(found, 'time_since_last_clear')).toMatchObject({ type: 'gauge', unit: 'milliseconds' })
  })

  test('temperatures are signed eighths of a degree, by sensor and name', async () => {
    const sensors = ({ register, image }: Asked): Said => {
      const answer = Buffer.from(image)
      if (register === MTCAP) answer.writeBigUInt64BE(0b101n, 8)
      else if (register === MTMP && image.readUInt16BE(2) === 0) {
        answer.writeUInt16BE(0xffe6, 6)
        answer.writeUInt32BE(0x8000_0000 + 0x1f8, 8)
        answer.write('asic', 0x18)
      } else if (register === MTMP) {
        answer.writeUInt16BE(0x1b8, 6)
        answer.writeUInt16BE(0x1f8, 0xa)
      } else return undefined
      return answer
    }
    const found = await read(['temperature'], sensors)
    expect(found.readings.map(({ labels }) => labels)).toEqual([{ sensor: 0 }, { sensor: 2 }])
    expect(found.readings[0]?.values.slice(0, 3)).toMatchObject([
      { name: 'sensor_name', value: 'asic', type: 'info' },
      { name: 'temperature', value: -3.25, unit: 'celsius', type: 'gauge' },
      { name: 'max_temperature', value: 63 },
    ])
    // The maximum means nothing where measuring it is not enabled.
    expect(found.readings[1]?.values.map(({ name, value }) => [name, value])).toEqual([
      ['temperature', 55],
      ['temperature_threshold_hi', 0],
      ['temperature_threshold_lo', 0],
    ])
    const { readings } = await read(['temperature.max_temperature'], sensors)
    expect(readings.map(({ labels, values }) => [labels, values.length])).toEqual([[{ sensor: 0 }, 1]])
  })

  test('counters of commands are at their offsets', async () => {
    const found = await read(['vport', 'vnic_env', 'q_counters'], ({ opcode }) => {
      const body = Buffer.alloc(512)
      if (opcode === QUERY_VPORT_COUNTER) {
        body.writeBigUInt64BE(11n, 0x80)
        body.writeBigUInt64BE(13_200n, 0x88)
      } else if (opcode === QUERY_VNIC_ENV) {
        body.writeUInt32BE(3, 0x3c)
        body.writeBigUInt64BE(1n << 33n, 0x10)
      } else if (opcode === QUERY_Q_COUNTER) body.writeUInt32BE(0xffff_ffff, 0x30 - 0x10)
      else if (opcode === QUERY_HCA_CAP) {
        // nic_receive_steering_discard and vnic_env_int_rq_oob of the GENERAL capabilities: bits 832 and 364.
        body[104] = 0x80
        body[45] = 0x08
      } else return undefined
      return body
    })
    const of = (name: string): unknown => (find(found, name) as { value?: unknown } | undefined)?.value
    expect(of('received_eth_unicast.packets')).toBe(11n)
    expect(of('received_eth_unicast.octets')).toBe(13_200n)
    expect(of('internal_rq_out_of_buffer')).toBe(3)
    expect(of('nic_receive_steering_discard')).toBe(1n << 33n)
    expect(of('out_of_buffer')).toBe(0xffff_ffff)
    // What the capabilities say is not counted would read as 0.
    expect([of('cq_overrun'), of('receive_discard_vport_down'), of('eth_wqe_too_small')]).toEqual([
      undefined,
      undefined,
      0,
    ])
    expect(found.readings.map(({ labels }) => labels)).toEqual([{}, {}, { counter_set: 0 }])
  })

  test('percent of the last second is no counter; dwords are', async () => {
    const found = await read(['pcie_performance', 'pcie_performance_2'], (asked) => {
      if (asked.register !== MPCNT) return undefined
      const answer = Buffer.from(asked.image)
      if (groupOf(asked) === 0) {
        answer.writeUInt32BE(97, SET + 0x34)
        answer.writeUInt16BE(0x0905, SET + 0x62)
      }
      if (groupOf(asked) === 4) answer.writeBigUInt64BE(0x1_0000_0002n, SET + 0x10)
      return answer
    })
    expect(find(found, 'outbound_stalled_writes')).toMatchObject({ value: 97, type: 'gauge', unit: 'percent' })
    expect(find(found, 'fber')).toMatchObject({ value: 5e-9, type: 'gauge', unit: 'ratio' })
    expect(find(found, 'outbound_stalled_writes_events')).toMatchObject({ type: 'counter' })
    expect(find(found, 'outbound_read_data_dword')).toMatchObject({ value: 0x1_0000_0002n, unit: 'dwords' })
  })

  test.each([
    ['Ethernet', 4, { ext: 1 << 12, width: 0, speed: 0 }, { speed: '200G', width: 4 }],
    ['InfiniBand', 1, { ext: 0, width: 4, speed: 0x40 }, { speed: 'HDR', width: 4 }],
  ])('the link over %s: states and speed in words', async (_, active, { ext, width, speed }, words) => {
    const found = await read(['link'], ({ register, image }) => {
      const answer = Buffer.from(image)
      if (register === PAOS) {
        answer[2] = 1
        answer[3] = 1
      } else if (register === PDDR && image[7] === 0) answer[SET + 1] = active << 4
      else if (register === PDDR) answer.write('No issue was observed', SET + 0xc)
      else if (register === PTYS) {
        // The protocol that is active is the one that is asked for.
        if (((image[3] ?? 0) & 7) !== active) return 0x3
        answer.writeUInt16BE(2000, 6)
        answer.writeUInt32BE(ext, 0x20)
        answer.writeUInt16BE(width, 0x28)
        answer.writeUInt16BE(speed, 0x2a)
      } else return undefined
      return answer
    })
    expect(values(found)).toMatchObject({
      up: 1,
      oper_status: 'up',
      data_rate_oper: 200_000_000_000n,
      status_message: 'No issue was observed',
      ...words,
    })
  })

  /** Offsets in the module page, of the register file of mstflint. */
  function modulePage(image: Buffer, { identifier = 0, length = 0, mask = 0x1f } = {}): Buffer {
    const answer = Buffer.from(image)
    answer[SET + 0x06] = identifier
    answer[SET + 0x05] = length
    answer.write('Mellanox        ', SET + 0x14)
    answer.writeUInt32BE(0x00004133, SET + 0x34)
    answer.writeInt16BE(-0x180, SET + 0x4c)
    answer.writeUInt16BE(33_125, SET + 0x4e)
    answer.writeUInt16BE(512, SET + 0x50)
    answer.writeInt16BE(-3, SET + 0x52)
    answer.writeUInt16BE(3000, SET + 0x70)
    answer[SET + 0x9a] = 1 << 2
    answer[SET + 0x9e] = mask
    return answer
  }

  test.each([
    ['what it measures, power in microwatts', {}, true, { rx_power_lane0: 0.000512, tx_bias_lane0: 0.006 }],
    ['power in whole dBm', {}, false, { rx_power_lane0: 512, rx_power_lane1: -3 }],
    ['CMIS: scales of its own', { identifier: 8, length: 0x83 }, true, { cable_length: 30, tx_bias_lane0: 0.012 }],
  ])('the module: %s', async (_, page, inMicrowatts, expected) => {
    const found = await read(['module'], ({ register, image }) => {
      if (register === PCAM) {
        const answer = Buffer.from(image)
        // Bit 66 of the mask of features: counted from the end, which is at 0x38.
        if (inMicrowatts) answer[0x37 - 8] = 0x04
        return answer
      }
      if (register !== PDDR || image[7] !== 3) return undefined
      // module_info_ext 1 asks for microwatts.
      expect(((image[4] ?? 0) >> 5) & 3).toBe(inMicrowatts ? 1 : 0)
      return modulePage(image, page)
    })
    expect(values(found)).toMatchObject({
      vendor_name: 'Mellanox',
      vendor_rev: 'A3',
      temperature: -1.5,
      voltage: 3.3125,
      ...expected,
    })
    expect(find(found, 'rx_power_lane0')).toMatchObject({ unit: inMicrowatts ? 'watts' : 'dbm' })
  })

  test('a module that measures nothing has no measurements that are 0', async () => {
    const found = await read(['module'], ({ register, image }) =>
      register === PDDR ? modulePage(image, { mask: 0 }) : undefined,
    )
    expect(Object.keys(values(found)).filter((name) => /temperature|voltage|power_lane|bias/.test(name))).toEqual([])
  })
})

describe('what is read', () => {
  test('nothing is written, and nothing is cleared', async () => {
    const { asked, failure } = await read([], ({ register, image, opcode }) =>
      register === undefined ? (opcode === QUERY_HCA_CAP ? undefined : Buffer.alloc(512)) : Buffer.from(image),
    )
    expect(failure).toBeUndefined()
    const registers = asked.filter(({ opcode }) => opcode === ACCESS_REG)
    expect(registers.length).toBeGreaterThan(40)
    // op_mod 1 reads.
    expect(registers.every(({ inbox }) => inbox.readUInt16BE(6) === 1)).toBe(true)
    const counted = registers.filter(({ register }) => register === PPCNT || register === MPCNT)
    expect(counted.some(({ image }) => ((image[4] ?? 0) & 0x80) !== 0)).toBe(false)
    const commands = asked.filter(({ opcode }) => opcode === QUERY_VPORT_COUNTER || opcode === QUERY_Q_COUNTER)
    expect(commands.map(({ inbox }) => (inbox[0x18] ?? 0) & 0x80)).toEqual([0, 0])
    // Flags of the module are forgotten by the module when they are read: page 9 only by name.
    expect(registers.some(({ register, image }) => register === PDDR && image[7] === 9)).toBe(false)
  })

  test('ports, priorities and traffic classes', async () => {
    const { readings } = await read(['per_priority', 'per_traffic_class'], (asked) => {
      // num_ports and max_tc of the capabilities (GENERAL): at bits 440 and 460.
      if (asked.opcode === QUERY_HCA_CAP) {
        const body = Buffer.alloc(256)
        body[55] = 2
        body[57] = 3
        return body
      }
      return counters(asked, { 0: BigInt((asked.image[1] ?? 0) * 100 + ((asked.image[7] ?? 0) & 0x1f)) })
    })
    const of = (name: string): unknown[] =>
      readings.filter(({ group }) => group.name === name).map(({ labels, values }) => [labels, values[0]?.value])
    expect(of('per_priority')).toHaveLength(16)
    expect(of('per_priority')).toContainEqual([{ port: 2, priority: 7 }, 207n])
    expect(of('per_traffic_class')).toHaveLength(8)
    expect(of('per_traffic_class')).toContainEqual([{ port: 1, traffic_class: 3 }, 103n])
  })

  test('other vports and sets of Q counters are asked for by their fields', async () => {
    const { asked, readings } = await read(
      ['vport', 'q_counters'],
      ({ opcode }) => (opcode === QUERY_HCA_CAP ? undefined : Buffer.alloc(512)),
      { vports: [3], queueCounterSets: [0x11] },
    )
    const [, vport, queues] = asked
    expect([vport?.inbox.readUInt32BE(8), queues?.inbox.readUInt32BE(8)]).toEqual([0x8000_0003, 0x8000_0003])
    expect([queues?.inbox.readUInt32BE(0x18), queues?.inbox[0x1f]]).toEqual([0, 0x11])
    expect(readings.map(({ labels }) => labels)).toEqual([{ vport: 3 }, { vport: 3, counter_set: 0x11 }])
  })

  test('sets of Q counters are summed up where the device can', async () => {
    const { asked, readings } = await read(['q_counters'], ({ opcode }) => {
      const body = Buffer.alloc(512)
      // q_counter_aggregation is bit 825 of the GENERAL capabilities.
      if (opcode === QUERY_HCA_CAP) body[103] = 0x40
      return body
    })
    expect(asked[1]?.inbox.readUInt32BE(0x18)).toBe(0x4000_0000)
    expect(readings[0]?.labels).toEqual({ counter_set: 'all' })
  })

  test('sensors of modules are found by the lanes of the port', async () => {
    const { readings } = await read(['temperature'], ({ register, image }) => {
      const answer = Buffer.from(image)
      if (register === PMLP) {
        answer[3] = 2
        answer[7] = 5
        answer[11] = 5
      } else if (register !== MTMP && register !== MTCAP) return undefined
      return answer
    })
    expect(readings.map(({ labels }) => labels)).toEqual([{ sensor: 69 }])
  })
})

describe('refusals', () => {
  test('what is refused hides none of the others', async () => {
    const { readings, refused, failure } = await read(['phy', 'discard', 'rfc_2863'], (asked) =>
      groupOf(asked) === 6 ? 0xa : Buffer.from(asked.image),
    )
    expect(readings.map(({ group }) => group.name)).toEqual(['phy', 'rfc_2863'])
    expect(refused).toMatchObject([{ group: { name: 'discard' }, labels: { port: 1 }, error: { status: 0xa } }])
    expect(failure).toBeUndefined()
  })

  test('without any register and command everything is refused', async () => {
    const { readings, refused } = await read([], ({ opcode }) => (opcode === QUERY_HCA_CAP ? 0x2 : undefined))
    expect(readings).toEqual([])
    const names = new Set(refused.map(({ group }) => group.name))
    // Which modules there are is not told, so none is asked.
    const expected = counterGroups.filter(({ name, onlyByName }) => onlyByName === undefined && name !== 'module_state')
    expect([...names]).toEqual(expected.map(({ name }) => name))
  })

  test.each([
    ['temperatures', /no group of counters temperatures; did you mean temperature\?/],
    ['per-prioritie', /did you mean per_priority/],
    ['xyzzy', /counters list has them/],
  ])('%s is no group', (name, message) => {
    expect(() => wantedGroups([name])).toThrow(message)
  })

  test('single values of a group; names that it does not have', async () => {
    const answer = (asked: Asked): Said => (asked.register === PPCNT ? counters(asked, { 0x08: 5n }) : undefined)
    const found = await read(['phy.symbol_errors', 'phy.link_down_events'], answer)
    expect(values(found)).toEqual({ symbol_errors: 5n, link_down_events: 0 })
    expect(Object.keys(values(await read(['phy.symbol_errors', 'phy'], answer))).length).toBeGreaterThan(20)
    await expect(read(['phy.symbol_error'], answer)).rejects.toThrow(
      /phy has no value symbol_error here; did you mean symbol_errors/,
    )
  })
})

test('in every layout of counters a _high stands before its _low', () => {
  let pairs = 0
  for (const register of ['PPCNT', 'MPCNT']) {
    const set = catalogue
      .layout(catalogue.register(register).layout ?? '')
      .fields.find(({ name }) => name === 'counter_set')
    for (const { layout = '' } of catalogue.layout(set?.layout ?? '').fields) {
      const { fields } = catalogue.layout(layout)
      const at = new Map(fields.map((field) => [field.name, field]))
      for (const { name, offset, width } of fields) {
        const [, stem, half] = /^(.*)_(high|low)$/.exec(name) ?? []
        if (stem === undefined) continue
        const other = at.get(`${stem}_${half === 'high' ? 'low' : 'high'}`)
        expect([layout, name, other?.width, other?.offset]).toEqual([
          layout,
          name,
          width,
          offset + (half === 'high' ? 32 : -32),
        ])
        pairs++
      }
    }
  }
  expect(pairs).toBeGreaterThan(300)
})

describe('changes', () => {
  const [group] = counterGroups
  const reading = (value: number | bigint, width: number, type: 'counter' | 'gauge' = 'counter'): CounterReading => {
    if (group === undefined) throw new Error('no group')
    return { group, labels: {}, at: 0, values: [{ name: 'x', value, type, unit: null, width }] }
  }

  test.each([
    ['grown', 5, 25, 32, 20, 10, false],
    ['grown, 64 bits', 1n << 60n, (1n << 60n) + 3n, 64, 3n, 1.5, false],
    ['wrapped at 32 bits', 0xffff_fff0, 0x10, 32, 0x20, 16, false],
    ['wrapped at 64 bits', (1n << 64n) - 1n, 1n, 64, 2n, 1, false],
    ['cleared', 1_000_000n, 5n, 64, null, null, true],
    ['cleared, 32 bits', 1_000_000, 5, 32, null, null, true],
    ['cleared above its half, which looks like a wrap', 3_000_000_000, 5, 32, 1_294_967_301, 647_483_650.5, false],
    ['cleared: 8 bits stop at their largest value', 255, 1, 8, null, null, true],
  ])('%s', (_, before, after, width, delta, rate, reset) => {
    expect(changesOf(reading(before, width), reading(after, width), 2)).toEqual([
      { name: 'x', value: after, delta, rate, unit: null, reset },
    ])
  })

  test('a gauge has no rate', () => {
    expect(changesOf(reading(1, 32, 'gauge'), reading(2, 32, 'gauge'), 1)).toEqual([])
  })
})
