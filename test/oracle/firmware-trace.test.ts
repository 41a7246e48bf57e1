import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, mlx5ctl } from '../support/cli'
import { describeUnless } from '../support/oracle'
import { Mstflint } from './mstflint'

let folder: string
beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-fwtrace-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

/**
 * mstfwtrace of Debian 12; that of sid reads and prints the trace with the same lines of Python. It decodes nothing: it prints what
 * the kernel decoded, here the emulated one, which shares no code with the decoder.
 */
const tools = new Mstflint('bookworm')
/** mstfwtrace asks a tool that Debian does not have for the frequency of the clock, and reads one line of what that says. */
const mlxuptime = '#!/bin/sh\necho "Measured core frequency              : 1000.000000 MHz"\n'

describeUnless(tools.missing, 'mstfwtrace on the same messages', () => {
  test('the lines are those of mstfwtrace: through the kernel, through the registers, and from a saved ring', () => {
    writeFileSync(at('mlxuptime'), mlxuptime, { mode: 0o755 })
    // It ends with a signal only.
    const theirs = (options: string): string =>
      `timeout -s INT -k 2 60 env PYTHONUNBUFFERED=1 ${tools.python('mstfwtrace', `-d 03:00.0 ${options}`)}`
    const script = `export PATH=${folder}:$PATH
      echo 1 >/sys/kernel/debug/tracing/events/mlx5/mlx5_fw/enable
      ${theirs('')} >${at('ticks')} &
      ${theirs('--real_ts')} >${at('times')} &
      mlx5ctl fwtrace 03:00.0 -q >${at('kernel')}
      mlx5ctl fwtrace 03:00.0 -q --real-time --transport fwctl >${at('kernel-times')}
      for file in ${at('ticks')} ${at('times')}; do
        for turn in $(seq 200); do [ $(grep -c '^\\[' $file) -ge 96 ] && break; sleep 0.2; done
      done
      sleep 0.5; kill -INT $(jobs -p); wait`
    tools.run(script, '--fault', 'traced,frozen')
    const linesOf = (name: string): string[] =>
      readFileSync(at(name), 'latin1')
        .split('\n')
        .filter((line) => line.startsWith('['))
    const printed = linesOf('ticks')
    expect(printed).toHaveLength(96)
    expect(new Set(printed.map((line) => line.replace(/[^ ]+ (.*)/, '$1'))).size).toBeGreaterThan(60)
    expect(linesOf('kernel')).toEqual(printed)
    expect(linesOf('times')).toHaveLength(96)
    expect(linesOf('kernel-times')).toEqual(linesOf('times'))

    // The same firmware, whose tracer is free: what is in blocks that are full.
    emulated(
      `cd ${folder}
       mlx5ctl fwtrace mlx5_core.ctl.0 --duration 100ms >registers
       mlx5ctl fwtrace mlx5_core.ctl.0 --duration 100ms --real-time >registers-times
       mlx5ctl fwtrace mlx5_core.ctl.0 --duration 100ms --raw -o ring
       mlx5ctl fwtrace strings fwctl0 -o strings`,
      '--fault',
      'frozen',
    )
    const decoded = linesOf('registers')
    expect(decoded.length).toBeGreaterThan(85)
    expect(decoded).toEqual(printed.slice(0, decoded.length))
    expect(linesOf('registers-times')).toEqual(linesOf('times').slice(0, decoded.length))
    const offline = mlx5ctl('fwtrace', '--from', at('ring'), '--strings', at('strings'))
    expect(offline.stdout.trimEnd().split('\n')).toEqual(decoded)
  })
})
