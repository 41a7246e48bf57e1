import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { emulated, mlx5ctl } from '../support/cli'

interface Envelope {
  readonly status: string
  readonly device: { readonly transport: string; readonly node: string }
  readonly data: { readonly outbox: unknown; readonly values: Record<string, unknown> }
}

const names = ['mlx5_core.ctl.0', '/dev/mlx5ctl-mlx5_core.ctl.0', 'fwctl0', '/dev/fwctl/fwctl0', '0']
const functions = ['0000:03:00.0', '03:00.0', 'mlx5_0', 'enp3s0f0np0']

/** Runs one command line per device name in a single emulated machine; the outputs in the order of the names. */
function overEvery(devices: readonly string[], line: (device: string) => string): string[] {
  const separator = '\u001e'
  const script = devices.map((device) => `${line(device)}; printf '${separator}'`).join('\n')
  const { stdout, stderr } = emulated(script)
  const parts = stdout.split(separator)
  if (parts.length !== devices.length + 1) throw new Error(`output in ${parts.length} parts; stderr: ${stderr}`)
  return parts.slice(0, -1)
}

describeUnless(missingForEmulatedNodes(), 'every door leads to the same device', () => {
  test('QUERY_HCA_CAP decodes to the same outbox through every name, and in process', () => {
    const inProcess = mlx5ctl('cmd', 'emu:connectx6dx', 'QUERY_HCA_CAP', 'op_mod=1', '-j')
    expect(inProcess.stderr).toBe('')
    const expected = JSON.parse(inProcess.stdout) as Envelope
    expect(Object.keys(expected.data.values).length).toBeGreaterThan(0)
    const outputs = overEvery([...names, ...functions], (name) => `mlx5ctl cmd ${name} QUERY_HCA_CAP op_mod=1 -j`)
    const envelopes = outputs.map((text) => JSON.parse(text) as Envelope)
    for (const envelope of envelopes) expect(envelope.data).toEqual(expected.data)
    expect(new Set(envelopes.map((envelope) => envelope.device.transport))).toEqual(new Set(['mlx5ctl', 'fwctl']))
  })

  test('info prints the five lines through the addon and real ioctls', () => {
    const outputs = overEvery(['mlx5_core.ctl.0', 'fwctl0', '0000:03:00.0'], (name) => `mlx5ctl info ${name}`)
    const [misc = '', fwctl = '', pci = ''] = outputs
    for (const text of [misc, pci]) {
      const lines = text.split('\n').slice(0, 5)
      expect(lines[0]).toBe('mlx5dev: 0000:03:00.0')
      expect(lines[1]).toMatch(/^UCTX UID: \d+$/)
      expect(lines[2]).toBe('UCTX CAP: 0x7 (RAW_TX, INTERNAL_DEVICE_RESOURCES, TOOLS_RESOURCES)')
      expect(lines[3]).toBe('DEV UCTX CAP: 0x7 (RAW_TX, INTERNAL_DEVICE_RESOURCES, TOOLS_RESOURCES)')
      expect(lines[4]).toBe('USER CAP: 0x1d')
    }
    expect(fwctl).toMatch(/^mlx5dev: 0000:03:00\.0\nUCTX UID: \d+\nUCTX CAP: 0x4 \(TOOLS_RESOURCES\)\n/)
    expect(fwctl).not.toMatch(/USER CAP/)
  })

  test('the PCI address takes the best door, and --transport another', () => {
    const outputs = overEvery(['', '--transport fwctl'], (option) => `mlx5ctl info 0000:03:00.0 -j ${option}`)
    const transports = outputs.map((text) => (JSON.parse(text) as Envelope).device.transport)
    expect(transports).toEqual(['mlx5ctl', 'fwctl'])
  })

  test('several devices at once are told apart', () => {
    const two = ['--profile', 'connectx6dx', '--profile', 'connectx6dx']
    const { stdout } = emulated('mlx5ctl list -j', ...two)
    const data = (JSON.parse(stdout) as { data: { devices: { pci: string; doors: unknown[] }[] } }).data
    expect(data.devices.map((device) => device.pci)).toEqual(['0000:03:00.0', '0000:04:00.0'])
  })

  test('what fwctl refuses ends with 5 and says that it never allows it', () => {
    const { status, stdout, stderr } = emulated('mlx5ctl cmd fwctl0 ALLOC_PD')
    expect([status, stdout]).toEqual([5, ''])
    expect(stderr).toMatch(/EBADMSG/)
    expect(stderr).toMatch(/never/)
  })

  test('what firmware refuses ends with 6 and names status and syndrome', () => {
    for (const device of ['mlx5_core.ctl.0', 'fwctl0']) {
      const { status, stderr } = emulated(`mlx5ctl cmd ${device} QUERY_MKEY mkey_index=0xabcdef`)
      expect(status).toBe(6)
      expect(stderr).toMatch(/status bad resource\(0x5\)/)
      expect(stderr).toMatch(/syndrome 0x[0-9a-f]+/i)
    }
  })

  test('unplugging during a command is exit 5 and a sentence, on both doors', () => {
    for (const device of ['mlx5_core.ctl.0', 'fwctl0']) {
      const { status, stdout, stderr } = emulated(`mlx5ctl cmd ${device} QUERY_ISSI`, '--fault', 'unplug@1')
      expect([status, stdout]).toEqual([5, ''])
      expect(stderr).toMatch(/ENODEV/)
      expect(stderr).not.toMatch(/\n\s+at /)
    }
  })

  test('without CAP_SYS_ADMIN mlx5ctl ends with 4 and says what to do', () => {
    const { status, stderr } = emulated('setpriv --bounding-set -sys_admin -- mlx5ctl info mlx5_core.ctl.0')
    expect(status).toBe(4)
    expect(stderr).toMatch(/CAP_SYS_ADMIN/)
  })

  test('a user who may not open the node ends with 4', () => {
    const { status, stderr } = emulated('setpriv --reuid 65534 --clear-groups -- mlx5ctl info fwctl0')
    expect(status).toBe(4)
    expect(stderr).toMatch(/root|permission/i)
  })
})
