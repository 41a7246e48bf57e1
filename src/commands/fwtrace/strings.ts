import { UsageError } from '../../device/errors'
import { deviceInfo } from '../../device/info'
import { tracerCapabilities } from '../../device/trace-strings'
import { stringsDocument } from '../../prm/firmware-trace/strings-file'
import { refuseBytes, refuseOptions } from '../refuse'
import { withDevice } from '../session'
import type { Context, Result } from '../types'
import { readStrings } from './live'

/** The strings of the firmware, to decode its trace elsewhere. */
export async function saveStrings(context: Context, name: string): Promise<Result> {
  const form = 'fwtrace strings'
  refuseOptions(
    context,
    ['follow', 'duration', 'source', 'events', 'match', 'realTime', 'size', 'from', 'strings'],
    form,
  )
  refuseBytes(context, form)
  if (context.options.format === 'trace') throw new UsageError(`${form} has no --format trace`)
  return withDevice(context, name, async (device) => {
    const strings = await readStrings(context, device, await tracerCapabilities(device))
    const { firmware } = await deviceInfo(device)
    const document = stringsDocument(strings, { pci: device.identity.pci, firmware })
    return { device: device.identity, data: document, text: () => `${JSON.stringify(document, null, 1)}\n` }
  })
}
