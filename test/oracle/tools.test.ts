import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describeUnless } from '../support/oracle'
import { Mstflint } from './mstflint'

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-tools-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What each unmodified tool says of the emulated ConnectX-7 when all is well. */
const expected: readonly (readonly [line: string, output: RegExp])[] = [
  ['mstmread 03:00.0 0xf0014', /^Read 0x000f0014:0x00000218$/m],
  ['mstmcra 03:00.0 0xf0014', /^0x00000218$/m],
  ['mstmcra 03:00.0 0xf0014.0:16', /^0x00000218$/m],
  ['mstvpd 03:00.0', /^PN: +MCX75310AAS-NEAT$[\s\S]*^SN: +MT2251X05678$/m],
  ['mstflint -d 03:00.0 q', /^FW Version: +28\.43\.1014$[\s\S]*^PSID: +MT_0000000838$/m],
  ['mstconfig -d 03:00.0 q', /^Device type: +ConnectX7 *$[\s\S]*^ +SRIOV_EN +True\(1\) *$/m],
  [
    'mstlink -d 03:00.0',
    /^State +: \S*Active$[\s\S]*Speed +: \S*400G$[\s\S]*Recommendation +: \S*No issue was observed$/m,
  ],
]

for (const suite of ['sid', 'bookworm'] as const) {
  const tools = new Mstflint(suite)
  describeUnless(tools.missing, `tools of Debian ${suite} open the emulated ConnectX-7 over PCI`, () => {
    test('each says what it says of a card; none touches the gateway without its semaphore', () => {
      const log = path.join(folder, suite)
      const script = expected.map(([line], index) => {
        const [tool = '', ...words] = line.split(' ')
        return `echo "== ${index}"; ${tools.command(tool)} ${words.join(' ')} 2>&1`
      })
      const { stdout } = tools.run(script.join('\n'), '--profile', 'connectx7', '--log', log)
      const outputs = stdout.split(/^== \d+\n/m).slice(1)
      expect(outputs).toHaveLength(expected.length)
      for (const [index, [line, output]] of expected.entries()) expect(`${line}\n${outputs[index]}`).toMatch(output)
      const events = readFileSync(log, 'utf8').matchAll(/"event":"([\w-]+)"/g)
      expect(new Set([...events].map(([, event]) => event))).toEqual(new Set(['register', 'final']))
    }, 120_000)
  })
}
