// Makes catalogue/*.jsonl from the kernel headers in .sources/ (scripts/fetch-sources.sh) and the supplement.
// usage: node scripts/catalogue.mjs [--check]
// --check compares with the committed text: exit 1 when it differs, 3 when the header at hand is another version than the
// catalogue was made from, 4 when there is none.
import { build } from 'esbuild'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = path.join(root, 'catalogue')
const check = process.argv.includes('--check')
const headers = ['mlx5_ifc.h', 'mlx5_ifc_fpga.h', 'device.h', 'driver.h']
const series = '7.2'

const adbFile = path.join(root, '.sources/mstflint-sid/usr/share/mstflint/prm_dbs/hca/ext/register_access_table.adb')
const databaseFile = path.join(root, '.sources/mstflint-sid/usr/share/mstflint/mlxconfig_dbs/mlxconfig_host.db')
const source = existsSync(adbFile) ? newestSource() : undefined
if (source === undefined) {
  console.error(
    `catalogue: no headers of Linux ${series}, or no register file of mstflint, in .sources/; run scripts/fetch-sources.sh`,
  )
  process.exit(4)
}
const adbText = readFileSync(adbFile, 'utf8')
const files = headers.map((name) => ({ name, text: readFileSync(path.join(source, name), 'utf8') }))
const sources = describeSources()
const changed = sources.headers.some(({ sha256 }, index) => sha256 !== committedSources().headers[index]?.sha256)
if (check && (changed || sources.adb.sha256 !== committedSources().adb?.sha256)) {
  console.error(
    `catalogue: ${path.basename(source)} or mstflint's register file is not what the catalogue was made from`,
  )
  process.exit(3)
}

const made = await generate()
const differing = Object.entries(made).filter(([name, text]) => read(name) !== text)
if (check) {
  for (const [name, text] of differing)
    console.error(`catalogue: ${name} differs: ${firstDifference(read(name), text)}`)
  process.exit(differing.length > 0 ? 1 : 0)
}
for (const [name, text] of differing) writeFileSync(path.join(folder, name), text)
console.log(`catalogue: ${Object.keys(made).length} files made, ${differing.length} changed`)

async function generate() {
  const {
    importHeaders,
    importAdb,
    importDumpTable,
    importNvDatabase,
    dumpTableIds,
    reconcile,
    applySupplement,
    entryKinds,
    writeLine,
    report,
  } = await importer()
  const imported = importHeaders(files)
  const supplement = readFileSync(path.join(folder, 'supplement.jsonl'), 'utf8')
  const kernel = applySupplement(imported.entries, supplement, 'catalogue/supplement.jsonl')
  const adb = importAdb(adbText, 'register_access_table.adb')
  const registers = reconcile(kernel, adb.entries)
  const dumps = Object.keys(dumpTableIds).map((name) =>
    importDumpTable(readFileSync(tableFile(name), 'utf8'), `${name}.csv`, name),
  )
  const configuration = await importNvDatabase(databaseFile)
  // Descriptions are no facts.
  const tlvs = configuration.tlvs.map(({ text: _, parameters, ...tlv }) => ({
    ...tlv,
    parameters: parameters.map(({ text: __, ...parameter }) => parameter),
  }))
  const entries = { ...registers.entries, dumps, tlvs }
  const texts = Object.fromEntries(
    entryKinds.map((kind) => [`${kind}.jsonl`, entries[kind].map((entry) => `${writeLine[kind](entry)}\n`).join('')]),
  )
  const described = {
    ...sources,
    sources: [
      { name: 'Linux mlx5 headers', version: sources.package },
      { name: 'mstflint access registers (HCA)', version: adb.version },
      { name: 'mstflint dump tables', version: hash(JSON.stringify(dumps)).slice(0, 12) },
      { name: 'mstflint configuration database (host)', version: hash(JSON.stringify(tlvs)).slice(0, 12) },
      { name: 'supplement', version: hash(supplement).slice(0, 12) },
    ],
  }
  return {
    ...texts,
    'sources.json': `${JSON.stringify(described, null, 2)}\n`,
    'REPORT.md': report(
      { ...imported, problems: [...imported.problems, ...adb.problems, ...configuration.problems] },
      entries,
      registers,
    ),
  }
}

/** The importer is TypeScript: bundled into a temporary file and loaded from there. */
async function importer() {
  const directory = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-import-'))
  try {
    const outfile = path.join(directory, 'importer.cjs')
    await build({
      entryPoints: [path.join(root, 'src/prm/import/index.ts')],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      logLevel: 'warning',
    })
    const wasm = 'node-sqlite3-wasm.wasm'
    copyFileSync(path.join(root, 'node_modules/node-sqlite3-wasm/dist', wasm), path.join(directory, wasm))
    return createRequire(import.meta.url)(outfile)
  } finally {
    process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  }
}

/** Beside the register file: usr/share/mstflint. */
function tableFile(name) {
  return path.join(root, '.sources/mstflint-sid/usr/share/mstflint', `${name}.csv`)
}

function newestSource() {
  const sourcesFolder = path.join(root, '.sources')
  if (!existsSync(sourcesFolder)) return undefined
  const found = readdirSync(sourcesFolder).filter((name) => name.startsWith(`linux-headers-${series}.`))
  const newest = found.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  return newest === undefined ? undefined : path.join(sourcesFolder, newest)
}

function describeSources() {
  return {
    // A later package with the same headers is the same source.
    package: check ? committedSources().package : path.basename(source),
    licence: 'GPL-2.0 OR Linux-OpenIB; facts only: names, numbers, offsets, widths',
    headers: files.map(({ name, text }) => ({ name, sha256: hash(text) })),
    adb: { name: 'register_access_table.adb (mstflint, hca)', sha256: hash(adbText) },
  }
}

function committedSources() {
  return JSON.parse(read('sources.json') ?? '{"headers":[]}')
}

function read(name) {
  const file = path.join(folder, name)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

function hash(text) {
  return createHash('sha256').update(text).digest('hex')
}

function firstDifference(before = '', after = '') {
  const a = before.split('\n')
  const b = after.split('\n')
  const line = b.findIndex((text, index) => text !== a[index])
  return line < 0
    ? `${a.length} lines instead of ${b.length}`
    : `line ${line + 1}: ${(a[line] ?? '').slice(0, 100)} -> ${b[line].slice(0, 100)}`
}
