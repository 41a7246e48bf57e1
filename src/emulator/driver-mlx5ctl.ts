import { Caller, Capability, Errno } from './caller'
import { Refusal } from './firmware/refusal'
import { commandName, runCommand, view, type IoctlResult, type Machine, type OpenFile } from './machine'

export type Uapi = 'v1' | 'v2' | 'v3' | 'v4'

/** Numbers of the posted patches (V1 October 2023 to V4 February 2024), written down apart from the transport's. */
const requests = {
  v4: { info: 0x80105c00, command: 0xc0185c01, register: 0xc0185c02, unregister: 0xc0085c03, limit: 512 * 512 },
  v3: { info: 0x80605c00, command: 0xc0205c01, register: 0xc0285c02, unregister: 0xc0105c03, limit: 8192 },
  v2: { info: 0x80605c00, command: 0xc0205c01, register: 0xc0285c02, unregister: 0x00005c03, limit: 8192 },
  v1: { info: 0x80705c00, command: 0xc0205c01, register: 0xc0385c02, unregister: 0xc0085c03, limit: 8192 },
} as const

const PAGE = 4096n

/** The mlx5ctl misc driver: the same checks in the same order, and the same errnos. */
export function openMlx5ctl(uapi: Uapi): (machine: Machine, caller: Caller) => OpenFile {
  return (machine, caller) => {
    if (machine.faults.unplugged) throw new Errno('ENODEV')
    return new Mlx5ctlFile(machine, uapi, caller)
  }
}

class Mlx5ctlFile implements OpenFile {
  private readonly uid: number
  private readonly cap: number
  private readonly userCap: number
  private readonly umems = new Map<number, { caller: Caller; pages: number }>()
  private readonly numbers

  constructor(
    private readonly machine: Machine,
    private readonly uapi: Uapi,
    caller: Caller,
  ) {
    this.numbers = requests[uapi]
    const device = machine.firmware.profile.identity.uctxCap
    const wanted = [
      { bit: 1, capability: Capability.NET_RAW },
      { bit: 2, capability: Capability.SYS_RAWIO },
      { bit: 4, capability: Capability.SYS_ADMIN },
    ].filter(({ bit, capability }) => (device & bit) !== 0 && caller.has(capability))
    this.cap = wanted.reduce((mask, { bit }) => mask | bit, 0)
    // The driver ORs the numbers of the capabilities, not their bits.
    this.userCap = wanted.reduce((mask, { capability }) => mask | capability, 0)
    this.uid = machine.firmware.createContext()
    if (this.uid === 0) throw new Errno('EAGAIN')
    machine.log('open', { driver: 'mlx5ctl', pid: caller.pid, uid: this.uid })
  }

  async ioctl(caller: Caller, request: number, argument: bigint, input: Uint8Array): Promise<IoctlResult> {
    if (this.machine.faults.eperm || !caller.has(Capability.SYS_ADMIN)) throw new Errno('EPERM')
    if (this.machine.faults.unplugged) throw new Errno('ENODEV')
    const { info, command, register, unregister } = this.numbers
    if (request === info) return this.info()
    if (request === command) return this.command(caller, input)
    if (request === register) return this.register(caller, input)
    if (request === unregister) return this.unregister(argument, input)
    throw new Errno('ENOTTY')
  }

  release(): void {
    const { firmware, log } = this.machine
    for (const [id, { caller }] of this.umems) {
      try {
        firmware.destroyUmem(this.uid, id)
      } catch (error) {
        // The driver ignores what firmware says here, and unpins all the same.
        if (!(error instanceof Refusal)) throw error
      }
      log('umem_unreg', { uid: this.uid, umem: id, at: 'close' })
      caller.close()
    }
    log('close', {
      driver: 'mlx5ctl',
      uid: this.uid,
      umems: this.umems.size,
      leaked: firmware.destroyContext(this.uid),
    })
    this.umems.clear()
  }

  private info(): Uint8Array {
    const device = this.machine.firmware.profile.identity.uctxCap
    const old = this.uapi !== 'v4'
    const out = new Uint8Array(this.uapi === 'v1' ? 112 : old ? 96 : 16)
    const fields = view(out)
    if (old) {
      fields.setUint32(8, out.length, true)
      out.set(Buffer.from(this.machine.pci, 'latin1'), 12)
    }
    fields.setUint16(old ? 76 : 0, this.uid, true)
    const caps = old ? 80 : 4
    fields.setUint32(caps, this.cap, true)
    fields.setUint32(caps + 4, device, true)
    fields.setUint32(caps + 8, this.userCap, true)
    return out
  }

