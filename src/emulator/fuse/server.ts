import { read, readSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { Errno } from '../caller'
import { modeOf, type Maker, type Node, type Opened, type Tree } from './tree'

/** Operations of the FUSE protocol (include/uapi/linux/fuse.h, protocol 7.31). */
const op = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  MKDIR: 9,
  RMDIR: 11,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  ACCESS: 34,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  BATCH_FORGET: 42,
} as const

const IN_HEADER = 40
const OUT_HEADER = 16
const MAX_WRITE = 1 << 20
const FOPEN_DIRECT_IO = 1
const FOREVER = 3600n

/** Looked up by who ends the emulation. */
export const endName = '.mlx5ctl-emulate-end'

interface Request {
  readonly opcode: number
  readonly unique: Buffer
  readonly node: Node | undefined
  readonly pid: number
  readonly body: Buffer
}

/**
 * Serves a tree over an open /dev/fuse. Everything is answered at once but ioctls, which may wait; so no client can hold up
 * another. As long as nothing waits it reads with calls that block its thread, which is a thread of its own: a turn of the event
 * loop takes longer than an answer. Ends when the file system is unmounted.
 */
export class FuseServer {
  private readonly buffer = Buffer.allocUnsafeSlow(MAX_WRITE + 4096)
  private readonly opened = new Map<bigint, Opened>()
  private nextHandle = 1n

  /** Ioctls that are not answered yet. */
  private pending = 0

  constructor(
    private readonly fd: number,
    private readonly tree: Tree,
    private readonly options: {
      /** Whether the thread may be blocked while no ioctl is pending: not where timers are at work. */
      readonly mayBlock: boolean
      /** Somebody looks up `endName`: no client is left. */
      readonly onEnd: () => void
    },
  ) {}

