import { existsSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CrSpace,
  DeliveryError,
  type DeviceIdentity,
  OpenError,
  type RegisterAccess,
  type RegisterReply,
  type Transport,
  type UserContext,
} from './contract'
import { openError } from './errno'
import { crSpaceBehind } from './pci-cr-space'
import { findGateway, PciGateway, space, type OwnedGateway } from './pci-gateway'
import { checkLengths, Serial } from './serial'

/** Addresses in the ICMD space (facts: PCI access path, B.5). */
const icmd = { CONTROL: 0x0, SIZE: 0x1000, SYNDROME: 0x1008, MAILBOX: 0x100000 } as const
const BUSY = 1
const ACCESS_REGISTER = 0x9001
/** Bytes of the mailbox where the device does not say. */
const DEFAULT_SIZE = 0x340

/** Operation TLV, then the header of the register TLV. */
const OPERATION = 16
const HEADERS = 20
const method = { read: 1, write: 2 } as const

const HARDWARE_ID = 0xf0014

/** A word of CR space whose bit 31 is 0 when firmware can take commands, by hardware id. */
const notReady: Readonly<Record<number, number>> = {
  0x1ff: 0xb0004,
  0x209: 0xb0004,
  0x20b: 0xb0004,
  0x20d: 0xb5e04,
  0x211: 0xb5e04,
  0x20f: 0xb5f04,
  0x212: 0xb5f04,
  0x214: 0xb5f04,
  0x216: 0xb5f04,
  0x218: 0xb5f04,
  0x21c: 0xb5f04,
  0x21e: 0xa0304,
  0x224: 0xa0304,
}

const icmdErrors: Readonly<Record<number, string>> = {
  1: 'invalid opcode',
  2: 'invalid command',
  3: 'operational error',
  4: 'bad parameter',
  5: 'busy',
  6: 'ICM not available',
  7: 'write protected',
}

/** Milliseconds to wait for the mailbox, and for an answer. */
const SEMAPHORE_PATIENCE = 6000
const ANSWER_PATIENCE = 30_000

export interface PciOptions {
  readonly sysfsRoot?: string | undefined
  /** Take away semaphores that a tool left behind when it was killed. */
  readonly clearSemaphore?: boolean | undefined
}

/**
 * Opens a function by its PCI address, through config space.
 * @throws OpenError; DeliveryError under kernel lockdown
 */
