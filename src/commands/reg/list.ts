import type { Catalogue } from '../../prm/catalogue'
import type { Codec } from '../../prm/codec'
import { describeLayout, type FieldDescription } from '../../prm/describe'
import type { Register } from '../../prm/layout'
import { columns } from '../../render/columns'
import { openFacts } from '../session'
import type { Result } from '../types'

export function listRegisters(): Result {
  const { catalogue, codec } = openFacts()
  const registers = catalogue.registers().map((register) => summary(codec, register))
  return {
    data: { registers },
    records: registers,
    text: () =>
      columns([
        ['ID', 'BYTES', 'NAME', 'ALSO'],
        ...registers.map(({ id, bytes, name, aliases }) => [
          `0x${id.toString(16).padStart(4, '0')}`,
          bytes === null ? '-' : String(bytes),
          name,
          aliases.join(' '),
        ]),
      ]),
  }
}

interface Summary {
  readonly name: string
  readonly id: number
  readonly layout: string | null
  readonly bytes: number | null
  readonly aliases: readonly string[]
}

function summary(codec: Codec, { name, id, layout, aliases }: Register): Summary {
  return {
    name,
    id,
    layout: layout ?? null,
    bytes: layout === undefined ? null : codec.sizeBytes(layout),
    aliases: aliases ?? [],
  }
}

interface ShownField {
  readonly path: string
  /** Byte address of the dword that holds it. */
  readonly address: number
  /** Bit in that dword, counted from the least significant. */
  readonly bit: number
  /** Bits of one element. */
  readonly width: number
  readonly count: number | null
  readonly access: string | null
  /** What selects the member of the union that it stands in. */
  readonly when: string | null
  readonly values: Readonly<Record<string, number>> | null
  readonly text: string | null
}

/** Fields with their places, and what one can ask for. */
export function showRegister(name: string): Result {
  const { catalogue, codec } = openFacts()
  const register = catalogue.register(name)
  const described = register.layout === undefined ? [] : describeLayout(catalogue, register.layout)
  const fields = described.filter(({ layout }) => layout === undefined).map((field) => shown(catalogue, field))
  return {
    data: { ...summary(codec, register), fields },
    text: () => text(codec, register, fields),
  }
}

function shown(catalogue: Catalogue, field: FieldDescription): ShownField {
  const { path, offset, width, count, access, when, text } = field
  const values = field.enum === undefined ? undefined : catalogue.enumeration(field.enum).values
  return {
    path,
    address: Math.floor(offset / 32) * 4,
    bit: width > 32 ? 0 : Math.max(0, 32 - width - (offset % 32)),
    width,
    count,
    access: access ?? null,
    when: when ?? null,
    values:
      values === undefined
        ? null
        : Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Number(value)])),
    text: text ?? null,
  }
}

function text(codec: Codec, register: Register, fields: readonly ShownField[]): string {
  const { name, id, layout, aliases } = register
  const head = columns([
    ['Register:', `${name} (0x${id.toString(16)})`],
    ...(aliases === undefined ? [] : [['Also:', aliases.join(', ')]]),
    [
      'Layout:',
      layout === undefined
        ? 'not known; --id and --length read its bytes'
        : `${layout} (${codec.sizeBytes(layout)} bytes)`,
    ],
  ])
  const needed = fields.filter(({ access }) => access === 'INDEX').map(({ path }) => `${path}=0`)
  const hint = `\nmlx5ctl reg get DEVICE ${[name, ...needed].join(' ')}\n`
  return `${head}\n${columns([['FIELD', 'ADDRESS', 'BIT', 'SIZE', 'ACCESS', 'VALUES'], ...fields.flatMap(rows)])}${hint}`
}

function rows({ path, address, bit, width, access, when, values, text }: ShownField): string[][] {
  const names = values === null ? [] : Object.entries(values).map(([key, value]) => `${value}=${key}`)
  const more = [...(when === null ? [] : [`(when ${when})`]), ...names].join(' ')
  const row = [path, `0x${address.toString(16).padStart(8, '0')}`, String(bit), String(width), access ?? '-', more]
  return [row, ...(text === null ? [] : text.split('\n').map((line) => [`    ${line}`]))]
}
