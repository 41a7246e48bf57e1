import { DeliveryError } from '../transport/contract'
import type { Device } from './device'
import {
  queryDiagnosticParameters,
  sameSampling,
  setDiagnosticParameters,
  stopped,
  type DiagnosticParameters,
} from './diagnostic-counters'

export interface DiagnosticSampling {
  /** What was set before. */
  readonly before: DiagnosticParameters
  /** What the device says that it samples now. */
  readonly given: DiagnosticParameters
}

/** What became of the parameters: left are those that somebody else has set meanwhile. */
export type PutBack = 'restored' | 'stopped' | 'left' | Error

/**
 * Sets parameters, does some work, and puts back what was set before: when something was sampled, that, with an empty ring; else the
 * sampling is stopped. Also after errors, signals and timeouts.
 * @param told what became of the parameters; an error when they could not be put back
 * @throws UsageError without leave to taint, FirmwareError, and what the work throws
 */
export async function withDiagnosticSampling<T>(
  device: Device,
  parameters: DiagnosticParameters,
  use: (sampling: DiagnosticSampling) => Promise<T>,
  told: (what: PutBack) => void,
): Promise<T> {
  const before = await queryDiagnosticParameters(device)
  // What the device made of them, once it has said so.
  let given: DiagnosticParameters | undefined
  try {
    await setDiagnosticParameters(device, parameters)
  } catch (error) {
    // Refused or not sent, nothing was changed; not answered, it may have been.
    if (error instanceof DeliveryError) await putBack(device, before, given, told)
    throw error
  }
  try {
    given = await queryDiagnosticParameters(device)
    return await use({ before, given })
  } finally {
    await putBack(device, before, given, told)
  }
}

/**
 * Never throws: the failure that ended the work, where there is one, came first.
 * @param given undefined when the device never said what it made of ours: then whatever is not as it was before is taken for ours,
 *   for a device may round what it is asked for
 */
async function putBack(
  device: Device,
  before: DiagnosticParameters,
  given: DiagnosticParameters | undefined,
  told: (what: PutBack) => void,
): Promise<void> {
  try {
    const now = await queryDiagnosticParameters(device, { cleanup: true })
    if (given !== undefined && !sameSampling(now, given)) return told('left')
    const back = before.enable ? 'restored' : 'stopped'
    if (given !== undefined || !sameSampling(now, before))
      await setDiagnosticParameters(device, before.enable ? { ...before, clear: true } : stopped, { cleanup: true })
    told(back)
  } catch (error) {
    told(error as Error)
  }
}
