import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { TraceDecoder, type TraceMessage } from '../../src/prm/firmware-trace/decoder'
import { compileFormat } from '../../src/prm/firmware-trace/format'
import { parseKernelLine } from '../../src/prm/firmware-trace/kernel-lines'
import { RingReader, storedRing } from '../../src/prm/firmware-trace/ring'
import { StringsDatabase } from '../../src/prm/firmware-trace/strings'
import { parseStrings, stringsDocument } from '../../src/prm/firmware-trace/strings-file'
import { clockText, nanosecondsOf } from '../../src/prm/firmware-trace/ticks'
import { orMalformed } from '../support/hostile'
import { describeUnless, missingProgram } from '../support/oracle'
import { Random, seed } from '../support/random'
import {
  BASE,
  BlockWriter,
  randomStream,
  stringEvent,
  templateSection,
  timestampEvent,
  TIMES,
  type Sent,
} from '../support/trace-encoder'

process.stderr.write(`firmware-trace: MLX5CTL_SEED=${seed}\n`)

const FIRST = 4
const section = templateSection()
const database = (parameters: Partial<StringsDatabase['parameters']> = {}): StringsDatabase =>
  new StringsDatabase([section], { version: 1, firstString: FIRST, stringCount: 9, ...parameters })
const decoder = (): TraceDecoder => new TraceDecoder(database())
/** Of a section that has only this string, from its base on. */
const decoderOf = (string: string): TraceDecoder =>
  new TraceDecoder(
    new StringsDatabase([{ base: BASE, bytes: Buffer.from(`${string}\0`, 'latin1') }], database().parameters),
  )
const plain = (messages: readonly TraceMessage[]): Sent[] =>
  messages.map(({ timestamp, lost, eventId, text }) => ({ time: BigInt(timestamp ?? -1), lost, eventId, text }))
const decodeAll = (one: TraceDecoder, blocks: readonly Uint8Array[]): Sent[] =>
  plain(blocks.flatMap((block) => one.push(block)))

