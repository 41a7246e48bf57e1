import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Device } from '../../src/device/device'
import { readComponentVersion } from '../../src/device/firmware/components'
import { updateFirmware } from '../../src/device/firmware/update'
import { Faults } from '../../src/emulator/faults'
import { Firmware } from '../../src/emulator/firmware/firmware'
import { runCommand } from '../../src/emulator/machine'
import { loadProfile, type Profile } from '../../src/emulator/profile'
import { keepState } from '../../src/emulator/state'
import { DeliveryError, type Transport } from '../../src/transport/contract'
import { emulated, type Outcome } from '../support/cli'
import { buildArchive, buildImage, filler, type ImageRecipe } from '../support/firmware-builder'
import { expectParsersAgree } from '../support/firmware-parsers'
import { describeUnless, missingForEmulatedNodes } from '../support/oracle'
import { runInProcess } from '../support/program'
import { Random, seed } from '../support/random'
import { catalogue, codec } from '../support/scripted-device'
import { parseEnvelope } from '../support/schema'

/** fw check and fw update: images of an independent builder, burned to emulated devices. */

let folder: string
beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-update-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => path.join(folder, name)

const emu = 'emu:connectx7'
const newer: ImageRecipe = { version: [28, 44, 1000] }
/** It takes long enough to be interrupted in the midst, also where the machine is busy. */
const long: ImageRecipe = { ...newer, sections: [{ type: 3, data: filler(0x18000) }] }

function imageAt(name: string, recipe: ImageRecipe = newer): string {
  writeFileSync(at(name), buildImage(recipe).bytes)
  return at(name)
}

const state = (): string[] => ['--emu-state', at('state')]

/** What the emulator has on flash; undefined where nothing was written. */
function flash(name = 'state'): Buffer | undefined {
  const file = readdirSync(folder).find((one) => one.startsWith(`${name}.`) && one.endsWith('.flash'))
  return file === undefined ? undefined : readFileSync(at(file))
}

interface UpdatedDevice {
  readonly name: string
  readonly changed: boolean
  readonly rebootRequired: boolean
  readonly relation: string
  readonly running: string
  readonly pending: string | null
  readonly blocks: number
  readonly error: { readonly message: string } | null
}
interface Updated {
  readonly changed: boolean
  readonly rebootRequired: boolean
  readonly devices: readonly UpdatedDevice[]
}
const updatedOf = ({ stdout }: Outcome): Updated => parseEnvelope(stdout).data as unknown as Updated

const update = (...words: string[]): Promise<Outcome> => runInProcess(['fw', 'update', ...words])

/** Registers of an update that a run with -v wrote. */
const written = (stderr: string): string[] => stderr.match(/(?:MCC|MCDA) \(0x[0-9a-f]+\) op_mod 0x0/g) ?? []

