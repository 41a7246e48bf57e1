import { MalformedData } from '../../src/prm/errors'
import { decodeSegment } from '../../src/prm/resource-segments'
import { SegmentReader, type Segment } from '../../src/prm/segments'
import { SegmentView } from '../../src/commands/segment-view'
import { orMalformed } from '../support/hostile'
import { Random, seed } from '../support/random'
import { catalogue, codec } from '../support/scripted-device'

const words = (...numbers: number[]): Buffer => Buffer.from(Uint32Array.from(numbers).buffer).swap32()

/** A dump of each kind of segment, put together by hand (facts: dumps, C.2). */
const info = words(0x0004fffe, 1, 0x212, 0x1421033e)
const command = words(0x0005fffa, 0x13290007, 5, 6, 0xffff0001)
const resource = words(0x00061234, 1, 5, 6, 0xdeadbeef, 0x01020304)
const reference = words(0x0005fffd, 0x00001001, 5, 0, 0x0000ffff)
const text = (type: number, sentence: string): Buffer => {
  const bytes = Buffer.alloc(48)
  bytes.writeUInt32BE(((12 << 16) | type) >>> 0, 0)
  bytes.writeUInt16BE(0x1a, 6)
  bytes.write(sentence, 16, 32, 'latin1')
  return bytes
}
const menu = Buffer.concat([words(0x000fffff, 1, 0x00031000), Buffer.from('FULL_QPC'.padEnd(48, '\0'), 'latin1')])
const terminate = words(0x0001fffb)
const whole = Buffer.concat([info, command, resource, reference, text(0xfff9, 'note'), menu, terminate])

function segmentsOf(pieces: readonly Uint8Array[]): { type: number; offset: number; hex: string }[] {
  const reader = new SegmentReader()
  const found: { type: number; offset: number; hex: string }[] = []
  for (const piece of pieces)
    for (const { type, offset, bytes } of reader.push(piece))
      found.push({ type, offset, hex: Buffer.from(bytes).toString('hex') })
  reader.end()
  return found
}

test('the firmware version is that of a real dump', () => {
  const [first] = [...new SegmentReader().push(info)]
  expect(decodeSegment(codec, first as Segment)).toEqual({
    kind: 'info',
    dumpVersion: 1,
    hwVersion: 0x212,
    fwVersion: '20.33.0830',
  })
})

test('every kind of segment, each with its members', () => {
  const decoded = [...new SegmentReader().push(whole)].map((segment) => decodeSegment(codec, segment))
  expect(decoded.slice(1, 5)).toEqual([
    { kind: 'command', vhca: 7, type: 0x1329, index1: 5, index2: 6, num1: 0xffff, num2: 1 },
    { kind: 'resource', aggregate: true, index1: 5, index2: 6, payload: words(0xdeadbeef, 0x01020304) },
    { kind: 'reference', type: 0x1001, index1: 5, index2: 0, num1: 0, num2: 0xffff },
    { kind: 'notice', syndrome: 0x1a, text: 'note' },
  ])
  expect(decoded[5]).toMatchObject({ kind: 'menu', announced: 1, records: [{ type: 0x1000, name: 'FULL_QPC' }] })
  expect(decoded[6]).toEqual({ kind: 'terminate' })
})

test('segments are the same however the stream is cut', () => {
  const expected = segmentsOf([whole])
  expect(expected.map(({ offset }) => offset)).toEqual([0, 16, 36, 60, 80, 128, 188])
  for (let size = 1; size <= whole.length; size++) {
    const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, index) =>
      whole.subarray(index * size, (index + 1) * size),
    )
    expect(segmentsOf(pieces)).toEqual(expected)
  }
})

test.each<[string, Buffer, RegExp]>([
  ['length 0', Buffer.concat([info, words(0x0000fffb)]), /segment: has length 0 \(byte offset 16\)/],
  ['an end inside a segment', whole.subarray(0, 50), /segment: of 24 bytes has only 14 \(byte offset 36\)/],
  ['an end inside a header', Buffer.concat([info, Buffer.from([0])]), /of 4 bytes has only 1 \(byte offset 16\)/],
  ['the longest length past the end', words(0xffff1000), /of 262140 bytes has only 4/],
])('a stream with %s is told with its offset', (_, bytes, message) => {
  expect(() => segmentsOf([bytes])).toThrow(MalformedData)
  expect(() => segmentsOf([bytes])).toThrow(message)
})

test.each<[string, Buffer]>([
  ['info', words(0x0003fffe, 1, 2)],
  ['command', words(0x0004fffa, 0, 0, 0)],
  ['reference', words(0x0001fffd)],
  ['error', words(0x0004fffc, 1, 0, 0)],
  ['menu', words(0x0001ffff)],
  ['resource', words(0x00031000, 0, 0)],
])('a segment of %s that is too short is told with its offset', (_, bytes) => {
  const [segment] = [...new SegmentReader().push(bytes)]
  expect(() => decodeSegment(codec, segment as Segment)).toThrow(/has \d+ bytes; .* \(byte offset 0\)/)
})

test('text without NUL ends with its field, and nothing of a terminal gets through', () => {
  const [segment] = [...new SegmentReader().push(text(0xfffc, '\u001b[31m'.padEnd(32, 'x')))]
  const decoded = decodeSegment(codec, segment as Segment)
  expect(decoded).toEqual({ kind: 'error', syndrome: 0x1a, text: `.[31m${'x'.repeat(27)}` })
})

/** Bits flipped, bytes set, dwords of meaning put anywhere, ends cut off, parts said twice. */
function mutated(random: Random): Buffer {
  const bytes = Buffer.from(whole)
  for (let times = random.below(4); times >= 0; times--) {
    const at = random.below(bytes.length)
    const how = random.below(4)
    if (how === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    else if (how === 1) bytes[at] = random.below(256)
    else if (how === 2)
      bytes.writeUInt32BE(random.one([0, 0xffffffff, 0x0000ffff, 0xffff0000, 0x0001fffb, 0x000fffff]), at & ~3)
    else whole.copy(bytes, at, random.below(whole.length))
  }
  return random.below(3) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes
}

test('a million damaged dumps: each is decoded, or refused with where it ends', () => {
  const random = new Random(seed)
  const count = 1_000_000 * Number(process.env.MLX5CTL_FUZZ ?? 1)
  let taken = 0
  let segments = 0
  for (let index = 0; index < count; index++) {
    const bytes = mutated(random)
    const cut = random.below(bytes.length + 1)
    const reader = new SegmentReader()
    const isTaken = orMalformed(() => {
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)])
        for (const segment of reader.push(piece)) {
          decodeSegment(codec, segment)
          segments++
        }
      reader.end()
    })
    if (isTaken) taken++
    if (segments > (index + 1) * 64) throw new Error(`seed ${seed}: more segments than dwords`)
  }
  process.stdout.write(`${count} dumps (seed ${seed}): ${taken} whole, ${segments} segments\n`)
  expect(taken).toBeGreaterThan(count / 100)
  expect(taken).toBeLessThan(count)
})

test('damaged dumps as text and as JSON', () => {
  const random = new Random(seed)
  let shown = 0
  for (let index = 0; index < 20_000; index++) {
    const bytes = mutated(random)
    const view = new SegmentView({ catalogue, codec })
    orMalformed(() => {
      for (const segment of new SegmentReader().push(bytes)) {
        shown += view.text(segment).length
        JSON.stringify(view.json(segment))
      }
    })
  }
  expect(shown).toBeGreaterThan(20_000)
})
