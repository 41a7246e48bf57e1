import { TraceWriter } from '../../src/commands/fwtrace/writer'
import type { Context } from '../../src/commands/types'

test.each<[string, readonly (number | undefined)[], boolean, RegExp | undefined]>([
  ['none', [], false, undefined],
  ['some that are counted', [3, 4], true, /the kernel lost 7 messages/],
  ['some that are not', [3, undefined, 4], true, /the kernel lost some messages/],
])('messages that the kernel lost make a trace partial: %s', async (_, losses, isPartial, message) => {
  const context = { options: { format: 'text' } } as unknown as Context
  const writer = new TraceWriter(
    context,
    { source: 'kernel', frequency: undefined },
    { realTime: false, isWanted: () => true },
  )
  for (const events of losses) await writer.lostByKernel(events)
  const { partial, warnings } = await writer.result(undefined, {})
  expect([partial, warnings]).toEqual([isPartial, message === undefined ? [] : [expect.stringMatching(message)]])
})
