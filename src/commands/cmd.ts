import { readFileSync } from 'node:fs'
import { capabilityMember, selectCapability } from '../device/capabilities'
import { defaultOutboxLength, encodeInbox, opModOf, scopeOf, type CommandResult } from '../device/device'
import { UsageError } from '../device/errors'
import type { Catalogue } from '../prm/catalogue'
import type { Codec, FieldRange, Struct } from '../prm/codec'
import { describeLayout } from '../prm/describe'
import { MalformedData } from '../prm/errors'
import { parseBytes } from '../prm/input-bytes'
import type { Command, CommandScope } from '../prm/layout'
import { columns, fieldRows } from '../render/columns'
import { hexView } from '../render/hex'
import { flatten, hexString, toJson } from '../render/values'
import { splitAssignment } from './assignment'
import { enumNamer } from './naming'
import { openFacts, withDevice } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, args: readonly string[]): Promise<Result> {
  const [first = '', second, ...rest] = args
  if (first === 'list' && second === undefined) return listCommands()
  if (first === 'show' && second !== undefined && rest.length === 0) return showCommand(second)
  if (second === undefined) throw new UsageError('cmd takes list, show OPCODE, or DEVICE OPCODE [FIELD=VALUE...]')
  return runCommand(context, first, second, rest)
}

function listCommands(): Result {
  const { catalogue, codec } = openFacts()
  const commands = catalogue.commands().map((command) => summary(command, codec))
  const size = (bytes: number | null): string => (bytes === null ? '-' : String(bytes))
  return {
    data: { commands },
    records: commands,
    text: () =>
      columns([
        ['OPCODE', 'IN', 'OUT', 'SCOPE', 'NAME'],
        ...commands.map((one) => [
          `0x${one.opcode.toString(16)}`,
          size(one.inboxBytes),
          size(one.outboxBytes),
          one.scopeText,
          one.name,
        ]),
      ]),
  }
}

function summary(
  command: Command,
  codec: Codec,
): Record<string, unknown> & {
  name: string
  opcode: number
  inboxBytes: number | null
  outboxBytes: number | null
  scopeText: string
} {
  const { name, opcode, inbox, outbox, scope, note } = command
  const bytes = (layout: string | undefined): number | null => (layout === undefined ? null : codec.sizeBytes(layout))
  return {
    name,
    opcode,
    inbox: inbox ?? null,
    outbox: outbox ?? null,
    inboxBytes: bytes(inbox),
    outboxBytes: bytes(outbox),
    scope,
    scopeText: scopeText(scope),
    note: note ?? null,
  }
}

const scopeNames = ['configuration', 'debug read', 'debug write, taints', 'debug write full, taints']

function scopeText(scope: CommandScope): string {
  if (scope === null) return 'never'
  if (typeof scope === 'number') return String(scope)
  return `${scope.write} write, ${scope.read} read`
}

function showCommand(name: string): Result {
  const { catalogue, codec } = openFacts()
  const command = catalogue.command(name)
  const layouts = [command.inbox, command.outbox].filter((layout) => layout !== undefined)
  const described = Object.fromEntries(layouts.map((layout) => [layout, fieldsOf(catalogue, layout)]))
  return {
    data: { ...summary(command, codec), layouts: described },
    text: () => {
      const scope = command.scope
      const what = typeof scope === 'number' ? ` (${scopeNames[scope]})` : ''
      const head = [
        ['Command:', `${command.name} (0x${command.opcode.toString(16)})`],
        ['fwctl scope:', scope === null ? 'never allowed by mainline fwctl' : `${scopeText(scope)}${what}`],
        ...(command.note === undefined ? [] : [['Note:', command.note]]),
      ]
      const tables = layouts.map((layout) => {
        const rows = (described[layout] ?? []).map((field) => [`  ${field.position}`, field.path, field.type])
        return `\n${layout} (${codec.sizeBytes(layout)} bytes)\n${columns(rows)}`
      })
      return `${columns(head)}${tables.join('')}`
    },
  }
}

interface ShownField {
  readonly path: string
  /** +byte offset of the dword [high:low bit] */
  readonly position: string
  readonly offset: number
  readonly width: number
  readonly count: number | null
  readonly type: string
}

function fieldsOf(catalogue: Catalogue, layout: string): ShownField[] {
  return describeLayout(catalogue, layout).map(({ path, offset, width, count, layout: inner, enum: values }) => ({
    path,
    position: position(offset, width),
    offset,
    width,
    count,
    type: inner ?? values ?? '',
  }))
}

function position(offset: number, width: number): string {
  const at = `+0x${(Math.floor(offset / 32) * 4).toString(16).padStart(2, '0')}`
  const high = 31 - (offset % 32)
  return width > 32 || high - width + 1 < 0 ? `${at} ${width} bits` : `${at}[${high}:${high - width + 1}]`
}

