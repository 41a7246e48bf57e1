import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bin, emulated, eventsOf, type LoggedEvent } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-cleanup-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A program that holds device memory until it is told to stop; says "holding" when it does. */
const holder = `
const { open, withDeviceMemory } = require(${JSON.stringify(path.resolve(__dirname, '../../dist/index.js'))})
const stop = new AbortController()
process.on('SIGINT', () => stop.abort('SIGINT'))
const main = async () => {
  const device = await open('mlx5_core.ctl.0', { signal: stop.signal })
  try {
    await withDeviceMemory(device, 2 << 20, async (memory) => {
      console.log('holding', memory.bytes.length)
      for (;;) {
        await device.command('QUERY_ISSI')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })
  } finally {
    await device.close()
  }
}
main().catch((error) => { console.log(error.name); process.exitCode = 130 })
`

function runHolder(
  name: string,
  script: string,
  ...options: string[]
): { stdout: string; events: LoggedEvent[]; final: LoggedEvent | undefined } {
  const file = path.join(folder, `${name}.cjs`)
  const log = path.join(folder, `${name}.log`)
  writeFileSync(file, holder)
  const { stdout } = emulated(
    `${process.execPath} ${file} >${file}.out & pid=$!
    until grep -q holding ${file}.out; do sleep 0.05; done
    ${script}
    wait $pid; echo "exit $?"; cat ${file}.out`,
    '--log',
    log,
    ...options,
  )
  const events = eventsOf(log)
  return { stdout, events, final: events.at(-1) }
}

describeUnless(missingForEmulatedNodes(), 'what a process leaves in the device', () => {
  test('SIGINT in the middle: mkey, umem and PD go, in this order', () => {
    const { stdout, events, final } = runHolder('sigint', 'kill -INT $pid')
    expect(stdout).toMatch(/^exit 130\nholding 2097152\nInterrupted\n$/)
    const undone = events.flatMap(({ event, name, at }) => {
      if (event === 'umem_unreg') return [`umem (${String(at)})`]
      return event === 'command' && /^(?:DESTROY|DEALLOC)/.test(name ?? '') ? [name ?? ''] : []
    })
    expect(undone).toEqual(['DESTROY_MKEY', 'umem (ioctl)', 'DEALLOC_PD'])
    expect(events.find(({ event }) => event === 'close')).toMatchObject({
      umems: 0,
      leaked: { umems: 0, mkeys: 0, pds: 0, others: 0 },
    })
    expect(final).toMatchObject({ event: 'final', umems: 0, mkeys: 0, pds: 0, contexts: 0 })
  })

  test('kill -9: the driver ends the registration, and firmware the rest', () => {
    const { stdout, events, final } = runHolder('sigkill', 'kill -KILL $pid')
    expect(stdout).toMatch(/^exit 137\n/)
    expect(events.find(({ event }) => event === 'umem_unreg')).toMatchObject({ at: 'close' })
    expect(final).toMatchObject({ event: 'final', umems: 0, mkeys: 0, pds: 0, contexts: 0 })
  })

  test('unplugged in the middle: a sentence, no hang', () => {
    const { stdout, final } = runHolder('unplug', 'true', '--fault', 'unplug@6')
    expect(stdout).toMatch(/^exit 130\nholding 2097152\nDeliveryError\n$/)
    expect(final).toMatchObject({ contexts: 0 })
  })

  test('the emulation leaves no folder, mount or process behind', () => {
    const own = mkdtempSync(path.join(folder, 'tmp-'))
    const script =
      'ls /dev/fwctl /sys/class/fwctl; test -c /dev/null && echo null; cat /sys/class/net/lo/ifindex; exit 7'
    const { status, stdout } = spawnSync(process.execPath, [bin, 'emulate', '--', 'bash', '-c', script], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: own },
    })
    expect([status, stdout]).toEqual([7, '/dev/fwctl:\nfwctl0\n\n/sys/class/fwctl:\nfwctl0\nnull\n1\n'])
    expect(readdirSync(own)).toEqual([])
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(own)
  })

  test('exit codes and signals of the command are passed on', () => {
    expect(emulated('kill -TERM $$').status).toBe(143)
    expect(emulated('nosuchcommand').status).toBe(127)
  })
})