  /** Resolves when the file system is gone. */
  async serve(): Promise<void> {
    for (;;) {
      if (this.pending > 0) await new Promise((resolve) => setImmediate(resolve))
      try {
        const isBlocking = this.options.mayBlock && this.pending === 0
        const length = isBlocking ? readSync(this.fd, this.buffer, 0, this.buffer.length, null) : await this.next()
        this.receive(this.buffer.subarray(0, length))
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === 'ENODEV') return
        if (code !== 'EINTR' && code !== 'ENOENT' && code !== 'EAGAIN') throw error
      }
    }
  }

  private next(): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.fd, this.buffer, 0, this.buffer.length, null, (error, length) => {
        if (error) reject(error)
        else resolve(length)
      })
    })
  }

  /** Releases what clients left open: called when no client is left. */
  private releaseAll(): void {
    for (const file of this.opened.values()) file.release?.()
    this.opened.clear()
  }

  private receive(packet: Buffer): void {
    const request: Request = {
      opcode: packet.readUInt32LE(4),
      unique: Buffer.from(packet.subarray(8, 16)),
      node: this.tree.node(packet.readBigUInt64LE(16)),
      pid: packet.readUInt32LE(32),
      body: packet.subarray(IN_HEADER),
    }
    try {
      this.dispatch(request)
    } catch (error) {
      this.fail(request, error)
    }
  }

  private dispatch(request: Request): void {
    const { opcode, node, body } = request
    switch (opcode) {
      case op.FORGET:
      case op.BATCH_FORGET:
      case op.INTERRUPT:
        return
      case op.INIT:
        return this.reply(request, initReply(body))
      case op.LOOKUP:
        return this.reply(request, entryReply(this.child(node, body)))
      case op.GETATTR:
      case op.SETATTR:
        return this.reply(request, attrReply(present(node)))
      case op.READLINK:
        return this.reply(request, Buffer.from(node?.kind === 'link' ? node.target : ''))
      case op.OPEN:
        return this.reply(request, this.open(present(node), request.pid))
      case op.OPENDIR:
        return this.reply(request, Buffer.alloc(16))
      case op.READ:
        return this.reply(request, readFile(present(node), request, this.handleOf(body)))
      case op.WRITE:
        return this.reply(request, writeFile(present(node), request, this.handleOf(body)))
      case op.MKDIR:
        return this.reply(request, this.makeDirectory(node, body.subarray(8)))
      case op.RMDIR:
        makerOf(node).remove(nameIn(body))
        return this.reply(request)
      case op.READDIR:
        return this.reply(request, readDirectory(present(node), body))
      case op.IOCTL:
        return this.ioctl(request)
      case op.RELEASE:
        return this.release(request)
      case op.STATFS:
        return this.reply(request, Buffer.alloc(80))
      case op.RELEASEDIR:
      case op.FLUSH:
      case op.ACCESS:
      case op.DESTROY:
        return this.reply(request)
      default:
        throw new Errno('ENOSYS')
    }
  }

  private child(node: Node | undefined, body: Buffer): Node {
    const name = nameIn(body)
    if (name === endName) {
      this.releaseAll()
      this.options.onEnd()
    }
    const child = node?.kind === 'directory' ? node.children.get(name) : undefined
    if (child === undefined) throw new Errno('ENOENT')
    return child
  }

  private makeDirectory(node: Node | undefined, body: Buffer): Buffer {
    makerOf(node).make(nameIn(body))
    return entryReply(this.child(node, body))
  }

  private handleOf(body: Buffer): Opened | undefined {
    return this.opened.get(body.readBigUInt64LE(0))
  }

  private open(node: Node, pid: number): Buffer {
    const reply = Buffer.alloc(16)
    if (node.kind === 'device') {
      const handle = this.nextHandle++
      this.opened.set(handle, node.open(pid))
      reply.writeBigUInt64LE(handle, 0)
    }
    reply.writeUInt32LE(FOPEN_DIRECT_IO, 8)
    return reply
  }

  private ioctl(request: Request): void {
    const { body, pid } = request
    const file = this.opened.get(body.readBigUInt64LE(0))
    if (file?.ioctl === undefined) throw new Errno('ENOTTY')
    const inLength = body.readUInt32LE(24)
    const outLength = body.readUInt32LE(28)
    const input = Uint8Array.from(body.subarray(32, 32 + inLength))
    this.pending++
    file.ioctl(pid, body.readUInt32LE(12), body.readBigUInt64LE(16), input).then(
      (output) => {
        this.pending--
        const data = Buffer.alloc(outLength)
        data.set((output ?? new Uint8Array(0)).subarray(0, outLength))
        this.reply(request, Buffer.alloc(16), data)
      },
      (error: unknown) => {
        this.pending--
        this.fail(request, error)
      },
    )
  }

  private release(request: Request): void {
    const handle = request.body.readBigUInt64LE(0)
    this.opened.get(handle)?.release?.()
    this.opened.delete(handle)
    this.reply(request)
  }

  /** A caller that is gone by now cannot be answered, which is no concern of ours. */
  private reply({ unique }: Request, ...parts: Buffer[]): void {
    this.write(unique, 0, parts)
  }

  private fail({ unique }: Request, error: unknown): void {
    if (!(error instanceof Errno)) writeSync(2, `mlx5ctl emulate: ${String(error)}\n`)
    const name = error instanceof Errno ? error.errno : 'EIO'
    const numbers: Readonly<Record<string, number | undefined>> = constants.errno
    this.write(unique, -(numbers[name] ?? more[name] ?? constants.errno.EIO), [])
  }

  private write(unique: Buffer, error: number, parts: Buffer[]): void {
    const header = Buffer.alloc(OUT_HEADER)
    header.writeUInt32LE(
      parts.reduce((sum, part) => sum + part.length, OUT_HEADER),
      0,
    )
    header.writeInt32LE(error, 4)
    unique.copy(header, 8)
    try {
      writeSync(this.fd, Buffer.concat([header, ...parts]))
    } catch (failed) {
      const { code } = failed as NodeJS.ErrnoException
      if (code !== 'ENOENT' && code !== 'ENODEV') throw failed
    }
  }
}

/** Linux errnos that os.constants lacks. */
const more: Readonly<Record<string, number>> = { EBADR: 53, EREMOTEIO: 121 }

