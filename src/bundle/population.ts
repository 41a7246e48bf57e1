import type { FactGroup } from './facts'
import { GroupTally } from './tally'

/** What devices say in one item. */
interface ItemTally {
  /** Devices that have the item. */
  readonly present: number[]
  /** Those that have only part of it: what they lack was not read. */
  readonly partial: Set<number>
  readonly groups: Map<string, GroupTally>
  /** What the first device says, and which groups there are in that. */
  first: { readonly key: string; readonly groups: readonly GroupTally[] } | undefined
}

/** Devices that are compared with one another. They are numbered, and come one after the other. */
export class Population {
  readonly devices: number[] = []
  /** By name of the item. */
  readonly items = new Map<string, ItemTally>()

  add(device: number, itemName: string, group: FactGroup): GroupTally {
    const item = this.item(itemName)
    if (item.present.at(-1) !== device) item.present.push(device)
    const tally = item.groups.get(group.name) ?? new GroupTally(group.name)
    item.groups.set(group.name, tally)
    tally.add(device, group)
    return tally
  }

  /** A device of which only part of an item was read. */
  addPartial(device: number, itemName: string): void {
    this.item(itemName).partial.add(device)
  }

  /** Whether an item says what that of the first device says. @param key equal for items that say the same */
  isKnown(itemName: string, key: string | undefined): boolean {
    return key !== undefined && this.items.get(itemName)?.first?.key === key
  }

  /** A device that says in this item what the first one says. */
  addSame(device: number, itemName: string): void {
    const item = this.item(itemName)
    item.present.push(device)
    for (const group of item.first?.groups ?? []) group.addSame(device)
  }

  /** All groups of an item were added. */
  know(itemName: string, key: string | undefined, device: number): void {
    const item = this.item(itemName)
    if (key === undefined || item.present.length !== 1 || item.present[0] !== device) return
    item.first = { key, groups: [...item.groups.values()] }
  }

  private item(name: string): ItemTally {
    const item = this.items.get(name) ?? {
      present: [],
      partial: new Set<number>(),
      groups: new Map<string, GroupTally>(),
      first: undefined,
    }
    this.items.set(name, item)
    return item
  }
}
