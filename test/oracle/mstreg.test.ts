import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { emulated, mlx5ctl } from '../support/cli'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { parseEnvelope } from '../support/schema'

const tools = path.resolve(__dirname, '../../.sources/mstflint-sid')
const find = (folder: string, name: string): string | undefined =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.name === name)
        .map((entry) => path.join(entry.parentPath, entry.name))[0]
    : undefined
const loader = find(tools, 'ld-linux-x86-64.so.2')
const libraries = find(tools, 'libc.so.6')
const missing =
  missingForEmulatedNodes() ??
  (loader === undefined || libraries === undefined
    ? 'mstflint of Debian sid was not fetched (scripts/fetch-sources.sh)'
    : undefined)

/** Runs an unmodified tool of mstflint, with its own C library and its own data, on the emulated nodes. */
function mstflint(command: string): string {
  const share = '/usr/share/mstflint'
  const run = `${loader} --library-path ${path.dirname(libraries ?? '')} ${tools}/usr/bin/${command}`
  // Its data path is compiled in; the directory of the machine is covered in the private namespace only.
  const { stdout, stderr } = emulated(
    `mount -t tmpfs none /usr/share && mkdir ${share} && mount --bind ${tools}${share} ${share} && ${run}`,
  )
  if (stderr !== '') throw new Error(stderr)
  return stdout
}

describeUnless(missing, 'the unmodified mstflint of Debian sid on the emulated fwctl node', () => {
  test('mstreg reads MGIR, and its fields are ours', () => {
    const theirs = new Map(
      [...mstflint('mstreg -d fwctl0 --reg_name MGIR --get').matchAll(/^(\S+?)\s*\|\s*(0x[0-9a-f]{8})$/gm)].map(
        ([, name = '', value]): [string, number] => [name, Number(value)],
      ),
    )
    const data = Array.from({ length: 40 }, (_, index) => `register_data[${index}]=0`)
    const answer = mlx5ctl(
      'cmd',
      'emu:connectx6dx',
      'ACCESS_REG',
      'op_mod=1',
      'register_id=0x9020',
      ...data,
      '--out-length',
      '176',
      '-j',
    )
    const outbox = (parseEnvelope(answer.stdout).data?.outbox ?? '') as string
    const image = Buffer.from(outbox, 'hex').subarray(16)
    // Offsets of MGIR in bytes from its start, as mstflint's own register file has them.
    const expected: Record<string, number> = {
      device_id: image.readUInt16BE(2),
      hw_dev_id: image.readUInt16BE(10),
      num_ports: image.readUInt16BE(4) & 0xfff,
      manufacturing_base_mac_47_32: image.readUInt16BE(0x12),
      manufacturing_base_mac_31_0: image.readUInt32BE(0x14),
      uptime: image.readUInt32BE(0x1c),
      build_id: image.readUInt32BE(0x24),
      extended_major: image.readUInt32BE(0x44),
      extended_minor: image.readUInt32BE(0x48),
      extended_sub_minor: image.readUInt32BE(0x4c),
      ...Object.fromEntries(
        Array.from({ length: 16 }, (_, index) => [`psid[${index}]`, image.readUInt8(0x30 + index)]),
      ),
    }
    const shared = Object.entries(expected).filter(([name]) => theirs.has(name))
    expect(shared.map(([name]) => [name, theirs.get(name)])).toEqual(shared)
    expect(shared.length).toBeGreaterThan(20)
    expect(theirs.get('extended_sub_minor')).toBe(1036)
    process.stderr.write(`mstreg oracle: ${theirs.size} fields printed, ${shared.length} compared, 0 mismatches\n`)
  })

  test('mstfwctrl names the device', () => {
    expect(mstflint('mstfwctrl fwctl0')).toMatch(
      /device ID: 0x212\ndevice type: ConnectX6DX\nUCTX UID: 1\nUCTX CAP: 0x4\n/,
    )
  })
})
