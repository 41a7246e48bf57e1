import { spawn } from 'node:child_process'
import { Interrupted, Unsupported } from '../../device/errors'
import { MalformedData } from '../../prm/errors'
import { DeliveryError } from '../../transport/contract'
import { deviceAddress } from './sysfs'
import type { Produced, Surroundings } from './surroundings'

/** What devlink says to this is about the function, not a failure: a kernel without it or an older one, a function that it does not manage. */
const unknown = /No such device|not supported|does not exist|not found|Invalid argument|Failed to connect to devlink/i

/** Runs devlink, which only reads here, and gives what it prints. @throws Unsupported, DeliveryError, MalformedData */
export function devlinkOutput(words: readonly string[]): (around: Surroundings) => Promise<Produced> {
  return async (around) => {
    const address = deviceAddress(around)
    if (address === undefined) throw new Unsupported('it has no PCI address of this machine')
    const { code, stdout, stderr } = await runProgram('devlink', ['-j', ...words, `pci/${address}`], around)
    const said = stderr.trim().replace(/\s*\n\s*/g, '; ')
    if (code !== 0 && unknown.test(said)) throw new Unsupported(`devlink: ${said}`)
    if (code !== 0) throw new DeliveryError(`devlink ended with ${code}: ${said}`, 'EIO')
    try {
      JSON.parse(stdout)
    } catch {
      throw new MalformedData('devlink', 'prints no JSON')
    }
    return { text: stdout }
  }
}

interface Ended {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** A program that is killed when its time is over, or when a signal ends the run. */
function runProgram(file: string, words: readonly string[], { signal, timeout }: Surroundings): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'], timeout, killSignal: 'SIGKILL', signal })
    const said = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => void (said.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => void (said.stderr += text))
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(new Interrupted(String(signal.reason)))
      else if (error.code === 'ENOENT') reject(new Unsupported(`${file} is not installed`))
      else reject(new DeliveryError(`${file} cannot be run: ${error.message}`, error.code ?? 'EIO'))
    })
    child.on('close', (code, killed) => {
      if (signal.aborted) reject(new Interrupted(String(signal.reason)))
      else if (killed === 'SIGKILL')
        reject(
          new DeliveryError(`${file} took longer than ${timeout / 1000} s`, 'ETIMEDOUT', {
            hint: 'see --item-timeout',
          }),
        )
      else resolve({ code: code ?? killed ?? 'nothing', ...said })
    })
  })
}
