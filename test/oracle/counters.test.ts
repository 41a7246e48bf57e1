import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { samplesOf } from '../../src/commands/counters/prometheus'
import { counterGroups, CounterReader } from '../../src/device/counters'
import { prometheusText } from '../../src/render/prometheus'
import { answeringDevice } from '../support/answering-device'
import { describeUnless } from '../support/oracle'
import { runInProcess } from '../support/program'
import { Random, seed } from '../support/random'
import { parseEnvelope } from '../support/schema'
import { Mstflint, rowsOf } from './mstflint'

const promtool = path.resolve(__dirname, '../../.sources/promtool/usr/bin/promtool')
const missing = existsSync(promtool) ? undefined : 'promtool of Debian was not fetched (scripts/fetch-sources.sh)'

describeUnless(missing, 'promtool check metrics', () => {
  const check = (text: string): { status: number | null; said: string } => {
    const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' })
    return { status, said: stdout + stderr }
  }

  test('finds nothing wrong with several devices, one of which is not there', async () => {
    const devices = ['emu:connectx6dx', 'emu:connectx7', '0000:99:00.0', 'emu:bluefield3']
    const { status, stdout } = await runInProcess(['counters', ...devices, '--format', 'prometheus'])
    expect(status).toBe(8)
    expect(check(stdout)).toEqual({ status: 0, said: '' })
    expect(stdout.match(/^mlx5_/gm)?.length).toBeGreaterThan(1000)
  })

  test('finds nothing wrong with every group there is, whatever the device says', async () => {
    process.stderr.write(`counters with seed ${seed}\n`)
    const random = new Random(seed)
    const { device } = answeringDevice(({ image }) => random.bytes(Math.max(image.length, 512)))
    const wanted = counterGroups.map((group) => ({ group }))
    // Which instances there are is random too, so they are said; sensors come out of a random map.
    const read = await new CounterReader(device, wanted, { ports: [1] }).read()
    expect(read.failure).toBeUndefined()
    const { identity } = device
    const text = await prometheusText(samplesOf([{ name: 'random', identity, read }]))
    expect(check(text)).toEqual({ status: 0, said: '' })
    const metrics = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name))
    expect(metrics.size).toBeGreaterThan(550)
  })

  test('would find what is wrong', () => {
    expect(check('# HELP x_total some\n# TYPE x_total gauge\nx_total 1\n').status).not.toBe(0)
  })
})

interface Group {
  readonly group: string
  readonly labels: Readonly<Record<string, number | string>>
  readonly values: readonly { readonly name: string; readonly value: number | string }[]
}

const mstflint = new Mstflint('sid')
describeUnless(
  mstflint.missing,
  'the unmodified tools of mstflint on the same device, whose clock stands still',
  () => {
    let folder: string
    beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-counters-'))))
    afterAll(() => rmSync(folder, { recursive: true, force: true }))

    const groups: readonly (readonly [name: string, number: number])[] = [
      ['ieee_802_3', 0],
      ['rfc_2863', 1],
      ['rfc_2819', 2],
      ['rfc_3635', 3],
      ['eth_extended', 5],
      ['discard', 6],
      ['per_priority', 16],
      ['phy', 18],
    ]

    test('mstreg reads the same counters; mstlink says the same of link and module', () => {
      const index = (group: number): string =>
        `local_port=1,grp=${group},prio_tc=0,swid=0,pnat=0,lp_msb=0,port_type=0,plane_ind=0,grp_profile=0,lp_gl=0`
      const mstreg = groups.map(
        ([name, number]) =>
          `${mstflint.command('mstreg')} -d fwctl0 --reg_name PPCNT --get --indexes ${index(number)} >${folder}/${name}`,
      )
      const names = groups.map(([name]) => name).join(' ')
      const { stderr } = mstflint.run(
        [
          ...mstreg,
          `${mstflint.command('mstlink')} -d fwctl0 -m --json >${folder}/mstlink`,
          `${mstflint.command('mstlink')} -d fwctl0 --port_type PCIE --depth 0 --pcie_index 0 --node 0 >${folder}/pcie`,
          `mlx5ctl counters fwctl0 ${names} link module pcie_link -j >${folder}/ours`,
        ].join('\n'),
        '--fault',
        'frozen',
      )
      expect(stderr).toBe('')
      const ours = parseEnvelope(readFileSync(path.join(folder, 'ours'), 'utf8')).data?.groups as Group[]

      let compared = 0
      for (const [name] of groups) {
        const rows = new Map(rowsOf(readFileSync(path.join(folder, name), 'utf8')))
        for (const { name: field, value } of ours.find(({ group }) => group === name)?.values ?? []) {
          const high = rows.get(`${field}_high`)
          const low = rows.get(`${field}_low`) ?? rows.get(field) ?? -1
          expect([name, field, BigInt(value)]).toEqual([name, field, (BigInt(high ?? 0) << 32n) + BigInt(low)])
          compared++
        }
      }
      expect(compared).toBeGreaterThan(140)

      const theirs = readFileSync(path.join(folder, 'mstlink'), 'utf8')
      const said = (label: string): string | undefined => new RegExp(`"${label}" : "([^"]*)"`).exec(theirs)?.[1]
      const of = (group: string, field: string): number | string | undefined =>
        ours.find((one) => one.group === group)?.values.find(({ name }) => name === field)?.value
      expect([said('Speed'), said('Width')]).toEqual([of('link', 'speed'), `${of('link', 'width')}x`])
      expect(said('Vendor Part Number')).toBe(of('module', 'vendor_pn'))
      expect(said('Vendor Serial Number')).toBe(of('module', 'vendor_sn'))
      expect(said('Rev')).toBe(of('module', 'vendor_rev'))
      const pcie = readFileSync(path.join(folder, 'pcie'), 'utf8')
      const [, gigatransfers, width] = /Speed Active[^]*?(\d+)G-Gen[^]*?Width Active[^]*?(\d+)X/.exec(pcie) ?? []
      expect([`${gigatransfers}GT/s`, Number(width)]).toEqual([
        of('pcie_link', 'link_speed_active'),
        of('pcie_link', 'link_width_active'),
      ])
      // mstlink cuts the fraction off, and says volts in millivolts.
      const limits = (field: string, factor: number): string =>
        [`${field}_low_th`, `${field}_high_th`].map((one) => Math.round(Number(of('module', one)) * factor)).join('..')
      expect(theirs).toContain(`"${Math.floor(Number(of('module', 'temperature')))} [${limits('temperature', 1)}]"`)
      expect(theirs).toContain(`"${Math.round(Number(of('module', 'voltage')) * 1000)} [${limits('voltage', 1000)}]"`)
      process.stderr.write(`mstreg and mstlink oracle: ${compared} counters compared, 0 mismatches\n`)
    })
  },
)
