import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Staging } from '../../src/commands/collect/staging'

let home: string
let folder: string
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-staging-'))
  folder = path.join(home, 'b.tar.gz.partial')
})
afterEach(() => {
  jest.restoreAllMocks()
  rmSync(home, { recursive: true, force: true })
})

/** What an interrupted run left. */
function leave(): void {
  Staging.begin(folder, 'plan', false).unlock()
}
const begin = (): Promise<Staging> => Promise.resolve().then(() => Staging.begin(folder, 'plan', true))
const resume = (): Promise<Staging> => Staging.resume(folder, 'plan')

describe.each([
  ['--resume', resume],
  ['--force', begin],
])('what lies where %s looks', (_, work) => {
  test('is gone on with, or deleted, when it is of the same user alone', async () => {
    leave()
    expect((await work()).folder).toBe(folder)
  })

  test('is refused when others may write to it', async () => {
    leave()
    chmodSync(folder, 0o770)
    await expect(work()).rejects.toThrow(/open to others/)
  })

  test("is refused when it is somebody else's", async () => {
    leave()
    const own = process.geteuid?.() ?? 0
    jest.spyOn(process, 'geteuid').mockReturnValue(own + 1)
    await expect(work()).rejects.toThrow(/is somebody else's/)
  })

  test('is refused when it is a link', async () => {
    leave()
    rmSync(folder, { recursive: true })
    mkdirSync(path.join(home, 'precious'), { mode: 0o700 })
    writeFileSync(path.join(home, 'precious/state.json'), '{}')
    symlinkSync('precious', folder)
    await expect(work()).rejects.toThrow(/is there, and not of collect/)
    expect(readFileSync(path.join(home, 'precious/state.json'), 'utf8')).toBe('{}')
  })

  test('is refused when it is a file', async () => {
    writeFileSync(folder, 'precious')
    await expect(work()).rejects.toThrow(/is there, and not of collect/)
    expect(readFileSync(folder, 'utf8')).toBe('precious')
  })
})

test('links in the folder are not followed', async () => {
  leave()
  const precious = path.join(home, 'precious')
  writeFileSync(precious, 'mine')
  for (const name of ['lock', 'state.json.new']) symlinkSync('../precious', path.join(folder, name))
  await resume()
  expect(readFileSync(precious, 'utf8')).toBe('mine')
  expect(lstatSync(path.join(folder, 'lock')).isFile()).toBe(true)
})
