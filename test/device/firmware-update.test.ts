import { blockSize, dataImage, updateFirmware } from '../../src/device/firmware/update'
import { UpdateRefused } from '../../src/device/firmware/mcc'
import { HandleTaken } from '../../src/device/firmware/update-handle'
import type { FirmwareComponent } from '../../src/device/firmware/components'
import type { DeviceOptions } from '../../src/device/device'
import { DeliveryError } from '../../src/transport/contract'
import { catalogue, codec } from '../support/scripted-device'
import { scriptedRegisters, type Access, type ScriptedAnswer } from '../support/scripted-registers'

/** The state machine of updates against a scripted device; images by the offsets of facts: firmware manager, C.5 and C.6. */

const MCQS = 0x9060
const MCQI = 0x9061
const MCC = 0x9062
const MCDA = 0x9063
const BAD_PARAM = 3
const BUSY = 6
const [LOCK, RELEASE, UPDATE, VERIFY, ACTIVATE, CANCEL, FORCE] = [1, 2, 3, 4, 6, 8, 0xa]
const [IDLE, LOCKED, INITIALIZE, DOWNLOAD, VERIFYING, ACTIVATING] = [0, 1, 2, 3, 4, 6]
const HANDLE = 0x123456

interface Script {
  /** States of the answers to each instruction, one after the other; the last one stays. */
  readonly states?: Readonly<Record<number, readonly number[]>>
  readonly errors?: Readonly<Record<number, number>>
  /** The answer to an access, in place of what follows. */
  readonly own?: (access: Access, count: number) => ScriptedAnswer | undefined
  readonly owner?: number
  readonly device?: DeviceOptions
}

const usual: Readonly<Record<number, readonly number[]>> = {
  [LOCK]: [LOCKED],
  [RELEASE]: [IDLE],
  [UPDATE]: [INITIALIZE, INITIALIZE, DOWNLOAD],
  [VERIFY]: [LOCKED],
  [ACTIVATE]: [LOCKED],
  [CANCEL]: [LOCKED],
  [FORCE]: [IDLE],
}

function scripted({ states = {}, errors = {}, own, owner = 0, device }: Script): ReturnType<typeof scriptedRegisters> {
  const all = { ...usual, ...states }
  let current = 0
  let looks = 0
  let held = owner
  return scriptedRegisters((access, count) => {
    const given = own?.(access, count)
    if (given !== undefined) return given
    const { id, write, image } = access
    if (id === MCQS) return Buffer.from('80000000000000010000002000000000', 'hex')
    if (id === MCQI) {
      const answer = Buffer.from(image)
      answer.writeUInt32BE(0x2000000, 0x20)
      answer.writeUInt32BE(0x20000080, 0x24)
      return answer
    }
    if (id === MCDA) return Buffer.from(image)
    if (id !== MCC) return BAD_PARAM
    if (write) {
      current = image[3] ?? 0
      looks = 0
      if (current === FORCE) held = 0
    } else looks++
    const list = all[current] ?? [IDLE]
    const answer = Buffer.from(image)
    const isTaken = current === 0 || current === FORCE ? held !== 0 : false
    answer.writeUInt32BE(isTaken ? 0 : HANDLE, 8)
    answer[0] = 0
    answer[1] = isTaken ? 12 : 0
    answer[0xc] = (held << 4) | 0
    answer[0xe] = errors[current] ?? 0
    answer[0xf] = isTaken ? DOWNLOAD : current === 0 ? IDLE : (list[Math.min(looks, list.length - 1)] ?? IDLE)
    return answer
  }, device)
}

/** What was written to MCC, and how many blocks to MCDA. */
function told(accesses: readonly Access[]): (number | string)[] {
  const steps: (number | string)[] = []
  for (const { id, write, image } of accesses) {
    if (id === MCDA) {
      const last = steps.at(-1)
      if (typeof last === 'string') steps[steps.length - 1] = `${parseInt(last) + 1} blocks`
      else steps.push('1 blocks')
    } else if (id === MCC && write) steps.push(image[3] ?? 0)
  }
  return steps
}

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern)