export async function openPci(device: DeviceIdentity, options: PciOptions = {}): Promise<Transport> {
  const { sysfsRoot = '/sys' } = options
  const node = path.join(sysfsRoot, 'bus/pci/devices', device.node, 'config')
  let file: FileHandle
  try {
    file = await open(node, 'r+')
  } catch (error) {
    throw openError('pci', node, error, options.sysfsRoot)
  }
  try {
    return await connect(device, file, options)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function connect(device: DeviceIdentity, file: FileHandle, options: PciOptions): Promise<Transport> {
  const at = findGateway(file.fd)
  if (at === undefined)
    throw new OpenError(`${device.node} has no gateway in its config space (vendor-specific capability 0x09)`, 'open', {
      hint: 'virtual functions have none, and ConnectX-3 had another one; is this process root?',
    })
  const gateway = new PciGateway(file.fd, at, device.node, options.sysfsRoot)
  if (options.clearSemaphore === true) gateway.clear()
  const header = new Uint8Array(4)
  await file.read(header, 0, 4, 0)
  const pciDeviceId = new DataView(header.buffer).getUint16(2, true)
  const found = await gateway.own((owned) => probe(owned))
  if (options.clearSemaphore === true && found.icmd)
    await gateway.own((owned) => owned.select(space.SEMAPHORE) && owned.write(0, 0))
  return new PciTransport(device, file, gateway, { ...found, pciDeviceId })
}

interface Probed {
  readonly cr: boolean
  readonly scan: boolean
  readonly icmd: boolean
  readonly hardwareId: number
}

function probe(owned: OwnedGateway): Probed {
  const [icmdThere, semaphore, scan, cr] = [space.ICMD, space.SEMAPHORE, space.SCAN, space.CR].map((one) =>
    owned.select(one),
  )
  return {
    cr: cr === true,
    scan: scan === true,
    icmd: icmdThere === true && semaphore === true,
    hardwareId: cr === true ? owned.read(HARDWARE_ID) & 0xffff : 0,
  }
}

class PciTransport implements Transport {
  readonly registers?: RegisterAccess
  readonly crSpace?: CrSpace
  private readonly serial = new Serial()
  /** Bytes of the mailbox, once it was asked. */
  private size: number | undefined

  constructor(
    readonly device: DeviceIdentity,
    private readonly file: FileHandle,
    private readonly gateway: PciGateway,
    private readonly found: Probed & { readonly pciDeviceId: number },
  ) {
    if (this.whyNoRegisters() === undefined)
      this.registers = {
        limit: DEFAULT_SIZE - HEADERS,
        access: (id, how, bytes) => this.serial.run(() => this.access(id, how, bytes)),
      }
    if (found.cr) this.crSpace = crSpaceBehind(gateway, this.serial, found.scan)
  }

  identify(): Promise<UserContext> {
    return this.serial.run(() => Promise.resolve({ uapi: 'PCI config space' }))
  }

  /** There is no command mailbox behind this door. */
  execute({ inbox, outboxLength }: { readonly inbox: Uint8Array; readonly outboxLength: number }): Promise<Uint8Array> {
    return this.serial.run(() => {
      checkLengths(inbox, outboxLength)
      const why = this.whyNoRegisters() ?? 'PCI config space carries access registers only, no commands'
      throw new DeliveryError(`${this.device.node}: ${why}`, 'EOPNOTSUPP', {
        kind: 'unsupported',
        hint:
          this.whyNoRegisters() === undefined
            ? 'the mlx5ctl and fwctl drivers carry commands'
            : 'burn its firmware with mstflint, or power-cycle the machine',
      })
    })
  }

  close(): Promise<void> {
    return this.serial.close(() => this.file.close())
  }

  private whyNoRegisters(): string | undefined {
    const { pciDeviceId, hardwareId, icmd: there } = this.found
    if (pciDeviceId === hardwareId)
      return 'the device runs its recovery image (livefish): its firmware is missing or damaged, and answers nothing'
    return there ? undefined : 'the gateway offers no ICMD mailbox'
  }

  private async access(id: number, how: 'read' | 'write', bytes: Uint8Array): Promise<RegisterReply> {
    if (bytes.length % 4 !== 0) throw new RangeError('a register is a whole number of dwords')
    const request = Buffer.alloc(HEADERS + bytes.length)
    request.writeUInt32BE(0x08040000, 0)
    request.writeUInt32BE(((id << 16) | (method[how] << 8) | 1) >>> 0, 4)
    request.writeUInt32BE(((3 << 27) | ((bytes.length / 4 + 1) << 16)) >>> 0, OPERATION)
    request.set(bytes, HEADERS)
    await this.checkReady()
    await this.takeMailbox()
    try {
      const { reply, syndrome } = await this.command(ACCESS_REGISTER, request)
      return { status: (reply[2] ?? 0) & 0x7f, syndrome, bytes: Uint8Array.from(reply.subarray(HEADERS)) }
    } finally {
      await this.gateway.own((owned) => {
        owned.enter(space.SEMAPHORE)
        owned.write(0, 0)
      })
    }
  }

  private async checkReady(): Promise<void> {
    const address = notReady[this.found.hardwareId]
    if (address === undefined || !this.found.cr) return
    const word = await this.gateway.own((owned) => {
      owned.enter(space.CR)
      return owned.read(address)
    })
    if (word >>> 31 === 1)
      throw new DeliveryError(`${this.device.node}: EAGAIN: firmware is not ready for commands yet`, 'EAGAIN', {
        hint: 'it may be starting; try again',
      })
  }

  /** The mailbox has a semaphore of its own, which holds the process number of its owner. */
  private async takeMailbox(): Promise<void> {
    const own = process.pid
    const until = Date.now() + SEMAPHORE_PATIENCE
    for (;;) {
      const holder = await this.gateway.own((owned) => {
        owned.enter(space.SEMAPHORE)
        owned.write(0, own)
        return owned.read(0)
      })
      if (holder === own) return
      if (Date.now() > until) throw mailboxHeld(this.device.node, holder)
      await sleep(1 + Math.random() * 20)
    }
  }

  private async command(opcode: number, request: Buffer): Promise<{ reply: Buffer; syndrome: number }> {
    // A tool that was killed may have left a command on its way.
    while (!(await this.sent(opcode, request))) await this.answered()
    const status = await this.answered()
    if (status !== 0)
      throw new DeliveryError(
        `${this.device.node}: EIO: the ICMD mailbox refuses the command: ${icmdErrors[status] ?? 'unknown status'} (0x${status.toString(16)})`,
        'EIO',
      )
    return this.gateway.own((owned) => {
      owned.enter(space.ICMD)
      const reply = Buffer.alloc(request.length)
      for (let at = 0; at < reply.length; at += 4) reply.writeUInt32BE(owned.read(icmd.MAILBOX + at), at)
      const failed = ((reply[2] ?? 0) & 0x7f) !== 0
      return { reply, syndrome: failed ? owned.read(icmd.SYNDROME) & 0xffffff : 0 }
    })
  }

  /** Hands the mailbox a command; false while it is busy with another one. */
  private sent(opcode: number, request: Buffer): Promise<boolean> {
    return this.gateway.own((owned) => {
      owned.enter(space.ICMD)
      this.size ??= owned.read(icmd.SIZE) || DEFAULT_SIZE
      if (request.length > this.size)
        throw new DeliveryError(`${this.device.node}: EMSGSIZE: the mailbox holds ${this.size} bytes`, 'EMSGSIZE')
      const control = owned.read(icmd.CONTROL)
      if ((control & BUSY) !== 0) return false
      owned.write(icmd.CONTROL, ((opcode << 16) | (control & 0xfe)) >>> 0)
      for (let at = 0; at < request.length; at += 4) owned.write(icmd.MAILBOX + at, request.readUInt32BE(at))
      owned.write(icmd.CONTROL, ((opcode << 16) | (control & 0xfe) | BUSY) >>> 0)
      return true
    })
  }

  /** Status of the mailbox, when it is no longer busy. */
  private async answered(): Promise<number> {
    const until = Date.now() + ANSWER_PATIENCE
    for (let poll = 0; ; poll++) {
      const control = await this.gateway.own((owned) => {
        owned.enter(space.ICMD)
        return owned.read(icmd.CONTROL)
      })
      if ((control & BUSY) === 0) return (control >>> 8) & 0xff
      if (Date.now() > until)
        throw new DeliveryError(`${this.device.node}: ETIMEDOUT: firmware did not answer in 30 s`, 'ETIMEDOUT')
      if (poll >= 5) await sleep(Math.min(8, 2 ** (poll - 5)))
    }
  }
}

function mailboxHeld(node: string, holder: number): DeliveryError {
  const alive = existsSync(`/proc/${holder}`)
  return new DeliveryError(
    `${node}: EBUSY: the ICMD mailbox is held by process ${holder}${alive ? '' : ', which is not running here'}`,
    'EBUSY',
    {
      hint: alive
        ? 'wait for it to end'
        : 'when it does not run in another container either, it was killed: --clear-semaphore takes the mailbox from it',
    },
  )
}