describe('messages of random streams', () => {
  test.each([
    ['from the beginning of time', 0n],
    ['far along', 0x1_2345_6789_abcdn],
    ['over the end of the 53 bits', TIMES - 1024n],
  ])('%s: what was put in comes out', (_, start) => {
    const random = new Random(seed)
    for (let round = 0; round < 60; round++) {
      const { blocks, sent } = randomStream(random, { messages: 1 + random.below(200), start })
      expect(decodeAll(decoder(), blocks)).toEqual(sent)
      const whole = decoder()
      expect(plain(whole.push(Buffer.concat(blocks)))).toEqual(sent)
      expect(whole.counts).toMatchObject({ messages: sent.length, raw: 0, incomplete: 0, untimed: 0, unknownEvents: 0 })
    }
  })

  test('a message may be split at every place of a block', () => {
    const values = [1, 2, 3, 4, 5, 6, 7]
    const address = section.addresses[5] ?? 0
    for (let before = 0; before < 62; before++) {
      const writer = new BlockWriter()
      for (let one = 0; one < before; one++)
        writer.add(stringEvent({ time: 5n, id: FIRST, number: one }, section.addresses[0] ?? 0), 5n)
      writer.add(stringEvent({ time: 9n, id: 6, number: 99 }, address), 9n)
      for (const [index, value] of values.entries())
        writer.add(stringEvent({ time: 9n, id: 6, number: 99, part: index + 1 }, value), 9n)
      writer.close(9n)
      const messages = decodeAll(decoder(), writer.blocks)
      expect(messages).toHaveLength(before + 1)
      expect(messages.at(-1)).toEqual({ time: 9n, lost: false, eventId: 6, text: 'seven 1 2 3 4 5 6 7' })
    }
  })

  test('a whole ring decodes to the same wherever it begins', () => {
    const random = new Random(seed)
    for (const start of [77n, TIMES - 500n]) {
      const { blocks } = randomStream(random, { messages: 60, start })
      const expected = decodeAll(decoder(), blocks)
      for (let turn = 0; turn < blocks.length; turn++) {
        const { parts, withoutTime } = storedRing(Buffer.concat([...blocks.slice(turn), ...blocks.slice(0, turn)]))
        expect([turn, parts.length, withoutTime]).toEqual([turn, 1, 0])
        expect(decodeAll(decoder(), parts)).toEqual(expected)
      }
      const unfilled = storedRing(Buffer.concat([...blocks, Buffer.alloc(256 * 5)]))
      expect(unfilled).toMatchObject({ withoutTime: 5, blocks: blocks.length + 5 })
      expect(decodeAll(decoder(), unfilled.parts)).toEqual(expected)
    }
  })

  test('times that go back more than once: the parts are kept in their order', () => {
    const block = (time: bigint): Buffer => Buffer.concat([Buffer.alloc(248), timestampEvent(time)])
    const { parts, backwards } = storedRing(Buffer.concat([block(5n), block(9n), block(2n), block(8n), block(1n)]))
    expect([parts.map((part) => part.length / 256), backwards]).toEqual([[2, 2, 1], 2])
  })

  test('a block without a timestamp parts a ring, and does not keep it from being turned', () => {
    const block = (time: bigint): Buffer => Buffer.concat([Buffer.alloc(248), timestampEvent(time)])
    const none = Buffer.alloc(256)
    const times = (ring: readonly Buffer[]): unknown => {
      const { parts, withoutTime, backwards } = storedRing(Buffer.concat(ring))
      const all = parts.map((part) => {
        const bytes = Buffer.from(part)
        return Array.from({ length: bytes.length / 256 }, (_, at) => bytes[at * 256 + 248])
      })
      return [all, withoutTime, backwards]
    }
    expect(times([block(8n), none, block(3n), block(4n), block(7n)])).toEqual([[[3, 4, 7, 8]], 1, 0])
    expect(times([block(8n), block(3n), none, block(4n), block(7n)])).toEqual([[[3], [4, 7, 8]], 1, 0])
    expect(times([block(7n), none, block(8n), block(3n), block(4n)])).toEqual([[[3, 4, 7], [8]], 1, 0])
    expect(times([block(7n), block(8n), none, none, block(9n)])).toEqual([[[7, 8], [9]], 2, 0])
    expect(times([none, block(5n), block(3n)])).toEqual([[[3], [5]], 1, 0])
    // Two files one behind the other are no ring.
    expect(times([block(3n), block(4n), block(1n), block(9n)])).toEqual([
      [
        [3, 4],
        [1, 9],
      ],
      0,
      1,
    ])
  })
})

