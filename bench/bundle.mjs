// bundle compare: time and memory over 100 and over 1000 bundles, against zcat of the same files in the same run.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { root } from './support/library.mjs'

const bin = path.join(root, 'bin/mlx5ctl.js')
const [FEW, MANY] = [100, 1000]
const DEVICE = '0000:03:00.0'

export async function rows() {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-bench-'))
  try {
    const files = writeBundles(folder, MANY)
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
    // Once for the page cache: all that follow read from memory.
    execFileSync('cat', files, { stdio: 'ignore' })
    const [few, many] = [measured(folder, FEW), measured(folder, MANY)]
    const peer = `zcat of the same ${MANY} files, ${Math.round(bytes / 1e6)} MB`
    return [
      {
        name: `bundle compare of ${MANY} bundles`,
        value: many.ours.seconds,
        unit: 's',
        peer,
        peerValue: many.theirs.seconds,
      },
      {
        name: `bundle compare of ${MANY} bundles, time of processors`,
        value: many.ours.busy,
        unit: 's',
        peer,
        peerValue: many.theirs.busy,
      },
      {
        name: `bundle compare, time of processors for one bundle among ${MANY}`,
        value: (many.ours.busy / MANY) * 1000,
        unit: 'ms',
        peer: `of one among ${FEW} (1 is linear)`,
        peerValue: (few.ours.busy / FEW) * 1000,
      },
      {
        name: `bundle compare of ${MANY} bundles, peak memory`,
        value: many.memory,
        unit: 'MB',
        peer: `of ${FEW} bundles`,
        peerValue: few.memory,
      },
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Whole processes: seconds on the clock and of processors, and the peak of resident memory in MB. */
function measured(folder, count) {
  const names = path.join(folder, 'names')
  writeFileSync(names, Array.from({ length: count }, (_, index) => `${nameOf(folder, index)}\0`).join(''))
  const script = `
    TIMEFORMAT='took %R %U %S'
    ours() { xargs -0 -a ${names} -n ${count} ${process.execPath} -e '
      const { spawn } = require("node:child_process")
      const { readFileSync } = require("node:fs")
      let peak = 0
      const child = spawn(process.execPath, [${JSON.stringify(bin)}, "bundle", "compare", "-j", ...process.argv.slice(1)], { stdio: ["ignore", "ignore", "inherit"] })
      const timer = setInterval(() => { try { peak = Math.max(peak, Number(/VmHWM:\\s*(\\d+)/.exec(readFileSync("/proc/" + child.pid + "/status", "utf8"))?.[1] ?? 0)) } catch {} }, 20)
      child.on("exit", (code) => { clearInterval(timer); console.error("peak " + peak + " code " + code) })' ; }
    theirs() { xargs -0 -a ${names} -n ${count} zcat; }
    time ours >/dev/null; time theirs >/dev/null`
  const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8', maxBuffer: 1 << 28 })
  const [, peak, code] = /peak (\d+) code (\d+)/.exec(stderr) ?? []
  if (code !== '0') throw new Error(`bundle compare: ${stderr.slice(0, 500)}`)
  const [ours, theirs] = [...stderr.matchAll(/^took ([\d.]+) ([\d.]+) ([\d.]+)$/gm)].map(([, ...times]) => {
    const [seconds, user, system] = times.map(Number)
    return { seconds, busy: user + system }
  })
  return { ours, theirs, memory: Number(peak) / 1024 }
}

const nameOf = (folder, index) => path.join(folder, `node${String(index).padStart(4, '0')}.tar.gz`)

/** Real output of one emulated device, with what differs from device to device made different; 1 in 100 has odd settings. */
function writeBundles(folder, count) {
  const run = (...words) =>
    execFileSync(process.execPath, [bin, ...words], { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] })
  const json = (...words) => JSON.parse(run(...words, '-j'))
  const emu = 'emu:connectx6dx'
  const template = {
    info: json('info', emu),
    capabilities: json('cap', emu),
    config: json('config', 'query', emu, '-e'),
    registers: json('reg', 'dump', emu, '--all-readable'),
    'rscdump-menu': json('rscdump', 'menu', emu),
  }
  const fixed = Object.fromEntries(
    ['capabilities', 'rscdump-menu'].map((name) => [name, prepared(`${name}.json`, Buffer.from(text(template[name])))]),
  )
  const dump = prepared('coredump.bin', run('coredump', emu, '--raw'))
  const end = gzipSync(Buffer.alloc(1024))
  return Array.from({ length: count }, (_, index) => {
    const varied = vary(template, index)
    const parts = [
      ...Object.entries(varied).map(([name, value]) => prepared(`${name}.json`, Buffer.from(text(value)))),
      fixed.capabilities,
      fixed['rscdump-menu'],
      dump,
    ]
    const manifest = Buffer.from(text(manifestOf(index, template.info.device, parts)))
    const file = nameOf(folder, index)
    writeFileSync(
      file,
      Buffer.concat([gzipSync(entry('bundle/manifest.json', manifest)), ...parts.map(({ packed }) => packed), end]),
    )
    return file
  })
}

const text = (value) => `${JSON.stringify(value, null, 2)}\n`

/** A file of the archive as a gzip member of its own: those that are the same everywhere are compressed once. */
function prepared(name, bytes) {
  const file = `devices/${DEVICE}/${name}`
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return {
    name: name.replace(/\..*/, ''),
    file,
    size: bytes.length,
    sha256,
    packed: gzipSync(entry(`bundle/${file}`, bytes)),
  }
}

function entry(name, bytes) {
  const header = Buffer.alloc(512)
  header.write(name)
  header.write('0000644\0', 100)
  header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        0', 148)
  header.write('ustar\x0000', 257)
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return Buffer.concat([header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

function manifestOf(index, identity, parts) {
  const time = (second) => new Date(Date.UTC(2026, 10, 26, 3, 0, second)).toISOString()
  return {
    schemaVersion: '1.0',
    kind: 'mlx5ctl bundle',
    tool: { name: 'mlx5ctl', version: '0.1.0' },
    host: `node${index}`,
    started: time(0),
    finished: time(20),
    resumed: 0,
    redacted: [],
    devices: [{ name: DEVICE, folder: DEVICE, identity }],
    items: parts.map(({ name, file, size, sha256 }, at) => ({
      device: DEVICE,
      name,
      command: null,
      file,
      status: 'ok',
      reason: null,
      exit: { code: 0, kind: null },
      started: time(at),
      duration: 100,
      size,
      sha256,
    })),
  }
}

/** Its own address and temperatures, counters that grow; some have another firmware or another setting. */
function vary({ info, config, registers }, index) {
  const isOdd = index % 100 === 7
  const own = structuredClone(registers)
  for (const { register, values } of own.data.registers) {
    if (register.name === 'MGIR') values.hw_info.manufacturing_base_mac_31_0 = 0x10000000 + index * 4
    if (register.name === 'MTMP') values.temperature = 400 + (index % 60)
  }
  for (const reading of own.data.registers)
    if (['MGIR', 'MTMP'].includes(reading.register.name))
      reading.image = createHash('sha512').update(`${reading.register.name} ${index}`).digest('hex')
  const settings = structuredClone(config)
  if (isOdd) settings.data.devices[0].parameters[0].next = { value: 1, text: '1' }
  return {
    info: { ...info, data: { ...info.data, firmware: isOdd ? '22.39.2048' : info.data.firmware } },
    config: settings,
    registers: own,
    'counters-1': counters(index, 0),
    'counters-2': counters(index, 1),
  }
}

function counters(index, turn) {
  const groups = ['ieee_802_3', 'rfc_2863', 'rfc_2819', 'per_prio', 'phy', 'pcie', 'vport', 'vnic', 'q_counter', 'ext']
  const values = (group) =>
    Array.from({ length: 30 }, (_, at) => ({
      name: `counter_${at}`,
      value: String(at < 15 ? 0 : (group + 1) * 1000 * (index + 1) + turn * (1000 + (index % 50) + at)),
      type: 'counter',
      unit: 'packets',
    }))
  return {
    schemaVersion: '1.0',
    tool: { name: 'mlx5ctl', version: '0.1.0' },
    command: 'counters',
    device: null,
    status: 'ok',
    data: {
      groups: groups.map((group, at) => ({ group, title: group, labels: { port: 1 }, values: values(at) })),
      refused: [],
    },
    error: null,
    warnings: [],
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.table(await rows())