describe('an image is checked and burned', () => {
  test('the flash equals it byte for byte; it waits for a reset, then runs', async () => {
    const image = imageAt('image.bin')
    const { status, stdout, stderr } = await update(emu, '--from', image, ...state(), '--yes', '-j')
    expect([status, stderr]).toEqual([0, ''])
    const { changed, rebootRequired, devices } = updatedOf({ status, stdout, stderr })
    expect([changed, rebootRequired]).toEqual([true, true])
    const size = readFileSync(image).length
    expect(devices).toMatchObject([
      { relation: 'newer', running: '28.43.1014', pending: '28.44.1000', bytes: size, blocks: Math.ceil(size / 128) },
    ])
    expect(flash()?.equals(readFileSync(image))).toBe(true)
    // The state file is the power cycle: another process is another start.
    const text = await runInProcess(['fw', 'query', emu, ...state()])
    expect(text.stdout).toMatch(/^ {5}FW {13}28\.44\.1000 /m)
    expect(text.stdout).not.toContain('(Running)')
    const again = await update(emu, '--from', image, ...state(), '-j')
    expect([again.status, updatedOf(again).changed]).toEqual([0, false])
    expect((await runInProcess(['fw', 'check', emu, '--from', image, ...state()])).stdout).toContain('Up to date\n')
  })

  test.each<[string, string, ImageRecipe]>([
    ['FS4 at an offset in the file', emu, { ...newer, offset: 0x10000 }],
    ['FS5', emu, { ...newer, format: 'FS5' }],
    ['of another chip', 'emu:bluefield3', { version: [32, 43, 1], psid: 'MT_0000000884', hardwareIds: [540] }],
  ])('an image of %s', async (_, device, recipe) => {
    const image = imageAt('image.bin', recipe)
    expect((await update(device, '--from', image, ...state(), '--yes')).status).toBe(0)
    const whole = readFileSync(image).subarray(recipe.offset ?? 0)
    // Of FS5 the header of a signature stands behind the image.
    expect(flash()?.equals(whole.subarray(0, flash()?.length))).toBe(true)
    expect(whole.length - (flash()?.length ?? 0)).toBeLessThanOrEqual(0x2000)
  })

  test('an image out of an archive, and out of a folder with others', async () => {
    const boards = [newer, { version: [22, 45, 1] as const, psid: 'MT_0000000359', hardwareIds: [530] }]
    const images = boards.map((recipe) => buildImage(recipe).bytes)
    const parts = (index: number): { bytes: Buffer }[] => [{ bytes: images[index] ?? Buffer.alloc(0) }]
    const archive = buildArchive({
      boards: [
        { psid: 'MT_0000000359', parts: parts(1) },
        { psid: 'MT_0000000838', parts: parts(0) },
      ],
    })
    writeFileSync(at('all.mfa'), archive)
    expect((await update(emu, '--from', at('all.mfa'), ...state(), '--yes')).status).toBe(0)
    expect(flash()?.equals(images[0] ?? Buffer.alloc(0))).toBe(true)
    mkdirSync(at('images'))
    imageAt('images/a.bin', { ...newer, psid: 'MT_0000000999' })
    imageAt('images/b.bin', boards[1] ?? {})
    writeFileSync(at('images/README'), 'none of firmware')
    mkdirSync(at('images/more'))
    const found = await runInProcess(['fw', 'check', emu, 'emu:connectx6dx', '--from', at('images'), '-j'])
    expect([found.status, found.stderr]).toEqual([0, ''])
    expect(parseEnvelope(found.stdout).data).toMatchObject({
      updates: 1,
      devices: [
        { relation: 'none', updateRequired: false, image: null },
        { relation: 'newer', updateRequired: true, image: { file: at('images/b.bin'), version: '22.45.0001' } },
      ],
    })
  })

  test('an older one with --force, and the same one', async () => {
    const old = imageAt('old.bin', { version: [28, 42, 1000] })
    expect((await update(emu, '--from', old, '--yes', ...state())).status).toBe(2)
    expect((await update(emu, '--from', old, '--yes', '--force', ...state())).status).toBe(0)
    const same = await update(emu, '--from', old, '--yes', '--force', '-j', ...state())
    expect(updatedOf(same).devices).toMatchObject([
      { relation: 'same', changed: true, rebootRequired: true, pending: null },
    ])
  })

  test('another revision of the chip is told, and firmware has the last word', async () => {
    const image = imageAt('revision.bin', { ...newer, hardwareIds: [0x20218] })
    const { status, stderr } = await update(emu, '--from', image, '--yes', ...state())
    expect(status).toBe(6)
    expect(stderr).toMatch(/the image is not for this device \(MCC error 0x3/)
    const checked = await update(emu, '--from', image, '--dry-run', ...state())
    expect([checked.status, checked.stderr]).toMatchObject([0, /for revision 0x2 of the chip, this device has 0x0/])
  })

  test('the fuses of a chip allow no image of a lower security version', async () => {
    // MFSV: image 2, fuses 3; GA secured and secure boot in MGIR.
    const fused = `${'0'.repeat(8)}${'00000002'}${'00000003'}${'0'.repeat(72)}`
    const mgir = parseEnvelope((await runInProcess(['reg', 'get', emu, 'MGIR', '-j'])).stdout).data as { image: string }
    const secured = Buffer.from(mgir.image, 'hex')
    secured.writeUInt32BE(5, 0x54)
    writeFileSync(
      at('state'),
      JSON.stringify({
        version: 1,
        profile: 'connectx7',
        registers: { 'MGIR/*': secured.toString('hex'), 'MFSV/*': fused },
      }),
    )
    const query = await runInProcess(['fw', 'query', emu, ...state()])
    expect(query.stdout).toMatch(/Security version: +2; fuses 3, raised by hand/)
    const low = await update(emu, '--from', imageAt('low.bin', { ...newer, securityVersion: 2 }), '--force', ...state())
    expect([low.status, low.stderr]).toMatchObject([2, /has security version 2, .* allow none below 3/])
    const image = imageAt('high.bin', { ...newer, securityVersion: 3 })
    expect((await update(emu, '--from', image, '--yes', ...state())).status).toBe(0)
  })

  test('a device that cannot be asked afterwards was updated all the same', async () => {
    const image = imageAt('image.bin', { ...newer, sections: [] })
    const whole = await update(emu, '--from', image, '--yes', '-v', '--emu-state', at('other'))
    const commands = whole.stderr.match(/ACCESS_REG \S+/g) ?? []
    // Each look at the device begins with MGIR: before it is opened to be written, then, and behind the release.
    const [, opened, behind] = commands.flatMap((one, index) => (one === 'ACCESS_REG MGIR' ? [index] : []))
    const fault = `errno=EIO@${Number(behind) - Number(opened) + 1}`
    const { status, stdout } = await update(emu, '--from', image, '--yes', '-j', '--fault', fault, ...state())
    expect(status).toBe(0)
    const { data, warnings } = parseEnvelope(stdout)
    expect(data).toMatchObject({ changed: true, rebootRequired: true })
    expect(updatedOf({ stdout } as Outcome).devices).toMatchObject([
      { changed: true, rebootRequired: true, running: '28.43.1014', pending: '28.44.1000', error: null },
    ])
    expect(warnings).toEqual([expect.stringMatching(/is activated, but the device could not be queried.*EIO/)])
    expect(flash()).toBeDefined()
  })

  test('a recording holds every opening of the device, and is replayed in that order', async () => {
    const image = imageAt('image.bin', { ...newer, sections: [] })
    const words = ['--from', image, '--yes', '-j']
    const live = updatedOf(await update(emu, ...words, '--record', at('update.rec')))
    const [replayed] = updatedOf(await update(`replay:${at('update.rec')}`, ...words)).devices
    expect(replayed).toEqual({
      ...live.devices[0],
      name: `replay:${at('update.rec')}`,
      device: expect.anything() as unknown,
    })
    expect(replayed).toMatchObject({ changed: true, running: '28.43.1014', pending: '28.44.1000' })
    const reset = (name: string, ...more: string[]): Promise<Outcome> =>
      runInProcess(['fw', 'reset', name, '--level', '3', '--yes', '-j', ...more])
    const done = parseEnvelope((await reset(emu, '--record', at('reset.rec'))).stdout)
    expect(parseEnvelope((await reset(`replay:${at('reset.rec')}`)).stdout).data).toEqual(done.data)
  })

  test('--dry-run, no answer, and nobody to ask: nothing is written', async () => {
    const image = imageAt('image.bin')
    const dry = await update(emu, '--from', image, '--dry-run', '-v', ...state())
    expect([dry.status, dry.stdout]).toEqual([0, `${emu}: would write 28.44.1000 in place of 28.43.1014\n`])
    expect(written(dry.stderr)).toEqual([])
    const asked = await update(emu, '--from', image, '-v', ...state())
    expect([asked.status, written(asked.stderr)]).toEqual([2, []])
    expect(existsSync(at('state'))).toBe(false)
  })
})

describe('bad input: a reason, and nothing is sent', () => {
  const refused = async (code: number, reason: RegExp, ...words: string[]): Promise<void> => {
    const { status, stdout, stderr } = await update(emu, ...words, '--yes', '-v', ...state())
    expect([words, status, stdout]).toEqual([words, code, ''])
    expect(stderr).toMatch(reason)
    expect(written(stderr)).toEqual([])
    expect(existsSync(at('state'))).toBe(false)
  }

  test('another board, another chip, an older version, no image at all', async () => {
    await refused(2, /--from FILE/)
    await refused(2, /there is no such file/, '--from', at('nothing'))
    await refused(
      2,
      /is for PSID MT_0000000999, this device has MT_0000000838/,
      '--from',
      imageAt('a', { ...newer, psid: 'MT_0000000999' }),
    )
    await refused(
      2,
      /is for chips of hardware id 0x212, this device is 0x218/,
      '--from',
      imageAt('b', { ...newer, hardwareIds: [0x212] }),
    )
    await refused(
      2,
      /28\.42\.1000, which is older than 28\.43\.1014/,
      '--from',
      imageAt('c', { version: [28, 42, 1000] }),
    )
    await refused(2, /not signed and not made for updates/, '--from', imageAt('d', { ...newer, flags: 0 }))
    mkdirSync(at('empty'))
    await refused(2, /has no image for PSID MT_0000000838/, '--from', at('empty'))
    await refused(2, /a card has one flash/, emu, '--from', imageAt('e'))
    await refused(2, /names no chip/, '--from', imageAt('f', { ...newer, hardwareIds: [] }))
    await refused(2, /--force-release .*name one device/, 'emu:connectx6dx', '--from', at('e'), '--force-release')
  })

  test('a variant of the board is another PSID: no folder and no archive gives it; named, --force takes it', async () => {
    const psid = 'MT_0001000838'
    mkdirSync(at('variants'))
    const image = imageAt('variants/a.bin', { ...newer, psid })
    await refused(2, /is for PSID MT_0001000838, this device has MT_0000000838[^]*--force takes it/, '--from', image)
    const recipe = { boards: [{ psid, parts: [{ bytes: buildImage({ ...newer, psid }).bytes }] }] }
    writeFileSync(at('variants.mfa'), buildArchive(recipe))
    for (const from of [at('variants'), at('variants.mfa')])
      for (const force of [[], ['--force']])
        await refused(2, /has no image for PSID MT_0000000838/, '--from', from, ...force)
    const named = await update(emu, '--from', image, '--force', '--dry-run', ...state())
    expect([named.status, named.stdout]).toEqual([0, `${emu}: would write 28.44.1000 in place of 28.43.1014\n`])
    expect(named.stderr).toMatch(/another variant of the board/)
  })

  test('a folder with two candidates', async () => {
    mkdirSync(at('two'))
    imageAt('two/a.bin')
    imageAt('two/b.bin', { version: [28, 45, 1] })
    await refused(2, /has 2 images for PSID .*a\.bin \(28\.44\.1000\), .*b\.bin \(28\.45\.0001\)/, '--from', at('two'))
  })

  test('a file that is cut off anywhere', async () => {
    const { bytes } = buildImage(newer)
    for (const part of [0, 1, 0x60, 0x200, 0x5010, 0x7100, bytes.length / 2, bytes.length - 4]) {
      writeFileSync(at('cut.bin'), bytes.subarray(0, part))
      await refused(7, /cut\.bin/, '--from', at('cut.bin'))
    }
  })

  test('a bit flipped in every section', async () => {
    process.stdout.write(`seed ${seed}\n`)
    const random = new Random(seed)
    const { bytes, places } = buildImage(newer)
    const guarded = places.filter(({ guarded: isGuarded }) => isGuarded)
    expect(guarded.length).toBeGreaterThan(10)
    for (const { offset, size } of guarded) {
      const damaged = Buffer.from(bytes)
      // Beside a CRC, in the last dword, are two bytes that nothing guards.
      const where = offset + random.below(size - 4)
      damaged[where] = (damaged[where] ?? 0) ^ (1 << random.below(8))
      writeFileSync(at('flipped.bin'), damaged)
      await refused(7, /flipped\.bin/, '--from', at('flipped.bin'))
    }
  })

  test('an archive whose CRC is wrong, and one without this board', async () => {
    const archive = buildArchive({ boards: [{ psid: 'MT_0000000838', parts: [{ bytes: buildImage(newer).bytes }] }] })
    archive[100] = (archive[100] ?? 0) ^ 1
    writeFileSync(at('bad.mfa'), archive)
    await refused(7, /bad\.mfa/, '--from', at('bad.mfa'))
    writeFileSync(
      at('other.mfa'),
      buildArchive({ boards: [{ psid: 'MT_0000000999', parts: [{ bytes: buildImage(newer).bytes }] }] }),
    )
    await refused(2, /has no image for PSID MT_0000000838/, '--from', at('other.mfa'))
  })

  test('several devices: one that has no image keeps all of them as they are', async () => {
    const { status, stderr } = await update(emu, 'emu:connectx6dx', '--from', imageAt('image.bin'), '--yes', '-v')
    expect([status, written(stderr)]).toEqual([2, []])
    expect(stderr).toMatch(/emu:connectx6dx: .*nothing was sent to any of the 2 devices/)
  })
})

test.each([
  [0x01, /general error/],
  [0x02, /the digest of the image is wrong/],
  [0x05, /the signature of the image is wrong/],
  [0x09, /waits for a reset/],
  [0x0f, /this version is forbidden/],
  [0x10, /the flash cannot be erased/],
  [0x28, /write-protected/],
  [0x7f, /internal error of firmware/],
])('firmware refuses with MCC error %i: in words, and the device is as before', async (code, words) => {
  const image = imageAt('image.bin')
  const { status, stderr } = await update(emu, '--from', image, '--yes', '--fault', `mcc=${code}`, ...state())
  expect(status).toBe(6)
  expect(stderr).toMatch(words)
  expect(stderr).toContain(`MCC error 0x${code.toString(16)}`)
  expect(stderr).toContain('the update was cancelled and its handle released')
  expect(flash()).toBeUndefined()
})

/** A device of the emulator, as quick to make as can be: a start of it from its state file. */
function emulatedDevice(profile: Profile, stateFile: string, fault?: string): Device {
  const faults = new Faults(fault)
  const firmware = new Firmware(profile, catalogue, codec, faults)
  keepState(firmware, stateFile)
  const execute: Transport['execute'] = async ({ inbox, outboxLength }) => {
    const { outbox, errno } = await runCommand({ firmware, faults }, 1, inbox.slice(), outboxLength)
    if (errno !== undefined) throw new DeliveryError('the power failed', errno)
    return outbox
  }
  const device = { transport: 'emu', node: 'emulated', rdma: [], net: [] } as const
  return new Device(
    { device, execute, identify: async () => ({ uapi: '' }), close: async () => undefined },
    catalogue,
    codec,
  )
}

test('the power fails at every command in turn: the old firmware runs, and the next update succeeds', async () => {
  const image = buildImage({ ...newer, sections: [] }).bytes
  const profile = loadProfile('connectx7')
  const open = (fault?: string): Device => emulatedDevice(profile, at('state'), fault)
  const pause = (): Promise<void> => Promise.resolve()
  const runs = async (device: Device): Promise<number | undefined> =>
    (await readComponentVersion(device, 0, 'running'))?.version.minor
  let commands = 0
  for (let command = 1; ; command++) {
    const device = open(`unplug@${command}`)
    const outcome = await updateFirmware(device, image, { pause }).catch((error: unknown) => error)
    if (!(outcome instanceof DeliveryError)) break
    expect(outcome.errno).toBe('ENODEV')
    commands = command
    const after = open()
    expect([command, await runs(after)]).toEqual([command, 43])
    if (command % 40 === 0) {
      await updateFirmware(after, image, { pause })
      const next = open()
      expect([command, await runs(next)]).toEqual([command, 44])
      rmSync(at('state'))
    }
  }
  // Every block, and the steps before and behind them: only the release of the handle comes after the image counts.
  expect(commands).toBeGreaterThan(Math.ceil(image.length / 128) + 8)
  expect(flash()).toBeDefined()
}, 60_000)

describeUnless(missingForEmulatedNodes(), 'through nodes', () => {
  test('signals in the midst: INT and TERM give the handle back, KILL leaves it, and --force-release takes it', () => {
    const image = imageAt('image.bin', long)
    const script = `
      running() { mlx5ctl fw query fwctl0 -j | grep -A1 '"versions"' | grep -c 28.43.1014; }
      for signal in INT TERM KILL; do
        base=$(wc -l <${at('log')})
        mlx5ctl fw update fwctl0 --from ${image} --yes 2>${at('err')}.$signal & pid=$!
        until [ $(( $(wc -l <${at('log')}) - base )) -gt 200 ]; do sleep 0.02; done
        kill -$signal $pid; wait $pid; echo "$signal $?"
      done
      running
      mlx5ctl fw update fwctl0 --from ${image} --yes 2>${at('err')}.taken; echo "taken $?"
      mlx5ctl fw update fwctl0 --from ${image} --yes --force-release >/dev/null; echo "forced $?"
      mlx5ctl fw query fwctl0 >${at('text')}; mlx5ctl fw query fwctl0 -j >${at('json')}`
    const { stdout, stderr } = emulated(
      `set +m; ${script}`,
      '--profile',
      'connectx7',
      '--fault',
      'delay=1ms',
      '--log',
      at('log'),
      ...state(),
    )
    expect(stderr.replace(/.*Killed.*\n/, '')).toBe('')
    expect(stdout).toBe('INT 130\nTERM 143\nKILL 137\n1\ntaken 6\nforced 0\n')
    const said = (name: string): string => readFileSync(at(`err.${name}`), 'utf8')
    for (const signal of ['INT', 'TERM'])
      expect(said(signal)).toMatch(/interrupted by SIG.*\n.*the update was cancelled and its handle released/)
    expect(said('taken')).toMatch(/the update handle is held by a driver of host 0 \(downloading, .*--force-release/s)
    expect(flash()?.equals(readFileSync(image))).toBe(true)
    // What waits for a reset, as other programs find it in the text.
    const { devices } = parseEnvelope(readFileSync(at('json'), 'utf8')).data as {
      devices: { firmware: Parameters<typeof expectParsersAgree>[1] }[]
    }
    const [queried] = devices
    expect(queried?.firmware.versions).toMatchObject({ running: '28.43.1014', pending: '28.44.1000' })
    if (queried !== undefined) expectParsersAgree(readFileSync(at('text'), 'utf8'), queried.firmware)
  }, 60_000)

  test('a signal while several devices are written: what became of each', () => {
    mkdirSync(at('images'))
    imageAt('images/large.bin', long)
    imageAt('images/small.bin', { version: [22, 45, 1], psid: 'MT_0000000359', hardwareIds: [530], sections: [] })
    const { stdout, stderr } = emulated(
      `set +m
      mlx5ctl fw update fwctl0 fwctl1 --from ${at('images')} --yes 2>${at('err')} & pid=$!
      until [ -e ${at('state.1')} ]; do sleep 0.02; done
      kill -INT $pid; wait $pid; echo $?`,
      ...['--profile', 'connectx7', '--profile', 'connectx6dx', '--fault', 'delay=8ms', ...state()],
    )
    expect([stdout, stderr]).toEqual(['130\n', ''])
    expect(readFileSync(at('err'), 'utf8')).toMatch(
      /interrupted by SIGINT\n.*fwctl0: the update was cancelled and its handle released.*; fwctl1: /,
    )
  }, 60_000)

  test('a signal once the image is activated: it says that it is, and what loads it', () => {
    const image = imageAt('image.bin', { ...newer, sections: [] })
    const { stdout, stderr } = emulated(
      `set +m
      commands() { grep -c '"event":"command"' ${at('log')}; }
      before=$(commands); mlx5ctl fw update fwctl0 --from ${image} --yes >/dev/null; all=$(( $(commands) - before ))
      mlx5ctl fw update fwctl1 --from ${image} --yes 2>${at('err')} & pid=$!
      # Most of what a look at the device takes is left then.
      until [ $(( $(commands) - before - all )) -gt $(( all - 26 )) ]; do sleep 0.02; done
      kill -INT $pid; wait $pid; echo $?
      mlx5ctl fw query fwctl1 -j >${at('json')}`,
      ...['--profile', 'connectx7', '--profile', 'connectx7', '--fault', 'delay=15ms', '--log', at('log')],
    )
    expect([stdout, stderr]).toEqual(['130\n', ''])
    expect(readFileSync(at('err'), 'utf8')).toMatch(
      /interrupted by SIGINT\n.*the image IS activated: a reset loads it \(fw reset, or a reboot\)/,
    )
    const { devices } = parseEnvelope(readFileSync(at('json'), 'utf8')).data as { devices: unknown[] }
    expect(devices).toMatchObject([{ firmware: { versions: { pending: '28.44.1000' } } }])
  }, 60_000)

  test('a reset that takes its time is waited for, as long as it may; a signal ends the wait alone', () => {
    const { stdout, stderr } = emulated(
      `set +m
      mlx5ctl fw reset fwctl0 --level 3 --yes --timeout 1 2>${at('err')}; echo $?
      mlx5ctl fw reset fwctl0 --level 3 --yes -v 2>${at('err')}.INT & pid=$!
      until grep -q 'MFRL (0x9028) op_mod 0x0' ${at('err')}.INT; do sleep 0.05; done
      sleep 0.3; kill -INT $pid; wait $pid; echo $?`,
      ...['--profile', 'connectx7', '--fault', 'reset=8'],
    )
    expect([stdout, stderr]).toEqual(['5\n130\n', ''])
    expect(readFileSync(at('err'), 'utf8')).toMatch(
      /the reset was asked for, but is not over after 1 s: the device still runs 28\.43\.1014 \(waiting for the reset\)/,
    )
    expect(readFileSync(at('err.INT'), 'utf8')).toMatch(
      /interrupted by SIGINT\n.*the reset was asked for, and goes on without this command/,
    )
  }, 60_000)

  test('several devices at once, each over another door', () => {
    const image = imageAt('image.bin')
    const { status, stdout, stderr } = emulated(
      `mlx5ctl fw update fwctl0 04:00.0 mlx5_core.ctl.2 --from ${image} --yes -j
       mlx5ctl fw reset 04:00.0 --level 3 --yes >/dev/null
       cat /sys/class/infiniband/mlx5_[01]/fw_ver >${at('versions')}`,
      ...['connectx7', 'connectx7', 'connectx7'].flatMap((profile) => ['--profile', profile]),
      ...state(),
    )
    expect([status, stderr]).toEqual([0, ''])
    const { devices, changed } = updatedOf({ status, stdout, stderr })
    expect([changed, devices.map(({ pending }) => pending)]).toEqual([true, Array(3).fill('28.44.1000')])
    expect(readFileSync(at('versions'), 'utf8')).toBe('28.43.1014\n28.44.1000\n')
    for (const name of ['state', 'state.1', 'state.2'])
      expect([name, flash(name)?.equals(readFileSync(image))]).toEqual([name, true])
  }, 60_000)
})

describe('fw reset', () => {
  const reset = (...words: string[]): Promise<Outcome> => runInProcess(['fw', 'reset', ...words])

  test('without a level: what the device can, as mstfwreset lists it', async () => {
    const { status, stdout } = await reset(emu)
    expect(status).toBe(0)
    const rows = [...stdout.matchAll(/^(\d): (.{62})-(Supported|Not Supported) *(\(default\))?$/gm)]
    expect(rows.map(([, number, , can, chosen]) => `${number} ${can} ${chosen ?? ''}`.trim())).toEqual([
      ...['0 Supported (default)', '1 Not Supported', '3 Supported', '4 Supported'],
      ...['0 Supported (default)', '1 Not Supported', '2 Not Supported', '3 Supported', '4 Not Supported'],
      ...['0 Supported', '1 Supported (default)', '2 Not Supported'],
    ])
    const json = parseEnvelope((await reset(emu, '-j')).stdout)
    expect(json.data).toMatchObject({ performed: false, request: null, state: { code: 0 }, rescanRequired: false })
  })

  test('what it does at once, what it arms, and what it leaves to the operator', async () => {
    const done = await reset(emu, '--level', '3', '--yes', '-j')
    expect([done.status, parseEnvelope(done.stdout).data]).toMatchObject([
      0,
      { performed: true, armed: false, request: { level: 3, type: 0, sync: 1 }, rebootRequired: false, steps: [] },
    ])
    const armed = await reset(emu, '--level', '4', '--yes', '-j')
    expect(parseEnvelope(armed.stdout).data).toMatchObject({
      performed: false,
      armed: true,
      rebootRequired: true,
      steps: [expect.stringMatching(/^reboot this machine/)],
    })
    const tool = await reset(emu, '--level', '3', '--sync', '0', '--yes', '-v')
    expect([tool.status, tool.stderr.includes('MFRL (0x9028) op_mod 0x0')]).toEqual([9, false])
    expect(tool.stderr).toMatch(/nothing was sent\n.*--level 3 --sync 1.*--level 4.*mstfwreset -d 0000:03:00\.0/)
  })

  test.each<[number, RegExp, string[]]>([
    [9, /no reset level 1; it has 0 .*, 3 .*, 4 /, ['--level', '1']],
    [9, /no reset type 2; it has 0 /, ['--level', '3', '--type', '2']],
    [9, /no reset sync 2; /, ['--level', '3', '--sync', '2']],
    [2, /--level takes a number/, ['--level', 'x']],
    [2, /go with --level/, ['--type', '0']],
    [2, /nobody can be asked/, ['--level', '3']],
    [6, /a driver did not agree \(MFRL reset_state 4\)/, ['--level', '3', '--yes', '--fault', 'reset=4']],
  ])('exit %i: %s', async (code, reason, words) => {
    const { status, stderr } = await reset(emu, ...words)
    expect(status).toBe(code)
    expect(stderr).toMatch(reason)
  })

  test('a device that cannot be asked while it goes down and up', async () => {
    const { stderr } = await reset(emu, '--level', '3', '--yes', '-v')
    const commands = stderr.match(/ACCESS_REG \S+ \S+ op_mod \S+/g) ?? []
    // DTOR is the last that is asked before the device is opened to be reset; then the fault hits the first look behind it.
    const opened = commands.findIndex((one) => one.includes('DTOR')) + 1
    const written = commands.findIndex((one) => /MFRL \S+ op_mod 0x0/.test(one))
    for (const fault of ['status=1', 'errno=EIO']) {
      const place = `${fault}@${written - opened + 5}`
      const faulty = await reset(emu, '--level', '3', '--yes', '-v', '--fault', place)
      expect([place, faulty.status]).toEqual([place, 0])
      expect(faulty.stderr.match(/MFRL \S+ op_mod 0x0/g)).toHaveLength(1)
      expect(faulty.stderr).toMatch(/status 0x1|EIO/)
    }
  })

  test('--dry-run sends nothing', async () => {
    const { status, stdout, stderr } = await reset(emu, '--level', '0', '--dry-run', '-v')
    expect([status, stdout]).toEqual([0, 'emu:connectx7: would be reset (level 0, type 0, sync 0)\n'])
    expect(stderr).not.toContain('MFRL (0x9028) op_mod 0x0')
  })
})
