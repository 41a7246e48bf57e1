import { mlx5ctl } from '../support/cli'
import { parseEnvelope } from '../support/schema'

const device = 'emu:connectx6dx'

test.each([
  ['reg list', ['reg', 'list']],
  ['reg show', ['reg', 'show', 'PPCNT']],
  ['reg get', ['reg', 'get', device, 'PDDR', 'local_port=1', 'page_select=3']],
  ['reg get of one field', ['reg', 'get', device, 'MTMP', '--field', 'temperature']],
  ['reg get, not sent', ['reg', 'get', device, 'MGIR', '--dry-run']],
  ['reg set', ['reg', 'set', device, 'PAOS', 'local_port=1', 'admin_status=2', '--yes']],
  ['reg dump', ['reg', 'dump', device, '--all-readable']],
  ['obj list', ['obj', 'list']],
  ['obj summary', ['obj', 'summary', device, '--id', '0..3']],
  ['obj of a range', ['obj', device, 'eq', '--id', '0..5']],
  ['obj, not sent', ['obj', device, 'qp', '82', '--dry-run']],
])('%s: its JSON is what its schema says', (_, words) => {
  const { status, stdout, stderr } = mlx5ctl(...words, '-j')
  expect([status, stderr.includes('at ')]).toEqual([0, false])
  expect(parseEnvelope(stdout)).toMatchObject({ status: 'ok', error: null })
})

test.each([
  [
    'a read-only field',
    ['reg', 'set', device, 'PAOS', 'local_port=1', 'oper_status=1', '--yes'],
    2,
    /oper_status is read-only/,
  ],
  ['a value that does not fit', ['reg', 'get', device, 'PAOS', 'local_port=256'], 2, /256 does not fit/],
  [
    'a question that nobody hears',
    ['reg', 'set', device, 'PAOS', 'local_port=1', 'admin_status=2'],
    2,
    /nobody can be asked/,
  ],
  ['an instance that is not there', ['reg', 'get', device, 'PAOS', 'local_port=9'], 6, /PAOS \(0x5006\).*syndrome/],
  ['a register that is not there', ['reg', 'get', device, '--id', '0x1234', '--length', '16'], 6, /register 0x1234/],
  ['a summary of ids that are none', ['obj', 'summary', device, '--id', 'x'], 2, /x is no id/],
  ['an object that is not there', ['obj', device, 'eq', '9'], 6, /eq 0x9/],
])('%s: an error in words', (_, words, code, message) => {
  const { status, stdout, stderr } = mlx5ctl(...words)
  expect([status, stdout]).toEqual([code, ''])
  expect(stderr).toMatch(message)
})

/** The expressions with which nic-configuration-operator and check_ib_switch read mlxreg. */
test('the programs that parse mlxreg parse reg get', () => {
  const { stdout } = mlx5ctl('reg', 'get', device, 'MGIR')
  const rows = stdout
    .split('\n')
    .flatMap((line) => /^\s*(\w+)\s*\|\s*0x([0-9a-fA-F]+)\s*$/.exec(line)?.slice(1, 3) ?? [])
  expect(rows[rows.indexOf('hw_dev_id') + 1]).toBe('00000212')
  const sliced = stdout.trimEnd().split('\n').slice(4, -1)
  const pairs = sliced.map((line) => /^(.*?)\s*\| (.*)$/.exec(line)?.slice(1, 3))
  expect(pairs.every((pair) => pair !== undefined)).toBe(true)
  expect(pairs).toContainEqual(['psid[0]', '0x0000004d'])
})
