import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { check, parseEnvelope } from './schema'

export interface Item {
  readonly device: string | null
  readonly name: string
  readonly command: string | null
  readonly file: string | null
  readonly status: string
  readonly reason: string | null
  readonly exit: { readonly code: number; readonly kind: string | null }
  readonly started: string | null
  readonly size: number | null
  readonly sha256: string | null
}

export interface Unpacked {
  /** The folder that the archive holds. */
  readonly folder: string
  readonly manifest: {
    readonly host: string
    readonly resumed: number
    readonly redacted: readonly string[]
    readonly devices: readonly { readonly name: string; readonly folder: string; readonly identity: object | null }[]
    readonly items: readonly Item[]
  }
  readonly item: (device: string | null, name: string) => Item
  readonly text: (device: string | null, name: string) => string
}

/**
 * Unpacks a bundle with the tar of the system and checks all that its manifest says, by means of its own: the files that are
 * there, their sizes and hashes, their schemas, and that each status is that of the file.
 * @throws Error for whatever is not so
 */
export function unpack(file: string, where: string): Unpacked {
  const into = mkdtempSync(path.join(where, 'unpacked-'))
  const tar = spawnSync('tar', ['xzf', file, '-C', into], { encoding: 'utf8' })
  expect([tar.status, tar.stderr]).toEqual([0, ''])
  const [first] = spawnSync('tar', ['tzf', file], { encoding: 'utf8' }).stdout.split('\n')
  const [root = ''] = readdirSync(into)
  const folder = path.join(into, root)
  expect([readdirSync(into).length, first]).toEqual([1, `${root}/manifest.json`])
  const manifest = JSON.parse(readFileSync(path.join(folder, 'manifest.json'), 'utf8')) as Unpacked['manifest']
  check('bundle-manifest', manifest)
  const there = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(path.join(folder, name)).isFile(),
  )
  const said = manifest.items.flatMap((item) => item.file ?? [])
  expect(there.sort()).toEqual([...said, 'manifest.json'].sort())
  for (const item of manifest.items) checkItem(folder, item)
  const item = (device: string | null, name: string): Item => {
    const found = manifest.items.filter((one) => one.device === device && one.name === name)
    expect([device, name, found.length]).toEqual([device, name, 1])
    return found[0] as Item
  }
  return {
    folder,
    manifest,
    item,
    text: (device, name) => readFileSync(path.join(folder, item(device, name).file ?? ''), 'utf8'),
  }
}

/** Files that are no envelope, and their schemas. */
const schemas: Readonly<Record<string, string>> = { sysfs: 'bundle-sysfs', host: 'bundle-host' }

function checkItem(folder: string, { file, name, status, size, sha256 }: Item): void {
  if (file === null) return
  const bytes = readFileSync(path.join(folder, file))
  const hash = createHash('sha256').update(bytes).digest('hex')
  expect([file, bytes.length, hash]).toEqual([file, size, sha256])
  if (!file.endsWith('.json') || name.startsWith('devlink')) return
  const schema = schemas[name]
  if (schema !== undefined) check(schema, JSON.parse(bytes.toString()))
  else expect([file, parseEnvelope(bytes.toString()).status]).toEqual([file, status])
}
