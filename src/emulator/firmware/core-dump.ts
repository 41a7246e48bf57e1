import type { Firmware } from './firmware'
import { Refusal, Status } from './refusal'
import { numberOf } from './values'

const LAYOUT = 'core_dump_reg'
/** CR space into memory. */
const TO_MEMORY = 2
const PAIR = 8

/**
 * CORE_DUMP of type 2: pairs of address and value of all of CR space, big-endian, written through a memory key; to be continued at the
 * cookie, the address of the next pair, while more_dump is set (facts: dumps, C.4).
 * @throws Refusal
 */
export function coreDump(firmware: Firmware, image: Uint8Array, room: number): Uint8Array {
  const { codec, crSpace } = firmware
  const length = codec.sizeBytes(LAYOUT)
  if (image.length < length) throw new Refusal(Status.BAD_INP_LEN, 'register too short')
  if (room < length) throw new Refusal(Status.BAD_OUTP_LEN, 'register too short')
  const request = codec.decode(LAYOUT, image.subarray(0, length))
  if (numberOf(request, 'core_dump_type') !== TO_MEMORY) throw new Refusal(Status.BAD_PARAM, 'core_dump_type')
  const pairs = Buffer.alloc(Math.floor(numberOf(request, 'size') / PAIR) * PAIR)
  let filled = 0
  let last = 0
  let next = crSpace.nextReadable(numberOf(request, 'cookie'))
  for (; next !== undefined && filled < pairs.length; next = crSpace.nextReadable(next + 4)) {
    filled = pairs.writeUInt32BE(next, filled)
    filled = pairs.writeUInt32BE(crSpace.read(next), filled)
    last = next
  }
  firmware.objects.writeMemory(
    numberOf(request, 'mkey'),
    BigInt(numberOf(request, 'address')),
    pairs.subarray(0, filled),
  )
  return codec.encode(LAYOUT, {
    ...request,
    more_dump: next === undefined ? 0 : 1,
    size: filled,
    address: 0n,
    cookie: BigInt(next ?? last),
  })
}
