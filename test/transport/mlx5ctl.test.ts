import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Addon } from '../../src/native'
import { DeliveryError, type DeviceIdentity } from '../../src/transport/contract'
import { openFwctl } from '../../src/transport/fwctl'
import { openMlx5ctl } from '../../src/transport/mlx5ctl'

/** Structures and numbers as the posted patches and the kernel's headers have them, byte by byte. */

type Answer = { result: number; errno?: number; write?: (argument: DataView, buffers: Uint8Array[]) => void }
interface Call {
  readonly request: number
  readonly argument: Uint8Array | bigint
  readonly pointers: readonly { offset: number; buffer: Uint8Array }[]
}

class FakeAddon implements Addon {
  readonly calls: Call[] = []
  readonly pins: string[] = []
  constructor(private readonly answer: (call: Call) => Answer) {}

  async ioctl(
    _: number,
    request: number,
    argument: Uint8Array | bigint,
    pointers: Call['pointers'] = [],
  ): Promise<{ result: number; errno: number }> {
    const call = { request, argument: typeof argument === 'bigint' ? argument : argument.slice(), pointers }
    this.calls.push(call)
    const { result, errno = 0, write } = this.answer(call)
    if (typeof argument !== 'bigint')
      write?.(
        new DataView(argument.buffer),
        pointers.map(({ buffer }) => buffer),
      )
    return { result, errno }
  }
  allocate(length: number): { handle: object; buffer: ArrayBuffer; address: bigint } {
    return { handle: {}, buffer: new ArrayBuffer(Math.ceil(length / 4096) * 4096), address: 0x7f0000001000n }
  }
  pin = (): void => void this.pins.push('pin')
  unpin = (): void => void this.pins.push('unpin')
  release = (): void => void this.pins.push('release')
}

const ENOTTY = 25
let node: string
let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-node-'))
  node = path.join(folder, 'node')
  writeFileSync(node, '')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const device = (transport: 'mlx5ctl' | 'fwctl'): DeviceIdentity => ({ transport, node, rdma: [], net: [] })
const hex = (argument: Uint8Array | bigint | undefined): string =>
  typeof argument === 'object' ? Buffer.from(argument).toString('hex') : String(argument)

const infoV4 = (argument: DataView): void => {
  argument.setUint16(0, 7, true)
  argument.setUint32(4, 3, true)
  argument.setUint32(8, 7, true)
  argument.setUint32(12, 0x1d, true)
}

test('V4: numbers, structures and pointers', async () => {
  const addon = new FakeAddon(({ request }) => {
    if (request === 0x80105c00) return { result: 0, write: infoV4 }
    if (request === 0xc0185c02) return { result: 0, write: (argument) => argument.setUint32(16, 0x55, true) }
    return { result: 0 }
  })
  const transport = await openMlx5ctl(device('mlx5ctl'), { addon })
  expect(await transport.identify()).toEqual({ uid: 7, uctxCap: 3, devUctxCap: 7, userCap: 0x1d, uapi: 'mlx5ctl V4' })
  await transport.execute({ inbox: new Uint8Array(32).fill(9), outboxLength: 272, scope: 1 })
  const memory = await transport.memory?.register(5000)
  expect(memory?.id).toBe(0x55)
  await transport.close()
  const [, command, register, unregister] = addon.calls
  expect(addon.calls.map((call) => call.request)).toEqual([0x80105c00, 0xc0185c01, 0xc0185c02, 0xc0085c03])
  expect(hex(command?.argument)).toBe('0000000000000000' + '0000000000000000' + '20000000' + '10010000')
  expect(command?.pointers.map(({ offset, buffer }) => [offset, buffer.length])).toEqual([
    [0, 32],
    [8, 272],
  ])
  expect(hex(register?.argument)).toBe(
    '00100000000007f0000'.slice(0, 0) + '00100000007f0000' + '0020000000000000' + '00000000' + '00000000',
  )
  expect(hex(unregister?.argument)).toBe('5500000000000000')
  expect(addon.pins).toEqual(['pin', 'unpin', 'release'])
})