async function runCommand(
  context: Context,
  name: string,
  opcode: string,
  assignments: readonly string[],
): Promise<Result> {
  const { catalogue, codec } = openFacts()
  const command = catalogue.command(opcode)
  const inbox = buildInbox(context, codec, command, assignments)
  const outboxLength = length(context.own.outLength, '--out-length') ?? defaultOutboxLength(codec, command)
  if (context.options.dryRun) return dryRun(codec, command, inbox, outboxLength)
  return withDevice(context, name, async (device) => {
    const result = await device.run(command, inbox, { outboxLength })
    return { device: device.identity, ...render(catalogue, codec, result, context.options.reserved) }
  })
}

/** A file gives the bytes, fields change them; the opcode is always the command's. */
function buildInbox({ own }: Context, codec: Codec, command: Command, assignments: readonly string[]): Uint8Array {
  const asked = length(own.inLength, '--in-length')
  const file = own.in
  const given = typeof file === 'string' ? readInbox(file) : undefined
  const size = Math.max(asked ?? 0, given?.length ?? 0)
  const empty = encodeInbox(codec, command, {})
  const inbox = new Uint8Array(
    Math.max(size, given === undefined ? empty.length : 16, needed(codec, command, assignments)),
  )
  inbox.set(given ?? empty)
  new DataView(inbox.buffer).setUint16(0, command.opcode)
  for (const assignment of assignments) assign(codec, command, inbox, assignment)
  return inbox
}

function assign(codec: Codec, command: Command, inbox: Uint8Array, assignment: string): void {
  const [path, text] = split(assignment)
  if (command.inbox === undefined) {
    if (path !== 'op_mod')
      throw new UsageError(`${command.name} has no known inbox layout: only op_mod can be named, or give --in FILE`)
    new DataView(inbox.buffer).setUint16(6, Number(codec.parse(codec.resolve('nop_in', 'op_mod'), text)))
    return
  }
  const ref = codec.resolve(command.inbox, path)
  codec.set(command.inbox, inbox, ref.path, codec.parse(ref, text))
}

/** Bytes up to the last field that is given: elements of an open end lie behind the layout. */
function needed(codec: Codec, command: Command, assignments: readonly string[]): number {
  const { inbox } = command
  if (inbox === undefined) return 0
  return assignments.reduce((most, assignment) => {
    const ref = codec.resolve(inbox, split(assignment)[0])
    return Math.max(most, Math.ceil((ref.offset + ref.width) / 8))
  }, 0)
}

function split(assignment: string): [string, string] {
  const [path, text] = splitAssignment(assignment)
  if (path === 'opcode' || path === 'uid')
    throw new UsageError(`${path} is set by the ${path === 'uid' ? 'driver' : 'command'}`)
  return [path, text]
}

function readInbox(file: string): Uint8Array {
  let input: Uint8Array
  try {
    input = readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(`--in ${file} cannot be read: ${(error as Error).message}`)
  }
  const { bytes } = parseBytes(input)
  if (bytes.length < 16) throw new MalformedData(file, `an inbox has at least 16 bytes, not ${bytes.length}`)
  return bytes
}

function length(value: unknown, option: string): number | undefined {
  if (value === undefined) return undefined
  const number = Number(value)
  if (typeof value !== 'string' || !/^(?:\d+|0x[0-9a-fA-F]+)$/.test(value) || number < 16 || number > 0x200000)
    throw new UsageError(`${option} takes a number of bytes from 16 to 2097152`)
  return number
}

function dryRun(codec: Codec, command: Command, inbox: Uint8Array, outboxLength: number): Result {
  const scope = scopeOf(command, opModOf(inbox))
  return {
    data: { dryRun: true, command: commandData(command, inbox), inbox: hexString(inbox), outboxLength, scope },
    text: () => `${hexString(inbox)}\n`,
    hex: () => hexView(inbox, command.inbox === undefined ? [] : codec.ranges(command.inbox, inbox)),
    raw: () => inbox,
  }
}

function render(catalogue: Catalogue, codec: Codec, result: CommandResult, reserved: boolean): Omit<Result, 'device'> {
  const { command, inbox, outbox } = result
  const { outbox: layout } = command
  const decoded: Struct =
    reserved && layout !== undefined ? codec.decode(layout, outbox, { reserved: true, partial: true }) : result.values
  const member = capabilityMember(catalogue, command, opModOf(inbox))
  const values = selectCapability(decoded, member)
  const shown = (path: string): boolean =>
    member === undefined || !path.startsWith('capability.') || path.startsWith(`capability.${member}.`)
  const marks = (): FieldRange[] =>
    layout === undefined ? [] : codec.ranges(layout, outbox).filter(({ path }) => shown(path))
  return {
    data: {
      command: commandData(command, inbox),
      inbox: hexString(inbox),
      outbox: hexString(outbox),
      values: toJson(values),
    },
    text: () => (layout === undefined ? hexView(outbox) : fieldRows(flatten(values, enumNamer(codec, layout)))),
    hex: () => hexView(outbox, marks()),
    raw: () => outbox,
    warnings: layout === undefined ? [`${command.name} has no known outbox layout; --hex or --raw show its bytes`] : [],
  }
}

function commandData({ name, opcode }: Command, inbox: Uint8Array): Record<string, unknown> {
  return { name, opcode, opMod: opModOf(inbox) }
}