describe('a ring that is written to meanwhile', () => {
  const BLOCKS = 8
  /** A ring, and a device that writes numbered blocks into it. */
  const ringOf = (
    first: bigint,
  ): { ring: Buffer; write: (count: number) => void; numbers: (bytes: Uint8Array) => number[] } => {
    const ring = Buffer.alloc(BLOCKS * 256)
    let written = 0
    return {
      ring,
      write: (count) => {
        for (let done = 0; done < count; done++, written++) {
          const event = stringEvent({ time: 0n, id: 4, number: written % 8192 }, written)
          const time = (first + BigInt(written) * 1000n) % TIMES
          Buffer.concat([event, Buffer.alloc(240), timestampEvent(time)]).copy(ring, (written % BLOCKS) * 256)
        }
      },
      numbers: (bytes) =>
        Array.from({ length: bytes.length / 256 }, (_, at) => Buffer.from(bytes).readUInt32BE(at * 256 + 4)),
    }
  }

  test.each([
    ['early', 1n],
    ['over the end of time', TIMES - 7500n],
  ])('%s: each block once, at every position', (_, first) => {
    for (let step = 1; step <= BLOCKS; step++) {
      const { ring, write, numbers } = ringOf(first)
      const reader = new RingReader(ring)
      expect(reader.poll()).toEqual([])
      for (let turn = 0; turn < 3 * BLOCKS; turn++) {
        write(step)
        const parts = reader.poll()
        expect(parts.map(({ overwritten }) => overwritten)).toEqual([0])
        expect(parts.flatMap(({ bytes }) => numbers(bytes))).toEqual(
          Array.from({ length: step }, (_, index) => turn * step + index),
        )
        expect(reader.poll()).toEqual([])
      }
    }
  })

  test('overwritten blocks are told, and none comes twice or in the wrong order', () => {
    for (let ahead = 0; ahead < BLOCKS; ahead++)
      for (let count = BLOCKS + 1; count < 2 * BLOCKS; count++) {
        const { ring, write, numbers } = ringOf(1n)
        const reader = new RingReader(ring)
        write(ahead)
        reader.poll()
        write(count)
        const parts = reader.poll()
        const all = parts.flatMap(({ bytes }) => numbers(bytes))
        const last = ahead + count
        expect([ahead, count, parts.reduce((sum, { overwritten }) => sum + overwritten, 0)]).toEqual([
          ahead,
          count,
          count - BLOCKS,
        ])
        // The whole ring, oldest first, in one look or two.
        const more = reader.poll().flatMap(({ bytes }) => numbers(bytes))
        expect([...all, ...more]).toEqual(Array.from({ length: BLOCKS }, (_, index) => last - BLOCKS + index))
        write(2)
        expect(reader.poll().flatMap(({ bytes }) => numbers(bytes))).toEqual([last, last + 1])
      }
  })

  test('a block that is written while it is copied comes as it is at last', () => {
    const { ring, write } = ringOf(1n)
    write(3)
    const whole = Buffer.from(ring)
    let copies = 0
    // The first copy has only half of what is being written.
    const slice = (from: number, to: number): Uint8Array => {
      const copy = Uint8Array.prototype.slice.call(ring, from, to)
      return copies++ === 0 ? copy.fill(0xaa, 0, 128) : copy
    }
    const reader = new RingReader(Object.assign(ring, { slice }))
    expect(Buffer.concat(reader.poll().map(({ bytes }) => bytes)).equals(whole.subarray(0, 3 * 256))).toBe(true)
  })

  test('what was begun before a gap is not finished with parameters behind it', () => {
    const one = decoder()
    one.push(stringEvent({ time: 1n, id: 5, number: 7 }, section.addresses[2] ?? 0))
    one.gap()
    const [message] = one.push(
      Buffer.concat([stringEvent({ time: 1n, id: 5, number: 7, part: 1 }, 3), timestampEvent(2n)]),
    )
    expect(message).toMatchObject({ kind: 'raw', text: '0x0105003900000003' })
    expect(one.counts.incomplete).toBe(1)
  })
})

