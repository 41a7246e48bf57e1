import type { FileHandle } from 'node:fs/promises'
import type { Addon } from '../native'
import {
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  type MemoryProvider,
  OpenError,
  type RegisteredMemory,
  type Transport,
  type UserContext,
} from './contract'
import { deliveryError, errnoName } from './errno'
import { dataView, openNode, type NodeOptions } from './node-file'
import { checkLengths, Serial } from './serial'

/**
 * How the versions of the mlx5ctl driver interface differ: ioctl numbers and structures as posted (V1 October 2023, V2 and
 * V3 November 2023, V4 February 2024). Offsets and sizes in bytes, little-endian.
 */
interface Version {
  readonly name: string
  readonly info: { readonly request: number; readonly size: number; readonly uid: number; readonly caps: number }
  readonly command: { readonly request: number; readonly size: number; readonly limit: number }
  readonly register: Layout & { readonly address: number; readonly length: number; readonly id: number }
  readonly unregister: (Layout & { readonly id: number }) | { readonly request: number; readonly byValue: true }
}

interface Layout {
  readonly request: number
  readonly size: number
  /** Offset of a member that holds the size of the structure, where there is one. */
  readonly sizeAt?: number
}

const command = { request: 0xc0205c01, size: 32, limit: 8192 }
const registerV2 = { request: 0xc0285c02, size: 40, sizeAt: 8, address: 16, length: 24, id: 32 }
const infoV2 = { request: 0x80605c00, size: 96, uid: 76, caps: 80 }

const versions = {
  V4: {
    name: 'mlx5ctl V4',
    info: { request: 0x80105c00, size: 16, uid: 0, caps: 4 },
    command: { request: 0xc0185c01, size: 24, limit: 262144 },
    register: { request: 0xc0185c02, size: 24, address: 0, length: 8, id: 16 },
    unregister: { request: 0xc0085c03, size: 8, id: 0 },
  },
  V3: {
    name: 'mlx5ctl V3',
    info: infoV2,
    command,
    register: registerV2,
    unregister: { request: 0xc0105c03, size: 16, sizeAt: 8, id: 12 },
  },
  V2: {
    name: 'mlx5ctl V2',
    info: infoV2,
    command,
    register: registerV2,
    unregister: { request: 0x5c03, byValue: true },
  },
  V1: {
    name: 'mlx5ctl V1',
    info: { request: 0x80705c00, size: 112, uid: 76, caps: 80 },
    command,
    register: { request: 0xc0385c02, size: 56, address: 0, length: 8, id: 24 },
    unregister: { request: 0xc0085c03, byValue: true },
  },
} as const satisfies Record<string, Version>

/** Opens a node of the mlx5ctl misc driver. The version is found by INFO, which has no side effects. */
export function openMlx5ctl(device: DeviceIdentity, options: NodeOptions = {}): Promise<Transport> {
  const { sysfsRoot } = options
  return openNode('mlx5ctl', device, options, async (addon, file) => {
    const { version, context } = await probe(addon, file.fd, device.node, sysfsRoot)
    return new Mlx5ctlTransport(device, addon, file, version, context, sysfsRoot)
  })
}

async function probe(
  addon: Addon,
  fd: number,
  node: string,
  sysfs: string | undefined,
): Promise<{ version: Version; context: UserContext }> {
  for (const version of [versions.V4, versions.V3, versions.V1]) {
    const info = new Uint8Array(version.info.size)
    const { result, errno } = await addon.ioctl(fd, version.info.request, info)
    if (result === 0) return refine(addon, fd, version, info)
    if (errnoName(errno) !== 'ENOTTY')
      throw deliveryError('mlx5ctl', errnoName(errno), 'asking for the user context', sysfs)
  }
  throw new OpenError(`${node} is not a node of the mlx5ctl driver (no version of INFO is known to it)`, 'open', {
    errno: 'ENOTTY',
  })
}

/**
 * V2 and V3 have one INFO. They differ in UMEM_UNREG: V3's takes a structure, and with its reserved flags set does nothing
 * but refuse it, while V2 does not know the number.
 */
async function refine(
  addon: Addon,
  fd: number,
  found: Version,
  info: Uint8Array,
): Promise<{ version: Version; context: UserContext }> {
  let version = found
  if (found === versions.V3) {
    const refused = new Uint8Array(versions.V3.unregister.size)
    refused[0] = 1
    const { errno } = await addon.ioctl(fd, versions.V3.unregister.request, refused)
    if (errnoName(errno) === 'ENOTTY') version = versions.V2
  }
  const view = dataView(info)
  const { uid, caps } = version.info
  return {
    version,
    context: {
      uid: view.getUint16(uid, true),
      uctxCap: view.getUint32(caps, true),
      devUctxCap: view.getUint32(caps + 4, true),
      userCap: view.getUint32(caps + 8, true),
      uapi: version.name,
    },
  }
}

