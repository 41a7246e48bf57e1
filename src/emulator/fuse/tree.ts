/** A synthetic file tree: directories, files with contents, links, and files that take ioctls. */

export interface Opened {
  ioctl?(pid: number, request: number, argument: bigint, input: Uint8Array): Promise<Uint8Array | undefined>
  /** What is read and written, where it is of this opening. @throws Errno */
  read?(offset: number, length: number): Uint8Array
  write?(offset: number, data: Uint8Array): void
  release?(): void
}

interface Common {
  readonly id: bigint
  /** Permission bits. */
  readonly mode: number
}

/** A file whose bytes are made when they are read, and do something when they are written. @throws Errno */
export interface Window {
  read(offset: number, length: number, pid: number): Uint8Array
  write?(offset: number, data: Uint8Array, pid: number): void
}

/** A directory in which others can be made and removed; it does what it takes with the tree. @throws Errno */
export interface Maker {
  make(name: string): void
  remove(name: string): void
}

export type Node =
  | (Common & { readonly kind: 'directory'; readonly children: Map<string, Node>; maker?: Maker })
  | (Common & { readonly kind: 'link'; readonly target: string })
  | (Common & { readonly kind: 'file'; readonly contents: Buffer })
  | (Common & { readonly kind: 'window'; readonly size: number; readonly window: Window })
  | (Common & { readonly kind: 'device'; readonly open: (pid: number) => Opened })

/** Type bits of st_mode. */
const typeBits = { directory: 0o040000, link: 0o120000, file: 0o100000, window: 0o100000, device: 0o100000 } as const

export const modeOf = (node: Node): number => typeBits[node.kind] | node.mode

export class Tree {
  private readonly nodes = new Map<bigint, Node>()
  private nextId = 1n
  readonly root = this.add({ kind: 'directory', mode: 0o755, children: new Map() }) as Node & { kind: 'directory' }

  node(id: bigint): Node | undefined {
    return this.nodes.get(id)
  }

  /** The directory at a path, made where it is absent. */
  directory(path: string): Node & { kind: 'directory' } {
    let here = this.root
    for (const name of path.split('/').filter((part) => part !== '')) {
      const next = here.children.get(name) ?? this.add({ kind: 'directory', mode: 0o755, children: new Map() })
      if (next.kind !== 'directory') throw new Error(`${path}: ${name} is no directory`)
      here.children.set(name, next)
      here = next
    }
    return here
  }

  file(path: string, contents: string | Buffer, mode = 0o444): void {
    this.put(path, this.add({ kind: 'file', mode, contents: Buffer.from(contents) }))
  }

  link(path: string, target: string): void {
    this.put(path, this.add({ kind: 'link', mode: 0o777, target }))
  }

  window(path: string, mode: number, size: number, window: Window): void {
    this.put(path, this.add({ kind: 'window', mode, size, window }))
  }

  device(path: string, mode: number, open: (pid: number) => Opened): void {
    this.put(path, this.add({ kind: 'device', mode, open }))
  }

  /** Takes away what is at a path, and below it. */
  remove(path: string): void {
    const cut = path.lastIndexOf('/')
    const { children } = this.directory(path.slice(0, cut))
    const forget = (node: Node): void => {
      this.nodes.delete(node.id)
      if (node.kind === 'directory') for (const child of node.children.values()) forget(child)
    }
    const node = children.get(path.slice(cut + 1))
    if (node !== undefined) forget(node)
    children.delete(path.slice(cut + 1))
  }

  private put(path: string, node: Node): void {
    const cut = path.lastIndexOf('/')
    this.directory(path.slice(0, cut)).children.set(path.slice(cut + 1), node)
  }

  private add(node: NodeWithoutId): Node {
    const full = { ...node, id: this.nextId++ } as Node
    this.nodes.set(full.id, full)
    return full
  }
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never
type NodeWithoutId = WithoutId<Node>