describe('what the kernel does differently, or not at all', () => {
  const decode = (events: readonly Buffer[], one = decoder()): TraceMessage[] => one.push(Buffer.concat(events))
  const at = (index: number): number => section.addresses[index] ?? 0

  test('a string at the base of its section is found; an id behind the last one is none', () => {
    expect(at(0)).toBe(BASE)
    const events = [
      stringEvent({ time: 1n, id: FIRST, number: 1 }, BASE),
      stringEvent({ time: 1n, id: FIRST + 8, number: 1 }, BASE),
      stringEvent({ time: 1n, id: FIRST + 9, number: 1 }, BASE),
      stringEvent({ time: 1n, id: FIRST - 1, number: 1 }, BASE),
      timestampEvent(2n),
    ]
    const one = decoder()
    expect(decode(events, one).map(({ eventId, text }) => [eventId, text])).toEqual([
      [FIRST, 'no parameters at all'],
      [FIRST + 8, 'no parameters at all'],
    ])
    expect(one.counts).toMatchObject({ unknownEvents: 2, events: 5 })
  })

  test('an address in no section and a parameter without its string: the bytes, as they are on the wire', () => {
    for (const [address, part] of [
      [BASE - 1, 0],
      [BASE + 320, 0],
      [0, 0],
      [0xffff_ffff, 0],
      [5, 3],
    ] as const) {
      const event = stringEvent({ time: 3n, id: 6, number: 300, part, lost: 1 }, address)
      expect(decode([event, timestampEvent(5n)])).toEqual([
        { timestamp: 3, lost: true, eventId: 6, kind: 'raw', text: `0x${event.toString('hex')}` },
      ])
    }
  })

  test('the rule of the 7 low bits, at all of them', () => {
    for (let low = 0n; low < 128n; low++)
      for (const high of [0n, 128n, TIMES - 128n]) {
        const time = high + low
        for (const bits of [0n, 1n, low, 127n]) {
          const event = stringEvent({ time: bits, id: 5, number: 1 }, BASE)
          const [message] = decode([event, timestampEvent(time)])
          const expected =
            bits < (time & 0x7fn) ? (time & ~0x7fn) | bits : (BigInt.asUintN(53, time - 1n) & ~0x7fn) | bits
          expect([time, bits, message?.timestamp]).toEqual([time, bits, Number(expected)])
        }
      }
  })

  test.each([
    [0, 4, true],
    [0, 3, false],
    [1, 1, true],
    [1, 4, false],
    [1, 6, false],
  ])('trc_ver %i, urts %i: unreliable %s', (version, urts, isUnreliable) => {
    const one = new TraceDecoder(database({ version }))
    const event = stringEvent({ time: 1n, id: 5, number: 1 }, BASE)
    expect(one.push(Buffer.concat([event, timestampEvent(2n, urts)]))).toHaveLength(isUnreliable ? 0 : 1)
    const [later] = one.push(timestampEvent(0x82n))
    if (isUnreliable) expect(later?.timestamp).toBe(0x81)
    expect(one.finish()).toEqual([])
  })

  test('parameters in another order and of two messages with one number; one that begins anew', () => {
    const start = (id: number): Buffer => stringEvent({ time: 1n, id, number: 9 }, at(3))
    const part = (id: number, index: number, value: number): Buffer =>
      stringEvent({ time: 1n, id, number: 9, part: index }, value)
    const one = decoder()
    const messages = decode(
      [
        start(5),
        start(6),
        part(6, 2, 0x16),
        part(5, 1, 15),
        start(6),
        part(5, 2, 0x15),
        part(6, 1, 26),
        part(6, 2, 0x26),
        timestampEvent(3n),
      ],
      one,
    )
    expect(messages.map(({ eventId, text }) => [eventId, text])).toEqual([
      [5, '15 and 15'],
      [6, '26 and 26'],
    ])
    expect(one.counts).toMatchObject({ incomplete: 1, raw: 0 })
  })

  test('messages that nothing stamps are told at the end; memory is bounded', () => {
    const one = decoder()
    expect(one.push(stringEvent({ time: 1n, id: 5, number: 1 }, BASE))).toEqual([])
    expect(one.finish()).toMatchObject([{ timestamp: undefined, text: 'no parameters at all' }])
    const many = Buffer.concat(
      Array.from({ length: 20_000 }, (_, index) => stringEvent({ time: 1n, id: 5, number: index % 8192 }, BASE)),
    )
    expect(one.push(many).length).toBeGreaterThan(10_000)
    const begun = Buffer.concat(
      Array.from({ length: 8192 * 2 }, (_, index) =>
        stringEvent({ time: 1n, id: 5 + (index >>> 13), number: index % 8192 }, at(5)),
      ),
    )
    one.push(begun)
    expect(one.counts.incomplete).toBeGreaterThan(15_000)
  })
})