const waits: number[] = []
const pause = async (milliseconds: number): Promise<void> => void waits.push(milliseconds)
beforeEach(() => (waits.length = 0))
let lastWritten: number | undefined
const image = Buffer.from(Array.from({ length: 300 }, (_, index) => index % 251))
const update = async (
  script: Script,
  forceRelease = false,
): Promise<{ steps: (number | string)[]; outcome: unknown; accesses: Access[] }> => {
  const { device, accesses } = scripted(script)
  const outcome = await updateFirmware(device, image, { pause, forceRelease }).catch((error: unknown) => error)
  return { steps: told(accesses), outcome, accesses }
}

test('lock, begin, every block, verify, activate, release; each with the handle', async () => {
  const { steps, outcome, accesses } = await update({})
  expect(steps).toEqual([LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE])
  expect(outcome).toEqual({ bytes: 300, blocks: 3, warnings: [] })
  const blocks = accesses.filter(({ id }) => id === MCDA).map(({ image: bytes }) => bytes)
  expect(
    blocks.map((bytes) => [bytes.length, bytes.readUInt32BE(0), bytes.readUInt32BE(4), bytes.readUInt32BE(8)]),
  ).toEqual([
    [144, HANDLE, 0, 128],
    [144, HANDLE, 128, 128],
    [144, HANDLE, 256, 44],
  ])
  // Groups of four the other way round; the magic is blank.
  expect(blocks[0]?.subarray(16, 40).toString('hex')).toBe(`${'ff'.repeat(16)}1312111017161514`)
  const begun = accesses.find(({ id, image: bytes }) => id === MCC && bytes[3] === UPDATE)?.image
  expect([begun?.readUInt32BE(8), begun?.readUInt32BE(0x10)]).toEqual([HANDLE, 300])
  expect(waits).toEqual([5, 10])
})

test('states that take their time are waited for, a little longer each time', async () => {
  const slow = {
    [UPDATE]: [...Array<number>(9).fill(INITIALIZE), DOWNLOAD],
    [VERIFY]: [...Array<number>(7).fill(VERIFYING), LOCKED],
    [ACTIVATE]: [ACTIVATING, ACTIVATING, LOCKED],
  }
  const { steps } = await update({ states: slow })
  expect(steps).toEqual([LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE])
  expect(waits).toEqual([5, 10, 20, 40, 80, 160, 240, 240, 240, 5, 10, 20, 40, 80, 80, 80, 5, 10])
})

