import { dataOf } from '../../bundle/facts'
import { inBundle, parseJson } from '../../bundle/json'
import type { BundleItem, Manifest } from '../../bundle/manifest'
import { openBundle, type OpenBundle } from '../../bundle/read'
import { listOf, membersOf, textOf } from '../../bundle/values'
import { UsageError } from '../../device/errors'
import { MalformedData, NameError } from '../../prm/errors'
import { nearest } from '../../prm/nearest'
import { columns } from '../../render/columns'
import { hexRows } from '../../render/dump-text'
import { shownLines, shownText } from '../../render/shown'
import { refuseBytes } from '../refuse'
import type { Context, Result } from '../types'
import { checkFile, durationText, isFile, itemTitle, sizeText } from './files'

/** What is in bundles; or, when the last word is no file, the content of one item. */
export async function showFiles(context: Context, words: readonly string[]): Promise<Result> {
  const [file = '', item] = words
  checkFile(file)
  if (words.length === 2 && item !== undefined && !isFile(item)) return showItem(context, file, item)
  refuseBytes(context, 'bundle show without ITEM')
  for (const one of words) checkFile(one)
  const bundles: ShownBundle[] = []
  for (const one of words) bundles.push(await summary(one))
  return {
    data: { bundles: bundles.map(bundleData) },
    records: bundles.map(bundleData),
    text: () => bundles.map(bundleText).join('\n'),
  }
}

interface ShownBundle {
  readonly file: string
  readonly manifest: Manifest
  /** By folder of the device. */
  readonly infos: ReadonlyMap<string, DeviceInfo>
}

/** What info said of a device. */
interface DeviceInfo {
  readonly model: string | null
  readonly psid: string | null
  readonly firmware: string | null
}

const noInfo: DeviceInfo = { model: null, psid: null, firmware: null }

/** Reads no more of a bundle than up to the last info. */
async function summary(file: string): Promise<ShownBundle> {
  const bundle = await openBundle(file)
  try {
    const infos = new Map<string, DeviceInfo>()
    const wanted = new Map(
      bundle.manifest.items.flatMap(({ name, device, file: path }) =>
        name === 'info' && device !== null && path !== null ? [[path, device]] : [],
      ),
    )
    if (wanted.size > 0)
      for await (const { path, bytes } of bundle.files((path) => (wanted.has(path) ? 'keep' : 'skip'))) {
        const device = wanted.get(path)
        if (device === undefined || bytes === undefined) continue
        infos.set(device, deviceInfo(file, path, bytes))
        if (infos.size === wanted.size) break
      }
    return { file, manifest: bundle.manifest, infos }
  } finally {
    bundle.close()
  }
}

function deviceInfo(file: string, path: string, bytes: Uint8Array): DeviceInfo {
  const { model, psid, firmware } = membersOf(inBundle(file, () => dataOf(path, bytes)))
  return { model: textOf(model) ?? null, psid: textOf(psid) ?? null, firmware: textOf(firmware) ?? null }
}

function bundleData({ file, manifest, infos }: ShownBundle): unknown {
  const { devices, ...rest } = manifest
  return {
    file,
    ...rest,
    devices: devices.map((device) => ({ ...device, ...(infos.get(device.folder) ?? noInfo) })),
  }
}

function bundleText({ file, manifest, infos }: ShownBundle): string {
  const { host, tool, started, finished, resumed, redacted, devices, items } = manifest
  const took = durationText(Date.parse(finished) - Date.parse(started))
  const again = resumed === 0 ? '' : `, taken up again ${resumed === 1 ? 'once' : `${resumed} times`}`
  const head = columns(
    [
      ['host', host],
      ['collected', `${started}, took ${took}${again}`],
      ['by', `${tool.name} ${tool.version}`],
      ...(redacted.length === 0 ? [] : [['redacted', redacted.join(', ')]]),
      ['items', `${items.length}: ${statusCounts(items)}`],
    ].map((row) => row.map(shownText)),
  )
  const deviceRows = devices.map(({ folder, name, identity }) => {
    const { model, psid, firmware } = infos.get(folder) ?? noInfo
    const names = [...listOf(identity?.rdma), ...listOf(identity?.net)].flatMap((one) => textOf(one) ?? [])
    return [folder, model ?? '-', psid ?? '-', firmware ?? '-', names.join(' ') || name].map(shownText)
  })
  const itemRows = items.map((item) =>
    [
      itemTitle(item),
      item.status,
      item.size === null ? '-' : sizeText(item.size),
      item.started === null ? '-' : durationText(item.duration),
      item.reason ?? '',
    ].map(shownText),
  )
  return [
    `${shownText(file)}\n${head}`,
    devices.length === 0 ? 'no devices\n' : columns([['DEVICE', 'MODEL', 'PSID', 'FIRMWARE', 'NAMES'], ...deviceRows]),
    columns([['ITEM', 'STATUS', 'SIZE', 'TIME', 'REASON'], ...itemRows]),
  ].join('\n')
}