describe('formats', () => {
  /** The kernel's printf differs from C's here: it always has a digit, always 0x with #, and zeros in spite of a precision. */
  test.each<[string, number[], string]>([
    ['%#x', [0], '0x0'],
    ['%#X', [0xab], '0XAB'],
    ['%#08x', [0xab], '0x0000ab'],
    ['%.0x', [0], '0'],
    ['%.x', [0], '0'],
    ['%08.3d', [5], '00000005'],
    ['%8.3d', [-5 >>> 0], '    -005'],
    ['%08d', [-5 >>> 0], '-0000005'],
    ['%03c|', [65], '  A|'],
    ['%c%c', [10, 0x1b], '..'],
    ['%ld', [0xffff_ffff], '4294967295'],
    ['%lli', [0xffff_ffff], '4294967295'],
    ['%llx', [0, 5], '05'],
    ['%llx', [1, 0x2345_6789], '123456789'],
    ['%llx', [0xabc, 5], 'abc00000005'],
    ['%016llx', [5], '0000000000000005'],
    ['%%d %%', [], '%d %'],
    ['%-', [], 'BAD_FORMAT: %-'],
  ])('%s of %j is %s', (string, values, text) => {
    const events = values.map((value, index) => stringEvent({ time: 1n, id: 5, number: 1, part: index + 1 }, value))
    const start = stringEvent({ time: 1n, id: 5, number: 1 }, BASE)
    const messages = decoderOf(string).push(Buffer.concat([start, ...events, timestampEvent(2n)]))
    expect(messages.map((message) => message.text)).toEqual([text])
  })

  test.each([
    ...[
      '%s',
      '%p',
      '%n',
      '%f',
      '%o',
      '%hd',
      '%zu',
      '%-5d',
      '%+d',
      '% d',
      '%*d',
      '%.*d',
      '%5',
      '%',
      'a % b',
      '%5%',
      '%l',
    ],
    ...['%lllx', '%5#x', '%l8x', '%1$d', "%'d", '%d%s', '%x%x%x%x%x%x%x%x', '%llx%llx%llx%llx'],
  ])('%s is shown as it is', (string) => {
    expect(compileFormat(string)).toBeUndefined()
    const [message] = decoderOf(string).push(
      Buffer.concat([stringEvent({ time: 1n, id: 5, number: 1 }, BASE), timestampEvent(2n)]),
    )
    expect(message).toMatchObject({ kind: 'bad-format', text: `BAD_FORMAT: ${string}` })
  })

  test('a width is no way to use up memory, and a message is one line', () => {
    expect(compileFormat('%999999999999999999999d')?.render([1])).toHaveLength(511)
    expect(compileFormat('%.4000000000u')?.render([1])).toHaveLength(511)
    expect(compileFormat('x'.repeat(600))?.render([])).toHaveLength(511)
    const [message] = decoderOf('two\nlines\x1b[31m\tand\xff\r\n').push(
      Buffer.concat([stringEvent({ time: 1n, id: 5, number: 1 }, BASE), timestampEvent(2n)]),
    )
    expect(message?.text).toBe('two.lines.[31m\tand.')
  })
})

