// npm run bench [NAME ...]: runs the benchmarks one after the other and prints one table. Every row stands beside a peer or a
// floor measured in the same run; nothing here passes or fails.
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const wanted = process.argv.slice(2)
const files = readdirSync(here)
  .filter((name) => name.endsWith('.mjs') && name !== 'run.mjs')
  .sort()
const rows = []
for (const file of files) {
  const name = path.basename(file, '.mjs')
  if (wanted.length > 0 && !wanted.includes(name)) continue
  process.stderr.write(`bench: ${name}\n`)
  const { rows: measure } = await import(pathToFileURL(path.join(here, file)).href)
  rows.push(...(await measure()))
}
const cells = rows.map((row) => [
  row.name,
  `${format(row.value)} ${row.unit}`,
  row.peer,
  row.peerValue === undefined ? '-' : `${format(row.peerValue)} ${row.unit}`,
  row.peerValue === undefined ? '-' : (row.value / row.peerValue).toFixed(2),
])
print([['what', 'ours', 'against', 'theirs', 'ratio'], ...cells])

function format(value) {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value < 10 ? 2 : 1)
}

function print(table) {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => String(row[column]).length)))
  for (const row of table)
    console.log(
      row
        .map((cell, column) =>
          column === 0 || column === 2 ? String(cell).padEnd(widths[column]) : String(cell).padStart(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
}
