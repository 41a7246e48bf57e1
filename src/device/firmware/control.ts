import type { Device } from '../device'
import { FirmwareError } from '../errors'
import { accessRegister, registerTarget } from '../registers'

/** Registers that an update by firmware needs, all of them (facts: firmware manager, C.5). */
export const controlRegisters = ['MCQS', 'MCQI', 'MCC', 'MCDA', 'MQIS', 'MGIR'] as const
type ControlRegister = (typeof controlRegisters)[number]

export interface ControlSupport {
  /** Those that the device says it has; all where it has no mask to say so. */
  readonly queried: ReadonlySet<ControlRegister>
  /** Why firmware takes no updates; undefined where it does. */
  readonly missing: string | undefined
}

/** Not in the catalogue: whether the host is locked out, in the low byte of its first dword. */
const SECURE_HOST = { id: 0x402d }
const SECURE_HOST_BYTES = 16
const lockNames: Readonly<Record<number, string>> = {
  1: 'this host is locked out (secure host)',
  2: 'updates from this host are locked (secure host)',
}

/** A state without a public name is no permission. */
const lockOf = (state: number): string | undefined =>
  state === 0 ? undefined : (lockNames[state] ?? `secure host has this host in state ${state}`)

const FIRST_ID = 0x9000
/** Byte of bit 0 in the mask: it is 128 bits, the last one is the lowest. */
const LAST_BYTE = 8 + 15

/** Whether firmware takes updates, by the mask of MCAM and the lock of the host. @throws DeliveryError */
export async function controlSupport(device: Device): Promise<ControlSupport> {
  const mask = await readMask(device)
  const ids = controlRegisters.map((name) => [name, device.catalogue.register(name).id] as const)
  const queried = new Set(ids.filter(([, id]) => mask === undefined || bitOf(mask, id)).map(([name]) => name))
  const absent = controlRegisters.filter((name) => !queried.has(name))
  if (mask === undefined) return { queried, missing: 'the device does not tell which registers it has (MCAM)' }
  if (absent.length > 0)
    return { queried, missing: `firmware has no ${absent.join(', ')}: its flash is not under its control` }
  return { queried, missing: lockOf(await secureHostState(device)) }
}

function bitOf(mask: Uint8Array, id: number): boolean {
  const bit = id - FIRST_ID
  return (((mask[LAST_BYTE - (bit >>> 3)] ?? 0) >>> (bit & 7)) & 1) === 1
}

async function readMask(device: Device): Promise<Uint8Array | undefined> {
  const target = registerTarget(device.catalogue, 'MCAM')
  try {
    return await accessRegister(device, target, 'read', new Uint8Array(device.codec.sizeBytes(target.layout)))
  } catch (error) {
    if (error instanceof FirmwareError) return undefined
    throw error
  }
}

/** A device without this register locks nobody out. */
async function secureHostState(device: Device): Promise<number> {
  try {
    const answer = await accessRegister(device, SECURE_HOST, 'read', new Uint8Array(SECURE_HOST_BYTES))
    return answer[3] ?? 0
  } catch (error) {
    if (error instanceof FirmwareError) return 0
    throw error
  }
}
