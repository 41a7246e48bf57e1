import type { Device } from '../device'
import { FirmwareError, Unsupported, withHint } from '../errors'
import { accessRegister, registerInbox, registerTarget, registerTitle } from '../registers'
import { BOOT_IMAGE, readComponents, type FirmwareComponent } from './components'
import { type Pause, sleep, UpdateRefused } from './mcc'
import { abandonHint, releaseHint, UpdateHandle } from './update-handle'

export interface UpdateOptions {
  /** Called with the bytes of each block that was written. */
  readonly onProgress?: (bytes: number) => void
  /** Takes the update handle away from whoever has it. */
  readonly forceRelease?: boolean
  /** Waits between two looks at the state; tests have their own. */
  readonly pause?: Pause
}

export interface UpdateSummary {
  /** Bytes that were written, and MCDA commands that it took. */
  readonly bytes: number
  readonly blocks: number
  /** Failed after the image was activated: it says nothing about the image. */
  readonly warnings: readonly string[]
}

/** MCDA: handle, offset, size, then data (facts: firmware manager, C.5). */
const DATA_AT = 0x10
const MOST_DATA = 128
const WORD = 4
/** A magic that is not there yet: firmware writes it last, so that half an image never boots. */
const MAGIC = 16
const BLANK = 0xff

/**
 * Writes an image to the flash of a device under firmware control: lock, begin, download, verify, activate, release. It runs
 * after the next reset. Whatever happens before it is activated, the update is cancelled, the handle given back, and what ran
 * before still runs.
 * @param image from its magic to the end of its last section
 * @throws UpdateRefused, HandleTaken, FirmwareError, DeliveryError, Interrupted, each with a hint that says what became of the
 *   handle; Unsupported for a device without a boot image
 */
export async function updateFirmware(
  device: Device,
  image: Uint8Array,
  { onProgress, forceRelease = false, pause = sleep }: UpdateOptions = {},
): Promise<UpdateSummary> {
  const component = await bootComponent(device, image.length)
  const data = dataOf(image, component)
  const handle = await UpdateHandle.lock(device, { force: forceRelease, pause })
  let blocks: number
  let isActivating = false
  try {
    await handle.begin(component.index, data.length)
    blocks = await download(device, handle, data, { size: blockSize(device, component), onProgress })
    await handle.verify(component.index)
    isActivating = true
    await handle.activate()
  } catch (error) {
    if (!(error instanceof Error)) throw error
    // Once it was asked to activate, only an error code of firmware says that it did not: nothing is cancelled then.
    const isUnsure = isActivating && !(error instanceof UpdateRefused)
    throw withHint(
      error,
      isUnsure
        ? `${await releaseHint(device, handle, error)}; fw query tells whether the image was activated`
        : `${await abandonHint(device, handle, error)}; the firmware on flash is the one of before`,
    )
  }
  const warnings: string[] = []
  try {
    await handle.release()
  } catch (error) {
    warnings.push(`the image is activated, but the update handle was not released: ${(error as Error).message}`)
  }
  return { bytes: data.length, blocks, warnings }
}

/** @throws Unsupported */
async function bootComponent(device: Device, size: number): Promise<FirmwareComponent> {
  const { components } = await readComponents(device)
  const component = components.find(({ identifier }) => identifier === BOOT_IMAGE)
  if (component === undefined) throw new Unsupported('this device has no boot image among its components')
  const most = component.capabilities?.maxSize ?? 0
  if (most > 0 && size > most)
    throw new Unsupported(`the image has ${size} bytes; the device takes no more than ${most}`)
  return component
}

/** What is sent: without the magic, and as long as whole words are. */
function dataOf(image: Uint8Array, { capabilities }: FirmwareComponent): Uint8Array {
  const word = Math.max(WORD, capabilities?.wordSize ?? WORD)
  const data = new Uint8Array(Math.ceil(image.length / word) * word).fill(BLANK)
  data.set(image)
  return data.fill(BLANK, 0, MAGIC)
}

/** Bytes of one block: what the register, the component and the door allow, in whole words. @throws Unsupported */
export function blockSize({ transport }: Pick<Device, 'transport'>, { capabilities }: FirmwareComponent): number {
  const word = Math.max(WORD, capabilities?.wordSize ?? WORD)
  const limit = capabilities?.writeLimit ?? 0
  const door = transport.registers === undefined ? MOST_DATA : transport.registers.limit - DATA_AT
  const size = Math.min(MOST_DATA, limit === 0 ? MOST_DATA : limit, door)
  const whole = Math.floor(size / word) * word
  if (whole === 0)
    throw new Unsupported(`the component takes words of ${word} bytes, and this door carries ${size} at once`)
  return whole
}

async function download(
  device: Device,
  handle: UpdateHandle,
  data: Uint8Array,
  { size, onProgress }: { readonly size: number; readonly onProgress: UpdateOptions['onProgress'] },
): Promise<number> {
  const write = blockWriter(device)
  let blocks = 0
  for (let offset = 0; offset < data.length; offset += size) {
    const block = data.subarray(offset, offset + size)
    try {
      const register = dataImage(handle.number, offset, block)
      await handle.send(() => write(register))
    } catch (error) {
      if (!(error instanceof FirmwareError)) throw error
      throw await handle.explain(error, `writing byte ${offset}`)
    }
    blocks++
    onProgress?.(block.length)
  }
  return blocks
}

/** Writes MCDA. Through a command mailbox all blocks go in one inbox: there are 8192 of them in a megabyte. */
function blockWriter(device: Device): (image: Uint8Array) => Promise<unknown> {
  const target = registerTarget(device.catalogue, 'MCDA')
  if (device.transport.registers !== undefined) return (image) => accessRegister(device, target, 'write', image)
  const { command, inbox } = registerInbox(device, target, 'write', new Uint8Array(DATA_AT + MOST_DATA))
  const body = inbox.subarray(inbox.length - DATA_AT - MOST_DATA)
  const options = { outboxLength: inbox.length, about: { subject: registerTitle(target) } }
  return (image) => {
    body.set(image)
    return device.run(command, inbox, options)
  }
}

/**
 * The register MCDA with a block, a multiple of 4 bytes: each group of four has its last byte first (facts: firmware manager, C.6).
 * Offsets stand here and not in the catalogue's words, for there are 262,144 blocks in an image of 32 MB; a test compares the two.
 */
export function dataImage(handle: number, offset: number, block: Uint8Array): Uint8Array {
  const image = new Uint8Array(DATA_AT + MOST_DATA)
  const view = new DataView(image.buffer)
  view.setUint32(0, handle)
  view.setUint32(4, offset)
  view.setUint16(0xa, block.length)
  for (let at = 0; at < block.length; at++) image[DATA_AT + at] = block[at ^ 3] ?? BLANK
  return image
}
