import { capabilityOpMod, isUnknownType, queryCapabilities, type Capabilities } from '../device/capabilities'
import { encodeInbox, type Device } from '../device/device'
import { UsageError } from '../device/errors'
import type { CapabilityType } from '../prm/layout'
import { fieldRows } from '../render/columns'
import { hexView } from '../render/hex'
import { flatten, hexString, toJson } from '../render/values'
import { collect, type Refused } from './refusals'
import { enumNamer } from './naming'
import { openFacts, withDevice } from './session'
import type { Context, Result } from './types'

type Mode = Capabilities['mode']

export async function run(context: Context, [name = '', ...types]: readonly string[]): Promise<Result> {
  const mode: Mode = context.own.max === true ? 'maximum' : 'current'
  const { catalogue } = openFacts()
  const wanted = types.map((type) => catalogue.capability(type))
  if (context.options.raw && wanted.length !== 1) throw new UsageError('--raw takes one capability type')
  if (context.options.dryRun) return dryRun(wanted.length > 0 ? wanted : catalogue.capabilities(), mode)
  return withDevice(context, name, async (device) => {
    const asked = wanted.length > 0 ? wanted : catalogue.capabilities()
    const { found, refused, failure } = await collect(
      asked,
      { label: 'capabilities', watched: context.interactive() },
      (type) => queryCapabilities(device, type, mode),
    )
    // Asked for by name, one refusal alone is the result; asked for all, a type that the device does not know is no failure.
    const [alone] = refused
    if (alone !== undefined && wanted.length === 1) throw alone.error
    const isUnknown = ({ error }: Refused<CapabilityType>): boolean => wanted.length === 0 && isUnknownType(error)
    const unknown = refused.filter(isUnknown).map(({ item }) => item)
    const failed = refused.filter((one) => !isUnknown(one)).map(({ item, error }) => ({ type: item, error }))
    return {
      device: device.identity,
      data: {
        mode,
        capabilities: found.map((one) => describe(device, context.options.reserved, one)),
        unsupported: unknown.map((type) => type.name),
        failed: failed.map(({ type, error }) => ({ type: type.name, message: error.message })),
      },
      records: found.map((one) => describe(device, context.options.reserved, one)),
      text: () => found.map((one) => text(device, context.options.reserved, one)).join('\n'),
      hex: () => found.map((one) => `${heading(one)}\n${hexOf(device, one)}`).join('\n'),
      raw: () => found[0]?.bytes ?? new Uint8Array(0),
      warnings: [
        ...(unknown.length === 0 ? [] : [`this device does not have ${unknown.map((type) => type.name).join(', ')}`]),
        ...failed.map(({ type, error }) => `${type.name}: ${error.message}`),
      ],
      partial: failed.length > 0,
      failure,
    }
  })
}

function dryRun(types: readonly CapabilityType[], mode: Mode): Result {
  const { catalogue, codec } = openFacts()
  const command = catalogue.command('QUERY_HCA_CAP')
  const inboxes = types.map((type) => encodeInbox(codec, command, { op_mod: capabilityOpMod(type, mode) }))
  const marks = (inbox: Uint8Array): string => hexView(inbox, codec.ranges(command.inbox ?? '', inbox))
  return {
    data: { dryRun: true, inboxes: inboxes.map((inbox) => hexString(inbox)) },
    text: () => inboxes.map((inbox) => `${hexString(inbox)}\n`).join(''),
    hex: () => inboxes.map(marks).join('\n'),
    raw: () => Buffer.concat(inboxes),
  }
}

function describe(device: Device, reserved: boolean, one: Capabilities): Record<string, unknown> {
  const { type, bytes } = one
  return {
    name: type.name,
    type: type.type,
    layout: type.layout ?? null,
    values: toJson(valuesOf(device, reserved, one)),
    ...(type.layout === undefined ? { bytes: hexString(bytes) } : {}),
  }
}

function text(device: Device, reserved: boolean, one: Capabilities): string {
  if (one.type.layout === undefined) return `${heading(one)}\n${hexView(one.bytes)}`
  const namer = enumNamer(device.codec, one.type.layout)
  return `${heading(one)}\n${fieldRows(flatten(valuesOf(device, reserved, one), namer), '  ')}`
}

function valuesOf({ codec }: Device, reserved: boolean, { type, bytes, values }: Capabilities): Capabilities['values'] {
  return reserved && type.layout !== undefined ? codec.decode(type.layout, bytes, { reserved: true }) : values
}

function hexOf({ codec }: Device, { type, bytes }: Capabilities): string {
  return hexView(bytes, type.layout === undefined ? [] : codec.ranges(type.layout, bytes))
}

function heading({ type, mode }: Capabilities): string {
  return `${type.name} (0x${type.type.toString(16)}, ${mode})`
}
