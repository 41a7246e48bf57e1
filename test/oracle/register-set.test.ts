import { describeUnless } from '../support/oracle'
import { Mstflint, rowsOf } from './mstflint'

/** What we write, mstreg reads, and the other way round, on one emulated device. */

const theirs = [
  { suite: 'sid', device: 'fwctl0', index: 'local_port=1,swid=0,plane_ind=0,lp_msb=0' },
  { suite: 'bookworm', device: '03:00.0', index: 'local_port=1,lp_msb=0,swid=0' },
] as const
const doors = ['mlx5_core.ctl.0', 'fwctl0', '03:00.0 --transport pci'] as const

for (const { suite, device, index } of theirs) {
  const mstflint = new Mstflint(suite)
  describeUnless(mstflint.missing, `reg set and mstreg of Debian ${suite}`, () => {
    const mstreg = `${mstflint.command('mstreg')} -d ${device} --reg_name PAOS --indexes ${index}`

    test.each(doors)('ours through %s is seen by mstreg; its --set by us', (door) => {
      const { stdout, stderr } = mstflint.run(
        `mlx5ctl reg set ${door} PAOS local_port=1 admin_status=2 --yes >/dev/null; echo "set $?"
         ${mstreg} --get; echo "== $?"
         ${mstreg} --set admin_status=1 --yes >/dev/null; echo "set $?"
         mlx5ctl reg get ${door} PAOS local_port=1 --field admin_status`,
        '--profile',
        'connectx7',
      )
      expect(stderr).toBe('')
      const [ours = '', after] = stdout.split('== 0\n')
      expect(rowsOf(ours)).toContainEqual(['admin_status', 2])
      expect(ours).toMatch(/^set 0\n/)
      expect(after).toBe('set 0\n1\n')
    })

    test('what is read-only stays as it is, whoever writes it', () => {
      const { stdout } = mstflint.run(
        `${mstreg} --set oper_status=4 --yes >/dev/null 2>&1
         mlx5ctl reg set fwctl0 PAOS local_port=1 oper_status=4 --yes 2>&1; echo "ours $?"
         mlx5ctl reg get fwctl0 PAOS local_port=1 --field oper_status`,
        '--profile',
        'connectx7',
      )
      expect(stdout).toMatch(/oper_status is read-only\n(?:.*\n)*ours 2\n1\n$/)
    })
  })
}
