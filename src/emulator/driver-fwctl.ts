import { Capability, Errno, type Caller } from './caller'
import { commandName, opcodeOf, runCommand, view, type IoctlResult, type Machine, type OpenFile } from './machine'

const INFO = { request: 0x9a00, minimum: 24 }
const RPC = { request: 0x9a01, minimum: 32 }
const MAX_RPC = 2 << 20
const DEVICE_TYPE_MLX5 = 1
const TOOLS_RESOURCES = 0x4

/**
 * Opcodes by the lowest scope that passes (Linux 6.18, drivers/fwctl/mlx5/main.c), written down apart from the catalogue:
 * what the tool believes of the filter is checked against this.
 */
const lowest: ReadonlyMap<number, number> = new Map(
  [
    [0x100, 0x101, 0x109, 0x10e, 0x731, 0x740, 0x760, 0x762, 0x823, 0xb22, 0xb2e],
    [
      0x107, 0x10a, 0x10c, 0x111, 0x117, 0x201, 0x203, 0x303, 0x402, 0x50b, 0x512, 0x602, 0x702, 0x707, 0x713, 0x716,
      0x719, 0x722, 0x725, 0x727, 0x728, 0x730, 0x732, 0x750, 0x752, 0x754, 0x764, 0x765, 0x76f, 0x770, 0x773, 0x781,
      0x784, 0x80b, 0x80d, 0x813, 0x819, 0x821, 0x822, 0x824, 0x826, 0x82a, 0x831, 0x842, 0x903, 0x907, 0x90b, 0x90f,
      0x911, 0x915, 0x919, 0x932, 0x935, 0x937, 0x93b, 0x93f, 0x942, 0x962, 0x964, 0x971, 0x981, 0xa02, 0xa05, 0xa09,
      0xb02, 0xb03, 0xb05, 0xb07, 0xb08, 0xb0a, 0xb0d, 0xb0f, 0xb13, 0xb14, 0xb28, 0xb2a, 0xb2f, 0x8000, 0x8001, 0x8006,
    ],
    [0x820],
  ].flatMap((opcodes, scope) => opcodes.map((opcode): [number, number] => [opcode, scope])),
)
const ACCESS_REGISTER = new Set([0x805, 0xb0c])

/** The mainline fwctl driver with its mlx5 part: the same checks in the same order, and the same errnos. */
export function openFwctl(machine: Machine, caller: Caller): OpenFile {
  if (machine.faults.unplugged) throw new Errno('ENODEV')
  return new FwctlFile(machine, caller)
}

class FwctlFile implements OpenFile {
  private readonly uid: number
  private readonly cap: number

  constructor(
    private readonly machine: Machine,
    caller: Caller,
  ) {
    this.cap = machine.firmware.profile.identity.uctxCap & TOOLS_RESOURCES
    this.uid = machine.firmware.createContext()
    if (this.uid === 0) throw new Errno('EAGAIN')
    machine.log('open', { driver: 'fwctl', pid: caller.pid, uid: this.uid })
  }

  async ioctl(caller: Caller, request: number, argument: bigint): Promise<IoctlResult> {
    const minimum = request === INFO.request ? INFO.minimum : request === RPC.request ? RPC.minimum : undefined
    if (minimum === undefined) throw new Errno('ENOTTY')
    if (this.machine.faults.unplugged) throw new Errno('ENODEV')
    if (this.machine.faults.eperm) throw new Errno('EPERM')
    const struct = readStruct(caller, argument, minimum)
    if (request === INFO.request) this.info(caller, struct)
    else await this.rpc(caller, struct)
    caller.write(argument, struct)
    return undefined
  }

  release(): void {
    const leaked = this.machine.firmware.destroyContext(this.uid)
    this.machine.log('close', { driver: 'fwctl', uid: this.uid, umems: 0, leaked })
  }

  private info(caller: Caller, struct: Uint8Array): void {
    const fields = view(struct)
    if (fields.getUint32(4, true) !== 0) throw new Errno('EOPNOTSUPP')
    const room = fields.getUint32(12, true)
    if (room > 0) {
      const data = new Uint8Array(room)
      const full = new Uint8Array(8)
      view(full).setUint32(0, this.uid, true)
      view(full).setUint32(4, this.cap, true)
      data.set(full.subarray(0, room))
      caller.write(fields.getBigUint64(16, true), data)
    }
    fields.setUint32(8, DEVICE_TYPE_MLX5, true)
    fields.setUint32(12, room > 0 ? 8 : 0, true)
  }

  private async rpc(caller: Caller, struct: Uint8Array): Promise<void> {
    const fields = view(struct)
    const scope = fields.getUint32(4, true)
    const inLength = fields.getUint32(8, true)
    const outLength = fields.getUint32(12, true)
    if (inLength > MAX_RPC || outLength > MAX_RPC) throw new Errno('EMSGSIZE')
    this.checkScope(caller, scope)
    const inbox = caller.read(fields.getBigUint64(16, true), inLength)
    if (inLength < 16 || outLength < 16) throw new Errno('EMSGSIZE')
    const name = commandName(this.machine, inbox)
    if (!passes(inbox, scope)) {
      this.machine.log('command', { driver: 'fwctl', uid: this.uid, name, scope, errno: 'EBADMSG' })
      throw new Errno('EBADMSG')
    }
    const { outbox, errno } = await runCommand(this.machine, this.uid, inbox, outLength)
    this.machine.log('command', {
      driver: 'fwctl',
      uid: this.uid,
      name,
      scope,
      errno: errno ?? null,
      status: outbox[0],
    })
    if (errno !== undefined) throw new Errno(errno)
    caller.write(fields.getBigUint64(24, true), outbox)
  }

  /** The taint comes before the filter: a refused command of scope 2 or 3 taints too. */
  private checkScope(caller: Caller, scope: number): void {
    if (scope > 3) throw new Errno('EOPNOTSUPP')
    if (scope === 3 && !caller.has(Capability.SYS_RAWIO)) throw new Errno('EPERM')
    if (scope >= 2) this.machine.log('taint', { scope })
  }
}

/** Copies a structure whose first word is its size: too short is EINVAL, bytes past what is known must be zero. */
function readStruct(caller: Caller, argument: bigint, minimum: number): Uint8Array {
  const size = view(caller.read(argument, 4)).getUint32(0, true)
  if (size < minimum) throw new Errno('EINVAL')
  const extra =
    size > minimum ? caller.read(argument + BigInt(minimum), Math.min(size - minimum, 4096)) : new Uint8Array(0)
  if (size - minimum > 4096 || extra.some((byte) => byte !== 0)) throw new Errno('E2BIG')
  return caller.read(argument, minimum)
}

function passes(inbox: Uint8Array, scope: number): boolean {
  const opcode = opcodeOf(inbox)
  if (ACCESS_REGISTER.has(opcode)) return view(inbox).getUint16(6) === 0 || scope >= 1
  const needed = lowest.get(opcode)
  return needed !== undefined && scope >= needed
}
