// Builds dist/: the bundled command line and library, the packed catalogue, the device profiles and the native addon.
// usage: node scripts/build.mjs [--types]
import { build, transform } from 'esbuild'
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const at = (...parts) => path.join(root, ...parts)
const require = createRequire(import.meta.url)

/** commander starts executables for sub-commands, which there are none of here; loading what that needs costs milliseconds. */
const withoutChildProcess = {
  name: 'commander-without-child-process',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes('commander') ? { path: 'child-process', namespace: 'empty' } : undefined,
    )
    esbuild.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'module.exports = {}' }))
  },
}

/** A CommonJS package has a default export alone once it is split off: its names are exported one by one. */
const withNames = {
  name: 'names-of-commonjs',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^[a-z@]/ }, ({ path: name, kind, namespace }) =>
      kind === 'dynamic-import' && namespace !== 'named' && isCommonJs(name)
        ? { path: name, namespace: 'named' }
        : undefined,
    )
    esbuild.onLoad({ filter: /.*/, namespace: 'named' }, ({ path: name }) => ({
      resolveDir: root,
      contents: `import * as whole from '${name}'\nexport default whole.default\nexport const { ${namesOf(name).join(', ')} } = whole`,
    }))
  },
}

const namesOf = (name) =>
  Object.keys(require(name)).filter((one) => /^[A-Za-z_$][\w$]*$/.test(one) && one !== 'default')

function isCommonJs(name) {
  if (isBuiltin(name)) return false
  try {
    return namesOf(name).length > 0
  } catch (error) {
    if (error.code === 'ERR_REQUIRE_ESM') return false
    throw error
  }
}

mkdirSync(at('dist', 'native'), { recursive: true })
collectLicences(await bundle())
packCatalogue()
copyProfiles()
copySqlite()
buildAddon()
if (process.argv.includes('--types')) emitTypes()

/**
 * What is imported when it is needed lies in files of its own: whatever is in a file that is loaded is compiled at every start.
 * esbuild splits ES modules alone, and Node loads CommonJS faster, so that each file is made into that afterwards.
 */
async function bundle() {
  const entries = {
    cli: 'src/program.ts',
    index: 'src/index.ts',
    'emulate-server': 'src/emulator/server.ts',
    pack: 'src/prm/pack.ts',
  }
  const { metafile, outputFiles } = await build({
    entryPoints: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, at(file)])),
    outdir: at('dist'),
    metafile: true,
    write: false,
    bundle: true,
    splitting: true,
    // Beside the entries: data files are looked for in the folder of the code.
    chunkNames: '[name]-[hash]',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    minify: true,
    keepNames: false,
    legalComments: 'none',
    define: { 'process.env.MLX5CTL_VERSION': JSON.stringify(require(at('package.json')).version) },
    logLevel: 'warning',
    plugins: [withoutChildProcess, withNames],
  })
  const commonjs = { format: 'cjs', platform: 'node', target: 'node20', supported: { 'dynamic-import': false } }
  const made = new Set()
  for (const { path: file, text } of outputFiles) {
    const { code } = await transform(text, { ...commonjs, minify: true, legalComments: 'none' })
    // What is the same stays: programs that run meanwhile load it.
    if (!existsSync(file) || readFileSync(file, 'utf8') !== code) writeFileSync(file, code)
    made.add(path.basename(file))
  }
  for (const name of readdirSync(at('dist')).filter((one) => one.endsWith('.js') && !made.has(one)))
    rmSync(at('dist', name))
  return Object.keys(metafile.inputs)
}

/** The licence texts of what is in the bundles, which their licences want to go along. */
function collectLicences(inputs) {
  const names = new Set(inputs.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []))
  const texts = [...names].sort().map((name) => {
    const folder = at('node_modules', name)
    const { version, license } = require(path.join(folder, 'package.json'))
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    const text =
      file === undefined
        ? `It has no file with the text of its licence; its package.json says ${license}.`
        : readFileSync(path.join(folder, file), 'utf8').trim()
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  writeFileSync(at('dist', 'THIRD-PARTY-LICENSES.txt'), texts.join(`\n${'-'.repeat(80)}\n\n`))
}

function packCatalogue() {
  const packer = at('dist', 'pack.js')
  if (!existsSync(packer)) return console.error('build: no packer yet, catalogue skipped')
  writeFileSync(at('dist', 'catalogue.bin'), require(packer).packDirectory(at('catalogue')))
  rmSync(packer)
}

/** The SQLite library looks for its other half beside itself. */
function copySqlite() {
  const wasm = 'node-sqlite3-wasm.wasm'
  copyFileSync(at('node_modules', 'node-sqlite3-wasm', 'dist', wasm), at('dist', wasm))
}

function copyProfiles() {
  mkdirSync(at('dist', 'devices'), { recursive: true })
  for (const file of readdirSync(at('fixtures', 'devices')).filter((name) => name.endsWith('.json')))
    copyFileSync(at('fixtures', 'devices', file), at('dist', 'devices', file))
}

/** Without a compiler everything but real device nodes works, so its absence is told and is not a failure. */
function buildAddon() {
  const sources = readdirSync(at('native'))
    .filter((name) => name.endsWith('.c'))
    .map((name) => at('native', name))
  if (sources.length === 0) return
  const output = at('dist', 'native', `${process.platform}-${process.arch}.node`)
  const compiler = process.env.CC || ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0)
  if (!compiler) {
    rmSync(output, { force: true })
    return console.error(
      'build: no C compiler (cc, gcc or clang): the native addon is not built; real device nodes will not open',
    )
  }
  const include = require('node-api-headers').include_dir
  const flags = [
    '-std=gnu11',
    '-shared',
    '-fPIC',
    '-O2',
    '-Wall',
    '-Wextra',
    '-Wno-unused-parameter',
    '-Werror',
    '-fvisibility=hidden',
    '-pthread',
  ]
  const run = spawnSync(compiler, [...flags, `-I${include}`, '-o', output, ...sources], { stdio: 'inherit' })
  if (run.status === 0) return
  rmSync(output, { force: true })
  console.error(`build: ${compiler} could not build the native addon; real device nodes will not open`)
  process.exitCode = run.status === null ? 0 : 1
}

function emitTypes() {
  const run = spawnSync('npx', ['tsc', '-p', 'tsconfig.types.json'], { cwd: root, stdio: 'inherit' })
  if (run.status !== 0) process.exitCode = 1
}
