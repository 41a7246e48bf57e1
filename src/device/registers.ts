import type { Catalogue } from '../prm/catalogue'
import type { Codec, Struct } from '../prm/codec'
import { NameError } from '../prm/errors'
import type { Command } from '../prm/layout'
import type { FieldRef } from '../prm/names'
import { encodeInbox, opModOf, type Device } from './device'
import { FirmwareError, Unsupported, UsageError, type RefusalContext } from './errors'

/** A register to be read or written: one of the catalogue, or only an id and a length. */
export interface RegisterTarget {
  readonly id: number
  /** Absent where the catalogue does not know it. */
  readonly name?: string
  readonly layout?: string
}

export type Method = 'read' | 'write'

const HEADER = 16
/** What ICMD carries, and what mstflint sends of registers whose length varies. */
export const LONGEST_REGISTER = 812

/** Status of an access register in the operation TLV (facts: mstreg A.4). */
const registerStatuses: Readonly<Record<number, { name: string; text: string }>> = {
  0x01: { name: 'BUSY', text: 'device is busy' },
  0x02: { name: 'VERSION_NOT_SUPPORTED', text: 'version not supported' },
  0x03: { name: 'UNKNOWN_TLV', text: 'unknown TLV' },
  0x04: { name: 'REG_NOT_SUPPORTED', text: 'register not supported' },
  0x05: { name: 'CLASS_NOT_SUPPORTED', text: 'class not supported' },
  0x06: { name: 'METHOD_NOT_SUPPORTED', text: 'method not supported' },
  0x07: { name: 'BAD_PARAM', text: 'bad parameter' },
  0x08: { name: 'RESOURCE_NOT_AVAILABLE', text: 'resource not available' },
  0x09: { name: 'MSG_RECPT_ACK', text: 'message receipt acknowledged' },
  0x0e: { name: 'NOT_SUPPORTED_BY_SECONDARY', text: 'not supported by the secondary' },
  0x20: { name: 'BAD_CONFIG', text: 'configuration rejected' },
  0x21: { name: 'ERASE_EXCEEDED', text: 'erase count exceeded' },
  0x22: { name: 'CONFIG_CORRUPT', text: 'configuration section corrupted' },
  0x24: { name: 'LEN_TOO_SMALL', text: 'length too small' },
  0x70: { name: 'INTERNAL_ERROR', text: 'internal error' },
}

/**
 * Accesses a register over whatever the transport has: ACCESS_REG in a command mailbox, or the registers of ICMD.
 * @param image the register in the order of the wire; for a read its index fields count
 * @param hint what to say when firmware refuses
 * @param options cleanup: goes on after a signal or a timeout
 * @returns the register as firmware gives it back, as long as the image
 * @throws FirmwareError that names the register; DeliveryError
 */
export async function accessRegister(
  device: Device,
  target: RegisterTarget,
  method: Method,
  image: Uint8Array,
  hint?: () => string | undefined,
  options: { readonly cleanup?: boolean } = {},
): Promise<Uint8Array> {
  const about: RefusalContext = { subject: registerTitle(target), ...(hint === undefined ? {} : { hint }) }
  const { command, inbox } = registerInbox(device, target, method, image)
  if (device.transport.registers === undefined) {
    const { outbox } = await device.run(command, inbox, { ...options, outboxLength: inbox.length, about })
    return outbox.slice(HEADER)
  }
  const { status, syndrome, bytes } = await device.accessRegister(target.id, method, image, {
    ...options,
    subject: about.subject,
  })
  if (status === 0) return bytes
  const outbox = new Uint8Array(HEADER + bytes.length)
  outbox[0] = status
  new DataView(outbox.buffer).setUint32(4, syndrome)
  outbox.set(bytes, HEADER)
  throw new FirmwareError(command, opModOf(inbox), outbox, registerStatuses[status], about)
}

/** The values of a register that is read as it stands: nothing of it is set. @throws FirmwareError, DeliveryError */
export async function registerValues(device: Device, name: string): Promise<Struct> {
  const target = registerTarget(device.catalogue, name)
  const image = await accessRegister(device, target, 'read', emptyImage(device.codec, target.layout))
  return decodeRegister(device.codec, target, image).values ?? {}
}

