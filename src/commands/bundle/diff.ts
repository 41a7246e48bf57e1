import { diffBundles, isSame, type BundleDifference, type PairDifference, type Side } from '../../bundle/diff'
import type { Manifest } from '../../bundle/manifest'
import { UsageError } from '../../device/errors'
import { columns } from '../../render/columns'
import { shownLines, shownText } from '../../render/shown'
import type { Context, Result } from '../types'
import { diffDumps, dumpText } from './dumps'
import { checkFile, indexFieldsOf, sizeText } from './files'

/** In what two bundles differ; exit 10 when they do. */
export async function diffFiles(context: Context, files: readonly string[]): Promise<Result> {
  const [a = '', b = ''] = files
  if (files.length !== 2) throw new UsageError('bundle diff takes two bundles, the older one first')
  for (const file of files) checkFile(file)
  const device = context.own.device as string | undefined
  const devices = device === undefined ? [] : device.split(',')
  const found = await diffBundles(a, b, { devices, indexFields: indexFieldsOf() })
  if (
    found.pairs.every(({ matchedBy }) => matchedBy === 'host') &&
    found.unmatched.a.length + found.unmatched.b.length > 0
  )
    throw new UsageError(
      `no device of one bundle is one of the other: ${found.unmatched.a.join(', ') || 'none'} here, ${found.unmatched.b.join(', ') || 'none'} there`,
      'name them: --device DEVICE_IN_A=DEVICE_IN_B',
    )
  const dumps = context.own.dumps === true ? await diffDumps(a, b, found.pairs) : []
  const same = isSame(found)
  const all = context.own.all === true
  const { pairs, unmatched } = found
  return {
    data: { same, a: sideData(a, found.a), b: sideData(b, found.b), pairs, dumps, unmatched },
    records: [
      ...records(found),
      ...dumps.map(({ a, b, ...rest }) => ({ kind: 'dump', deviceA: a, deviceB: b, ...rest })),
    ],
    text: () => text(files, found, all) + dumps.map((one) => `\n${shownLines(dumpText(one, all))}`).join(''),
    warnings: redactionWarnings(found),
    drift: !same,
  }
}

function sideData(file: string, { host, tool, started, finished }: Manifest): unknown {
  return { file, host, tool: tool.version, started, finished }
}

/** One record for each thing that differs. */
function records({ pairs, unmatched }: BundleDifference): unknown[] {
  const of = (kind: string, { a, b }: PairDifference, list: readonly object[]): unknown[] =>
    list.map((one) => ({ kind, deviceA: a, deviceB: b, ...one }))
  return [
    ...pairs.flatMap((pair) => [
      ...of('item', pair, pair.uncompared),
      ...of('field', pair, pair.differences),
      ...of('counter', pair, pair.counters),
      ...of('moment', pair, pair.moment),
      ...of('content', pair, pair.contents),
    ]),
    ...unmatched.a.map((device) => ({ kind: 'device', deviceA: device, deviceB: null })),
    ...unmatched.b.map((device) => ({ kind: 'device', deviceA: null, deviceB: device })),
  ]
}

/** The same serial number has another token in another bundle. */
function redactionWarnings({ a, b }: BundleDifference): string[] {
  const kinds = [...new Set([...a.redacted, ...b.redacted])]
  return kinds.length === 0
    ? []
    : [
        `${kinds.join(', ')} ${kinds.length === 1 ? 'was' : 'were'} redacted: that these differ, or do not, says nothing`,
      ]
}

function text(files: readonly string[], found: BundleDifference, all: boolean): string {
  const [a, b] = [found.a, found.b].map(
    ({ host, started }, index) => `${'-+'[index] ?? ''} ${shownText(`${files[index] ?? ''}  ${host}  ${started}`)}\n`,
  )
  const parts = found.pairs.map((pair) => pairText(pair, all)).filter((part) => part !== '')
  const missing = [
    ...found.unmatched.a.map((device) => `device ${shownText(device)}: only in the first bundle\n`),
    ...found.unmatched.b.map((device) => `device ${shownText(device)}: only in the second bundle\n`),
  ]
  const whole = [...parts, missing.join('')].filter((part) => part !== '').join('\n')
  return `${a ?? ''}${b ?? ''}\n${whole === '' ? 'no difference\n' : whole}`
}

