import { MalformedData } from '../prm/errors'
import { parseJson } from './json'
import { redactedKinds, type BundleDevice, type BundleItem, type Manifest, type RedactedKind } from './manifest'

const statuses = ['ok', 'partial', 'failed', 'left-out'] as const
type Members = Readonly<Record<string, unknown>>

/**
 * Reads a manifest from the bytes of manifest.json. Each member that is used is checked, members that are not known are let
 * pass: within a major version they are added only.
 * @param name of the bundle, for errors
 * @throws MalformedData that names the member
 */
export function parseManifest(name: string, bytes: Uint8Array): Manifest {
  const path = `${name === '-' ? 'stdin' : name}: manifest.json`
  const check = new Checker(path)
  const root = check.object(parseJson(path, bytes), 'the manifest')
  if (root.kind !== 'mlx5ctl bundle') throw check.bad('kind', 'is not "mlx5ctl bundle"')
  const version = check.text(root, 'schemaVersion')
  if (!/^1\.\d+$/.test(version)) throw check.bad('schemaVersion', `is ${shown(version)}: this tool reads 1.x`)
  const devices = check.list(root, 'devices').map((one, index) => deviceOf(check, one, `devices[${index}]`))
  const folders = new Set(devices.map(({ folder }) => folder))
  if (folders.size < devices.length) throw check.bad('devices', 'name a folder twice')
  const items = check.list(root, 'items').map((one, index) => itemOf(check, one, `items[${index}]`, folders))
  const files = items.flatMap(({ file }) => file ?? [])
  if (new Set(files).size < files.length) throw check.bad('items', 'name a file twice')
  const tool = check.object(root.tool, 'tool')
  return {
    schemaVersion: '1.0',
    kind: 'mlx5ctl bundle',
    tool: { name: 'mlx5ctl', version: check.text(tool, 'version', 'tool.') },
    host: check.text(root, 'host'),
    started: check.time(root, 'started'),
    finished: check.time(root, 'finished'),
    resumed: check.count(root, 'resumed'),
    redacted: check.list(root, 'redacted').map((kind) => redactedKind(check, kind)),
    devices,
    items,
  }
}

function redactedKind(check: Checker, value: unknown): RedactedKind {
  const kind = redactedKinds.find((one) => one === value)
  if (kind === undefined) throw check.bad('redacted', `has ${shown(value)}`)
  return kind
}

function deviceOf(check: Checker, value: unknown, path: string): BundleDevice {
  const one = check.object(value, path)
  const folder = check.text(one, 'folder', `${path}.`)
  if (!isPath(folder) || folder.includes('/'))
    throw check.bad(`${path}.folder`, `is no name of a folder: ${shown(folder)}`)
  return {
    name: check.text(one, 'name', `${path}.`),
    folder,
    identity: one.identity === null ? null : check.object(one.identity, `${path}.identity`),
  }
}

function itemOf(check: Checker, value: unknown, path: string, folders: ReadonlySet<string>): BundleItem {
  const one = check.object(value, path)
  const at = `${path}.`
  const status = statuses.find((known) => known === one.status)
  if (status === undefined) throw check.bad(`${at}status`, `is ${shown(one.status)}`)
  const device = check.textOrNull(one, 'device', at)
  if (device !== null && !folders.has(device)) throw check.bad(`${at}device`, `names no device: ${shown(device)}`)
  const file = check.textOrNull(one, 'file', at)
  const room = device === null ? 'host/' : `devices/${device}/`
  if (file !== null && (!isPath(file) || !file.startsWith(room)))
    throw check.bad(`${at}file`, `is not below ${room}: ${shown(file)}`)
  const exit = check.object(one.exit, `${at}exit`)
  const size = one.size === null ? null : check.count(one, 'size', at)
  const sha256 = check.textOrNull(one, 'sha256', at)
  if (sha256 !== null && !/^[0-9a-f]{64}$/.test(sha256)) throw check.bad(`${at}sha256`, 'is no SHA-256')
  if ((file === null) !== (size === null) || (file === null) !== (sha256 === null))
    throw check.bad(path, 'needs file, size and sha256, or none of them')
  if (typeof one.duration !== 'number' || !(one.duration >= 0)) throw check.bad(`${at}duration`, 'is no duration')
  return {
    device,
    name: check.text(one, 'name', at),
    command: check.textOrNull(one, 'command', at),
    file,
    status,
    reason: check.textOrNull(one, 'reason', at),
    exit: { code: check.count(exit, 'code', `${at}exit.`), kind: check.textOrNull(exit, 'kind', `${at}exit.`) },
    started: one.started === null ? null : check.time(one, 'started', at),
    duration: one.duration,
    size,
    sha256,
  }
}

/** A path that stays where it is, of characters that can be shown. */
function isPath(path: string): boolean {
  if (/[\u0000-\u001f\u007f-\u009f]/.test(path)) return false
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
}

/** Takes members of what JSON gave, of the types that they must have. */
class Checker {
  constructor(private readonly file: string) {}

  object(value: unknown, path: string): Members {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.bad(path, 'is no object')
    return value as Members
  }

  list(object: Members, key: string): readonly unknown[] {
    const value = object[key]
    if (!Array.isArray(value)) throw this.bad(key, 'is no list')
    return value
  }

  text(object: Members, key: string, at = ''): string {
    const value = object[key]
    if (typeof value !== 'string') throw this.bad(`${at}${key}`, 'is no text')
    return value
  }

  textOrNull(object: Members, key: string, at = ''): string | null {
    return object[key] === null ? null : this.text(object, key, at)
  }

  time(object: Members, key: string, at = ''): string {
    const value = this.text(object, key, at)
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(value) || Number.isNaN(Date.parse(value)))
      throw this.bad(`${at}${key}`, `is no time: ${shown(value)}`)
    return value
  }

  count(object: Members, key: string, at = ''): number {
    const value = object[key]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.bad(`${at}${key}`, 'is no count')
    return value
  }

  bad(path: string, message: string): MalformedData {
    return new MalformedData(this.file, `${path} ${message}`)
  }
}

const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, 80)