/** The same; undefined where firmware refuses. @throws DeliveryError */
export async function registerValuesOrNone(device: Device, name: string): Promise<Struct | undefined> {
  try {
    return await registerValues(device, name)
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}

/** ACCESS_REG and its inbox: op_mod 1 reads, 0 writes; the image follows the header. */
export function registerInbox(
  { catalogue, codec }: { readonly catalogue: Catalogue; readonly codec: Codec },
  target: RegisterTarget,
  method: Method,
  image: Uint8Array,
): { command: Command; inbox: Uint8Array } {
  const command = catalogue.command('ACCESS_REG')
  const values = { op_mod: method === 'read' ? 1 : 0, register_id: target.id }
  const inbox = encodeInbox(codec, command, values, HEADER + image.length)
  inbox.set(image, HEADER)
  return { command, inbox }
}

/** "PTYS (0x5004)" */
export function registerTitle({ name, id }: RegisterTarget): string {
  const number = `0x${id.toString(16)}`
  return name === undefined ? `register ${number}` : `${name} (${number})`
}

/** One field to be set in a register's image. */
export interface Assignment {
  readonly ref: FieldRef
  readonly text: string
}

/** The register with its fixed fields zero: of one whose length varies, as long as a register can be. */
export function emptyImage(codec: Codec, layout: string): Uint8Array {
  const size = codec.sizeBytes(layout)
  return new Uint8Array(codec.isOpen(layout) ? Math.max(size, LONGEST_REGISTER) : size)
}

/** A register whose length varies is as long as its own fields say, once they are set. */
export function fittedImage(codec: Codec, layout: string, image: Uint8Array): Uint8Array {
  if (!codec.isOpen(layout)) return image
  const size = codec.sizeBytes(layout)
  const leaves = codec.ranges(layout, image).filter(({ path }) => path !== '(trailing)')
  const end = leaves.reduce((most, { offset, width }) => Math.max(most, (offset + width) / 8), size)
  return end > size ? image.slice(0, end) : image
}

/**
 * Finds the field that a name means in an image: a name that several members of a union have means the one that the image
 * selects.
 * @throws NameError
 */
export function resolveField(codec: Codec, layout: string, image: Uint8Array, name: string): FieldRef {
  try {
    return codec.resolve(layout, name)
  } catch (error) {
    if (!(error instanceof NameError) || error.candidates.length < 2) throw error
    const there = new Set(codec.ranges(layout, image).map(({ path }) => path))
    const present = error.candidates.filter((path) => there.has(path))
    if (present.length !== 1) throw error
    return codec.resolve(layout, present[0] ?? name)
  }
}

/**
 * Parses NAME=VALUE for a register and sets the fields in the image, selectors first: they decide what later names mean.
 * @throws NameError, ValueError; UsageError for a read-only field
 */
export function assignFields(
  codec: Codec,
  layout: string,
  image: Uint8Array,
  assignments: readonly (readonly [name: string, text: string])[],
): Assignment[] {
  const selectors = new Set(codec.selectors(layout))
  const ordered = [...assignments].sort(([a], [b]) => Number(selectors.has(b)) - Number(selectors.has(a)))
  return ordered.map(([name, text]) => {
    const ref = resolveField(codec, layout, image, name)
    if (ref.access === 'RO') throw new UsageError(`${ref.path} is read-only`)
    codec.set(layout, image, ref.path, codec.parse(ref, text))
    return { ref, text }
  })
}

/** Fields that select an instance or say what is done with it: what a read sends. */
export function isSentWithRead(
  codec: Codec,
  layout: string,
  { access, path }: Pick<FieldRef, 'access' | 'path'>,
): boolean {
  return access === 'INDEX' || access === 'OP' || codec.selectors(layout).includes(path)
}

/** What to say when a read is refused: index fields that were not given are zero. */
export function indexHint(codec: Codec, layout: string, given: readonly Assignment[]): string | undefined {
  const named = new Set(given.map(({ ref }) => ref.path))
  const missing = codec
    .ranges(layout, emptyImage(codec, layout))
    .filter(({ access, path }) => access === 'INDEX' && !named.has(path))
  if (missing.length === 0) return undefined
  return `fields that select an instance and were left at 0: ${missing.map(({ path }) => path).join(', ')}`
}

export interface RegisterReading {
  readonly target: RegisterTarget
  readonly image: Uint8Array
  /** Decoded; undefined where no layout is known. */
  readonly values: Struct | undefined
}

export function decodeRegister(
  codec: Codec,
  target: RegisterTarget,
  image: Uint8Array,
  reserved = false,
): RegisterReading {
  const values =
    target.layout === undefined ? undefined : codec.decode(target.layout, image, { reserved, partial: true })
  return { target, image, values }
}

/** Registers that answer a read with work, not with a value: they are left out when all are read. */
const notForReadingAll: Readonly<Record<string, string>> = {
  CORE_DUMP: 'starts a dump',
  RESOURCE_DUMP: 'starts a dump',
  MCDA: 'moves firmware data',
  MCDD: 'moves firmware data',
  MJTAG: 'drives JTAG',
  MNVGN: 'walks the NV data',
  MGNLE: 'walks the event log',
  MTRC_STDB: 'needs a section and a size',
  FPGA_ACCESS_REG: 'needs an address',
}

export interface Advertised {
  /** In the order of their ids. */
  readonly targets: readonly RegisterTarget[]
  /** Registers that masks cover, and that the device says it does not have. */
  readonly absent: readonly RegisterTarget[]
  /** Left out, and why. */
  readonly skipped: readonly { readonly target: RegisterTarget; readonly reason: string }[]
}

/** Registers that say which there are: 4 groups of 128 ids each, from `first`. */
const masks = [
  { name: 'MCAM', first: 0x9000 },
  { name: 'PCAM', first: 0x5000 },
  { name: 'QCAM', first: 0x4000 },
]
const GROUPS = 4
const GROUP = 0x80
const MASK_AT = 8

/**
 * Which registers of the catalogue the device has, by its masks. Registers that no mask covers, or whose mask cannot be read,
 * may be there: a read tells.
 */
export async function advertisedRegisters(device: Device): Promise<Advertised> {
  const { catalogue } = device
  const has = new Map<number, boolean>()
  for (const mask of masks) await readMask(device, mask, has)
  const known = catalogue.registers().map((register): RegisterTarget => ({ ...register }))
  const readable = known.filter(({ layout }) => layout !== undefined)
  const skipped = readable.flatMap((target) => {
    const reason = notForReadingAll[target.name ?? '']
    return reason === undefined ? [] : [{ target, reason }]
  })
  const kept = readable.filter((target) => !skipped.some((one) => one.target === target))
  return {
    targets: kept.filter(({ id }) => has.get(id) !== false),
    absent: kept.filter(({ id }) => has.get(id) === false),
    skipped,
  }
}

async function readMask(
  device: Device,
  { name, first }: { readonly name: string; readonly first: number },
  has: Map<number, boolean>,
): Promise<void> {
  const target = registerTarget(device.catalogue, name)
  for (let group = 0; group < GROUPS; group++) {
    const image = emptyImage(device.codec, target.layout ?? '')
    device.codec.set(target.layout ?? '', image, 'access_reg_group', group)
    let answer: Uint8Array
    try {
      answer = await accessRegister(device, target, 'read', image)
    } catch (error) {
      if (error instanceof FirmwareError) return
      throw error
    }
    for (let bit = 0; bit < GROUP; bit++) {
      const byte = answer[MASK_AT + GROUP / 8 - 1 - (bit >>> 3)] ?? 0
      has.set(first + group * GROUP + bit, ((byte >>> (bit & 7)) & 1) === 1)
    }
  }
}

/** @throws NameError; Unsupported for a register whose layout nobody knows */
export function registerTarget(catalogue: Catalogue, name: string): Required<RegisterTarget> {
  const { id, layout, name: own } = catalogue.register(name)
  if (layout === undefined)
    throw new Unsupported(`${own} has no known layout`, `read its bytes: --id 0x${id.toString(16)} --length BYTES`)
  return { name: own, id, layout }
}