  private async command(caller: Caller, input: Uint8Array): Promise<Uint8Array> {
    const fields = view(input)
    const inLength = fields.getUint32(16, true)
    const outLength = fields.getUint32(20, true)
    if (this.uapi !== 'v4' && fields.getBigUint64(24, true) !== 0n) throw new Errno('EOPNOTSUPP')
    const { limit } = this.numbers
    if (inLength < 16 || inLength > limit || outLength < 16 || outLength > limit) throw new Errno('EINVAL')
    const inbox = caller.read(fields.getBigUint64(0, true), inLength)
    const name = commandName(this.machine, inbox)
    const { outbox, errno } = await runCommand(this.machine, this.uid, inbox, outLength)
    this.machine.log('command', { driver: 'mlx5ctl', uid: this.uid, name, errno: errno ?? null, status: outbox[0] })
    if (errno !== undefined) throw new Errno(errno)
    caller.write(fields.getBigUint64(8, true), outbox)
    return input
  }

  private register(caller: Caller, input: Uint8Array): Uint8Array {
    const fields = view(input)
    const old = this.uapi === 'v2' || this.uapi === 'v3'
    const [addressAt, idAt] = old ? [16, 32] : this.uapi === 'v1' ? [0, 24] : [0, 16]
    const reserved = old
      ? fields.getBigUint64(0, true) !== 0n
      : fields.getUint32(this.uapi === 'v4' ? 20 : 16, true) !== 0
    if (reserved) throw new Errno('EOPNOTSUPP')
    const address = fields.getBigUint64(addressAt, true)
    const length = fields.getBigUint64(addressAt + 8, true)
    const pages = pagesOf(address, length)
    this.accountFor(caller, pages)
    const own = probeWritable(caller, address, length)
    let id: number
    try {
      id = this.machine.firmware.createUmem(this.uid, own, address, Number(length))
    } catch (error) {
      if (error instanceof Refusal) throw new Errno('EINVAL')
      throw error
    }
    this.umems.set(id, { caller: own, pages })
    fields.setUint32(idAt, id, true)
    this.machine.log('umem_reg', { uid: this.uid, umem: id, bytes: Number(length) })
    return input
  }

  private unregister(argument: bigint, input: Uint8Array): IoctlResult {
    const byValue = this.uapi === 'v1' || this.uapi === 'v2'
    if (this.uapi === 'v4' && view(input).getUint32(4, true) !== 0) throw new Errno('EOPNOTSUPP')
    if (this.uapi === 'v3' && view(input).getBigUint64(0, true) !== 0n) throw new Errno('EOPNOTSUPP')
    const id = byValue ? Number(argument) : view(input).getUint32(this.uapi === 'v3' ? 12 : 0, true)
    const umem = this.umems.get(id)
    if (umem === undefined) throw new Errno('ENOENT')
    try {
      this.machine.firmware.destroyUmem(this.uid, id)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
    }
    this.umems.delete(id)
    umem.caller.close()
    this.machine.log('umem_unreg', { uid: this.uid, umem: id, at: 'ioctl' })
    return byValue ? undefined : input
  }

  /** locked_vm counts against RLIMIT_MEMLOCK, for root too. */
  private accountFor(caller: Caller, pages: number): void {
    const locked = [...this.umems.values()].reduce((sum, umem) => sum + umem.pages, 0)
    if ((locked + pages) * Number(PAGE) > caller.memlock()) throw new Errno('ENOMEM')
  }
}

/** Pages of a range; the driver's limit is 64 MiB, counted in units of 256 pages. */
function pagesOf(address: bigint, length: bigint): number {
  const end = address + length
  if (end > 0xffff_ffff_ffff_ffffn || end < address) throw new Errno('EINVAL')
  const pages = Number((end + PAGE - 1n) / PAGE - address / PAGE)
  if (pages === 0 || pages >> 8 > 64) throw new Errno('EINVAL')
  return pages
}

/** Pinning wants writable pages: each is read and written back. A handle of its own, for as long as it is registered. */
function probeWritable(caller: Caller, address: bigint, length: bigint): Caller {
  const own = new Caller(caller.pid)
  try {
    for (let at = address; at < address + length; at += PAGE) own.write(at, own.read(at, 1))
  } catch (error) {
    own.close()
    throw error
  }
  return own
}
