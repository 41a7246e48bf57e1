import type { Catalogue } from '../../prm/catalogue'
import type { DumpBlock } from '../../prm/layout'
import type { Profile } from '../profile'

/** Hardware id in bits 0 to 15, revision in bits 16 to 23. */
const HARDWARE_ID = 0xf0014
/** Bit 31 is 1 as long as firmware is not ready, on the chips of the profiles. */
const NOT_READY = 0xb5f04

/** Where the chain of further blocks to dump begins; its headers have this signature (facts: register dump, A.4). */
const CHAIN = 0x18
const SIGNATURE = 0x54306f6c
const CHAIN_END = 0xffffffff

/**
 * Registers of the device itself. What a dump of this chip reads has a value that depends on its address alone; the few words
 * that mean something to tools have theirs; everything else reads as 0. What is written stays.
 */
export class CrSpace {
  private readonly written = new Map<number, number>()
  private readonly fixed = new Map<number, number>()
  private blocks: readonly DumpBlock[] | undefined

  constructor(
    private readonly profile: Profile,
    private readonly catalogue: Catalogue,
  ) {
    const { hardwareId, revision } = profile.identity
    this.fixed.set(HARDWARE_ID, hardwareId | (revision << 16))
    this.fixed.set(NOT_READY, 0)
    this.chain()
  }

  read(address: number): number {
    const known = this.written.get(address) ?? this.fixed.get(address)
    return known ?? (this.blockAt(address) === undefined ? 0 : valueAt(address, this.profile.identity.hardwareId))
  }

  write(address: number, value: number): void {
    if (!this.fixed.has(address)) this.written.set(address, value)
  }

  /** What can be read, by ascending address. */
  readable(): readonly DumpBlock[] {
    this.blocks ??= [
      ...(this.catalogue.findDumpTable(this.profile.identity.hardwareId)?.blocks ?? []),
      ...[...(this.profile.crSpace?.besideTable ?? []), ...(this.profile.crSpace?.chain ?? [])].map(
        ([address, dwords]) => ({ address, dwords }),
      ),
    ].sort((a, b) => a.address - b.address)
    return this.blocks
  }

  /** The next address from here on that can be read; undefined past the last. */
  nextReadable(from: number): number | undefined {
    const blocks = this.readable()
    const at = this.firstEndingAfter(from)
    return blocks[at] === undefined ? undefined : Math.max(from, blocks[at].address)
  }

  /** The first address behind all that can be read. */
  end(): number {
    const last = this.readable().at(-1)
    return last === undefined ? 0 : last.address + last.dwords * 4
  }

  private blockAt(address: number): DumpBlock | undefined {
    const block = this.readable()[this.firstEndingAfter(address)]
    return block !== undefined && block.address <= address ? block : undefined
  }

  private firstEndingAfter(address: number): number {
    const blocks = this.readable()
    let [low, high] = [0, blocks.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const block = blocks[middle]
      if (block !== undefined && block.address + block.dwords * 4 <= address) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Blocks that firmware itself adds to a dump: each begins with the header of the next one. */
  private chain(): void {
    let at = CHAIN
    for (const [address, dwords] of [...(this.profile.crSpace?.chain ?? []), [CHAIN_END, 0] as const]) {
      const header = address === CHAIN_END ? [0, 0, address] : [SIGNATURE, dwords, address]
      for (const [index, value] of header.entries()) this.fixed.set(at + index * 4, value)
      at = address
    }
  }
}

/** Most registers are 0; the others have stable values. */
function valueAt(address: number, hardwareId: number): number {
  let mixed = Math.imul(address ^ (hardwareId << 13), 0x9e3779b1)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b)
  mixed = (mixed ^ (mixed >>> 13)) >>> 0
  return (mixed & 3) === 0 ? mixed : 0
}
