import type { Device } from './device'
import { FirmwareError } from './errors'
import { accessRegister, registerTarget } from './registers'
import { asciiText } from '../prm/ascii-text'

/** info_type of MQIS (facts: mstconfig, C.2). */
const kinds = { name: 1, description: 2, imageVsd: 3, deviceVsd: 4 } as const
/** Bytes of text in the register, and of a text at the most. */
const STEP = 8
const TEXT_AT = 0x10
const LONGEST = 4096

/** Name or description of the card, or what its vendor noted (VSD); undefined where the device tells none. */
export async function readDeviceText(device: Device, kind: keyof typeof kinds): Promise<string | undefined> {
  const { codec, catalogue } = device
  const target = registerTarget(catalogue, 'MQIS')
  const parts: Uint8Array[] = []
  let total = STEP
  try {
    for (let offset = 0; offset < total; offset += STEP) {
      const image = new Uint8Array(TEXT_AT + STEP)
      image.set(codec.encode(target.layout, { info_type: kinds[kind] }).subarray(0, TEXT_AT))
      const values = { info_type: kinds[kind], read_offset: offset, read_length: Math.min(STEP, total - offset) }
      for (const [name, value] of Object.entries(values)) codec.set(target.layout, image, name, value)
      const answer = await accessRegister(device, target, 'read', image)
      total = Math.min(LONGEST, Number(codec.get(target.layout, answer, 'info_length')))
      parts.push(answer.subarray(TEXT_AT, TEXT_AT + STEP))
    }
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
  const text = asciiText(Buffer.concat(parts).subarray(0, total))
  return text === '' ? undefined : text
}
