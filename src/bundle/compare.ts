import { MalformedData } from '../prm/errors'
import { hasFacts, type IndexFields } from './facts'
import { compareText, Fleet, type Grouping, type UnreadableItem } from './fleet'
import { bundleLimits, readBundle, type BundleLimits } from './read'
import type { PopulationReport } from './report'

export interface CompareOptions {
  readonly by?: Grouping
  readonly indexFields?: IndexFields
  readonly limits?: BundleLimits
  /** A bundle was read, or could not be. */
  readonly onBundle?: (file: string) => void
  /** Asked between two bundles; throws to end it. */
  readonly stop?: () => void
}

export interface Comparison {
  /** Bundles that were compared. */
  readonly bundles: number
  readonly devices: number
  /** Bundles that could not be read, by name. */
  readonly skipped: readonly { readonly file: string; readonly reason: string }[]
  /** Items that could not be understood. */
  readonly unreadable: readonly UnreadableItem[]
  /** By name; that of the hosts comes last. */
  readonly populations: readonly PopulationReport[]
}

/** Bundles that are read at a time: they are unpacked beside the decoding of another one. */
const AT_ONCE = 4

/**
 * Compares many bundles, each of which is read once and then forgotten: what is kept is a tally for each field. The result is the
 * same whatever the order of the files. A bundle that cannot be read to its end is skipped as a whole, and named.
 */
export async function compareBundles(files: readonly string[], options: CompareOptions = {}): Promise<Comparison> {
  const { by = 'psid', indexFields = () => [] } = options
  const fleet = new Fleet(by, indexFields)
  const skipped: { file: string; reason: string }[] = []
  let bundles = 0
  for await (const { file, read, error } of readAhead(files, options)) {
    options.stop?.()
    if (read === undefined) skipped.push({ file, reason: reasonOf(file, error) })
    else {
      fleet.add(file, read.manifest, read.items)
      bundles++
    }
    options.onBundle?.(file)
  }
  const byFile = (a: { file: string }, b: { file: string }): number => compareText(a.file, b.file)
  return {
    bundles,
    devices: fleet.deviceCount,
    skipped: skipped.sort(byFile),
    unreadable: fleet.unreadable.sort((a, b) => byFile(a, b) || compareText(a.item, b.item)),
    populations: fleet.report(),
  }
}

type ReadBundle = Awaited<ReturnType<typeof readBundle>>
type Attempt =
  | { readonly file: string; readonly read: ReadBundle; readonly error: undefined }
  | { readonly file: string; readonly read: undefined; readonly error: Error }

/** In the order of the files, a few of them at once. */
async function* readAhead(
  files: readonly string[],
  { limits: given = bundleLimits }: CompareOptions,
): AsyncGenerator<Attempt> {
  const limits = { ...given, held: given.held / AT_ONCE }
  const running: Promise<Attempt>[] = []
  let next = 0
  while (next < files.length || running.length > 0) {
    while (running.length < AT_ONCE && next < files.length) {
      const reading = attempt(files[next++] ?? '', limits)
      // It is waited for later; that it failed is told then.
      reading.catch(() => undefined)
      running.push(reading)
    }
    const first = running.shift()
    if (first !== undefined) yield await first
  }
}

async function attempt(file: string, limits: BundleLimits): Promise<Attempt> {
  try {
    return { file, read: await readBundle(file, hasFacts, limits), error: undefined }
  } catch (error) {
    if (!isAboutBundle(error)) throw error
    return { file, read: undefined, error }
  }
}

/** Damaged, no bundle, or not there; anything else is a defect of this tool. */
const isAboutBundle = (error: unknown): error is Error =>
  error instanceof MalformedData || typeof (error as NodeJS.ErrnoException).syscall === 'string'

const reasonOf = (file: string, { message }: Error): string =>
  message.startsWith(`${file}: `) ? message.slice(file.length + 2) : message
