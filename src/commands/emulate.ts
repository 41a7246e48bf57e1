import { UsageError } from '../device/errors'
import { runEmulated } from '../emulator/run'
import type { Context, Result } from './types'

const versions = ['v1', 'v2', 'v3', 'v4'] as const

export async function run({ options, own, launcher, signal }: Context, command: readonly string[]): Promise<Result> {
  const uapi = versions.find((version) => version === (own.uapi ?? 'v4'))
  if (uapi === undefined) throw new UsageError(`--uapi takes ${versions.join(', ')}`)
  if (own.profile !== undefined && !Array.isArray(own.profile)) throw new UsageError('--profile takes a name')
  const exitCode = await runEmulated({
    profiles: (own.profile as string[] | undefined) ?? ['connectx6dx'],
    uapi,
    fault: options.fault,
    stateFile: options.emuState,
    logFile: typeof own.log === 'string' ? own.log : undefined,
    command,
    launcher,
    signal,
  })
  return { data: null, text: () => '', exitCode }
}
