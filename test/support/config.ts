import { parseEnvelope } from './schema'

/** Of what config query -j says. */
export interface QueriedParameter {
  readonly name: string
  readonly readOnly: boolean
  readonly modified: boolean
  readonly default: { readonly text: string }
  readonly current: { readonly text: string }
  readonly next: { readonly text: string }
}

/** The parameters of all devices in an envelope of config query. */
export function parametersOf(stdout: string): QueriedParameter[] {
  const { data } = parseEnvelope(stdout)
  return (data as { devices: { parameters: QueriedParameter[] }[] }).devices.flatMap(({ parameters }) => parameters)
}
