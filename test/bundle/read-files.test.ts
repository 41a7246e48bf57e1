import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { readFiles } from '../../src/commands/collect/read-files'
import type { Surroundings } from '../../src/commands/collect/surroundings'

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-read-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const around = (timeout: number, signal = new AbortController().signal): Surroundings => ({
  options: {},
  signal,
  timeout,
  name: '',
  identity: undefined,
  addresses: [],
})
const files = (...names: string[]): { file: string }[] => names.map((name) => ({ file: path.join(folder, name) }))
/** Nobody ever writes to it: who reads waits. */
const hang = (name: string): void => void execFileSync('mkfifo', [path.join(folder, name)])

test('a file that does not answer hides none of the others', async () => {
  writeFileSync(path.join(folder, 'a'), 'é \n')
  writeFileSync(path.join(folder, 'c'), 'c'.repeat(20_000))
  hang('b')
  const read = await readFiles(files('a', 'none', 'b', 'c'), around(5000))
  const text = (name: string): string | undefined => read.text(path.join(folder, name))
  expect(['a', 'none', 'b'].map(text)).toEqual(['é', undefined, undefined])
  expect(text('c')).toHaveLength(16 * 1024)
  expect(read.failure).toMatchObject({ errno: 'ETIMEDOUT', message: `${path.join(folder, 'b')} does not answer` })
})

test('nothing takes longer than the item may', async () => {
  hang('a')
  hang('b')
  const start = Date.now()
  const read = await readFiles(files('a', 'b', 'a'), around(300))
  expect(Date.now() - start).toBeLessThan(5000)
  expect(read.failure?.message).toBe(`${path.join(folder, 'a')} does not answer, nor do 2 others`)
})

test('a signal ends it', async () => {
  hang('a')
  const controller = new AbortController()
  setTimeout(() => controller.abort('SIGTERM'), 50)
  await expect(readFiles(files('a'), around(60_000, controller.signal))).rejects.toThrow(/SIGTERM/)
})
