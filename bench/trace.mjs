// The firmware trace: events decoded a second, in process, against reading the same bytes as numbers in the same run.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary, root } from './support/library.mjs'

const BLOCKS = 1024
const EVENTS = 32
const TURNS = 7
const BASE = 0x20000000
const strings = [
  'port %d: link goes up, speed 0x%04x, %u lanes',
  'cmd: opcode 0x%x op_mod 0x%x done in %u us',
  'page at 0x%llx mapped for function %u',
  'counter 0x%08X',
  'a message without parameters',
]
const parameters = [3, 3, 3, 1, 0]

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const modules = ['decoder', 'strings', 'ring'].map((name) => `prm/firmware-trace/${name}`)
    return [...measure(await loadLibrary(folder, modules)), ...whole(folder)]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A ring as a device fills it: 256 KiB, 32,768 events, messages one after the other, each with a timestamp behind it. */
function ring() {
  const bytes = Buffer.alloc(BLOCKS * EVENTS * 8)
  const addresses = strings.map(
    (_, index) => BASE + strings.slice(0, index).reduce((sum, text) => sum + text.length + 1, 0),
  )
  let slot = 0
  let time = 1000
  const put = (head, value) => {
    if (slot % EVENTS === EVENTS - 1) stamp()
    bytes.writeUInt32BE(head >>> 0, slot * 8)
    bytes.writeUInt32BE(value >>> 0, slot * 8 + 4)
    slot++
  }
  const stamp = () => {
    bytes.writeUInt32BE(((((time + 1) & 0xff) << 24) | (0xff << 16)) >>> 0, slot * 8)
    bytes.writeUInt32BE((time + 1) >>> 8, slot * 8 + 4)
    slot++
  }
  for (let message = 0; slot < BLOCKS * EVENTS - 10; message++) {
    time += 300
    const which = message % strings.length
    const head = ((time & 0x7f) << 24) | ((32 + (message % 12)) << 16) | ((message & 0x1fff) << 3)
    put(head, addresses[which])
    for (let part = 1; part <= parameters[which]; part++)
      put(head | part, Math.imul(message, 0x9e3779b1) >>> (part * 3))
    if (slot % EVENTS === EVENTS - 1 || slot % 4 === 0) stamp()
  }
  while (slot < BLOCKS * EVENTS) stamp()
  return bytes
}

function measure({ TraceDecoder, StringsDatabase, RingReader }) {
  const bytes = ring()
  const database = new StringsDatabase(
    [{ base: BASE, bytes: Buffer.from(strings.map((text) => `${text}\0`).join('')) }],
    {
      version: 0,
      firstString: 32,
      stringCount: 12,
    },
  )
  const decoder = new TraceDecoder(database)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const rate = (work) => {
    let best = 0
    for (let turn = 0; turn < TURNS; turn++) {
      const start = process.hrtime.bigint()
      for (let round = 0; round < 8; round++) work()
      best = Math.max(best, (8 * BLOCKS * EVENTS) / (Number(process.hrtime.bigint() - start) / 1e9))
    }
    return best
  }
  let sum = 0
  const decoded = rate(() => (sum += decoder.push(bytes).length))
  const read = rate(() => {
    for (let at = 0; at < bytes.length; at += 4) sum += view.getUint32(at)
  })
  // Only what has just been written comes: as a live ring that has been filled since the last look.
  const polled = rate(() => {
    for (const part of new RingReader(bytes).poll()) sum += decoder.push(part.bytes).length
  })
  if (sum === 0) throw new Error('nothing was decoded')
  const peer = 'reading the same bytes as numbers'
  return [
    {
      name: 'firmware trace: events decoded to messages',
      value: decoded / 1e6,
      unit: 'M/s',
      peer,
      peerValue: read / 1e6,
    },
    {
      name: 'firmware trace: polled from a full ring and decoded',
      value: polled / 1e6,
      unit: 'M/s',
      peer,
      peerValue: read / 1e6,
    },
  ]
}

/** A whole process over a saved ring of 8 MiB, a million events, to lines of text. */
function whole(folder) {
  const [file, saved] = [path.join(folder, 'ring.bin'), path.join(folder, 'strings.json')]
  const one = ring()
  // The same messages again and again, each time later: blocks one after the other.
  const rings = Array.from({ length: 32 }, (_, index) => later(one, index))
  writeFileSync(file, Buffer.concat(rings))
  const data = Buffer.from(strings.map((text) => `${text}\0`).join(''))
  const section = { base: '0x20000000', size: data.length, sha256: createHash('sha256').update(data).digest('hex') }
  const document = {
    format: 'mlx5ctl-fwtrace-strings',
    version: 1,
    trace: { version: 0, firstString: 32, stringCount: 12, frequencyKilohertz: null },
    sections: [{ ...section, data: data.toString('base64') }],
  }
  writeFileSync(saved, JSON.stringify(document))
  const least = (command, ...words) => {
    let best = Infinity
    for (let turn = 0; turn < 3; turn++) {
      const start = process.hrtime.bigint()
      const { status } = spawnSync(command, words, { stdio: 'ignore' })
      if (status !== 0) throw new Error(`${command} ended with ${status}`)
      best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e9)
    }
    return best
  }
  const ours = least(process.execPath, path.join(root, 'bin/mlx5ctl.js'), 'fwtrace', '--from', file, '--strings', saved)
  const events = 32 * BLOCKS * EVENTS
  return [
    {
      name: 'fwtrace --from, a million events to lines of text, whole process',
      value: events / ours / 1e6,
      unit: 'M/s',
      peer: 'od -t x4 of the same file',
      peerValue: events / least('od', '-A', 'n', '-t', 'x4', file) / 1e6,
    },
  ]
}

/** A copy of a ring whose timestamps are later by 2^28 ticks, `times` times. */
function later(bytes, times) {
  const copy = Buffer.from(bytes)
  for (let at = 0; at < copy.length; at += 8)
    if (copy[at + 1] === 0xff) copy.writeUInt32BE(copy.readUInt32BE(at + 4) + times * 2 ** 20, at + 4)
  return copy
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
