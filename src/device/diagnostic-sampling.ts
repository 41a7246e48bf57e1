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
  // Until the device has said what it made of them, these are ours.
  let given = parameters
  try {
    await setDiagnosticParameters(device, parameters)
  } catch (error) {
    // Refused or not sent, nothing was changed; not answered, it may have been.
    if (error instanceof DeliveryError) await putBack(device, before, given, () => undefined)
    throw error
  }
  try {
    given = await queryDiagnosticParameters(device)
    return await use({ before, given })
  } finally {
    await putBack(device, before, given, told)
  }
}

/** Never throws: the failure that ended the work, where there is one, came first. */
async function putBack(
  device: Device,
  before: DiagnosticParameters,
  given: DiagnosticParameters,
  told: (what: PutBack) => void,
): Promise<void> {
  try {
    const now = await queryDiagnosticParameters(device, { cleanup: true })
    if (!sameSampling(now, given)) return told('left')
    await setDiagnosticParameters(device, before.enable ? { ...before, clear: true } : stopped, { cleanup: true })
    told(before.enable ? 'restored' : 'stopped')
  } catch (error) {
    told(error as Error)
  }
}
