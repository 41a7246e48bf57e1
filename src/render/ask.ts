/** One question on stderr; yes is y or yes. False when the input ends, or on an interruption: Ctrl-C is that of the process. */
export async function askYesNo(question: string, signal: AbortSignal): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  try {
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
    return /^y(?:es)?$/i.test((await Promise.race([lines.question(question, { signal }), ended])).trim())
  } catch (error) {
    if ((error as { name?: string }).name === 'AbortError') return false
    throw error
  } finally {
    lines.close()
  }
}
