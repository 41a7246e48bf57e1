// Reading firmware files: all checksums of a 16 MB image, in process beside zlib's CRC32 over the same bytes, and as a whole
// process beside mstflint.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import { loadLibrary, root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const mstflint = path.join(root, '.sources/mstflint-sid')
const TURNS = 5
const SECTION = 4 * 2 ** 20

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const { parseImage, buildImage, filler } = await loadLibrary(folder, [
      'prm/firmware-image/firmware-file',
      '../test/support/firmware-builder',
    ])
    const sections = [3, 2, 0x11, 0x20].map((type) => ({ type, data: filler(SECTION, type) }))
    const { bytes } = buildImage({ sections, slotLog: 25 })
    const file = path.join(folder, 'image.bin')
    writeFileSync(file, bytes)
    return [...inProcess(bytes, parseImage), ...wholeProcess(file, bytes.length)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Least time of several turns, as MB/s. */
function rate(length, work) {
  let best = Infinity
  for (let turn = 0; turn < TURNS; turn++) {
    const start = process.hrtime.bigint()
    work()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e3)
  }
  return length / best
}

function inProcess(bytes, parseImage) {
  return [
    {
      name: 'fw: read an image of 16 MB and check every section',
      value: rate(bytes.length, () => {
        if (parseImage(bytes).problems.length > 0) throw new Error('the image is damaged')
      }),
      unit: 'MB/s',
      peer: "zlib's CRC32 of the same bytes",
      peerValue: rate(bytes.length, () => crc32(bytes)),
    },
  ]
}

function wholeProcess(file, length) {
  if (!existsSync(mstflint)) {
    console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): no fw show beside it')
    return []
  }
  const loader = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  const libraries = `${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu`
  const theirs = [
    path.join(loader.parentPath, loader.name),
    '--library-path',
    libraries,
    `${mstflint}/usr/bin/mstflint`,
  ]
  const timed = ([program, ...words]) =>
    rate(length, () => {
      const { status, stderr } = spawnSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
      if (status !== 0) throw new Error(`${words.join(' ')}: ${stderr}`)
    })
  return [
    {
      name: 'fw show of an image of 16 MB, whole process',
      value: timed([process.execPath, bin, 'fw', 'show', file]),
      unit: 'MB/s',
      peer: 'mstflint -i FILE v',
      peerValue: timed([...theirs, '-i', file, 'v']),
    },
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
