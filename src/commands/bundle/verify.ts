import { verifyBundle, type Verification } from '../../bundle/verify'
import { MalformedData } from '../../prm/errors'
import { columns } from '../../render/columns'
import { Progress } from '../../render/progress'
import { shownText } from '../../render/shown'
import type { Context, Result } from '../types'
import { checkFile } from './files'

/** Whether bundles are what their manifests say; exit 7 when one is not. */
export async function verifyFiles(context: Context, files: readonly string[]): Promise<Result> {
  for (const file of files) checkFile(file)
  const progress = new Progress('bundles', files.length, context.interactive())
  const verified: { file: string; result: Verification }[] = []
  try {
    for (const file of files) {
      verified.push({ file, result: await verifyBundle(file) })
      void progress.step()
    }
  } finally {
    progress.stop()
  }
  const bundles = verified.map(({ file, result: { manifest, good, problems } }) => ({
    file,
    ok: problems.length === 0,
    host: manifest?.host ?? null,
    good,
    problems,
  }))
  const bad = bundles.filter(({ ok }) => !ok)
  return {
    data: { bundles },
    records: bundles,
    text: () => bundles.map(bundleText).join(''),
    verdict: bad.length === 0 ? undefined : verdict(bad[0]?.file ?? '', bad.length, files.length),
  }
}

const verdict = (first: string, bad: number, all: number): MalformedData =>
  all === 1
    ? new MalformedData(first, 'is not what its manifest says')
    : new MalformedData('bundle verify', `${bad} of ${all} bundles are not what their manifests say`)

function bundleText({
  file,
  good,
  problems,
}: {
  readonly file: string
  readonly good: number
  readonly problems: Verification['problems']
}): string {
  if (problems.length === 0) return `${shownText(file)}: ok, ${good} files\n`
  const rows = problems.map(({ path, problem, message }) => [
    '  bad',
    problem,
    shownText(`${path === null ? '' : `${path} `}${message}`),
  ])
  return `${shownText(file)}: bad, ${good} files are good\n${columns(rows)}`
}
