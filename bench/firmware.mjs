// Firmware: a query of many cards in one process, and the throughput of an update; each against a peer or a floor in the same run.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLibrary, openFacts, root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const mstflint = path.join(root, '.sources/mstflint-sid')
const share = 'usr/share/mstflint'
const ours = `${process.execPath} ${bin}`
const CARDS = 8
const TURNS = 3
/** Bytes that are written in the benchmark of an update. */
const IMAGE = 4 * 2 ** 20

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    return [...queries(), ...(await throughput(folder))]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const timed = `timed() { local start=$EPOCHREALTIME; "\${@:2}" >/dev/null; local end=$EPOCHREALTIME; echo "$1 $(( \${end/./} - \${start/./} ))"; }`

/** Whole processes inside one emulated machine of eight cards, over fwctl. */
function queries() {
  if (!existsSync(mstflint)) {
    console.error('bench: mstflint was not fetched (scripts/fetch-sources.sh): no query beside it')
    return []
  }
  const loader = readdirSync(mstflint, { recursive: true, withFileTypes: true }).find(
    ({ name }) => name === 'ld-linux-x86-64.so.2',
  )
  const theirs = `${path.join(loader.parentPath, loader.name)} --library-path ${mstflint}/usr/lib/x86_64-linux-gnu:${mstflint}/lib/x86_64-linux-gnu ${mstflint}/usr/bin/mstflint`
  const nodes = Array.from({ length: CARDS }, (_, index) => `fwctl${index}`)
  const script = `${timed}
    mount -t tmpfs none /usr/share && mkdir /${share} && mount --bind ${mstflint}/${share} /${share}
    all() { for node in ${nodes.join(' ')}; do ${theirs} -d $node q; done; }
    for turn in $(seq ${TURNS}); do
      timed ours ${ours} fw query ${nodes.join(' ')}
      timed theirs all
    done`
  const profiles = nodes.flatMap(() => ['--profile', 'connectx7'])
  const { stdout } = spawnSync(process.execPath, [bin, 'emulate', ...profiles, '--', 'bash', '-c', script], {
    encoding: 'utf8',
  })
  const least = (what) =>
    Math.min(...[...stdout.matchAll(new RegExp(`^${what} (\\d+)$`, 'gm'))].map(([, time]) => Number(time) / 1000))
  return [
    {
      name: `fw query of ${CARDS} cards over fwctl, one process (minimum of ${TURNS})`,
      value: least('ours'),
      unit: 'ms',
      peer: `${CARDS} runs of mstflint q`,
      peerValue: least('theirs'),
    },
  ]
}

/** In process: what an update takes for each block, beside a round trip of the same register through the same device. */
async function throughput(folder) {
  const library = await loadLibrary(folder, [
    'device/firmware/update',
    'device/registers',
    'device/device',
    'emulator/firmware/firmware',
    'emulator/faults',
    'emulator/machine',
    'emulator/profile',
    'prm/catalogue',
    'prm/codec',
  ])
  const { updateFirmware, dataImage, accessRegister, registerTarget, Device } = library
  const { catalogue, codec } = openFacts(library)
  cpSync(path.join(root, 'fixtures/devices'), path.join(folder, 'devices'), { recursive: true })
  const open = () => new Device(emulated(library, catalogue, codec), catalogue, codec)
  const image = Buffer.alloc(IMAGE, 0x5a)
  const rate = async (work) => {
    let best = Infinity
    for (let turn = 0; turn < TURNS; turn++) {
      const device = open()
      const start = process.hrtime.bigint()
      await work(device)
      best = Math.min(best, Number(process.hrtime.bigint() - start) / 1e9)
      await device.close()
    }
    return IMAGE / 1e6 / best
  }
  const update = await rate(async (device) => {
    // The bytes are no image: firmware says so once all of them came.
    await updateFirmware(device, image).catch((error) => {
      if (error.name !== 'UpdateRefused') throw error
    })
  })
  const floor = await rate(async (device) => {
    const mcc = registerTarget(catalogue, 'MCC')
    const mcda = registerTarget(catalogue, 'MCDA')
    const instruct = (values) => accessRegister(device, mcc, 'write', codec.encode(mcc.layout, values))
    await accessRegister(device, mcc, 'read', codec.encode(mcc.layout, {}))
    await instruct({ instruction: 1, update_handle: 1 })
    await instruct({ instruction: 3, update_handle: 1, component_size: IMAGE })
    for (let look = 0; look < 3; look++)
      await accessRegister(device, mcc, 'read', codec.encode(mcc.layout, { update_handle: 1 }))
    // One inbox, with another offset each time: what the door itself takes.
    const { command, inbox } = oneInbox(catalogue, mcda, dataImage(1, 0, image.subarray(0, 128)))
    const view = new DataView(inbox.buffer, inbox.byteOffset)
    for (let offset = 0; offset < IMAGE; offset += 128) {
      view.setUint32(16 + 4, offset)
      await device.transport.execute({ inbox, outboxLength: inbox.length, scope: 0 })
    }
    return command
  })
  return [
    {
      name: `fw update, ${IMAGE / 2 ** 20} MB to the emulator in process`,
      value: update,
      unit: 'MB/s',
      peer: 'one MCDA round trip for each 128 bytes',
      peerValue: floor,
    },
  ]
}

/** A transport that is the emulator's firmware, and nothing else. */
function emulated({ Firmware, Faults, loadProfile, runCommand }, catalogue, codec) {
  const faults = new Faults()
  const firmware = new Firmware(loadProfile('connectx7'), catalogue, codec, faults)
  return {
    device: { transport: 'emu', node: 'emulated', rdma: [], net: [] },
    identify: async () => ({ uapi: '' }),
    execute: async ({ inbox, outboxLength }) =>
      (await runCommand({ firmware, faults }, 1, inbox.slice(), outboxLength)).outbox,
    close: async () => undefined,
  }
}

function oneInbox(catalogue, { id }, image) {
  const command = catalogue.command('ACCESS_REG')
  const inbox = new Uint8Array(16 + image.length)
  const view = new DataView(inbox.buffer)
  view.setUint16(0, command.opcode)
  view.setUint16(10, id)
  inbox.set(image, 16)
  return { command, inbox }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