describeUnless(missingProgram('gcc'), 'formats, against the printf of C', () => {
  test('every form of conversion says the same', () => {
    const random = new Random(seed)
    const values = [0, 1, 9, 10, 65, 127, 255, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
    const cases: [string, number][] = []
    for (let round = 0; round < 4000; round++) {
      const letter = random.one([...'xXdiuc'])
      const flags = random.one(['', '', '0', '#', '#0', '0#', '00'])
      const width = random.one(['', '1', '3', '8', '12', '40'])
      const precision = random.one(['', '', '.', '.0', '.1', '.5', '.12'])
      const long = random.one(['', '', 'l', 'll'])
      const value = random.one([...values, random.below(2 ** 32)])
      if (
        letter === 'c' &&
        (long !== '' || flags !== '' || precision !== '' || value < 32 || value % 256 > 126 || value % 256 < 32)
      )
        continue
      // Where the two differ by intent: see above.
      if (value === 0 && (flags.includes('#') || /^\.0?$/.test(precision))) continue
      if (flags.includes('0') && precision !== '') continue
      if (`%${flags}${width}${precision}${long}${letter}` === '%llx') continue
      cases.push([`<%${flags}${width}${precision}${long}${letter}>`, value])
    }
    const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-printf-'))
    try {
      const program = `#include <stdio.h>
        int main(void) { char format[64]; unsigned value; int longs;
          while (scanf("%d %u %63s", &longs, &value, format) == 3) {
            if (longs == 2) printf(format, (long long)value); else if (longs == 1) printf(format, (long)value); else printf(format, value);
            putchar('\\n'); }
          return 0; }`
      writeFileSync(path.join(folder, 'printf.c'), program)
      execFileSync('gcc', ['-w', '-o', path.join(folder, 'printf'), path.join(folder, 'printf.c')])
      const input = cases
        .map(([format, value]) => `${format.replace(/[^l]/g, '').length} ${value} ${format}`)
        .join('\n')
      const { stdout } = spawnSync(path.join(folder, 'printf'), { input, encoding: 'utf8' })
      const theirs = stdout.split('\n').slice(0, -1)
      expect(theirs).toHaveLength(cases.length)
      const ours = cases.map(([format, value]) => compileFormat(format)?.render([value]))
      expect(ours.map((text, index) => [cases[index], text])).toEqual(theirs.map((text, index) => [cases[index], text]))
      expect(cases.length).toBeGreaterThan(1500)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('hostile input', () => {
  const RINGS = 1_000_000

  test('a million mutated rings: no crash, no hang, no growth', () => {
    const random = new Random(seed)
    const { blocks } = randomStream(random, { messages: 400, start: TIMES - 3000n })
    const strings = new StringsDatabase(
      [section, { base: 0xffff_ff00, bytes: Buffer.from(`%d %s %5lx%%%llx%08.3u\0${'%x'.repeat(200)}`) }],
      database().parameters,
    )
    let one = new TraceDecoder(strings)
    const ring = Buffer.alloc(2 * 256)
    const start = Date.now()
    const heap = process.memoryUsage().heapUsed
    let messages = 0
    for (let round = 0; round < RINGS; round++) {
      if (round % 4096 === 0) {
        // Another piece of the stream, and now and then another decoder: the ones before have seen a lot.
        const at = random.below(blocks.length - 1)
        Buffer.concat([blocks[at] ?? ring, blocks[at + 1] ?? ring]).copy(ring)
        if (round % 65_536 === 0) one = new TraceDecoder(strings)
      }
      for (let mutation = 0; mutation <= (round & 1); mutation++) ring[random.below(512)] = random.below(256)
      // As a rule one block of it; now and then as it is read from a file, and from memory.
      const block = ring.subarray((round & 2) * 128, (round & 2) * 128 + 256)
      for (const { text } of one.push(block)) if (text.length <= 511) messages++
      if ((round & 31) === 0) for (const part of storedRing(ring).parts) messages += one.push(part).length
      if ((round & 1023) === 0) for (const { bytes } of new RingReader(ring).poll()) messages += one.push(bytes).length
    }
    const seconds = (Date.now() - start) / 1000
    const growth = (process.memoryUsage().heapUsed - heap) / 1e6
    process.stderr.write(
      `firmware-trace: ${RINGS} mutated rings in ${seconds} s, ${messages} messages, ${growth.toFixed(0)} MB\n`,
    )
    expect(messages).toBeGreaterThan(RINGS / 10)
    expect(growth).toBeLessThan(200)
  })

  test('random bytes as a ring, and as memory that is looked at', () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const ring = random.bytes(256 * (1 + random.below(8)) + random.below(2) * 100)
      const one = decoder()
      for (const part of storedRing(ring).parts) one.push(part)
      const reader = new RingReader(ring)
      for (let look = 0; look < 3; look++) {
        for (const { bytes } of reader.poll()) one.push(bytes)
        ring[random.below(ring.length)] = 0xff
      }
      one.push(ring.subarray(0, random.below(ring.length)))
      one.finish()
    }
  })
})

describe('a saved strings database', () => {
  const document = stringsDocument(database({ frequencyKilohertz: 156_250 }), { pci: '0000:03:00.0' })

  test('comes back as it was, also out of an envelope', () => {
    for (const text of [JSON.stringify(document), JSON.stringify({ schemaVersion: '1.0', data: document })]) {
      const back = parseStrings(text, 'file')
      expect(back.parameters).toEqual({ version: 1, firstString: FIRST, stringCount: 9, frequencyKilohertz: 156_250 })
      expect(back.sections.map(({ base, bytes }) => [base, Buffer.from(bytes)])).toEqual([[BASE, section.bytes]])
    }
  })

  test('whatever is wrong with it is told', () => {
    const [first] = document.sections
    const wrong: readonly (readonly [RegExp, unknown])[] = [
      [/an object is wanted/, []],
      [/no strings database/, { ...document, format: 'other' }],
      [/version 2/, { ...document, version: 2 }],
      [/firstString/, { ...document, trace: { ...document.trace, firstString: 256 } }],
      [/frequencyKilohertz/, { ...document, trace: { ...document.trace, frequencyKilohertz: 0 } }],
      [/damaged/, { ...document, sections: [{ ...first, data: Buffer.alloc(320).toString('base64') }] }],
      [/has 3/, { ...document, sections: [{ ...first, data: 'AAAA' }] }],
      [/base/, { ...document, sections: [{ ...first, base: '0x123456789' }] }],
      [/up to 8/, { ...document, sections: Array.from({ length: 9 }, () => first) }],
    ]
    for (const [message, value] of wrong) expect(() => parseStrings(JSON.stringify(value), 'file')).toThrow(message)
    const random = new Random(seed)
    const text = JSON.stringify(document)
    let taken = 0
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(text)
      bytes[random.below(bytes.length)] = random.below(256)
      const cut = bytes.subarray(0, random.below(8) === 0 ? random.below(bytes.length) : bytes.length)
      if (orMalformed(() => parseStrings(cut.toString('latin1'), 'file'))) taken++
    }
    expect(taken).toBeLessThan(1500)
  })
})

describe('lines of the kernel', () => {
  const head = '   kworker/u16:2-412     [003] .....  1234.567890: '

  test.each<[string, unknown]>([
    [
      `${head}mlx5_fw: 0000:03:00.0 [0x1fffffffffffff] 1 [0x2b] text [0x1] 0 [0x2] more`,
      {
        device: '0000:03:00.0',
        message: {
          timestamp: Number(TIMES - 1n),
          lost: true,
          eventId: 0x2b,
          text: 'text [0x1] 0 [0x2] more',
          kind: 'message',
        },
      },
    ],
    [
      `${head}fw_tracer: 0000:03:00.1 [0x5] 0 [0x0] `,
      { device: '0000:03:00.1', message: { timestamp: 5, eventId: 0, text: '' } },
    ],
    [
      `${head}mlx5_fw: mlx5_core.sf.2 [0x5] 0 [0x0] 0x0123456789abcdef`,
      { device: 'mlx5_core.sf.2', message: { kind: 'raw' } },
    ],
    [`${head}mlx5_fw: 0000:03:00.1 [0x5] 0 [0x7] BAD_FORMAT: %s`, { message: { kind: 'bad-format' } }],
    ['CPU:3 [LOST 120 EVENTS]', { kind: 'lost', events: 120 }],
    ['CPU:3 [LOST EVENTS]', { kind: 'lost', events: undefined }],
    ['# tracer: nop', undefined],
    ['', undefined],
    [`${head}mlx5_cmd: 0000:03:00.0 [0x5] 0 [0x0] x`, undefined],
    [`${head}mlx5_fw: 0000:03:00.0 [0x5] 2 [0x0] x`, undefined],
    [`${head}mlx5_fw: 0000:03:00.0 [0xzz] 0 [0x0] x`, undefined],
    [`${head}mlx5_fw: 0000:03:00.0 [0x12345678912345678] 0 [0x0] x`, undefined],
  ])('%s', (line, expected) => {
    const parsed = parseKernelLine(line)
    if (expected === undefined) expect(parsed).toBeUndefined()
    else expect(parsed).toMatchObject(expected as object)
  })

  test('mutated lines are read or not, and nothing else', () => {
    const random = new Random(seed)
    const line = `${head}mlx5_fw: 0000:03:00.0 [0x1fff] 1 [0x2b] a message`
    for (let round = 0; round < 50_000; round++) {
      const bytes = Buffer.from(line)
      for (let mutation = 0; mutation < 3; mutation++) bytes[random.below(bytes.length)] = random.below(256)
      parseKernelLine(bytes.toString('latin1'))
    }
    const start = Date.now()
    parseKernelLine(`${' 1.1: '.repeat(200_000)}mlx5_fw: x`)
    expect(Date.now() - start).toBeLessThan(1000)
  })
})

test('ticks as time: exact at frequencies that divide nothing', () => {
  expect(nanosecondsOf(1_000_000, 156_250)).toBe(6_400_000n)
  expect(nanosecondsOf(2 ** 53 - 1, 156_250)).toBe(((2n ** 53n - 1n) * 1_000_000n) / 156_250n)
  expect(clockText(3_723_000_000_045n)).toBe('01:02:03:000000045')
  expect(clockText(360_000_000_000_000n)).toBe('100:00:00:000000000')
})
