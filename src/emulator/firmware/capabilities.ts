import type { Answer, Firmware, Request } from './firmware'
import { Refusal, Status } from './refusal'
import { applyValues, encodeValues, numberOf } from './values'

/** Bytes of the capability union of QUERY_HCA_CAP. */
const BODY = 4096

/** QUERY_HCA_CAP: op_mod is (type << 1) | mode, mode 0 the maximum, 1 the current value. */
export function queryCapabilities(firmware: Firmware, { opMod, values }: Request): Answer {
  if (numberOf(values, 'other_function') === 1) throw new Refusal(Status.BAD_PARAM, 'other_function')
  const { profile, codec, catalogue } = firmware
  const type = catalogue.capabilities().find((entry) => entry.type === opMod >> 1)
  const current = type === undefined ? undefined : profile.capabilities[type.name]
  if (type === undefined || current === undefined) throw new Refusal(Status.BAD_PARAM, 'capability type')
  const body = new Uint8Array(BODY)
  if (type.layout === undefined) return body
  const image = encodeValues(codec, type.layout, current)
  if ((opMod & 1) === 0) applyValues(codec, type.layout, image, profile.capabilitiesMax[type.name] ?? {})
  body.set(image.subarray(0, BODY))
  return body
}
