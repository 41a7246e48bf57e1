import { elementOf, isModified, type NvColumn, type NvSetting } from '../../device/nv-config'
import { nvElementText, nvValueName, nvValueText, type NvValue } from '../../prm/nv-value'
import { hexString } from '../../render/values'

/** A parameter, or one element of it. */
export interface ShownElement {
  readonly setting: NvSetting
  readonly element?: number
}

const titles: Readonly<Record<NvColumn, string>> = { default: 'Default', current: 'Current', next: 'Next Boot' }
/** Columns of mstconfig 4.36, where what is shown is not longer. */
const NAME = 48
const VALUE = 33

/**
 * Rows as mstconfig prints them: '*', 8 places in all, the name, the values. At least two blanks stand between columns, and nothing
 * but '*' before the name: programs that parse rows cut them there.
 */
export function settingRows(elements: readonly ShownElement[], columns: readonly NvColumn[]): string {
  const rows = elements.map((one) => ({
    mark: columns.length > 1 && isModified(one.setting, one.element) ? '*' : ' ',
    name: titleOf(one),
    values: columns.map((column) => valueText(one, column)),
  }))
  const widest = (least: number, texts: readonly string[]): number =>
    texts.reduce((most, { length }) => Math.max(most, length + 2), least)
  const nameWidth = widest(
    NAME,
    rows.map(({ name }) => name),
  )
  const widths = columns.map((_, index) =>
    widest(
      VALUE,
      rows.map(({ values }) => values[index] ?? ''),
    ),
  )
  const head = `Configurations:${' '.repeat(nameWidth + 8 - 'Configurations:'.length)}`
  const cells = (texts: readonly string[]): string =>
    texts
      .map((text, index) => text.padEnd(widths[index] ?? 0))
      .join(' ')
      .trimEnd()
  return [
    `${head}${cells(columns.map((column) => titles[column]))}\n`,
    ...rows.map(({ mark, name, values }) => `${mark}       ${name.padEnd(nameWidth)}${cells(values)}\n`),
  ].join('')
}

function titleOf({ setting, element }: ShownElement): string {
  return element === undefined ? setting.title : `${setting.title}[${element}]`
}

function valueText({ setting: { parameter, values }, element }: ShownElement, column: NvColumn): string {
  const value = values[column]
  if (value === undefined) return '-'
  if (element === undefined || typeof value === 'number') return nvValueText(parameter, value)
  return nvElementText(parameter, value[element] ?? 0)
}

/** Raw values, and what they are called. */
export function settingData(shown: ShownElement): Record<string, unknown> {
  const { setting, element } = shown
  const { item, parameter, readOnly, values } = setting
  const column = (name: NvColumn): unknown => {
    const value = values[name]
    return value === undefined ? null : { value: plain(elementOf(value, element)), text: valueText(shown, name) }
  }
  return {
    name: titleOf(shown),
    tlv: item.tlv.name,
    parameter: parameter.name,
    type: `0x${item.type.toString(16).padStart(8, '0')}`,
    port: item.instance.port ?? null,
    module: item.instance.module ?? null,
    readOnly,
    modified: isModified(setting, element),
    default: column('default'),
    current: column('current'),
    next: column('next'),
  }
}

const plain = (value: NvValue): unknown => (value instanceof Uint8Array ? hexString(value) : value)

/** Names of the values that a parameter can have. */
export function choicesOf({ parameter }: Pick<NvSetting, 'parameter'>): string {
  if (parameter.type === 'BOOL') return `${nvValueName(parameter, 0)}, ${nvValueName(parameter, 1)}`
  return Object.entries(parameter.values ?? {})
    .map(([name, value]) => `${name}(${value})`)
    .join(', ')
}
