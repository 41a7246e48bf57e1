import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { Mstflint, rowsOf } from './mstflint'

/** What happens on the PCI door when several tools use it, and what a killed one leaves. */

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-pci-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ours = 'mlx5ctl reg get 03:00.0 MGIR --transport pci --field hw_info.device_id'
const log = (): string => path.join(folder, 'device.log')
beforeEach(() => rmSync(log(), { force: true }))
/** The first register takes so long that its tool can be killed in the middle. */
const slow = (): string[] => ['--fault', 'delay=3s@1', '--log', log()]
const killed = (line: string, signal: string): string =>
  `${line} >/dev/null 2>&1 & pid=$!
   until grep -q delayed ${log()} 2>/dev/null; do sleep 0.05; done
   kill -${signal} $pid; wait $pid; echo "killed $?"`

/** A killed tool leaves the mailbox, or the gateway where it was just asking it. */
const left =
  /EBUSY: the (?:ICMD mailbox is held by process \d+, which is not running here|semaphore of the PCI gateway is held)/

describeUnless(missingForEmulatedNodes(), 'the PCI door', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'])(
    '%s in the middle of a register: it is finished, and the mailbox given back',
    (signal) => {
      const { stdout, stderr } = emulated(`${killed(ours, signal.slice(3))}; ${ours}`, ...slow())
      expect([stdout, stderr]).toEqual(['killed 0\n4125\n', ''])
    },
  )

  test('kill -9 in the middle: the next one names the holder, and --clear-semaphore takes the mailbox from it', () => {
    const { stdout, stderr } = emulated(
      `${killed(ours, 'KILL')}; ${ours}; echo "next $?"; ${ours} --clear-semaphore; echo "cleared $?"; ${ours}`,
      ...slow(),
    )
    expect(stdout).toBe('killed 137\nnext 5\n4125\ncleared 0\n4125\n')
    expect(stderr).toMatch(left)
    expect(stderr).toMatch(/hint: .*--clear-semaphore/)
  })

  test('cleared while the command of the killed tool is still on its way: it is waited for', () => {
    const { stdout, stderr } = emulated(
      `${killed(ours, 'KILL')}; ${ours} --clear-semaphore; echo "cleared $?"`,
      ...slow(),
    )
    expect([stdout, stderr.replace(/.*Killed.*\n/, '')]).toEqual(['killed 137\n4125\ncleared 0\n', ''])
  })

  test('a gateway that nobody gives back: 5 and what to do; cleared, it works', () => {
    const { stdout, stderr } = emulated(
      `${ours}; echo "held $?"; ${ours} --clear-semaphore; echo "cleared $?"`,
      '--fault',
      'held',
    )
    expect(stdout).toBe('held 5\n4125\ncleared 0\n')
    expect(stderr).toMatch(/semaphore of the PCI gateway is held \(ticket 0x7fffffff\)/)
    expect(stderr).toMatch(/hint: .*--clear-semaphore/)
  })

  test.each([
    ['stuck', 5, /ETIMEDOUT: the PCI gateway does not answer/],
    ['eperm', 4, /EPERM: the kernel refuses writes to config space/],
    ['livefish', 9, /recovery image \(livefish\)/],
    ['unplug@1', 5, /ENODEV: .*the device may be gone/],
    ['errno=EIO@1', 5, /EIO/],
    ['status=9@1', 6, /MGIR/],
  ])('fault %s: exit %i and a sentence', (fault, code, message) => {
    const { status, stdout, stderr } = emulated(ours, '--fault', fault)
    expect([status, stdout]).toEqual([code, ''])
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})

const bookworm = new Mstflint('bookworm')
describeUnless(bookworm.missing, 'the PCI door, shared with mstreg 4.21', () => {
  const theirs = `${bookworm.command('mstreg')} -d 03:00.0 --reg_name MGIR --get`

  test('both at once, many times: every read is right, and none is without its semaphore (two of theirs refuse one another)', () => {
    const { stdout } = bookworm.run(
      `(for i in $(seq 6); do ${ours}; done) >${folder}/ours 2>&1 &
       (for i in $(seq 12); do ${theirs} | grep -c 'hw_dev_id.*0x00000212'; done) >${folder}/theirs 2>&1 &
       wait; echo all`,
      '--log',
      log(),
    )
    expect(stdout).toBe('all\n')
    const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8')
    expect(read('ours')).toBe('4125\n'.repeat(6))
    expect(read('theirs')).toBe('1\n'.repeat(12))
    expect(readFileSync(log(), 'utf8')).not.toMatch(/without-semaphore/)
  }, 120_000)

  test('mstreg killed in the middle: we name it, clear, and both work again', () => {
    const { stdout, stderr } = bookworm.run(
      `${killed(theirs, 'KILL')}; ${ours}; echo "next $?"; ${ours} --clear-semaphore; ${theirs}`,
      ...slow(),
    )
    expect(stdout).toMatch(/^killed 137\nnext 5\n4125\n/)
    expect(stderr).toMatch(left)
    expect(rowsOf(stdout)).toContainEqual(['hw_dev_id', 0x212])
  }, 120_000)

  test('we are killed in the middle: once we cleared, mstreg works', () => {
    const { stdout } = bookworm.run(`${killed(ours, 'KILL')}; sleep 3; ${ours} --clear-semaphore; ${theirs}`, ...slow())
    expect(stdout).toMatch(/^killed 137\n/)
    expect(rowsOf(stdout)).toContainEqual(['hw_dev_id', 0x212])
  }, 120_000)
})
