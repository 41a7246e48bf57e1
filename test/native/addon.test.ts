import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { describeUnless, missingProgram } from '../support/oracle'

const addon = path.resolve(__dirname, `../../dist/native/${process.platform}-${process.arch}.node`)
const exercise = path.join(__dirname, 'exercise.cjs')
const missing = existsSync(addon) ? undefined : 'the native addon was not built (no C compiler)'

describeUnless(missing, 'the native addon', () => {
  test('refuses wrong arguments, calls ioctl, and keeps memory as long as it must', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--expose-gc', exercise, addon], {
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, ''])
    const { refused, ...facts } = JSON.parse(stdout) as Record<string, unknown>
    expect(refused).toBeGreaterThan(40)
    expect(Object.entries(facts).filter(([, value]) => value !== true)).toEqual([])
  })
})

describeUnless(missing ?? missingProgram('valgrind'), 'the native addon under valgrind', () => {
  test('no invalid read or write, and nothing uninitialised reaches the kernel', () => {
    const { stdout, stderr, status } = spawnSync(
      'valgrind',
      [
        '--error-exitcode=99',
        '--leak-check=no',
        '--undef-value-errors=no',
        '--smc-check=all-non-file',
        '--errors-for-leak-kinds=none',
        process.execPath,
        '--expose-gc',
        '--jitless',
        '--no-opt',
        exercise,
        addon,
      ],
      { encoding: 'utf8', timeout: 110_000 },
    )
    expect([stdout.includes('false'), status, stderr.match(/ERROR SUMMARY: (\d+) errors/)?.[1]]).toEqual([
      false,
      0,
      '0',
    ])
  })
})
