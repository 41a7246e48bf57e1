import { spawn } from 'node:child_process'
import { bin } from '../support/cli'
import { describeUnless, missingProgram } from '../support/oracle'

/** What is asked before something is written, on a terminal of its own. */

/** Runs a command on a terminal, and types once it asks. */
async function answered(words: readonly string[], typed: string): Promise<{ status: number | null; text: string }> {
  const line = [process.execPath, bin, ...words].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qefc', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  let text = ''
  let hasTyped = false
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
    if (hasTyped || !text.includes('[y/N]')) return
    hasTyped = true
    child.stdin.write(typed)
  })
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, text }
}

describeUnless(missingProgram('script'), 'on a terminal', () => {
  const words = ['config', 'set', 'emu:connectx7', 'NUM_OF_VFS=9']

  test.each([
    ['yes', 'y\n', 0, /NUM_OF_VFS/],
    ['no', 'n\n', 9, /not confirmed: nothing was written/],
    ['nothing', '\n', 9, /not confirmed: nothing was written/],
    ['Ctrl-D', '\u0004', 9, /not confirmed: nothing was written/],
    ['Ctrl-C', '\u0003', 130, /interrupted by SIGINT/],
  ])('%s', async (_, typed, code, said) => {
    const { status, text } = await answered(words, typed)
    expect([status, text]).toEqual([code, expect.stringMatching(said)])
    expect(text).toMatch(/these settings will be changed:\r\n.*NUM_OF_VFS.*Apply them\? \[y\/N\]/s)
  })

  test('--quiet leaves out no part of the question', async () => {
    const { status, text } = await answered([...words, '--quiet'], 'y\n')
    expect(status).toBe(0)
    expect(text).toMatch(/these settings will be changed:\r\n.*NUM_OF_VFS.*Apply them\? \[y\/N\]/s)
  })
})
