import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const root = path.resolve(__dirname, '../..')

describe('the packed tarball, installed in an empty folder', () => {
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
    for (const file of [manifest.types, 'dist/catalogue.bin', 'dist/devices/connectx6dx.json', 'LICENSES'])
      expect([file, existsSync(path.join(installed(), file))]).toEqual([file, true])
    for (const file of ['src', 'test', 'node_modules'])
      expect([file, existsSync(path.join(installed(), file))]).toEqual([file, false])
  })
})