test.each([
  {
    name: 'V3',
    info: 0x80605c00,
    refine: { result: -1, errno: 95 },
    size: 96,
    register: 0xc0285c02,
    registerHex:
      '0000000000000000' + '28000000' + '00000000' + '00100000007f0000' + '0010000000000000' + '00000000' + '00000000',
    unregister: 0xc0105c03,
    unregisterHex: '0000000000000000' + '10000000' + '55000000',
    id: 32,
  },
  {
    name: 'V2',
    info: 0x80605c00,
    refine: { result: -1, errno: ENOTTY },
    size: 96,
    register: 0xc0285c02,
    registerHex:
      '0000000000000000' + '28000000' + '00000000' + '00100000007f0000' + '0010000000000000' + '00000000' + '00000000',
    unregister: 0x5c03,
    unregisterHex: '85',
    id: 32,
  },
  {
    name: 'V1',
    info: 0x80705c00,
    refine: undefined,
    size: 112,
    register: 0xc0385c02,
    registerHex: '00100000007f0000' + '0010000000000000' + '0'.repeat(80),
    unregister: 0xc0085c03,
    unregisterHex: '85',
    id: 24,
  },
])(
  '$name: found by INFO, and its structures',
  async ({ name, info, refine, size, register, registerHex, unregister, unregisterHex, id }) => {
    let probed = false
    const addon = new FakeAddon(({ request, argument }) => {
      if (request === info)
        return {
          result: 0,
          write: (data) => {
            expect(data.byteLength).toBe(size)
            data.setUint16(76, 5, true)
            data.setUint32(80, 1, true)
          },
        }
      if (request === 0x80105c00 || request === 0x80605c00) return { result: -1, errno: ENOTTY }
      if (request === 0xc0105c03 && refine !== undefined && !probed) {
        probed = true
        return refine
      }
      if (request === register) return { result: 0, write: (data) => data.setUint32(id, 0x55, true) }
      expect(argument).toBeDefined()
      return { result: 0 }
    })
    const transport = await openMlx5ctl(device('mlx5ctl'), { addon })
    expect(await transport.identify()).toMatchObject({ uid: 5, uctxCap: 1, uapi: `mlx5ctl ${name}` })
    await transport.execute({ inbox: new Uint8Array(16), outboxLength: 16, scope: 1 })
    const memory = await transport.memory?.register(1)
    await memory?.release()
    const last = addon.calls.slice(-3)
    expect(last.map((call) => call.request)).toEqual([0xc0205c01, register, unregister])
    expect(hex(last[0]?.argument)).toBe('0'.repeat(32) + '10000000' + '10000000' + '0'.repeat(16))
    expect(hex(last[1]?.argument)).toBe(registerHex)
    expect(hex(last[2]?.argument)).toBe(unregisterHex)
    await expect(transport.execute({ inbox: new Uint8Array(8208), outboxLength: 16, scope: 1 })).rejects.toThrow(
      /up to 8192/,
    )
    await transport.close()
  },
)

test('a positive result is a failure, and an errno gets its meaning', async () => {
  let next: Answer = { result: 0, write: infoV4 }
  const transport = await openMlx5ctl(device('mlx5ctl'), { addon: new FakeAddon(() => next) })
  const run = (): Promise<unknown> => transport.execute({ inbox: new Uint8Array(16), outboxLength: 16, scope: 1 })
  next = { result: 24 }
  await expect(run()).rejects.toMatchObject({ errno: 'EFAULT', kind: 'delivery' })
  for (const [errno, name, kind] of [
    [1, 'EPERM', 'permission'],
    [19, 'ENODEV', 'delivery'],
    [6, 'ENXIO', 'delivery'],
    [53, 'EBADR', 'delivery'],
    [110, 'ETIMEDOUT', 'delivery'],
    [107, 'ENOTCONN', 'delivery'],
  ] as const) {
    next = { result: -1, errno }
    await expect(run()).rejects.toMatchObject({ errno: name, kind })
    await expect(run()).rejects.toThrow(DeliveryError)
  }
  next = { result: -1, errno: 12 }
  await expect(transport.memory?.register(1 << 21)).rejects.toMatchObject({
    errno: 'ENOMEM',
    hint: expect.stringContaining('RLIMIT_MEMLOCK') as string,
  })
  await transport.close()
})

test('fwctl: numbers, structures, scope, and one retry of reads at scope 0', async () => {
  let refuse = 0
  const addon = new FakeAddon(({ request, argument }) => {
    if (request === 0x9a00)
      return {
        result: 0,
        write: (data, [buffer]) => {
          data.setUint32(8, 1, true)
          if (buffer !== undefined) {
            buffer[0] = 9
            buffer[4] = 4
          }
        },
      }
    const scope = typeof argument === 'object' ? argument[4] : undefined
    return refuse-- > 0 && scope !== undefined ? { result: -1, errno: 74 } : { result: 0 }
  })
  const transport = await openFwctl(device('fwctl'), { addon })
  expect(await transport.identify()).toEqual({ uid: 9, uctxCap: 4, uapi: 'fwctl' })
  expect(hex(addon.calls[0]?.argument)).toBe('18000000' + '00000000' + '00000000' + '08000000' + '0000000000000000')
  expect(transport.memory).toBeUndefined()
  const run = (scope: 0 | 1 | 2 | null): Promise<unknown> =>
    transport.execute({ inbox: new Uint8Array(16), outboxLength: 32, scope })
  await run(2)
  expect(hex(addon.calls[1]?.argument)).toBe('20000000' + '02000000' + '10000000' + '20000000' + '0'.repeat(32))
  expect(addon.calls[1]?.pointers.map(({ offset, buffer }) => [offset, buffer.length])).toEqual([
    [16, 16],
    [24, 32],
  ])
  refuse = 1
  await run(1)
  expect(addon.calls.slice(-2).map(({ argument }) => (argument as Uint8Array)[4])).toEqual([1, 0])
  refuse = 9
  const before = addon.calls.length
  await expect(run(2)).rejects.toThrow(/EBADMSG.*scope 2/)
  await expect(run(null)).rejects.toThrow(/EBADMSG.*never allows/)
  expect(addon.calls.length - before).toBe(2)
  await transport.close()
})

test('an fwctl node of another device is refused', async () => {
  const addon = new FakeAddon(() => ({ result: 0, write: (data) => data.setUint32(8, 2, true) }))
  await expect(openFwctl(device('fwctl'), { addon })).rejects.toThrow(/type 2, not mlx5/)
})
