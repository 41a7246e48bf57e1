import { MalformedData } from '../prm/errors'
import { dataOf } from './facts'
import type { BundleItem, Manifest } from './manifest'
import { bundleLimits, openBundle, type BundleFile, type BundleLimits } from './read'

/** What is wrong with one file of a bundle, or with what the manifest says of it. */
export interface BundleProblem {
  /** Path of the file, or name of the item where it has none; manifest.json for the manifest; null for the bundle as a whole. */
  readonly path: string | null
  readonly problem: 'size' | 'sha256' | 'missing' | 'extra' | 'json' | 'manifest' | 'damaged'
  readonly message: string
}

export interface Verification {
  /** Undefined when it could not be read. */
  readonly manifest: Manifest | undefined
  /** Files of items that are as the manifest says. */
  readonly good: number
  readonly problems: readonly BundleProblem[]
}

/**
 * Compares every file of a bundle with the manifest: size, SHA-256, that none is missing and none too many; that the manifest
 * contradicts itself nowhere; and that what is called JSON is some. Reads on after a mismatch, so that all of them are told.
 * @throws what the system says when the file cannot be read; that it is damaged is a problem like others
 */
export async function verifyBundle(file: string, limits: BundleLimits = bundleLimits): Promise<Verification> {
  const problems: BundleProblem[] = []
  const found = new Set<string>()
  let manifest: Manifest | undefined
  let good = 0
  try {
    const bundle = await openBundle(file, limits)
    try {
      manifest = bundle.manifest
      problems.push(...contradictions(manifest))
      const items = new Map(manifest.items.flatMap((item) => (item.file === null ? [] : [[item.file, item]])))
      for await (const one of bundle.files((path) => (path.endsWith('.json') ? 'keep' : 'hash'))) {
        found.add(one.path)
        const problem = problemOf(items.get(one.path), one)
        if (problem === undefined) good++
        else problems.push(problem)
      }
      for (const path of items.keys())
        if (!found.has(path))
          problems.push({ path, problem: 'missing', message: 'is in the manifest, but not in the bundle' })
    } finally {
      bundle.close()
    }
  } catch (error) {
    if (!(error instanceof MalformedData)) throw error
    const { message } = error
    const shown = file === '-' ? 'stdin' : file
    problems.push({
      path: error.path.endsWith(': manifest.json') ? 'manifest.json' : null,
      problem: error.path.endsWith(': manifest.json') ? 'manifest' : 'damaged',
      message: message.startsWith(`${shown}: `)
        ? message.slice(shown.length + 2).replace(/^manifest\.json: /, '')
        : message,
    })
  }
  return { manifest, good, problems }
}

function problemOf(item: BundleItem | undefined, { path, size, sha256, bytes }: BundleFile): BundleProblem | undefined {
  if (item === undefined) return { path, problem: 'extra', message: 'is in the bundle, but not in the manifest' }
  if (item.size !== size)
    return { path, problem: 'size', message: `has ${size} bytes, and ${item.size ?? 0} by the manifest` }
  if (item.sha256 !== sha256)
    return {
      path,
      problem: 'sha256',
      message: `has the SHA-256 ${sha256 ?? ''}, and ${item.sha256 ?? ''} by the manifest`,
    }
  try {
    if (bytes !== undefined) dataOf(path, bytes)
  } catch (error) {
    if (!(error instanceof MalformedData)) throw error
    return { path, problem: 'json', message: error.message.slice(path.length + 2) }
  }
  return undefined
}

/** Where a manifest says two things of one item. */
function* contradictions({ items, started, finished }: Manifest): Generator<BundleProblem> {
  if (Date.parse(finished) < Date.parse(started))
    yield { path: 'manifest.json', problem: 'manifest', message: 'it was finished before it was started' }
  const seen = new Set<string>()
  for (const item of items) {
    const path = item.file ?? `${item.device ?? 'host'}: ${item.name}`
    const key = `${item.device ?? ''}\n${item.name}`
    for (const message of [...contradictionsOf(item), ...(seen.has(key) ? ['there are two items of this name'] : [])])
      yield { path, problem: 'manifest', message }
    seen.add(key)
  }
}

function* contradictionsOf({ status, file, reason, exit }: BundleItem): Generator<string> {
  const hasFile = file !== null
  if ((status === 'ok' || status === 'partial') && !hasFile) yield `it is ${status}, and has no file`
  if (status === 'left-out' && hasFile) yield 'it is left out, and has a file'
  if (status === 'ok' && exit.code !== 0) yield `it is ok, and the exit code is ${exit.code}`
  if (status === 'failed' && exit.code === 0) yield 'it failed, and the exit code is 0'
  if (status !== 'ok' && reason === null) yield `it is ${status}, and nothing says why`
}
