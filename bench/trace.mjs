// The firmware trace: events decoded a second, in process, against reading the same bytes as numbers in the same run.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary } from './support/library.mjs'

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
    return measure(await loadLibrary(folder, modules))
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
  for (let message = 0; slot + 8 < BLOCKS * EVENTS - 8; message++) {
    time += 300
    const which = message % strings.length
    const head = ((time & 0x7f) << 24) | ((32 + (message % 12)) << 16) | ((message & 0x1fff) << 3)
    put(head, addresses[which])
    for (let part = 1; part <= parameters[which]; part++)
      put(head | part, Math.imul(message, 0x9e3779b1) >>> (part * 3))
    if (slot % EVENTS === EVENTS - 1 || slot % 4 === 0) stamp()
  }
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

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
