/**
 * A support bundle: a gzipped tar with one folder, which is named as the file is. In it `manifest.json`, this, comes first; what
 * was collected of the host lies in `host/`, and of each device in `devices/FOLDER/` (schema/bundle-manifest.json).
 */
export interface Manifest {
  readonly schemaVersion: '1.0'
  readonly kind: 'mlx5ctl bundle'
  readonly tool: { readonly name: 'mlx5ctl'; readonly version: string }
  /** Name of the host; its token where it was redacted. */
  readonly host: string
  /** RFC 3339, UTC. */
  readonly started: string
  readonly finished: string
  /** How often collecting was taken up again after an interruption. */
  readonly resumed: number
  /** What was redacted. */
  readonly redacted: readonly RedactedKind[]
  readonly devices: readonly BundleDevice[]
  /** Those of the host first, then device by device, in the order in which they are collected. */
  readonly items: readonly BundleItem[]
}

export const redactedKinds = ['serial', 'mac', 'guid', 'hostname'] as const
export type RedactedKind = (typeof redactedKinds)[number]

export interface BundleDevice {
  /** As it was asked for. */
  readonly name: string
  /** Under `devices/`; a name without slashes. */
  readonly folder: string
  /** Identity, as `device` of the envelopes has it; null when it could not be opened. */
  readonly identity: Readonly<Record<string, unknown>> | null
}

/** ok: all of it; partial: part of it is missing (exit code 8); failed: nothing of it; left-out: it was not tried, or is not in the bundle. */
export type ItemStatus = 'ok' | 'partial' | 'failed' | 'left-out'

export interface BundleItem {
  /** Folder of the device; null for what is of the host. */
  readonly device: string | null
  /** Stable: capabilities, registers, config, counters-1, counters-2, ... */
  readonly name: string
  /** The command line that gives the same; null where there is none. */
  readonly command: string | null
  /** Path below the folder of the bundle: devices/0000:03:00.0/capabilities.json; null where there is no file. */
  readonly file: string | null
  readonly status: ItemStatus
  /** Why it is not ok; null where it is. */
  readonly reason: string | null
  /** As the command would exit; kind is that of the error, null without one. */
  readonly exit: { readonly code: number; readonly kind: string | null }
  /** RFC 3339, UTC; null when it was not tried. */
  readonly started: string | null
  /** Milliseconds. */
  readonly duration: number
  /** Bytes, and hash in hex digits, of the file; null where there is none. */
  readonly size: number | null
  readonly sha256: string | null
}
