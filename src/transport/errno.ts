import { constants } from 'node:os'
import { DeliveryError, OpenError, type TransportKind } from './contract'
import { lockdownState } from './lockdown'

/** Linux numbers that os.constants lacks. */
const more: Readonly<Record<number, string>> = { 53: 'EBADR', 121: 'EREMOTEIO', 108: 'ESHUTDOWN', 19: 'ENODEV' }

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

export function errnoName(number: number): string {
  return more[number] ?? names.get(number) ?? `errno ${number}`
}

interface Meaning {
  readonly message: string
  readonly hint?: string
  readonly kind?: DeliveryError['kind']
}

/** What delivery errors mean on both drivers: mlx5_core makes them (command interface, Linux 6.15). */
const delivery: Readonly<Record<string, Meaning>> = {
  EACCES: { message: 'the kernel denies it', hint: 'run as root', kind: 'permission' },
  ENODEV: { message: 'the device is gone: unplugged, reset, or its driver was unloaded' },
  ENXIO: {
    message: 'the command interface is down',
    hint: 'the firmware or the PCI link is in an error state or in a reset; see the kernel log and devlink health',
  },
  ETIMEDOUT: { message: 'the firmware did not answer in the time the driver gives it', hint: 'see devlink health' },
  ECANCELED: { message: 'the driver cancelled the command' },
  EIO: { message: 'the firmware failed to take the command' },
  EBADR: { message: 'the command interface reports a bad signature or token' },
  ENOMSG: { message: 'the command interface reports a bad length or descriptor' },
  EFAULT: { message: 'the kernel could not read or write the buffers of the command' },
  EAGAIN: { message: 'the driver has no free command slot', hint: 'try again' },
  EBUSY: { message: 'the driver is busy', hint: 'try again' },
  EALREADY: { message: 'the driver is busy with a command like this', hint: 'try again' },
  ENOMEM: { message: 'the kernel has no memory for the command' },
  EINTR: { message: 'the call was interrupted', hint: 'try again' },
  ENOTCONN: { message: 'whatever serves the device is gone' },
  ECONNABORTED: { message: 'whatever serves the device is gone' },
  EBADF: { message: 'the device is closed' },
}

/** What the drivers themselves answer, where it differs by driver (posted mlx5ctl patches V1 to V4; fwctl, Linux 6.15). */
const byDriver: Readonly<Record<'mlx5ctl' | 'fwctl', Readonly<Record<string, Meaning>>>> = {
  mlx5ctl: {
    EPERM: {
      message: 'the driver wants CAP_SYS_ADMIN',
      hint: 'run as root, outside of a container',
      kind: 'permission',
    },
    ENOTTY: {
      message: 'the node does not know this call',
      hint: 'it is not a node of the mlx5ctl driver, or of a version this tool does not know',
      kind: 'unsupported',
    },
    EINVAL: { message: 'the driver refuses the length of inbox or outbox (16 to 262144 bytes, before V4 8192)' },
    EOPNOTSUPP: { message: 'the driver does not know this use of the call', kind: 'unsupported' },
    ENOENT: { message: 'the driver does not know this registered memory' },
  },
  fwctl: {
    EPERM: {
      message: 'this scope wants CAP_SYS_RAWIO',
      hint: 'run as root, outside of a container',
      kind: 'permission',
    },
    ENOTTY: {
      message: 'the node does not know this call',
      hint: 'it is not an fwctl node, or this is a 32-bit process on a 64-bit kernel',
      kind: 'unsupported',
    },
    EMSGSIZE: { message: 'fwctl refuses the length of inbox or outbox (16 bytes to 2 MiB)' },
    EOPNOTSUPP: { message: 'this fwctl does not offer the scope', kind: 'unsupported' },
    E2BIG: { message: 'this fwctl is older than the call', kind: 'unsupported' },
    EINVAL: { message: 'fwctl refuses the call' },
  },
}

/**
 * A delivery error with what the errno means on this driver.
 * @param what what was tried: "the command", "registering 2097152 bytes"
 */
export function deliveryError(kind: 'mlx5ctl' | 'fwctl', errno: string, what: string, sysfs?: string): DeliveryError {
  const { message, hint, kind: exit } = byDriver[kind][errno] ?? delivery[errno] ?? { message: 'the kernel refuses it' }
  const locked = exit === 'permission' ? lockdownHint(sysfs) : undefined
  const advice = [hint, locked].filter((part) => part !== undefined).join('; ')
  return new DeliveryError(`${what}: ${errno}: ${message}`, errno, {
    kind: exit ?? 'delivery',
    hint: advice === '' ? undefined : advice,
  })
}

/** fwctl's filter refused the command: says which scope it needs, or that it never passes. */
export function filterError(scope: number | null): DeliveryError {
  const message =
    scope === null ? 'mainline fwctl never allows this opcode' : `fwctl's filter refuses this opcode at scope ${scope}`
  return new DeliveryError(`the command: EBADMSG: ${message}`, 'EBADMSG', {
    hint:
      scope === null
        ? 'the mlx5ctl driver has no such filter; load it, or use a command that only queries'
        : 'the kernel may be older than the command; the mlx5ctl driver has no such filter',
  })
}

/** open(2) failed. */
export function openError(kind: TransportKind, node: string, error: unknown, sysfs?: string): OpenError {
  const errno = (error as NodeJS.ErrnoException).code ?? 'EIO'
  if (errno === 'EACCES' || errno === 'EPERM') {
    const locked = lockdownHint(sysfs)
    return new OpenError(`${node} cannot be opened: ${errno}: permission denied`, 'permission', {
      errno,
      hint: `run as root${locked === undefined ? '' : `; ${locked}`}`,
    })
  }
  const meanings: Readonly<Record<string, [OpenError['kind'], string]>> = {
    ENOENT: ['not-found', 'there is no such node'],
    ENODEV: ['open', 'the device behind the node is gone'],
    ENXIO: ['open', 'the firmware or the PCI link is down, so it gave no user context'],
    ENOMEM: ['open', 'the kernel has no memory for it'],
    EBUSY: ['open', 'the firmware is busy and gave no user context; try again'],
    EAGAIN: ['open', 'the firmware has no user context to give; try again'],
    EIO: ['open', 'the firmware gave no user context'],
    EINVAL: ['open', 'the firmware gave no user context'],
  }
  const [how, why] = meanings[errno] ?? ['open', (error as Error).message]
  return new OpenError(`${node} cannot be opened: ${errno}: ${why}`, how, {
    errno,
    hint: kind === 'mlx5ctl' && errno === 'ENOENT' ? 'is the mlx5ctl driver loaded?' : undefined,
  })
}

function lockdownHint(sysfs: string | undefined): string | undefined {
  const state = lockdownState(sysfs)
  return state === undefined || state === 'none'
    ? undefined
    : `kernel lockdown is on (${state}): PCI access is closed, the driver nodes are not`
}
