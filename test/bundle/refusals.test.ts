import { runInProcess } from '../support/program'
import { parseEnvelope } from '../support/schema'

test.each([
  ['cap emu:connectx6dx', 20, 'capabilities'],
  ['reg dump emu:connectx6dx --all-readable', 150, 'registers'],
  ['obj summary emu:connectx6dx', 1500, 'types'],
])('mlx5ctl %s: what was read before command %i failed is shown', async (line, command, member) => {
  const { status, stdout } = await runInProcess([...line.split(' '), '--fault', `errno=EIO@${command}`, '-j'])
  const envelope = parseEnvelope(stdout)
  expect([status, envelope.status, envelope.error?.kind]).toEqual([8, 'partial', 'delivery'])
  expect((envelope.data?.[member] as unknown[]).length).toBeGreaterThan(5)
})

test('where nothing was read, the failure is the result', async () => {
  const { status, stdout } = await runInProcess(['cap', 'emu:connectx6dx', '--fault', 'errno=EIO', '-j'])
  const { data, error } = parseEnvelope(stdout)
  expect([status, data, error?.kind]).toEqual([5, null, 'delivery'])
})
