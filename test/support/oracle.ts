import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'

/**
 * Registers a block of tests, or, when something they need is missing, one skipped test that names it. The reason is
 * printed, so that a run that skipped an oracle never looks like one that passed it; the reporter counts it.
 * @param missing what is missing, in words; undefined when everything is there
 */
export function describeUnless(missing: string | undefined, name: string, body: () => void): void {
  if (missing === undefined) {
    describe(name, body)
    return
  }
  process.stderr.write(`SKIPPED ${name}: ${missing}\n`)
  test.skip(`${name} (${missing})`, () => undefined)
}

/** The reason why real device nodes cannot be emulated here, or undefined where they can. */
export function missingForEmulatedNodes(): string | undefined {
  if (!existsSync('/dev/fuse')) return '/dev/fuse is absent'
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    return '/dev/fuse is not accessible'
  }
  return missingProgram('unshare') ?? missingProgram('mount')
}

/** "NAME is not installed", or undefined when it is on the PATH. */
export function missingProgram(program: string): string | undefined {
  try {
    execFileSync('sh', ['-c', `command -v "$1"`, 'sh', program], { stdio: 'ignore' })
    return undefined
  } catch {
    return `${program} is not installed`
  }
}