/** 21 ok, 1 partial */
function statusCounts(items: readonly BundleItem[]): string {
  const counts = new Map<string, number>()
  for (const { status } of items) counts.set(status, (counts.get(status) ?? 0) + 1)
  return [...counts].map(([status, count]) => `${count} ${status}`).join(', ')
}

/** The content of one file: text as it is, else a hex dump; --raw gives the exact bytes. */
async function showItem(context: Context, file: string, word: string): Promise<Result> {
  const { raw, hex } = context.options
  const bundle = await openBundle(file)
  try {
    const item = /^\/*manifest(?:\.json)?$/.test(word) ? null : itemNamed(bundle, word)
    if (raw && item !== null) {
      await content(bundle, item, (part) => context.write(part))
      return { data: null, text: () => '', raw: () => new Uint8Array() }
    }
    const bytes = item === null ? bundle.manifestBytes : await content(bundle, item)
    const path = item?.file ?? 'manifest.json'
    const text = hex ? undefined : textIn(bytes)
    const rows = (): string => Buffer.from(hexRows(bytes, 0)).toString('latin1')
    return {
      // As text it is shown whatever it is; JSON has to be some to be a member of JSON.
      data: context.options.format === 'text' ? null : contentData(file, path, item, bytes, text),
      text: () => (text === undefined ? rows() : shownLines(text)),
      hex: rows,
      raw: () => bytes,
    }
  } finally {
    bundle.close()
  }
}

function contentData(
  file: string,
  path: string,
  item: BundleItem | null,
  bytes: Uint8Array,
  text: string | undefined,
): unknown {
  const isJson = text !== undefined && path.endsWith('.json')
  return {
    file,
    path,
    item,
    json: isJson ? inBundle(file, () => parseJson(path, bytes)) : null,
    text: isJson ? null : (text ?? null),
    bytes: text === undefined ? bytes : null,
  }
}

/** By its path or an ending of it, with or without the extension. @throws NameError */
function itemNamed({ manifest, name }: OpenBundle, word: string): BundleItem {
  const wanted = word.replace(/^\/+/, '')
  const inBundle = manifest.items.filter(({ file }) => file !== null)
  const ends = (path: string): boolean => path === wanted || path.endsWith(`/${wanted}`)
  const found = inBundle.filter(({ file }) => ends(file ?? '') || ends((file ?? '').replace(/\.[^./]*$/, '')))
  const exact = found.filter(({ file }) => file === wanted)
  const [one, ...others] = exact.length > 0 ? exact : found
  if (one !== undefined && others.length === 0) return one
  const paths = (one === undefined ? inBundle : found).map(({ file }) => file ?? '')
  if (one !== undefined) throw new NameError(`${word} may be ${paths.slice(0, 5).join(' or ')}`, paths)
  const without = manifest.items.find((item) => item.name === wanted || itemTitle(item) === wanted)
  if (without !== undefined)
    throw new UsageError(
      `${name} has no file of ${word}: it is ${without.status}: ${without.reason ?? 'nobody says why'}`,
    )
  const near = nearest(wanted, new Set(manifest.items.flatMap((item) => [item.name, itemTitle(item)])), 3)
  const hint = near.length === 0 ? '' : `; is it ${near.join(', ')}?`
  throw new NameError(
    `${shownText(word)} is no file, and no item of ${name}${hint} (bundle show ${name} lists them)`,
    near,
  )
}

/** The bytes of a file, whose size and hash are checked; handed on as they come, they are empty. @throws MalformedData */
async function content(
  bundle: OpenBundle,
  { file, size, sha256 }: BundleItem,
  sink?: (part: Uint8Array) => Promise<void>,
): Promise<Uint8Array> {
  for await (const one of bundle.files((path) => (path === file ? (sink ?? 'keep') : 'skip'))) {
    if (one.path !== file) continue
    if (one.size !== size || one.sha256 !== sha256)
      throw new MalformedData(
        bundle.name,
        `${file} is not what the manifest says: it was changed, or the bundle is damaged`,
      )
    return one.bytes ?? new Uint8Array()
  }
  throw new MalformedData(bundle.name, `${file ?? ''} is in the manifest, but not in the bundle`)
}

/** Text that bytes are, when they are some. */
function textIn(bytes: Uint8Array): string | undefined {
  if (bytes.subarray(0, 65_536).includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
