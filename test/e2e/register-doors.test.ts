import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, mlx5ctl } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'

/** The same registers through every door. */
const doors = ['mlx5_core.ctl.0', 'fwctl0', '0000:03:00.0 --transport pci'] as const

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-doors-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Dump {
  readonly registers: readonly { readonly register: { readonly name: string } }[]
  readonly refused: readonly { readonly register: unknown }[]
}
const dataOf = (text: string): Dump => (JSON.parse(text) as { data: Dump }).data
/** The mailbox and ICMD refuse a register with statuses of their own, and MCC has a new handle for everybody who looks. */
const alike = (dump: Dump): unknown => ({
  ...dump,
  registers: dump.registers.filter(({ register }) => register.name !== 'MCC'),
  refused: dump.refused.map(({ register }) => register),
})

describeUnless(missingForEmulatedNodes(), 'registers through every door', () => {
  test.each(['connectx6dx', 'connectx7', 'bluefield3'])('%s: every readable register, and its recording', (profile) => {
    const at = (door: number): string => path.join(folder, `${profile}-${door}`)
    const script = doors.map(
      (door, index) =>
        `mlx5ctl reg dump ${door} --all-readable -j --record ${at(index)}.rec >${at(index)}.json || echo "${door} $?"`,
    )
    // The clock stands still: counters grow with it, and MTRC_CTRL tells it.
    const frozen = ['--fault', 'frozen']
    expect(emulated(script.join('\n'), '--profile', profile, ...frozen).stdout).toBe('')
    const expected = dataOf(mlx5ctl('reg', 'dump', `emu:${profile}`, '--all-readable', '-j', ...frozen).stdout)
    expect(expected.registers.length).toBeGreaterThan(70)
    for (const index of doors.keys()) {
      const found = dataOf(readFileSync(`${at(index)}.json`, 'utf8'))
      expect(alike(found)).toEqual(alike(expected))
      const replayed = mlx5ctl('reg', 'dump', `replay:${at(index)}.rec`, '--all-readable', '-j')
      expect([replayed.status, dataOf(replayed.stdout)]).toEqual([0, found])
    }
  })

  test.each(['PAOS local_port=1', 'MCIA module=0 i2c_device_address=0x50 size=16', '--id 0x9020 --length 160'])(
    'reg get %s: the same text',
    (register) => {
      const script = doors.map((door) => `mlx5ctl reg get ${door} ${register}; echo "== $?"`)
      const { stdout, stderr } = emulated(script.join('\n'))
      const text = mlx5ctl('reg', 'get', 'emu:connectx6dx', ...register.split(' ')).stdout
      expect([stdout, stderr]).toEqual([`${text}== 0\n`.repeat(doors.length), ''])
    },
  )
})
