import { Refusal, Status } from './refusal'

/** Memory of the process that holds a registration. */
export interface HostMemory {
  read(address: bigint, length: number): Uint8Array
  write(address: bigint, bytes: Uint8Array): void
}

interface Umem {
  readonly memory: HostMemory
  readonly address: bigint
  readonly length: number
}

interface Mkey {
  readonly pd: number
  readonly umem: number | undefined
  readonly start: bigint
  readonly length: bigint
}

type Kind = 'pd' | 'uar' | 'transportDomain' | 'counter'

/** What a context still had when it was destroyed. */
export interface LeakCounts {
  readonly umems: number
  readonly mkeys: number
  readonly pds: number
  readonly others: number
}

interface Owned<T> {
  readonly uid: number
  readonly value: T
}

/** Objects of one device: each belongs to the context that made it, and only that one sees it. */
export class ObjectTable {
  private readonly contexts = new Set<number>()
  private readonly simple = new Map<string, Owned<Kind>>()
  private readonly umems = new Map<number, Owned<Umem>>()
  private readonly mkeys = new Map<number, Owned<Mkey>>()
  private nextId = 1

  createContext(): number {
    for (let uid = 1; uid < 0x10000; uid++) {
      if (this.contexts.has(uid)) continue
      this.contexts.add(uid)
      return uid
    }
    return 0
  }

  destroyContext(uid: number): LeakCounts {
    const drop = <K, T>(map: Map<K, Owned<T>>, matches: (value: T) => boolean = () => true): number => {
      const own = [...map].filter(([, owned]) => owned.uid === uid && matches(owned.value))
      for (const [key] of own) map.delete(key)
      return own.length
    }
    const mkeys = drop(this.mkeys)
    const umems = drop(this.umems)
    const pds = drop(this.simple, (kind) => kind === 'pd')
    const others = drop(this.simple)
    this.contexts.delete(uid)
    return { umems, mkeys, pds, others }
  }

  /** Live objects of all contexts. */
  counts(): LeakCounts & { readonly contexts: number } {
    const kinds = [...this.simple.values()].map((owned) => owned.value)
    const pds = kinds.filter((kind) => kind === 'pd').length
    return {
      umems: this.umems.size,
      mkeys: this.mkeys.size,
      pds,
      others: kinds.length - pds,
      contexts: this.contexts.size,
    }
  }

  createUmem(uid: number, umem: Umem): number {
    const id = this.nextId++
    this.umems.set(id, { uid, value: umem })
    return id
  }

  destroyUmem(uid: number, id: number): undefined {
    this.owned(this.umems, uid, id, 'umem')
    if ([...this.mkeys.values()].some((mkey) => mkey.value.umem === id))
      throw new Refusal(Status.RES_BUSY, 'umem in use')
    this.umems.delete(id)
    return undefined
  }

  create(uid: number, kind: Kind): number {
    const id = this.nextId++
    this.simple.set(`${kind}:${id}`, { uid, value: kind })
    return id
  }

  destroy(uid: number, kind: Kind, id: number): undefined {
    this.owned(this.simple, uid, `${kind}:${id}`, kind)
    if (kind === 'pd' && [...this.mkeys.values()].some((mkey) => mkey.value.pd === id))
      throw new Refusal(Status.RES_BUSY, 'pd in use')
    this.simple.delete(`${kind}:${id}`)
    return undefined
  }

  createMkey(uid: number, mkey: Mkey): number {
    this.owned(this.simple, uid, `pd:${mkey.pd}`, 'pd')
    if (mkey.umem !== undefined) this.owned(this.umems, uid, mkey.umem, 'umem')
    const index = this.nextId++
    this.mkeys.set(index, { uid, value: mkey })
    return index
  }

  destroyMkey(uid: number, index: number): undefined {
    this.owned(this.mkeys, uid, index, 'mkey')
    this.mkeys.delete(index)
    return undefined
  }

  mkey(index: number): Mkey {
    const found = this.mkeys.get(index)
    if (found === undefined) throw new Refusal(Status.BAD_RES, 'mkey')
    return found.value
  }

  /** Writes through a memory key, as the device does. */
  writeMemory(mkey: number, address: bigint, bytes: Uint8Array): void {
    const { umem, start, length } = this.mkey(mkey >>> 8)
    const registered = umem === undefined ? undefined : this.umems.get(umem)?.value
    const end = address + BigInt(bytes.length)
    if (registered === undefined || address < start || end > start + length)
      throw new Refusal(Status.BAD_PARAM, 'address outside of the memory key')
    const inUmem = address - start
    if (inUmem + BigInt(bytes.length) > BigInt(registered.length)) throw new Refusal(Status.BAD_PARAM, 'umem too short')
    registered.memory.write(registered.address + inUmem, bytes)
  }

  private owned<K, T>(map: ReadonlyMap<K, Owned<T>>, uid: number, key: K, what: string): T {
    const found = map.get(key)
    if (found === undefined || found.uid !== uid) throw new Refusal(Status.BAD_RES, what)
    return found.value
  }
}
