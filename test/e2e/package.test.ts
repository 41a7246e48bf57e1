import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { describeUnless } from '../support/oracle'

const root = path.resolve(__dirname, '../..')

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-pack-'))
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: root })
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack left no tarball')
  execFileSync('npm', ['install', '--offline', '--silent', '--prefix', folder, path.join(folder, tarball)], {
    cwd: folder,
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const installed = (): string => path.join(folder, 'node_modules', 'mlx5ctl')
const run = (file: string, ...argv: string[]): string => execFileSync(file, argv, { cwd: folder, encoding: 'utf8' })

describe('the packed tarball, installed in an empty folder', () => {
  test('runs from its bin link', () => {
    const text = run(path.join(folder, 'node_modules/.bin/mlx5ctl'), 'info', 'emu:connectx6dx')
    expect(text).toMatch(/^UCTX UID: \d+$/m)
  })

  test('is a library: a command by name over the emulator', () => {
    const program = `const { open } = require('mlx5ctl')
      open('emu:connectx6dx').then(async (device) => {
        const { values } = await device.command('QUERY_ISSI', {})
        console.log(typeof values.current_issi)
        await device.close()
      })`
    expect(run(process.execPath, '-e', program)).toBe('number\n')
  })

  test('brings its types, its catalogue and its profiles, and nothing of the sources', () => {
    const manifest = JSON.parse(readFileSync(path.join(installed(), 'package.json'), 'utf8')) as { types: string }
    for (const file of [
      manifest.types,
      'dist/catalogue.bin',
      'dist/devices/connectx6dx.json',
      'LICENSES',
      'dist/THIRD-PARTY-LICENSES.txt',
    ])
      expect([file, existsSync(path.join(installed(), file))]).toEqual([file, true])
    for (const file of ['src', 'test', 'node_modules'])
      expect([file, existsSync(path.join(installed(), file))]).toEqual([file, false])
  })
})

for (const version of ['22', '24']) {
  const sources = path.join(root, '.sources')
  const found = existsSync(sources)
    ? readdirSync(sources).find((name) => name.startsWith(`node-${version}.`))
    : undefined
  const missing = found === undefined ? `Node ${version} was not fetched (scripts/fetch-nodes.sh)` : undefined
  describeUnless(missing, `the packed tarball on Node ${version}`, () => {
    const node = path.join(sources, found ?? '', 'node')

    test('runs the version asked for', () => {
      expect(run(node, '--version')).toMatch(new RegExp(`^v${version}\\.`))
    })

    test('info, cap and cmd on the emulator', () => {
      const bin = path.join(installed(), 'bin/mlx5ctl.js')
      expect(run(node, bin, 'info', 'emu:connectx6dx')).toMatch(/^UCTX UID: \d+$/m)
      expect(run(node, bin, 'cap', 'emu:connectx6dx', 'GENERAL')).toMatch(/device_frequency_khz\W+1000000/)
      expect(run(node, bin, 'cmd', 'emu:connectx6dx', 'QUERY_ISSI')).toMatch(/current_issi/)
    })

    test('loads the addon', () => {
      const addon = path.join(installed(), 'dist/native')
      const program = `for (const f of require('fs').readdirSync(${JSON.stringify(addon)})) console.log(Object.keys(require(${JSON.stringify(addon)} + '/' + f)).length > 0)`
      expect(run(node, '-e', program)).toBe('true\n')
    })
  })
}
