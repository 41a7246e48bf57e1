import { coreDump } from '../../src/device/core-dump'
import { MalformedData } from '../../src/prm/errors'
import { scriptedDevice } from '../support/scripted-device'

/** Offsets in the register, in bytes (facts: dumps, C.4). */
const at = { MKEY: 0x10, SIZE: 0x14, ADDRESS: 0x18, COOKIE: 0x20 }

function reply(image: Buffer, more: boolean, size: number, cookie: number): Buffer {
  const answer = Buffer.from(image)
  answer.writeUInt32BE(more ? 0x80000002 : 2, 0)
  answer.writeUInt32BE(size, at.SIZE)
  answer.writeBigUInt64BE(BigInt(cookie), at.COOKIE)
  return answer
}

async function collect(
  script: Parameters<typeof scriptedDevice>[0],
): Promise<{ bytes: Buffer; error: unknown; opcodes: number[]; registered: number; summary: unknown }> {
  const parts: Buffer[] = []
  const { device, opcodes, registered } = scriptedDevice(script, { withMemory: true })
  let error: unknown
  let summary: unknown
  try {
    summary = await coreDump(device, { size: 4096 }, (pairs) => void parts.push(Buffer.from(pairs)))
  } catch (failed) {
    error = failed
  }
  return { bytes: Buffer.concat(parts), error, opcodes, registered: registered(), summary }
}

test('type 2, the key, the size and the address go out; it goes on at the cookie while there is more', async () => {
  const cookies: bigint[] = []
  const { bytes, summary, opcodes, registered } = await collect((image, memory, count) => {
    expect(image.readUInt32BE(0)).toBe(2)
    expect([image.readUInt32BE(at.MKEY), image.readUInt32BE(at.SIZE)]).toEqual([0x1100, 4096])
    expect(image.readBigUInt64BE(at.ADDRESS)).toBe(0x7f0000000000n)
    cookies.push(image.readBigUInt64BE(at.COOKIE))
    memory?.writeUInt32BE(count * 4, 0)
    memory?.writeUInt32BE(0xa0 + count, 4)
    return reply(image, count < 3, 8, count * 0x100)
  })
  expect(bytes.toString('hex')).toBe('00000004000000a100000008000000a20000000c000000a3')
  expect(cookies).toEqual([0n, 0x100n, 0x200n])
  expect(summary).toEqual({
    bytes: 24,
    pairs: 3,
    commands: 3,
    buffer: 4096,
    cookie: 0x300n,
    firstAddress: 4,
    lastAddress: 12,
  })
  expect([opcodes, registered]).toEqual([[0x800, 0x200, 0x805, 0x805, 0x805, 0x202, 0x801], 0])
})

test.each<[string, (image: Buffer, count: number) => Buffer, RegExp, number]>([
  ['more than fits', (image) => reply(image, false, 4104, 0), /wrote 4104 bytes into 4096/, 0],
  ['half a pair', (image) => reply(image, false, 12, 0), /wrote 12 bytes into 4096, in pairs of 8/, 0],
  ['more, and nothing of it', (image) => reply(image, true, 0, 4), /more_dump for ever: 0 bytes more/, 0],
  [
    'more, from where it was',
    (image) => reply(image, true, 8, 0x10),
    /more_dump for ever: 8 bytes more, cookie 0x10/,
    16,
  ],
  ['more without end', (image, count) => reply(image, true, 4096, count), /more_dump for ever/, 268439552],
])('a device that says %s: a clear error, and nothing stays registered', async (_, script, message, kept) => {
  const { error, opcodes, registered, bytes } = await collect((image, __, count) => script(image, count))
  expect(error).toBeInstanceOf(MalformedData)
  expect(String(error)).toMatch(message)
  expect([opcodes.slice(-2), registered, bytes.length]).toEqual([[0x202, 0x801], 0, kept])
})
