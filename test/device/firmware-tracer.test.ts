import { Device, type DeviceOptions } from '../../src/device/device'
import { checkTracerFree, withFirmwareTracer } from '../../src/device/firmware-tracer'
import { readTraceStrings, tracerCapabilities } from '../../src/device/trace-strings'
import type { Firmware } from '../../src/emulator/firmware/firmware'
import { openEmulated } from '../../src/emulator/in-process'
import { TraceDecoder } from '../../src/prm/firmware-trace/decoder'
import { catalogue, codec, scriptedDevice } from '../support/scripted-device'

/** The emulated device with a look at what it still holds. */
async function open(
  fault: string,
  options: DeviceOptions = {},
): Promise<{ device: Device; left: () => unknown; count: () => number }> {
  const transport = await openEmulated('connectx6dx', { fault })
  const { firmware } = transport as unknown as { firmware: Firmware }
  let commands = 0
  const device = new Device(transport, catalogue, codec, { ...options, onCommand: () => void commands++ })
  const left = (): unknown => {
    const { umems, mkeys, pds } = firmware.objects.counts()
    return { umems, mkeys, pds, tracers: firmware.tracer.owned }
  }
  return { device, left, count: () => commands }
}

const nothing = { umems: 0, mkeys: 0, pds: 0, tracers: 0 }

/** Takes the tracer, looks twice, and gives it back. */
async function trace(device: Device): Promise<number> {
  const capabilities = await tracerCapabilities(device)
  const strings = await readTraceStrings(device, capabilities)
  return withFirmwareTracer(device, capabilities, { size: 8192 }, async (running) => {
    const decoder = new TraceDecoder(strings)
    let messages = 0
    for (let look = 0; look < 2; look++)
      for (const { bytes } of await running.poll()) messages += decoder.push(bytes).length
    return messages
  })
}

describe('the tracer is given back', () => {
  test.each(['errno=EIO', 'status=0x3', 'unplug'])('with %s at each of its commands', async (fault) => {
    const whole = await open('frozen')
    expect(await trace(whole.device)).toBeGreaterThan(50)
    expect(whole.left()).toEqual(nothing)
    const commands = whole.count()
    expect(commands).toBeGreaterThan(15)
    await whole.device.close()
    let failures = 0
    for (let at = 1; at <= commands; at++) {
      const { device, left } = await open(`frozen,${fault}@${at}`)
      const failure: unknown = await trace(device).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure !== undefined) failures++
      // Giving back is the last four commands: what one of them could not is the device's to take when it is closed.
      if (at <= commands - 4 && fault !== 'unplug') expect([at, left()]).toEqual([at, nothing])
      await device.close()
      expect([at, left()]).toEqual([at, nothing])
    }
    // A refused read of strings, or of the frequency, is no failure: the other method is tried.
    expect(failures).toBeGreaterThan(commands - 4)
  })

  test('after a signal and after a timeout', async () => {
    const stop = new AbortController()
    const { device, left } = await open('frozen', { signal: stop.signal })
    const capabilities = await tracerCapabilities(device)
    const run = withFirmwareTracer(device, capabilities, {}, async (running) => {
      await running.poll()
      stop.abort('SIGTERM')
      await running.poll()
    })
    await expect(run).rejects.toMatchObject({ name: 'Interrupted', signal: 'SIGTERM' })
    expect(left()).toEqual(nothing)
    await device.close()

    const late = await open('frozen', { timeout: 200 })
    const slow = withFirmwareTracer(late.device, await tracerCapabilities(late.device), {}, async (running) => {
      await new Promise((resolve) => setTimeout(resolve, 250))
      await running.poll()
    })
    await expect(slow).rejects.toMatchObject({ errno: 'ETIMEDOUT' })
    expect(late.left()).toEqual(nothing)
    await late.device.close()
  })
})

