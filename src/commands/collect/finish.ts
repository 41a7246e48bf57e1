import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { writeArchive, type ArchiveEntry } from '../../bundle/archive'
import type { BundleItem, Manifest } from '../../bundle/manifest'
import { redactedManifest } from '../../bundle/redaction/redact-manifest'
import { Redaction } from '../../bundle/redaction/redaction'
import { openOutput } from '../../render/output'
import { hashOf, type Staging } from './staging'
import type { Item } from './items'
import type { Plan } from './plan'

export interface Bundle {
  readonly manifest: Manifest
  readonly size: number
  readonly sha256: string
  readonly warnings: readonly string[]
}

/** What goes into the bundle, and where its bytes lie. */
interface Member {
  readonly item: BundleItem
  readonly content: ArchiveEntry['content'] | undefined
}

const REDACTED = 'redacted'

/** Makes the bundle of what lies in the staging folder. @param stop throws when the run is to end */
export async function finishBundle(
  { version, output, force }: { readonly version: string; readonly output: string; readonly force: boolean },
  plan: Plan,
  staging: Staging,
  stop: () => void,
): Promise<Bundle> {
  const planned = [...plan.host.map((item) => ({ item, device: null })), ...plan.devices.flatMap(ofDevice)]
  const found = planned.flatMap(({ item, device }) => {
    const taken = staging.taken(device, item.name)
    return taken === undefined ? [] : [{ item, taken }]
  })
  const draft: Manifest = {
    schemaVersion: '1.0',
    kind: 'mlx5ctl bundle',
    tool: { name: 'mlx5ctl', version },
    host: os.hostname(),
    started: staging.started,
    finished: new Date().toISOString(),
    resumed: staging.resumed,
    redacted: plan.redact,
    devices: plan.devices.map(({ name, folder }) => {
      const identity = staging.identity(folder)
      return { name, folder, identity: identity === undefined ? null : { ...identity } }
    }),
    items: found.map(({ taken }) => taken),
  }
  const root = path.basename(output).replace(/(?:\.tar\.gz|\.tgz)$/, '') || 'bundle'
  const plain = found.map(({ taken }): Member => ({ item: taken, content: inStaging(staging, taken) }))
  const made =
    plan.redact.length === 0
      ? { root, manifest: draft, members: plain, warnings: [] }
      : await redacted(draft, root, found, staging, stop)
  const written = await writeBundle(made.root, made.manifest, made.members, output, force, stop)
  return { manifest: made.manifest, warnings: made.warnings, ...written }
}

const ofDevice = ({ folder, items }: Plan['devices'][number]): { item: Item; device: string }[] =>
  items.map((item) => ({ item, device: folder }))

const inStaging = (staging: Staging, { file }: BundleItem): { file: string } | undefined =>
  file === null ? undefined : { file: staging.at(file) }

interface Made {
  readonly root: string
  readonly manifest: Manifest
  readonly members: readonly Member[]
  readonly warnings: readonly string[]
}

/** Everything is looked through before anything is replaced: what one file tells is found in all of them. */
async function redacted(
  draft: Manifest,
  root: string,
  found: readonly { readonly item: Item; readonly taken: BundleItem }[],
  staging: Staging,
  stop: () => void,
): Promise<Made> {
  const redaction = new Redaction(new Set(draft.redacted))
  redaction.learnName('hostname', os.hostname())
  const texts = found.filter(({ item, taken }) => item.form !== 'bytes' && taken.file !== null)
  for (const { item, taken } of texts) {
    await turn(stop)
    redaction.learn(readFileSync(staging.at(taken.file ?? ''), 'utf8'), item.form === 'json')
  }
  redaction.learn(JSON.stringify(draft), true)
  rmSync(staging.at(REDACTED), { recursive: true, force: true })
  const members: Member[] = []
  const warnings: string[] = []
  for (const { item, taken } of found) {
    await turn(stop)
    const member = redactMember(redaction, item, taken, staging)
    if (member.content === undefined && taken.file !== null)
      warnings.push(`${taken.device ?? 'host'} ${item.name} is left out: ${member.item.reason ?? ''}`)
    members.push(member)
  }
  const manifest = redactedManifest({ ...draft, items: members.map(({ item }) => item) }, redaction)
  const named = members.map(({ content }, index): Member => {
    const item = manifest.items[index]
    if (item === undefined) throw new Error('the manifest has lost an item')
    return { item, content }
  })
  return { root: redaction.redactText(root), manifest, members: named, warnings }
}

/** Signals get through between two files. */
async function turn(stop: () => void): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  stop()
}

function redactMember(redaction: Redaction, { form }: Item, taken: BundleItem, staging: Staging): Member {
  if (taken.file === null) return { item: taken, content: undefined }
  const without = (reason: string): Member => ({
    item: { ...taken, status: 'left-out', reason, file: null, size: null, sha256: null },
    content: undefined,
  })
  const text = redaction.redact(readFileSync(staging.at(taken.file), 'utf8'), form === 'json')
  if (!redaction.isClean(text, form === 'json')) return without('something that was to be redacted is still in it')
  const bytes = Buffer.from(text)
  const file = path.join(staging.at(REDACTED), taken.file)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return { item: { ...taken, size: bytes.length, sha256 }, content: { file } }
}

/** The manifest comes first: who looks into the bundle need not read all of it. */
async function writeBundle(
  root: string,
  manifest: Manifest,
  members: readonly Member[],
  output: string,
  force: boolean,
  stop: () => void,
): Promise<Pick<Bundle, 'size' | 'sha256'>> {
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
  const entries: ArchiveEntry[] = [{ path: `${root}/manifest.json`, size: text.length, content: text }]
  for (const { item, content } of members)
    if (content !== undefined && item.file !== null)
      entries.push({ path: `${root}/${item.file}`, size: item.size ?? 0, content })
  // It tells much of the host: nobody else may read it.
  const file = await openOutput(output, force, stop, 0o600)
  try {
    await writeArchive(entries, new Date(manifest.started), async (piece) => {
      stop()
      await file.write(piece)
    })
    await file.commit()
  } catch (error) {
    const kept = await file.abandon()
    // All of it is in the staging folder.
    if (kept !== undefined) rmSync(kept, { force: true })
    throw error
  }
  return { size: file.written, sha256: await hashOf(output) }
}
