import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { findKernelTracer, watchKernelTrace, type KernelTracer } from '../../src/device/kernel-trace'
import type { KernelLine } from '../../src/prm/firmware-trace/kernel-lines'

const event = 'events/mlx5/mlx5_fw'
let sysfs: string
let tracing: string
let tracer: KernelTracer
beforeEach(() => {
  sysfs = fs.mkdtempSync(path.join(tmpdir(), 'mlx5ctl-tracefs-'))
  tracing = path.join(sysfs, 'kernel/tracing')
  addFiles(tracing)
  tracer = findKernelTracer(sysfs)
})
afterEach(() => {
  jest.restoreAllMocks()
  fs.rmSync(sysfs, { recursive: true, force: true })
})

function addFiles(folder: string): void {
  fs.mkdirSync(path.join(folder, event), { recursive: true })
  for (const name of ['trace', 'trace_pipe']) fs.writeFileSync(path.join(folder, name), '')
  fs.writeFileSync(path.join(folder, event, 'enable'), '0')
}

/** As the kernel does it: the folder of an instance comes with its files, and goes with them. */
function makingInstances(): void {
  fs.mkdirSync(path.join(tracing, 'instances'))
  const { mkdtempSync } = fs
  jest.spyOn(fs, 'mkdtempSync').mockImplementation((prefix) => {
    const folder = mkdtempSync(prefix)
    addFiles(folder)
    return folder
  })
  jest
    .spyOn(fs, 'rmdirSync')
    .mockImplementation((folder) => fs.renameSync(folder, mkdtempSync(path.join(sysfs, 'gone-'))))
}

const instances = (): string[] => fs.readdirSync(path.join(tracing, 'instances')).sort()
const enabled = (folder: string): string => fs.readFileSync(path.join(folder, event, 'enable'), 'utf8')
/** A line of the tracepoint (facts: dumps, D.4). */
const line = (time: number): string =>
  `    kworker/0:1-57      [000] .....  1234.567890: mlx5_fw: 0000:03:00.0 [0x${time.toString(16)}] 0 [0x20] text ${time}\n`
const add = (folder: string, file: string, ...times: number[]): void =>
  fs.appendFileSync(path.join(folder, file), times.map(line).join(''))
const shown = (lines: readonly KernelLine[]): unknown[] =>
  lines.map((one) => (one.kind === 'message' ? one.message.timestamp : one.kind))

let pauses = 0
const pause = async (): Promise<void> => void pauses++

describe('instances', () => {
  test('two watches of one process have one each, and close leaves none', async () => {
    makingInstances()
    const first = await watchKernelTrace(tracer, pause)
    const [own = ''] = instances()
    const second = await watchKernelTrace(tracer, pause)
    const [other = ''] = instances().filter((name) => name !== own)
    expect([instances().length, enabled(path.join(tracing, 'instances', own))]).toEqual([2, '1'])
    add(path.join(tracing, 'instances', own), 'trace_pipe', 1, 2)
    add(path.join(tracing, 'instances', other), 'trace_pipe', 3)
    expect([shown(await first.look()), shown(await second.look())]).toEqual([[1, 2], [3]])
    first.close()
    expect(instances()).toEqual([other])
    second.close()
    second.close()
    expect([instances(), enabled(tracing)]).toEqual([[], '0'])
  })

  test('what killed runs left behind goes, those with our own pid too; that of others stays', async () => {
    makingInstances()
    const stale = [`mlx5ctl-${process.pid}`, `mlx5ctl-${process.pid}-AbC123`, 'mlx5ctl-999999999-AbC123']
    const others = [`mlx5ctl-${process.ppid}-AbC123`, 'mlx5ctl-mine', 'mine']
    for (const name of [...stale, ...others]) addFiles(path.join(tracing, 'instances', name))
    const trace = await watchKernelTrace(tracer, pause)
    expect(instances().filter((name) => !others.includes(name))).toHaveLength(1)
    trace.close()
    expect(instances()).toEqual(others.sort())
  })

  test('one that cannot be used is taken away, and the error is of what went wrong first', async () => {
    // No kernel: nothing is in the folder, so that it cannot be switched off either.
    fs.mkdirSync(path.join(tracing, 'instances'))
    await expect(watchKernelTrace(tracer, pause)).rejects.toMatchObject({
      kind: 'open',
      message: expect.stringMatching(/ENOENT.*trace_pipe/) as string,
    })
    expect(instances()).toEqual([])
  })
})

test('the trace of all: a long one is read with pauses, and only what is new is shown', async () => {
  add(tracing, 'trace', ...Array.from({ length: 2000 }, (_, time) => time))
  pauses = 0
  const trace = await watchKernelTrace(tracer, pause)
  const bytes = fs.statSync(path.join(tracing, 'trace')).size
  expect([enabled(tracing), pauses]).toEqual(['1', Math.ceil(bytes / 65_536)])
  expect(await trace.look()).toEqual([])
  add(tracing, 'trace', 2000, 2001)
  expect(shown(await trace.look())).toEqual([2000, 2001])
  // All that was known is gone.
  fs.writeFileSync(path.join(tracing, 'trace'), line(9000))
  expect(shown(await trace.look())).toEqual(['lost', 9000])
  trace.close()
  expect(enabled(tracing)).toBe('0')
})

test('a pause that throws ends the reading of a long trace', async () => {
  add(tracing, 'trace', ...Array.from({ length: 2000 }, (_, time) => time))
  await expect(watchKernelTrace(tracer, () => Promise.reject(new Error('signal')))).rejects.toThrow('signal')
  expect(enabled(tracing)).toBe('0')
})