test.each([
  ['begin', UPDATE, [LOCK, UPDATE, CANCEL, RELEASE]],
  ['verify', VERIFY, [LOCK, UPDATE, '3 blocks', VERIFY, CANCEL, RELEASE]],
  ['activate', ACTIVATE, [LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, CANCEL, RELEASE]],
])('an error code in the answer to %s ends it: cancelled and released', async (_, what, expected) => {
  const { steps, outcome } = await update({ errors: { [what]: 0xf }, states: { [what]: [DOWNLOAD] } })
  expect(outcome).toBeInstanceOf(UpdateRefused)
  expect(outcome).toMatchObject({
    status: 0xf,
    message: matching(/this version is forbidden \(MCC error 0xf/),
  })
  expect((outcome as UpdateRefused).hint).toMatch(
    /cancelled and its handle released; the firmware on flash is the one of before/,
  )
  expect(steps).toEqual(expected)
})

test('somebody else has the handle: nothing is written; by force it is taken away', async () => {
  const taken = await update({ owner: 5 })
  expect(taken.outcome).toBeInstanceOf(HandleTaken)
  expect(taken.outcome).toMatchObject({
    message: matching(/held by a tool over ICMD of host 0 \(downloading, last command \d+ s ago\)/),
    hint: matching(/--force-release/),
  })
  expect(taken.steps).toEqual([])
  expect((await update({ owner: 5 }, true)).steps).toEqual([FORCE, LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE])
})

test.each<[string, Script, (number | string)[]]>([
  ['idle', { errors: { [LOCK]: 1 }, states: { [LOCK]: [IDLE] } }, [LOCK]],
  ['locked', { errors: { [LOCK]: 1 } }, [LOCK, CANCEL, RELEASE]],
])('a lock that is refused ends it, the state then being %s', async (_, script, expected) => {
  const { outcome, steps } = await update(script)
  expect(outcome).toBeInstanceOf(UpdateRefused)
  expect(outcome).toMatchObject({ status: 1, message: matching(/^locking the update handle: .*general error/) })
  expect(steps).toEqual(expected)
})

test('a lock that never comes ends it', async () => {
  const { outcome, steps } = await update({ states: { [LOCK]: [IDLE] } })
  expect(outcome).toMatchObject({ errno: 'EBUSY', message: matching(/^locking the update handle: /) })
  expect(steps).toEqual([LOCK, CANCEL, RELEASE])
})

test('an answer that is from before the instruction is looked behind', async () => {
  const { outcome } = await update({ states: { [LOCK]: [IDLE, LOCKED], [RELEASE]: [LOCKED, IDLE] } })
  expect(outcome).toMatchObject({ bytes: 300, warnings: [] })
})

test('a handle that is not given back is told', async () => {
  const held = { errors: { [RELEASE]: 1 }, states: { [RELEASE]: [LOCKED] } }
  expect((await update(held)).outcome).toMatchObject({
    warnings: [matching(/is activated, but the update handle was not released: releasing .*general error/)],
  })
  const refused = await update({ errors: { ...held.errors, [VERIFY]: 2 }, states: held.states })
  expect(refused.outcome).toMatchObject({ status: 2, hint: matching(/NOT released \(releasing .*--force-release/) })
  const stuck = await update({ errors: { [VERIFY]: 2 }, states: { [RELEASE]: [LOCKED] } })
  expect(stuck.outcome).toMatchObject({ status: 2, hint: matching(/NOT released \(releasing .*still locked/) })
  const unforced = await update({ owner: 5, errors: { [FORCE]: 1 }, states: { [FORCE]: [LOCKED] } }, true)
  expect(unforced.outcome).toMatchObject({ status: 1, message: matching(/^releasing the handle by force: /) })
  expect(unforced.steps).toEqual([FORCE])
})

test('a busy device is asked again; one that stays busy is left', async () => {
  let refusals = 0
  const busy = await update({
    own: ({ id, image: bytes }) => (id === MCC && bytes[3] === VERIFY && refusals++ < 3 ? BUSY : undefined),
  })
  expect(busy.steps).toEqual([LOCK, UPDATE, '3 blocks', VERIFY, VERIFY, VERIFY, VERIFY, ACTIVATE, RELEASE])
  const stuck = await update({ own: ({ id, image: bytes }) => (id === MCC && bytes[3] === VERIFY ? BUSY : undefined) })
  expect(stuck.outcome).toMatchObject({ kind: 'firmware', hint: matching(/handle released/) })
  expect(stuck.steps.slice(-2)).toEqual([CANCEL, RELEASE])
})

test.each<[string, (access: Access) => boolean, (number | string)[]]>([
  ['the first look', ({ id, write }) => id === MCC && !write, [LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE]],
  [
    'the lock',
    ({ id, image: bytes }) => id === MCC && bytes[3] === LOCK,
    [LOCK, LOCK, LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE],
  ],
  [
    'a look at the state',
    ({ id, write, image: bytes }) => id === MCC && !write && bytes.readUInt32BE(8) !== 0,
    [LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE],
  ],
  ['a block', ({ id }) => id === MCDA, [LOCK, UPDATE, '5 blocks', VERIFY, ACTIVATE, RELEASE]],
])('%s that a busy device refuses twice is done again', async (_, isRefused, expected) => {
  let refusals = 0
  const { steps, outcome } = await update({ own: (access) => (isRefused(access) && refusals++ < 2 ? BUSY : undefined) })
  expect(outcome).toMatchObject({ bytes: 300, warnings: [] })
  expect(steps).toEqual(expected)
})

test('a refused block is explained by the error that MCC has then', async () => {
  let isRefused = false
  const { steps, outcome } = await update({
    own: ({ id, image: bytes, write }) => {
      if (id === MCDA && bytes.readUInt32BE(4) === 128) isRefused = true
      if (id === MCDA && isRefused) return BAD_PARAM
      if (id !== MCC || write || !isRefused) return undefined
      const answer = Buffer.from(bytes)
      answer[0xe] = 0x10
      answer[0xf] = DOWNLOAD
      return answer
    },
  })
  expect(outcome).toMatchObject({
    status: 0x10,
    message: matching(/^writing byte 128: .*cannot be erased/),
  })
  expect(steps).toEqual([LOCK, UPDATE, '2 blocks', CANCEL, RELEASE])
})

test('the device goes away in the midst: the hint says that the handle may still be held', async () => {
  let isGone = false
  const { outcome } = await update({
    own: ({ id, image: bytes }) => {
      if (id === MCDA && bytes.readUInt32BE(4) === 128) isGone = true
      return isGone ? new DeliveryError('gone', 'ENODEV') : undefined
    },
  })
  expect(outcome).toMatchObject({
    errno: 'ENODEV',
    hint: matching(/NOT released \(gone\).*--force-release/),
  })
})

test('an activation that was not answered may have been done', async () => {
  const { outcome } = await update({
    own: ({ id, image: bytes }) =>
      id === MCC && bytes[3] === ACTIVATE ? new DeliveryError('no answer', 'ETIMEDOUT') : undefined,
  })
  expect(outcome).toMatchObject({ hint: matching(/fw query tells whether the image was activated$/) })
})

test.each<[string, Script]>([
  [
    'a look at it is refused',
    {
      states: { [ACTIVATE]: [ACTIVATING, ACTIVATING, LOCKED] },
      own: ({ id, write, image: bytes }) => {
        if (id === MCC && write) lastWritten = bytes[3]
        return id === MCC && !write && lastWritten === ACTIVATE ? BAD_PARAM : undefined
      },
    },
  ],
  ['it does not end', { states: { [ACTIVATE]: [ACTIVATING] } }],
])('an activation that was accepted is not cancelled when %s', async (_, script) => {
  const { outcome, steps } = await update(script)
  expect(steps).toEqual([LOCK, UPDATE, '3 blocks', VERIFY, ACTIVATE, RELEASE])
  expect(outcome).toMatchObject({
    hint: matching(/^the update handle was released; fw query tells whether the image was activated$/),
  })
})

test('a signal ends it between two blocks, and the handle is given back', async () => {
  const abort = new AbortController()
  const { outcome, steps } = await update({
    device: { signal: abort.signal },
    own: ({ id, image: bytes }) => {
      if (id === MCDA && bytes.readUInt32BE(4) === 128) abort.abort('SIGTERM')
      return undefined
    },
  })
  expect(outcome).toMatchObject({ kind: 'interrupted', signal: 'SIGTERM' })
  expect(steps).toEqual([LOCK, UPDATE, '2 blocks', CANCEL, RELEASE])
})

test('blocks are as long as the component, the register and the door allow, in whole words', () => {
  const component = (writeLimit: number, wordSize: number): FirmwareComponent => ({
    index: 0,
    identifier: 1,
    name: 'boot image',
    status: 'present',
    updateState: 'idle',
    capabilities: {
      infoTypes: 0,
      size: 0,
      maxSize: 0,
      writeLimit,
      wordSize,
      readable: false,
      signedOnly: false,
      matchesPsid: false,
      matchesChip: false,
      checksTimestamp: false,
      matchesBaseMac: false,
    },
  })
  const door = (limit?: number): Parameters<typeof blockSize>[0] =>
    ({ transport: limit === undefined ? {} : { registers: { limit } } }) as Parameters<typeof blockSize>[0]
  const sizes = [
    [door(), component(0, 1)],
    [door(), component(4096, 4)],
    [door(), component(100, 16)],
    [door(), component(128, 4)],
    [door(44), component(128, 4)],
    [door(812), component(128, 4)],
  ] as const
  expect(sizes.map(([one, of]) => blockSize(one, of))).toEqual([128, 128, 96, 128, 28, 128])
  expect(() => blockSize(door(44), component(128, 64))).toThrow(/words of 64 bytes/)
})

test('the register that is written without the catalogue is the one of the catalogue', () => {
  const { layout = '' } = catalogue.register('MCDA')
  const block = image.subarray(20, 148)
  const words = Array.from({ length: 32 }, (_, index) => block.readUInt32LE(index * 4))
  const values = { update_handle: 0xabcdef, offset: 0x1020_3040, size: 128, data: words }
  expect(Buffer.from(dataImage(0xabcdef, 0x1020_3040, block)).equals(codec.encode(layout, values))).toBe(true)
})
