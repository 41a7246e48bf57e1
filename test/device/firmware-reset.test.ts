import type { FirmwareInfo } from '../../src/device/firmware/query'
import {
  isResetOver,
  ResetFailed,
  resetRequest,
  type ResetChoice,
  type ResetSupport,
  type ResetView,
} from '../../src/device/firmware/reset'

/** What is asked for with the defaults of a device, and when a reset is over; numbers by facts: firmware manager, D. */

const choices = (supported: readonly number[], all: readonly number[], chosen: number): ResetChoice[] =>
  all.map((number) => ({
    number,
    name: String(number),
    supported: supported.includes(number),
    isDefault: number === chosen,
  }))

/** A device with an embedded CPU. */
const support = (code = 0, types: readonly number[] = [0, 2, 3, 4]): ResetSupport => ({
  levels: choices([0, 1, 3, 4], [0, 1, 3, 4], 0),
  types: choices(types, [0, 1, 2, 3, 4], 2),
  syncs: choices([0, 1], [0, 1, 2], 1),
  state: { code, name: `state ${code}` },
  rescanRequired: false,
})

describe('what is asked for', () => {
  test.each([
    [{ level: 3 }, { level: 3, type: 2, sync: 1 }],
    [
      { level: 3, type: 3, sync: 0 },
      { level: 3, type: 3, sync: 0 },
    ],
    [{ level: 4 }, { level: 4, type: 2, sync: 0 }],
    // A patch has no type; an immediate reset is one of the embedded CPU.
    [{ level: 0 }, { level: 0, type: 0, sync: 0 }],
    [{ level: 1 }, { level: 1, type: 3, sync: 0 }],
    [
      { level: 1, type: 4 },
      { level: 1, type: 4, sync: 0 },
    ],
  ])('%j is %j', (wanted, request) => {
    expect(resetRequest(support(), wanted)).toEqual(request)
  })

  test('an immediate reset of the whole chip is none', () => {
    expect(() => resetRequest(support(), { level: 1, type: 0 })).toThrow(/no reset type 0; it has 3 \(3\), 4 \(4\)/)
    expect(() => resetRequest(support(0, [0, 2]), { level: 1 })).toThrow(/no reset type of its own choice/)
  })
})

describe('a reset is over', () => {
  const view = (seenAt: number, uptime: number, { pending = false, code = 0 } = {}): ResetView => ({
    info: { uptime, pendingReset: pending } as FirmwareInfo,
    support: support(code),
    seenAt,
  })
  const chip = { level: 3, type: 0, sync: 1 }

  test.each<[string, boolean, ResetView, ResetView]>([
    ['one that is back within a second', true, view(100, 5000), view(100.4, 0)],
    ['one that has not gone down yet', false, view(100, 5000), view(101.4, 5001)],
    ['uptimes are cut to whole seconds', false, view(100.9, 5000), view(101.1, 5001)],
    ['one whose uptime is larger by now than before', true, view(100, 30), view(160, 40)],
    ['one that had just started', true, view(100, 1), view(100.5, 0)],
    ['one that does not count', true, view(100, 0), view(101, 0)],
    ['one with firmware on flash that runs now', true, view(100, 5000, { pending: true }), view(101, 5001)],
    [
      'one that counts anew, and what is on flash does not run',
      false,
      view(100, 5000, { pending: true }),
      view(101, 0, { pending: true }),
    ],
    ['one whose drivers negotiate', false, view(100, 5000), view(100.5, 0, { code: 1 })],
    ['one that waits', false, view(100, 5000), view(100.5, 0, { code: 8 })],
  ])('%s: %s', (_, over, before, now) => {
    expect(isResetOver(before, now, chip)).toBe(over)
  })

  test.each([3, 4, 5, 6])('state %i is the end of it, without a reset', (code) => {
    expect(() => isResetOver(view(1, 10), view(2, 11, { code }), chip)).toThrow(ResetFailed)
  })

  test('the embedded CPU alone, and a patch, leave the count as it is', () => {
    const [before, now] = [view(100, 5000, { pending: true }), view(101, 5001, { pending: true })]
    for (const type of [3, 4]) expect(isResetOver(before, now, { ...chip, type })).toBe(true)
    expect(isResetOver(before, now, { level: 1, type: 3, sync: 0 })).toBe(true)
    expect(isResetOver(before, view(101, 5001, { code: 7 }), { level: 1, type: 4, sync: 0 })).toBe(false)
    const patch = { level: 0, type: 0, sync: 0 }
    expect(isResetOver(before, now, patch)).toBe(false)
    expect(isResetOver(before, view(101, 5001), patch)).toBe(true)
    expect(isResetOver(view(100, 5000), view(101, 5001), patch)).toBe(true)
  })
})
