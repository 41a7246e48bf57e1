// The library as it is in the sources, for benchmarks of its inner parts.
import { build } from 'esbuild'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** Bundles modules into a folder and loads them; all that they export is one object. */
export async function loadLibrary(folder, modules) {
  const outfile = path.join(folder, 'library.cjs')
  const contents = modules.map((name) => `export * from './src/${name}'`).join('\n')
  await build({
    stdin: { contents, resolveDir: root },
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'warning',
  })
  return createRequire(import.meta.url)(outfile)
}

/** The built-in catalogue and a codec over it. */
export function openFacts({ Codec, openCatalogue }) {
  const catalogue = openCatalogue([path.join(root, 'dist/catalogue.bin')])
  return { catalogue, codec: new Codec(catalogue) }
}
