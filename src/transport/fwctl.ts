import type { FileHandle } from 'node:fs/promises'
import type { Addon } from '../native'
import {
  DeliveryError,
  type DeviceIdentity,
  type ExecuteRequest,
  OpenError,
  type Scope,
  type Transport,
  type UserContext,
} from './contract'
import { deliveryError, errnoName, filterError } from './errno'
import { dataView, openNode, type NodeOptions } from './node-file'
import { checkLengths, Serial } from './serial'

/** fwctl user interface, Linux 6.15. Structures little-endian, sizes and offsets in bytes. */
const INFO = { request: 0x9a00, size: 24, type: 8, dataLength: 12, data: 16 } as const
const RPC = { request: 0x9a01, size: 32, scope: 4, inLength: 8, outLength: 12, in: 16, out: 24 } as const
const TYPE_MLX5 = 1
const DEVICE_DATA = { size: 8, uid: 0, caps: 4 } as const
const LIMIT = 0x200000

/** Opens an fwctl node and makes sure that an mlx5 device is behind it. */
export function openFwctl(device: DeviceIdentity, options: NodeOptions = {}): Promise<Transport> {
  const { sysfsRoot } = options
  return openNode('fwctl', device, options, async (addon, file) => {
    const context = await info(addon, file.fd, device.node, sysfsRoot)
    return new FwctlTransport(device, addon, file, context, sysfsRoot)
  })
}

async function info(addon: Addon, fd: number, node: string, sysfs: string | undefined): Promise<UserContext> {
  const data = new Uint8Array(DEVICE_DATA.size)
  const argument = new Uint8Array(INFO.size)
  const view = dataView(argument)
  view.setUint32(0, INFO.size, true)
  view.setUint32(INFO.dataLength, DEVICE_DATA.size, true)
  const { result, errno } = await addon.ioctl(fd, INFO.request, argument, [{ offset: INFO.data, buffer: data }])
  if (result !== 0) throw deliveryError('fwctl', errnoName(errno), 'asking for the user context', sysfs)
  const type = view.getUint32(INFO.type, true)
  if (type !== TYPE_MLX5)
    throw new OpenError(`${node} is an fwctl device of type ${type}, not mlx5 (${TYPE_MLX5})`, 'open')
  return {
    uid: dataView(data).getUint32(DEVICE_DATA.uid, true),
    uctxCap: dataView(data).getUint32(DEVICE_DATA.caps, true),
    uapi: 'fwctl',
  }
}

class FwctlTransport implements Transport {
  private readonly serial = new Serial()

  constructor(
    readonly device: DeviceIdentity,
    private readonly addon: Addon,
    private readonly file: FileHandle,
    private readonly context: UserContext,
    private readonly sysfs: string | undefined,
  ) {}

  identify(): Promise<UserContext> {
    return this.serial.run(() => Promise.resolve(this.context))
  }

  /**
   * Kernels between 6.15 and 6.16 free the wrong way when a delivery fails and the outbox is longer than the inbox. The
   * inbox is not padded against it: firmware may refuse another length, and a delivery that fails is rare.
   */
  execute({ inbox, outboxLength, scope }: ExecuteRequest): Promise<Uint8Array> {
    return this.serial.run(async () => {
      checkLengths(inbox, outboxLength)
      if (inbox.length > LIMIT || outboxLength > LIMIT)
        throw deliveryError('fwctl', 'EMSGSIZE', 'the command', this.sysfs)
      const outbox = new Uint8Array(outboxLength)
      const asked = scope ?? 1
      let errno = await this.rpc(inbox, outbox, asked)
      // The filter of early out-of-tree fwctl knows queries at scope 0 only. Scopes past 1 taint even when refused, so
      // they are never probed.
      if (asked === 1 && scope !== null && (errno === 'EBADMSG' || errno === 'EOPNOTSUPP'))
        errno = await this.rpc(inbox, outbox, 0)
      if (errno === 'EBADMSG') throw filterError(scope)
      if (errno !== undefined) throw deliveryError('fwctl', errno, 'the command', this.sysfs)
      return outbox
    })
  }

  close(): Promise<void> {
    return this.serial.close(() => this.file.close())
  }

  /** The errno, or undefined. */
  private async rpc(inbox: Uint8Array, outbox: Uint8Array, scope: Scope): Promise<string | undefined> {
    const argument = new Uint8Array(RPC.size)
    const view = dataView(argument)
    view.setUint32(0, RPC.size, true)
    view.setUint32(RPC.scope, scope, true)
    view.setUint32(RPC.inLength, inbox.length, true)
    view.setUint32(RPC.outLength, outbox.length, true)
    const { result, errno } = await this.addon.ioctl(this.file.fd, RPC.request, argument, [
      { offset: RPC.in, buffer: inbox.slice() },
      { offset: RPC.out, buffer: outbox },
    ])
    if (result === 0) {
      if (view.getUint32(RPC.outLength, true) <= outbox.length) return undefined
      throw new DeliveryError('the command: the driver reports an outbox longer than was asked for', 'EMSGSIZE')
    }
    return result > 0 ? 'EFAULT' : errnoName(errno)
  }
}