function present(node: Node | undefined): Node {
  if (node === undefined) throw new Errno('ENOENT')
  return node
}

function initReply(body: Buffer): Buffer {
  const reply = Buffer.alloc(64)
  reply.writeUInt32LE(7, 0)
  reply.writeUInt32LE(31, 4)
  reply.writeUInt32LE(body.readUInt32LE(8), 8)
  reply.writeUInt16LE(16, 16)
  reply.writeUInt16LE(12, 18)
  reply.writeUInt32LE(MAX_WRITE, 20)
  reply.writeUInt32LE(1, 24)
  return reply
}

function writeAttr(node: Node, into: Buffer, at: number): void {
  const size =
    node.kind === 'file'
      ? Math.max(node.contents.length, 4096)
      : node.kind === 'window'
        ? node.size
        : node.kind === 'link'
          ? node.target.length
          : 0
  into.writeBigUInt64LE(node.id, at)
  into.writeBigUInt64LE(BigInt(size), at + 8)
  into.writeUInt32LE(modeOf(node), at + 60)
  into.writeUInt32LE(node.kind === 'directory' ? 2 : 1, at + 64)
  into.writeUInt32LE(4096, at + 80)
}

function entryReply(node: Node): Buffer {
  const reply = Buffer.alloc(128)
  reply.writeBigUInt64LE(node.id, 0)
  reply.writeBigUInt64LE(FOREVER, 16)
  reply.writeBigUInt64LE(FOREVER, 24)
  writeAttr(node, reply, 40)
  return reply
}

function attrReply(node: Node): Buffer {
  const reply = Buffer.alloc(104)
  reply.writeBigUInt64LE(FOREVER, 0)
  writeAttr(node, reply, 16)
  return reply
}

const nameIn = (body: Buffer): string => body.subarray(0, body.indexOf(0)).toString('utf8')

function makerOf(node: Node | undefined): Maker {
  if (node?.kind !== 'directory' || node.maker === undefined) throw new Errno('EPERM')
  return node.maker
}

function readFile(node: Node, { body, pid }: Request, opened: Opened | undefined): Buffer {
  const offset = Number(body.readBigUInt64LE(8))
  const length = body.readUInt32LE(16)
  if (opened?.read !== undefined) return Buffer.from(opened.read(offset, length))
  if (node.kind === 'window') return Buffer.from(node.window.read(offset, length, pid))
  if (node.kind !== 'file') throw new Errno('EINVAL')
  return node.contents.subarray(offset, offset + length)
}

function writeFile(node: Node, { body, pid }: Request, opened: Opened | undefined): Buffer {
  const offset = Number(body.readBigUInt64LE(8))
  const length = body.readUInt32LE(16)
  const data = Uint8Array.from(body.subarray(40, 40 + length))
  if (opened?.write !== undefined) opened.write(offset, data)
  else if (node.kind === 'window' && node.window.write !== undefined) node.window.write(offset, data, pid)
  else throw new Errno('EINVAL')
  const reply = Buffer.alloc(8)
  reply.writeUInt32LE(length)
  return reply
}

function readDirectory(node: Node, body: Buffer): Buffer {
  if (node.kind !== 'directory') throw new Errno('ENOTDIR')
  const first = Number(body.readBigUInt64LE(8))
  const room = body.readUInt32LE(16)
  const parts: Buffer[] = []
  let used = 0
  for (const [index, [name, child]] of [...node.children].entries()) {
    if (index < first) continue
    const bytes = Buffer.from(name)
    const entry = Buffer.alloc((24 + bytes.length + 7) & ~7)
    if (used + entry.length > room) break
    entry.writeBigUInt64LE(child.id, 0)
    entry.writeBigUInt64LE(BigInt(index + 1), 8)
    entry.writeUInt32LE(bytes.length, 16)
    entry.writeUInt32LE(modeOf(child) >>> 12, 20)
    bytes.copy(entry, 24)
    parts.push(entry)
    used += entry.length
  }
  return Buffer.concat(parts)
}
