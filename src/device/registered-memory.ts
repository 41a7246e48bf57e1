import type { MemoryProvider } from '../transport/contract'
import { Unsupported } from './errors'
import type { Device } from './device'

/** Memory that the device can write to through a memory key. */
export interface DeviceMemory {
  readonly mkey: number
  /** Virtual address at which the key begins. */
  readonly address: bigint
  readonly bytes: Uint8Array
}

/**
 * Gives the device memory to write to for as long as `use` runs: PD, registration, memory key; then the key, the
 * registration and the PD go, in this order, whatever happens, also after a signal. A step of that which fails does not
 * stop the next ones, and is thrown when `use` itself did not throw.
 * @throws Unsupported on a transport without registered memory
 */
export async function withDeviceMemory<T>(
  device: Device,
  length: number,
  use: (memory: DeviceMemory) => Promise<T>,
): Promise<T> {
  const provider = memoryProvider(device)
  const undo: (() => Promise<unknown>)[] = []
  return cleaningUp(undo, async () => {
    const { pd } = (await device.command('ALLOC_PD')).values
    undo.unshift(() => device.command('DEALLOC_PD', { pd: pd ?? 0 }, { cleanup: true }))
    const memory = await provider.register(length)
    undo.unshift(() => memory.release())
    const { mkey_index: index } = (
      await device.command('CREATE_MKEY', {
        mkey_umem_valid: 1,
        mkey_umem_id: memory.id,
        memory_key_mkey_entry: {
          access_mode_1_0: MTT,
          lr: 1,
          lw: 1,
          qpn: ANY_QP,
          pd: pd ?? 0,
          start_addr: memory.address,
          len: BigInt(memory.bytes.length),
        },
      })
    ).values
    undo.unshift(() => device.command('DESTROY_MKEY', { mkey_index: index ?? 0 }, { cleanup: true }))
    return use({ mkey: (Number(index) << 8) >>> 0, address: memory.address, bytes: memory.bytes })
  })
}

/** @throws Unsupported on a transport without registered memory */
export function memoryProvider({ transport }: Device): MemoryProvider {
  if (transport.memory !== undefined) return transport.memory
  throw new Unsupported(
    `this needs memory that the device can write to; ${transport.device.transport} offers none`,
    'only the mlx5ctl driver registers memory: load it (modprobe mlx5ctl), or use regdump over PCI for the registers',
  )
}

/** Access mode of a key over a table of pages, and the QP number that stands for all. */
const MTT = 1
const ANY_QP = 0xffffff

/**
 * Runs the steps that work has put into `undo` when it is done, whatever happened; one that fails does not stop the next ones, and
 * is thrown when the work itself did not throw.
 */
export async function cleaningUp<T>(undo: (() => Promise<unknown>)[], work: () => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await work()
  } catch (error) {
    await runAll(undo)
    throw error
  }
  const [failed] = await runAll(undo)
  if (failed !== undefined) throw failed
  return result
}

async function runAll(steps: readonly (() => Promise<unknown>)[]): Promise<Error[]> {
  const failures: Error[] = []
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      failures.push(error instanceof Error ? error : new Error(String(error)))
    }
  }
  return failures
}
