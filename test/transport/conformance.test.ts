import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Transport } from '../../src/transport/contract'
import { openTransport } from '../../src/transport/open'
import { recordTransport } from '../../src/transport/recording'
import { emulated } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { checks } from './conformance'

const root = path.resolve(__dirname, '../..')
let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-conformance-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('in process', () => {
  test.each(checks)('$sentence', async ({ run }) => run(() => openTransport('emu:connectx6dx')))
})

describe('recorded', () => {
  const open = async (): Promise<Transport> =>
    recordTransport(await openTransport('emu:connectx6dx'), path.join(folder, 'any.rec'))
  test.each(checks)('$sentence', async ({ run }) => run(open))
})

describe('replayed', () => {
  const file = (): string => path.join(folder, 'issi.rec')
  beforeAll(async () => {
    const transport = await recordTransport(await openTransport('emu:connectx6dx'), file())
    await transport.execute({
      inbox: Uint8Array.from([1, 0x0a, ...new Array<number>(14).fill(0)]),
      outboxLength: 112,
      scope: 1,
    })
    await transport.close()
  })
  test.each(checks)('$sentence', async ({ run }) => run(() => openTransport(`replay:${file()}`)))
})

/** The same checks, bundled and run by Node inside an emulated machine: the addon, real ioctls, the drivers' fronts. */
describeUnless(missingForEmulatedNodes(), 'over real nodes', () => {
  const runner = (): string => path.join(folder, 'runner.cjs')
  beforeAll(() => {
    const entry = `
      import { checks } from ${JSON.stringify(path.join(root, 'test/transport/conformance.ts'))}
      import { openTransport } from ${JSON.stringify(path.join(root, 'src/transport/open.ts'))}
      const main = async () => {
        for (const { sentence, run } of checks)
          try { await run(() => openTransport(process.argv[2])); console.log('ok ' + sentence) }
          catch (error) { console.log('FAILED ' + sentence + ': ' + error) }
      }
      main()`
    execFileSync(
      'node_modules/.bin/esbuild',
      ['--bundle', '--platform=node', '--log-level=warning', `--outfile=${runner()}`],
      {
        cwd: root,
        input: entry,
      },
    )
    execFileSync('ln', ['-s', path.join(root, 'dist/native'), path.join(folder, 'native')])
  })

  test.each(['mlx5_core.ctl.0', 'fwctl0'])('%s', (device) => {
    const { stdout, stderr } = emulated(`${process.execPath} ${runner()} ${device}`)
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n')).toEqual(checks.map(({ sentence }) => `ok ${sentence}`))
  })

  test.each(['v1', 'v2', 'v3', 'v4'])('mlx5ctl of %s is told from the others by INFO', (uapi) => {
    const { stdout, stderr, status } = emulated(
      'mlx5ctl info mlx5_core.ctl.0 && mlx5ctl cmd 0 QUERY_ISSI',
      '--uapi',
      uapi,
    )
    expect([stderr, status]).toEqual(['', 0])
    expect(stdout).toContain(`Driver interface:  mlx5ctl ${uapi.toUpperCase()}`)
    expect(stdout).toMatch(/^UCTX UID: 1$/m)
    expect(stdout).toMatch(/^USER CAP: 0x1d$/m)
  })

  test.each(['v2', 'v3', 'v4'])('memory is registered and released with %s', (uapi) => {
    const { stdout } = emulated(`${process.execPath} ${runner()} mlx5_core.ctl.0`, '--uapi', uapi)
    expect(stdout).toMatch(/^ok memory is page aligned/m)
    expect(stdout).toMatch(/^ok close waits for what is pending, releases memory/m)
  })
})