class Mlx5ctlTransport implements Transport {
  private readonly serial = new Serial()
  readonly memory: MemoryProvider = { register: (length) => this.serial.run(() => this.register(length)) }

  constructor(
    readonly device: DeviceIdentity,
    private readonly addon: Addon,
    private readonly file: FileHandle,
    private readonly version: Version,
    private readonly context: UserContext,
    private readonly sysfs: string | undefined,
  ) {}

  identify(): Promise<UserContext> {
    return this.serial.run(() => Promise.resolve(this.context))
  }

  execute({ inbox, outboxLength }: ExecuteRequest): Promise<Uint8Array> {
    return this.serial.run(async () => {
      checkLengths(inbox, outboxLength)
      const { request, size, limit } = this.version.command
      if (inbox.length > limit || outboxLength > limit) {
        const what = `an inbox of ${inbox.length} and an outbox of ${outboxLength} bytes`
        throw new DeliveryError(`${what}: ${this.version.name} takes up to ${limit}`, 'EINVAL')
      }
      const outbox = new Uint8Array(outboxLength)
      const argument = new Uint8Array(size)
      dataView(argument).setUint32(16, inbox.length, true)
      dataView(argument).setUint32(20, outboxLength, true)
      await this.call('the command', request, argument, [
        { offset: 0, buffer: inbox.slice() },
        { offset: 8, buffer: outbox },
      ])
      return outbox
    })
  }

  close(): Promise<void> {
    return this.serial.close(() => this.file.close())
  }

  private async register(length: number): Promise<RegisteredMemory> {
    if (!Number.isSafeInteger(length) || length < 1) throw new RangeError('at least 1 byte of memory is needed')
    const { handle, buffer, address } = this.addon.allocate(length)
    const layout: Version['register'] = this.version.register
    const argument = new Uint8Array(layout.size)
    const view = dataView(argument)
    if (layout.sizeAt !== undefined) view.setUint32(layout.sizeAt, layout.size, true)
    view.setBigUint64(layout.address, address, true)
    view.setBigUint64(layout.length, BigInt(buffer.byteLength), true)
    this.addon.pin(handle)
    try {
      await this.call(`registering ${buffer.byteLength} bytes of memory`, layout.request, argument)
    } catch (error) {
      this.addon.unpin(handle)
      this.addon.release(handle)
      throw explainMemory(error)
    }
    return this.registered(view.getUint32(layout.id, true), handle, buffer, address)
  }

  private registered(id: number, handle: object, buffer: ArrayBuffer, address: bigint): RegisteredMemory {
    let released: Promise<void> | undefined
    const memory: RegisteredMemory = {
      id,
      address,
      bytes: new Uint8Array(buffer),
      release: () => {
        released ??= this.serial.queue(async () => {
          this.serial.memories.delete(memory)
          await this.unregister(id)
          this.addon.unpin(handle)
          this.addon.release(handle)
        })
        return released
      },
    }
    this.serial.memories.add(memory)
    return memory
  }

  /** When the device is gone the driver has ended the registration by itself. */
  private async unregister(id: number): Promise<void> {
    const layout: Version['unregister'] = this.version.unregister
    try {
      if ('byValue' in layout) return await this.call('releasing memory', layout.request, BigInt(id))
      const argument = new Uint8Array(layout.size)
      const view = dataView(argument)
      if (layout.sizeAt !== undefined) view.setUint32(layout.sizeAt, layout.size, true)
      view.setUint32(layout.id, id, true)
      await this.call('releasing memory', layout.request, argument)
    } catch (error) {
      if (!(error instanceof DeliveryError && ['ENODEV', 'ENOTCONN', 'ECONNABORTED'].includes(error.errno))) throw error
    }
  }

  /** A positive result is a failure too: the posted V4 returns the bytes that it could not copy. */
  private async call(
    what: string,
    request: number,
    argument: Uint8Array | bigint,
    pointers: { offset: number; buffer: Uint8Array }[] = [],
  ): Promise<void> {
    const { result, errno } = await this.addon.ioctl(this.file.fd, request, argument, pointers)
    if (result !== 0) throw deliveryError('mlx5ctl', result > 0 ? 'EFAULT' : errnoName(errno), what, this.sysfs)
  }
}

function explainMemory(error: unknown): unknown {
  if (!(error instanceof DeliveryError) || error.errno !== 'ENOMEM') return error
  return new DeliveryError(error.message, 'ENOMEM', {
    hint: 'registered memory counts against RLIMIT_MEMLOCK, for root too: raise it (ulimit -l unlimited)',
  })
}