function pairText(pair: PairDifference, all: boolean): string {
  const { a, b, matchedBy, differences, counters, moment, contents, uncompared } = pair
  const by =
    matchedBy === 'given' || a === b
      ? ''
      : `, matched by ${matchedBy === 'only' ? 'being the only ones left' : matchedBy}`
  const title = a === null ? 'host' : a === b ? `device ${a}` : `device ${a} / ${b ?? ''}${by}`
  const sections = [
    section(
      'collected',
      uncompared.map(({ item, a, b }) => [item, a, b]),
    ),
    section(
      'differences',
      differences.map(({ field, a, b }) => [field, sideText(a), sideText(b)]),
    ),
    ...(all
      ? [
          section(
            'counters',
            counters.map(({ field, a, b, delta, rateA, rateB }) => [
              field,
              `${String(a)}${rateText(rateA)}`,
              `${String(b)}${rateText(rateB)}`,
              delta === null ? 'cleared or wrapped' : `+${delta}`,
            ]),
          ),
          section(
            'of the moment',
            moment.map(({ field, a, b }) => [field, sideText(a), sideText(b)]),
          ),
          section(
            'files that differ',
            contents.map(({ item, sizeA, sizeB }) => [item, sizeText(sizeA), sizeText(sizeB)]),
          ),
        ]
      : []),
  ].filter((part) => part !== '')
  const rest = all
    ? []
    : [
        count(counters.length, 'counter'),
        count(moment.length, 'value of the moment', 'values of the moment'),
        count(contents.length, 'file'),
      ].filter((part) => part !== '')
  const also = rest.length === 0 ? '' : `  also ${rest.join(', ')} (--all shows them)\n`
  return sections.length === 0 && also === '' ? '' : `${shownText(title)}\n${sections.join('')}${also}`
}

const count = (number: number, one: string, many = `${one}s`): string =>
  number === 0 ? '' : `${number} ${number === 1 ? one : many}`

function section(title: string, rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const indented = rows.map(([first = '', ...rest]) => [`    ${first}`, ...rest].map(shownText))
  return `  ${title}\n${columns(indented)}`
}

const rateText = (rate: number | null): string => (rate === null ? '' : ` (${perSecond(rate)})`)

const scales = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const

/** Three digits are enough for a look: 131M/s. */
export function perSecond(rate: number): string {
  const [scale, letter] = scales.find(([least]) => Math.abs(rate) >= least) ?? [1, '']
  return `${Number((rate / scale).toPrecision(3))}${letter}/s`
}

export function sideText(side: Side | null): string {
  if (side === null) return '(absent)'
  return valueText(side.value, side.name)
}

/** Characters of a value that text shows. */
const SHOWN = 48

/** 42 (0x2a), and the name where there is one; a list of bytes is one number, with the text that it may be. */
export function valueText(value: Side['value'], name: string | null): string {
  const plain = numberText(value) ?? bytesText(value) ?? (value === '' ? '""' : String(value))
  const shown = plain.length > SHOWN ? `${plain.slice(0, SHOWN - 3)}...` : plain
  return name === null ? shown : `${shown} ${name}`
}

function numberText(value: Side['value']): string | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 9
    ? `${value} (0x${value.toString(16)})`
    : undefined
}

function bytesText(value: Side['value']): string | undefined {
  if (typeof value !== 'string' || !/^\[\d{1,3}(?:,\d{1,3}){3,}\]$/.test(value)) return undefined
  const bytes = JSON.parse(value) as number[]
  if (bytes.some((byte) => byte > 0xff)) return undefined
  const text = Buffer.from(bytes).toString('latin1').replace(/\0+$/, '')
  return /^[\x20-\x7e]{3,}$/.test(text) ? JSON.stringify(text) : `0x${Buffer.from(bytes).toString('hex')}`
}
