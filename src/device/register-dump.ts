import { MalformedData } from '../prm/errors'
import type { DumpBlock, DumpTable } from '../prm/layout'
import { CrSpaceError, type CrSpace } from '../transport/contract'
import type { Device } from './device'
import { Unsupported, UsageError } from './errors'
import { PAIR } from './register-diff'

/** Bits 0 to 15: which chip it is. */
const HARDWARE_ID = 0xf0014
/** Where the chain of blocks begins that firmware itself adds, and the signature of its headers (facts: register dump, A.4). */
const CHAIN = 0x18
const chainElsewhere: Readonly<Record<number, number>> = { 0x21e: 0x1a00018, 0x224: 0x1a00018 }
const SIGNATURE = 0x54306f6c
/** Dwords of a header. */
const CHAIN_HEADER = 3
const SIZE_MASK = 0xfffff
const CHAIN_END = 0xffffffff
/** Chains that are longer run in a circle, or through garbage. */
const LONGEST_CHAIN = 1024
/** Words that are read, or scanned, before a signal can take effect. */
const WORDS_AT_ONCE = 4096

/** Words of CR space that lie one after the other. */
export interface RegisterBlock {
  readonly address: number
  readonly words: Uint32Array
}

export interface RegisterDumpPlan {
  readonly hardwareId: number
  readonly table: DumpTable
  /** Blocks that firmware adds; they come after those of the table. */
  readonly chain: readonly DumpBlock[]
}

/** CR space of this door. @throws Unsupported */
export function crSpaceOf(device: Device): CrSpace {
  const { crSpace } = device.transport
  if (crSpace !== undefined) return crSpace
  throw new Unsupported(
    `the ${device.identity.transport} door has no way into CR space`,
    '--transport pci reads it through config space; --via coredump asks firmware for it, over the mlx5ctl driver',
  )
}

/**
 * What a register dump of this device reads.
 * @param name of a dump table, or its hardware id, for a chip that has none
 * @throws UsageError for a chip without a table
 */
export async function planRegisterDump(device: Device, name?: string): Promise<RegisterDumpPlan> {
  const crSpace = crSpaceOf(device)
  const hardwareId = ((await crSpace.read(HARDWARE_ID, 1))[0] ?? 0) & 0xffff
  const table = name === undefined ? device.catalogue.findDumpTable(hardwareId) : device.catalogue.dumpTable(name)
  if (table === undefined)
    throw new UsageError(
      `there is no dump table for hardware id 0x${hardwareId.toString(16)}`,
      '--scan needs none; or import one (mlx5ctl catalogue import NAME.csv), or give --table NAME',
    )
  return { hardwareId, table, chain: await readChain(crSpace, chainElsewhere[hardwareId] ?? CHAIN) }
}

/** Headers of 3 dwords: signature, size of the block in dwords, and its address, where the next header is. */
async function readChain(crSpace: CrSpace, start: number): Promise<DumpBlock[]> {
  const blocks: DumpBlock[] = []
  for (let at = start; blocks.length < LONGEST_CHAIN;) {
    const [signature = 0, size = 0, address = 0] = await crSpace.read(at, CHAIN_HEADER)
    if (signature !== SIGNATURE || address === CHAIN_END) return blocks
    const dwords = size & SIZE_MASK
    if (address % 4 !== 0 || address + Math.max(dwords, CHAIN_HEADER) * 4 > 2 ** 30)
      throw new MalformedData('CR space', `has a chain of blocks to dump that leads to 0x${address.toString(16)}`)
    blocks.push({ address, dwords })
    at = address
  }
  throw new MalformedData('CR space', `has a chain of more than ${LONGEST_CHAIN} blocks to dump`)
}

/**
 * Reads what the plan says, in its order. Signals and timeouts take effect between reads.
 * @param write is given each block, in pieces where it is long; what was read before an error is given to it too
 * @throws CrSpaceError, Interrupted, DeliveryError
 */
export async function registerDump(
  device: Device,
  { table, chain }: RegisterDumpPlan,
  write: (block: RegisterBlock) => void | Promise<void>,
): Promise<void> {
  const crSpace = crSpaceOf(device)
  for (const { address, dwords } of [...table.blocks, ...chain])
    for (let done = 0; done < dwords; done += WORDS_AT_ONCE) {
      await device.checkpoint()
      const start = address + done * 4
      try {
        await write({ address: start, words: await crSpace.read(start, Math.min(WORDS_AT_ONCE, dwords - done)) })
      } catch (error) {
        if (error instanceof CrSpaceError && error.before.length > 0)
          await write({ address: start, words: error.before })
        throw error
      }
    }
}

/**
 * Reads all that the device says can be read, in the order in which it leads.
 * @param write is given pairs of address and value, as of a core dump
 * @throws Unsupported, CrSpaceError, Interrupted, DeliveryError
 */
export async function scanRegisters(device: Device, write: (pairs: Uint8Array) => void | Promise<void>): Promise<void> {
  const { scan } = crSpaceOf(device)
  if (scan === undefined)
    throw new Unsupported('this device offers no scan of its CR space', 'leave --scan away: the dump tables need none')
  for (let from: number | undefined = 0; from !== undefined;) {
    await device.checkpoint()
    try {
      const { pairs, next }: { pairs: Uint32Array; next: number | undefined } = await scan.read(from, WORDS_AT_ONCE)
      await write(bigEndian(pairs))
      from = next
    } catch (error) {
      if (error instanceof CrSpaceError && error.before.length > 0) await write(bigEndian(error.before))
      throw error
    }
  }
}

/** Address and value of each word, big-endian, as of a core dump. */
export function pairsOf({ address, words }: RegisterBlock): Uint8Array {
  const pairs = Buffer.allocUnsafe(words.length * PAIR)
  for (const [index, word] of words.entries()) {
    pairs.writeUInt32BE(address + index * 4, index * PAIR)
    pairs.writeUInt32BE(word, index * PAIR + 4)
  }
  return pairs
}

/** Pairs back to blocks: words whose addresses follow one another. */
export function blocksOf(pairs: Uint8Array): RegisterBlock[] {
  const view = new DataView(pairs.buffer, pairs.byteOffset, pairs.length)
  const blocks: RegisterBlock[] = []
  for (let at = 0; at + PAIR <= pairs.length;) {
    const address = view.getUint32(at)
    let end = at + PAIR
    while (end + PAIR <= pairs.length && view.getUint32(end) === address + ((end - at) / PAIR) * 4) end += PAIR
    const words = Uint32Array.from({ length: (end - at) / PAIR }, (_, index) => view.getUint32(at + index * PAIR + 4))
    blocks.push({ address, words })
    at = end
  }
  return blocks
}

const bigEndian = (words: Uint32Array): Uint8Array => Buffer.from(Uint32Array.from(words).buffer).swap32()