describe('a tracer that somebody has is left alone', () => {
  test('mlx5_core of another function: nothing is written', async () => {
    const { device, count } = await open('traced')
    const capabilities = await tracerCapabilities(device)
    const before = count()
    await expect(withFirmwareTracer(device, capabilities, {}, () => Promise.resolve())).rejects.toMatchObject({
      kind: 'unsupported',
      hint: expect.stringContaining('--source kernel') as string,
    })
    expect(count() - before).toBe(1)
    await device.close()
  })

  /** Answers CAP and CTRL with these first dwords; memory is there. */
  const answering = (cap: number, ctrl: number): ReturnType<typeof scriptedDevice> =>
    scriptedDevice(
      (image) => {
        const answer = Buffer.alloc(Math.max(image.length, 132))
        answer.writeUInt32BE((image.length > 100 ? cap : ctrl) >>> 0, 0)
        answer.writeUInt32BE(3, 8)
        return answer
      },
      { withMemory: true },
    )

  test('mlx5_core of the same function, a trace that runs, a device without memory mode', async () => {
    for (const [cap, ctrl, message] of [
      [0xc000_0000, 0, /a driver of this function has it/],
      [0x4000_0000, 0x4000_0000, /a trace is running/],
      [0, 0, /cannot trace into memory/],
    ] as const) {
      const { device, registered } = answering(cap, ctrl)
      await expect(tracerCapabilities(device).then((found) => checkTracerFree(device, found))).rejects.toThrow(message)
      expect(registered()).toBe(0)
    }
  })

  test('the device does not grant it: the memory is given back, and ownership is not', async () => {
    const { device, registered, opcodes } = answering(0x4000_0000, 0)
    const capabilities = await tracerCapabilities(device)
    await expect(withFirmwareTracer(device, capabilities, {}, () => Promise.resolve())).rejects.toThrow(
      /does not grant/,
    )
    expect(registered()).toBe(0)
    // CAP, CTRL, PD, key, CAP written; then only the key and the PD go.
    expect(opcodes.map((opcode) => opcode.toString(16))).toEqual(['805', '805', '800', '200', '805', '202', '801'])
  })

  test('a ring that the device does not take, and more sections than there is room for', async () => {
    const { device } = answering(0x4000_0000, 0)
    const capabilities = await tracerCapabilities(device)
    await expect(withFirmwareTracer(device, capabilities, { size: 65_536 }, () => Promise.resolve())).rejects.toThrow(
      /takes up to 32768/,
    )
    await expect(tracerCapabilities(answering(0x4000_000f, 0).device)).rejects.toMatchObject({ kind: 'malformed' })
  })
})

/** 256 bytes of strings, and 64 more: two commands. */
const oneSection = {
  isOwner: false,
  toMemory: true,
  version: 0,
  firstString: 1,
  stringCount: 1,
  largestBuffer: 4096,
  sections: [{ base: 0x1000, size: 320 }],
}

test('strings are read with a write where firmware refuses a read, or gives nothing', async () => {
  for (const isRefused of [true, false]) {
    const methods: string[] = []
    const { device } = scriptedDevice((image) => image)
    const { transport } = device
    transport.execute = async ({ inbox, outboxLength }) => {
      const outbox = Buffer.alloc(outboxLength)
      if (Buffer.from(inbox).readUInt16BE(0) !== 0x805) return outbox
      const isWrite = (inbox[7] ?? 0) === 0
      methods.push(isWrite ? 'write' : 'read')
      if (!isWrite && isRefused) outbox[0] = 3
      if (isWrite) outbox.fill(0x41, 24)
      return outbox
    }
    const { sections } = await readTraceStrings(device, oneSection)
    expect(methods).toEqual(['read', ...(isRefused ? [] : ['write']), 'write', 'write'])
    expect(Buffer.from(sections[0]?.bytes ?? []).toString()).toBe('A'.repeat(320))
  }
})

test('strings that begin with zeros are read where firmware refuses the write', async () => {
  const { device } = scriptedDevice((image) => image)
  device.transport.execute = async ({ inbox, outboxLength }) => {
    const outbox = Buffer.alloc(outboxLength)
    if (Buffer.from(inbox).readUInt16BE(0) !== 0x805) return outbox
    const isWrite = (inbox[7] ?? 0) === 0
    const offset = Buffer.from(inbox).readUInt32BE(20) & 0xff_ffff
    if (isWrite) outbox[0] = 3
    else if (offset > 0) outbox.fill(0x41, 24)
    return outbox
  }
  const { sections } = await readTraceStrings(device, oneSection)
  expect(Buffer.from(sections[0]?.bytes ?? []).toString()).toBe(`${'\0'.repeat(256)}${'A'.repeat(64)}`)
})
