import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, mlx5ctl } from '../support/cli'
import { describeUnless, missingForEmulatedNodes, missingProgram } from '../support/oracle'

let folder: string
const client = (): string => path.join(folder, 'client')

function ask(driver: string, node: string, ...options: string[]): Map<string, string> {
  const { stdout, stderr } = emulated(`${client()} ${driver} ${node}`, ...options)
  expect(stderr).toBe('')
  return new Map(
    stdout
      .trim()
      .split('\n')
      .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
  )
}

const missing = missingForEmulatedNodes() ?? missingProgram('gcc')
describeUnless(missing, 'a C client, written from the numbers of the interfaces, on the emulated nodes', () => {
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-client-'))
    execFileSync('gcc', ['-D_GNU_SOURCE', '-O1', '-o', client(), path.join(__dirname, 'client.c')])
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** What the tool reads of the device in process. */
  const outboxOf = (...words: string[]): string => {
    const { stdout } = mlx5ctl('cmd', 'emu:connectx6dx', ...words, '-j')
    return (JSON.parse(stdout) as { data: { outbox: string } }).data.outbox
  }

  test('mlx5ctl: each check with its errno, in the order of the driver', () => {
    const answers = ask('mlx5ctl', '/dev/mlx5ctl-mlx5_core.ctl.0')
    const { 'issi-out': issi, 'hca-cap-head': head, ...rest } = Object.fromEntries(answers)
    expect(rest).toEqual({
      info: '0',
      'info-fields': 'uid>0:1 reserved:0 cap:7 dev:7 ucap:1d',
      'number-of-v3': 'ENOTTY',
      'number-unknown': 'ENOTTY',
      'inlen-15': 'EINVAL',
      'outlen-15': 'EINVAL',
      'inlen-over': 'EINVAL',
      issi: '0',
      'hca-cap': '0',
      'hca-cap-status': '0000000000000000',
      'bad-opcode': '0',
      'bad-opcode-status': '02',
      'alloc-pd': '0',
      'alloc-pd-status': '00',
      'reg-reserved': 'EOPNOTSUPP',
      'reg-empty': 'EINVAL',
      'reg-overflow': 'EINVAL',
      'reg-65M': 'EINVAL',
      'reg-unmapped': 'EFAULT',
      reg: '0',
      'unreg-reserved': 'EOPNOTSUPP',
      'unreg-unknown': 'ENOENT',
      unreg: '0',
      'unreg-again': 'ENOENT',
    })
    // current_issi 1 at byte 8 (upper half of the dword at 8 is reserved), supported_issi_dw0 2 in the last dword.
    expect(issi).toBe(`${'0'.repeat(20)}0001${'0'.repeat(198)}02`)
    expect(head).toBe(outboxOf('QUERY_HCA_CAP', 'op_mod=1').slice(0, 128))
  })

  test('fwctl: each check with its errno, in the order of the driver', () => {
    const answers = ask('fwctl', '/dev/fwctl/fwctl0')
    const { 'issi-out': issi, 'hca-cap-head': head, ...rest } = Object.fromEntries(answers)
    expect(rest).toEqual({
      info: '0',
      'info-fields': 'type:1 len:8 uid>0:1 caps:4',
      'info-no-data': '0',
      'info-no-data-len': '0',
      'info-16': '0',
      'info-16-fields': 'len:8 padding:00',
      'info-flags': 'EOPNOTSUPP',
      'info-short': 'EINVAL',
      'number-unknown': 'ENOTTY',
      null: 'EFAULT',
      'in-15': 'EMSGSIZE',
      'out-15': 'EMSGSIZE',
      'in-over': 'EMSGSIZE',
      'scope-4': 'EOPNOTSUPP',
      'issi-0': 'EBADMSG',
      'issi-1': '0',
      'hca-cap-0': '0',
      'alloc-pd-1': 'EBADMSG',
      'alloc-pd-3': 'EBADMSG',
      'reg-write-0': '0',
      'reg-read-0': 'EBADMSG',
      'reg-read-1': '0',
      'set-diag-1': 'EBADMSG',
      'size-40-zero': '0',
      'size-40-set': 'E2BIG',
      'size-31': 'EINVAL',
    })
    expect(issi).toBe(`${'0'.repeat(20)}0001${'0'.repeat(198)}02`)
    expect(head).toBe(outboxOf('QUERY_HCA_CAP', 'op_mod=1').slice(0, 128))
  })

  test.each([
    ['without CAP_SYS_ADMIN', '-sys_admin', 'EPERM'],
    ['without CAP_SYS_RAWIO', '-sys_rawio', '0'],
  ])('mlx5ctl INFO %s', (_, capability, expected) => {
    const { stdout } = emulated(
      `setpriv --bounding-set ${capability} -- ${client()} mlx5ctl /dev/mlx5ctl-mlx5_core.ctl.0`,
    )
    expect(stdout).toMatch(new RegExp(`^info ${expected}$`, 'm'))
    if (expected === '0') expect(stdout).toMatch(/^info-fields uid>0:1 reserved:0 cap:5 dev:7 ucap:1d$/m)
  })

  test('RLIMIT_MEMLOCK bites, for root too', () => {
    const { stdout } = emulated(`ulimit -l 64; ${client()} mlx5ctl /dev/mlx5ctl-mlx5_core.ctl.0`)
    expect(stdout).toMatch(/^reg ENOMEM$/m)
  })

  test('the nodes are for root only, and a removed device is ENODEV', () => {
    const denied = emulated(`setpriv --reuid 65534 --clear-groups -- ${client()} fwctl /dev/fwctl/fwctl0`)
    expect(denied.stdout).toBe('open EACCES\n')
    const { stdout } = emulated(`${client()} mlx5ctl /dev/mlx5ctl-mlx5_core.ctl.0`, '--fault', 'unplug@1')
    expect(stdout).toMatch(/^issi ENODEV$/m)
    expect(stdout).toMatch(/^unreg ENODEV$/m)
  })
})
