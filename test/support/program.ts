import { runProgram } from '../../src/program'
import { bin, type Outcome } from './cli'

/** Runs a command line in this process: the program as it is in the sources, with its streams caught. */
export async function runInProcess(words: readonly string[]): Promise<Outcome> {
  let stdout = ''
  let stderr = ''
  const status = await runProgram(words, {
    stdout: (text) => void (stdout += typeof text === 'string' ? text : Buffer.from(text).toString('latin1')),
    stderr: (text) => void (stderr += text),
    width: 0,
    messagesOnTerminal: () => false,
    launcher: bin,
  })
  return { status, stdout, stderr }
}
