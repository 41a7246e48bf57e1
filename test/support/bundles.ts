import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** A file of a bundle, and what its item says beside the usual. */
export interface MadeItem {
  readonly name: string
  /** Folder of the device, or null for the host. */
  readonly device: string | null
  /** Below its folder; null without a file. */
  readonly file: string | null
  readonly content?: string | Uint8Array
  readonly item?: Readonly<Record<string, unknown>>
}

export interface MadeBundle {
  readonly host?: string
  readonly devices?: readonly {
    readonly folder: string
    readonly identity?: Readonly<Record<string, unknown>> | null
  }[]
  readonly items: readonly MadeItem[]
  readonly manifest?: Readonly<Record<string, unknown>>
}

const time = (second: number): string => new Date(Date.UTC(2026, 10, 26, 3, 0, second)).toISOString()

const pathOf = ({ device, file }: MadeItem): string | null =>
  file === null ? null : device === null ? `host/${file}` : `devices/${device}/${file}`

/** A manifest as the format says, made without the code under test. */
export function manifestOf({ host = 'web01', devices = [], items, manifest = {} }: MadeBundle): unknown {
  return {
    schemaVersion: '1.0',
    kind: 'mlx5ctl bundle',
    tool: { name: 'mlx5ctl', version: '0.1.0' },
    host,
    started: time(0),
    finished: time(30),
    resumed: 0,
    redacted: [],
    devices: devices.map(({ folder, identity }) => ({
      name: folder,
      folder,
      identity:
        identity === undefined ? { transport: 'mlx5ctl', node: folder, rdma: [], net: [], pci: folder } : identity,
    })),
    items: items.map((made, index) => {
      const bytes = Buffer.from(made.content ?? '')
      const isThere = made.file !== null
      return {
        device: made.device,
        name: made.name,
        command: null,
        file: pathOf(made),
        status: isThere ? 'ok' : 'failed',
        reason: isThere ? null : 'refused by firmware',
        exit: isThere ? { code: 0, kind: null } : { code: 6, kind: 'firmware' },
        started: time(index),
        duration: 12.5,
        size: isThere ? bytes.length : null,
        sha256: isThere ? createHash('sha256').update(bytes).digest('hex') : null,
        ...made.item,
      }
    }),
    ...manifest,
  }
}

/** Packs files with the tar and gzip of the system, in their order; names a file to be. */
export function packFiles(
  target: string,
  files: readonly (readonly [path: string, content: string | Uint8Array])[],
): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-pack-'))
  try {
    for (const [name, content] of files) {
      mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
      writeFileSync(path.join(folder, name), content)
    }
    const list = files.map(([name]) => name)
    const { status, stderr } = spawnSync('tar', ['--format=ustar', '-czf', target, '-C', folder, '--', ...list])
    if (status !== 0) throw new Error(`tar: ${String(stderr)}`)
    return target
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Makes a bundle file. */
export function makeBundle(target: string, made: MadeBundle): string {
  return packFiles(target, [
    ['bundle/manifest.json', JSON.stringify(manifestOf(made))],
    ...made.items.flatMap((item): (readonly [string, string | Uint8Array])[] => {
      const file = pathOf(item)
      return file === null ? [] : [[`bundle/${file}`, item.content ?? '']]
    }),
  ])
}

/** What a command prints under -j. */
export const enveloped = (command: string, data: unknown): string =>
  JSON.stringify({
    schemaVersion: '1.0',
    tool: { name: 'mlx5ctl', version: '0.1.0' },
    command,
    device: null,
    status: 'ok',
    data,
    error: null,
    warnings: [],
  })
