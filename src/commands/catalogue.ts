import { UsageError } from '../device/errors'
import { columns } from '../render/columns'
import { openFacts } from './session'
import type { Context, Result } from './types'

export async function run(context: Context, [verb = '', ...files]: readonly string[]): Promise<Result> {
  if (verb === 'info' && files.length === 0) return info()
  if (verb === 'import' && files.length > 0) return importFiles(context, files)
  throw new UsageError('catalogue takes info, or import FILE...')
}

function info(): Result {
  const { info: files } = openFacts().catalogue
  return {
    data: { files },
    records: files,
    text: () =>
      files
        .map(({ path, hash, sources, counts }) =>
          columns([
            ['File:', path],
            ['Hash:', hash],
            ...sources.map(({ name, version }) => ['Source:', `${name} (${version})`]),
            ...Object.entries(counts).map(([kind, count]) => [`${kind}:`, String(count)]),
          ]),
        )
        .join('\n'),
  }
}

async function importFiles({ own }: Context, files: readonly string[]): Promise<Result> {
  const { importForUser } = await import('../prm/import/user-catalogue')
  const { file, entries, problems } = await importForUser(files, typeof own.name === 'string' ? own.name : 'import')
  const counts = Object.fromEntries(Object.entries(entries).map(([kind, list]) => [kind, (list as unknown[]).length]))
  return {
    data: { file, counts, problems },
    text: () =>
      columns([['File:', file], ...Object.entries(counts).map(([kind, count]) => [`${kind}:`, String(count)])]),
    warnings: problems.map((problem) => `${problem.file}:${problem.line}: ${problem.message}`),
  }
}
