import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openCatalogue, type Catalogue } from '../../src/prm/catalogue'
import { emptyImage } from '../../src/device/registers'
import { Codec, type FieldRange } from '../../src/prm/codec'
import { describeLayout } from '../../src/prm/describe'
import { importForUser } from '../../src/prm/import/user-catalogue'
import type { Register } from '../../src/prm/layout'
import { imageOfRows, parseRegisterTable } from '../../src/prm/register-text'
import { describeUnless } from '../support/oracle'
import { parseEnvelope } from '../support/schema'
import { runInProcess } from '../support/program'
import { Random, seed } from '../support/random'
import { Mstflint, rowsOf } from './mstflint'

/**
 * Every register of an ADB file, with random contents, read by the unmodified mstreg and by `reg get -j`: each field that we
 * print is the one that mstreg prints.
 */

let folder: string
const before = process.env.XDG_DATA_HOME
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-registers-'))
  process.env.XDG_DATA_HOME = path.join(folder, 'none')
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  if (before === undefined) delete process.env.XDG_DATA_HOME
  else process.env.XDG_DATA_HOME = before
})

const MGIR = 0x9020
const BLUEFIELD3 = 0x21c

interface Case {
  readonly register: Register
  /** Index fields as NAME=VALUE. */
  readonly index: readonly string[]
}

/** Index fields all 0, and for each selector among them every value that selects something. */
function casesOf(catalogue: Catalogue, register: Register): Case[] {
  const { fields } = catalogue.layout(register.layout ?? '')
  const isIndex = (name: string): boolean => fields.some((field) => field.name === name && field.access === 'INDEX')
  const selected = fields.flatMap(({ select }) =>
    select === undefined || !isIndex(select.by)
      ? []
      : Object.keys(select.members).map((value) => [`${select.by}=${value}`]),
  )
  return [[], ...selected].map((index) => ({ register, index }))
}

/** Random contents for every register, in a state file of the emulated device. */
function writeState(
  file: string,
  profile: string,
  registers: readonly Register[],
  known: (id: number) => string | undefined,
): void {
  const random = new Random(seed)
  const state = registers.map(({ id }): [string, string] => {
    const image = random.bytes(812)
    // mstreg asks MGIR for the id of the chip before anything else.
    if (id === MGIR) image.writeUInt32BE(BLUEFIELD3, 8)
    return [`${known(id) ?? `0x${id.toString(16)}`}/*`, image.toString('hex')]
  })
  writeFileSync(file, JSON.stringify({ version: 1, profile, registers: Object.fromEntries(state) }))
}

interface Comparison {
  registers: number
  fields: number
  /** Fields of ours that mstreg does not print, for a reason that is known. */
  readonly known: Map<string, number>
  /** Rows of mstreg's that we do not print. */
  readonly theirsOnly: string[]
  readonly mismatches: string[]
  readonly leftOut: string[]
  /** Fields that `decode` does not get back out of what mstreg printed. */
  readonly unreadable: string[]
}

async function ourLeaves(codec: Codec, { register, index }: Case, stateFile: string): Promise<FieldRange[]> {
  const { stdout, status } = await runInProcess([
    'reg',
    'get',
    'emu:bluefield3',
    register.name,
    ...index,
    '--emu-state',
    stateFile,
    '-j',
  ])
  const data = parseEnvelope(stdout).data
  if (status !== 0 || data === null) throw new Error(`${register.name}: ${stdout}`)
  const image = Uint8Array.from(Buffer.from(data.image as string, 'hex'))
  const leaves = codec.ranges(register.layout ?? '', image).filter(({ reserved }) => !reserved)
  // What is compared is the JSON: every leaf of the walk has its value there.
  return leaves.map((leaf) => {
    const value = valueAt(data.values, leaf.path)
    if (value === undefined) throw new Error(`${register.name}: ${leaf.path} is not in the JSON`)
    return { ...leaf, value: leaf.width > 32 ? BigInt(value) : Number(value) }
  })
}

function valueAt(values: unknown, where: string): string | number | undefined {
  let here = values
  for (const part of where.split(/[.[\]]+/).filter((one) => one !== ''))
    here = (here as Record<string, unknown> | undefined)?.[part]
  return here as string | number | undefined
}

/** A leaf as mstreg prints it: 64 bits in two rows; with --full_path or by its short name. */
function asTheirs({ path: where, value }: FieldRange, fullPath: boolean): [string, number][] {
  const parts = where.split('.')
  const indices = parts.slice(0, -1).flatMap((part) => /\[(\d+)\]$/.exec(part)?.[1] ?? [])
  const leaf = [parts.at(-1) ?? '', ...indices].join('_')
  const around = fullPath
    ? parts
        .slice(0, -1)
        .map((part) => `${part}.`)
        .join('')
    : ''
  if (typeof value !== 'bigint') return [[around + leaf, Number(value)]]
  const name = fullPath ? `${around}${parts.at(-1)}.${leaf}` : leaf
  return [
    [`${name}_hi`, Number(value >> 32n)],
    [`${name}_lo`, Number(value & 0xffffffffn)],
  ]
}

/** Why mstreg does not print a field of ours; undefined where it must. */
function knownDifference(catalogue: Catalogue, { register }: Case, leaf: FieldRange): string | undefined {
  const [, array, index] = /^(\w+)\[(\d+)\]/.exec(leaf.path) ?? []
  const { fields } = catalogue.layout(register.layout ?? '')
  if (Number(index) > 0 && fields.find(({ name }) => name === array)?.array?.count === null)
    return 'mstreg shows one element of an array of variable length'
  return leaf.access === undefined && !leaf.path.includes('.') ? "only Linux's headers have it" : undefined
}

/** Counts what agrees, and collects what does not. */
function compare(
  found: Comparison,
  codec: Codec,
  catalogue: Catalogue,
  one: Case,
  leaves: readonly FieldRange[],
  output: string,
  fullPath: boolean,
): void {
  const theirs = rowsOf(output)
  const title = [one.register.name, ...one.index].join(' ')
  if (theirs.length === 0) {
    found.leftOut.push(`${title}: ${output.trim().split('\n').at(-1)?.slice(0, 120)}`)
    return
  }
  if (one.index.length === 0) found.registers++
  const values = new Map<string, number[]>()
  for (const [name, value] of theirs) values.set(name, [...(values.get(name) ?? []), value])
  found.unreadable.push(...unreadable(codec, catalogue, one, leaves, output))
  const own = new Set<string>()
  for (const leaf of leaves)
    for (const [name, value] of asTheirs(leaf, fullPath)) {
      own.add(name)
      const printed = values.get(name)
      const reason = printed === undefined ? knownDifference(catalogue, one, leaf) : undefined
      if (reason !== undefined) found.known.set(reason, (found.known.get(reason) ?? 0) + 1)
      else if (printed?.includes(value) === true) found.fields++
      else
        found.mismatches.push(
          `${title}: ${name} is ${hex(value)}, mstreg has ${printed?.map(hex).join(' ') ?? 'no such field'}`,
        )
    }
  for (const name of values.keys()) if (!own.has(name)) found.theirsOnly.push(`${title}: ${name}`)
}

/** The text of mstreg, decoded as `decode` does, has the value of every field that it shows. */
function unreadable(
  codec: Codec,
  catalogue: Catalogue,
  one: Case,
  leaves: readonly FieldRange[],
  output: string,
): string[] {
  const layout = one.register.layout ?? ''
  const rows = parseRegisterTable(Buffer.from(output, 'latin1')) ?? []
  const { image } = imageOfRows(codec, layout, rows, emptyImage(codec, layout))
  const again = new Map(codec.ranges(layout, image).map(({ path: where, value }) => [where, value]))
  return leaves
    .filter((leaf) => knownDifference(catalogue, one, leaf) === undefined)
    .filter(({ path: where, value }) => BigInt(again.get(where)?.toString() ?? -1) !== BigInt(value.toString()))
    .map(
      ({ path: where, value }) =>
        `${one.register.name}: ${where} is ${String(value)}, read back as ${String(again.get(where))}`,
    )
}

const hex = (value: number): string => `0x${value.toString(16)}`

function tell(what: string, { registers, fields, known, mismatches, theirsOnly, leftOut }: Comparison): void {
  const lines = [
    `${what} (seed ${seed}): ${registers} registers, ${fields} fields compared, ${mismatches.length} mismatches`,
    ...[...known].map(([reason, count]) => `  ${count} fields of ours are not in mstreg's output: ${reason}`),
    `  ${theirsOnly.length} rows of mstreg's are not in ours`,
    ...leftOut.map((line) => `  left out: ${line}`),
  ]
  process.stderr.write(`${lines.join('\n')}\n`)
}

interface Run {
  readonly cases: readonly Case[]
  readonly state: string
  readonly outputs: readonly string[]
  readonly fullPath: boolean
}

async function compareAll(
  catalogue: Catalogue,
  codec: Codec,
  { cases, state, outputs, fullPath }: Run,
): Promise<Comparison> {
  const found: Comparison = {
    registers: 0,
    fields: 0,
    known: new Map(),
    theirsOnly: [],
    mismatches: [],
    leftOut: [],
    unreadable: [],
  }
  for (const [position, one] of cases.entries())
    compare(found, codec, catalogue, one, await ourLeaves(codec, one, state), outputs[position] ?? '', fullPath)
  return found
}

const sid = new Mstflint('sid')
describeUnless(sid.missing, 'mstreg 4.33 over fwctl, the built-in catalogue', () => {
  test('every field of every register, unions by their selectors', async () => {
    const catalogue = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
    const codec = new Codec(catalogue)
    const shipped = readFileSync(sid.adb(), 'latin1')
    const registers = catalogue
      .registers()
      .filter(({ layout }) => layout?.endsWith('_ext') === true && shipped.includes(`name="${layout}"`))
    const state = path.join(folder, 'sid.json')
    writeState(state, 'bluefield3', registers, (id) => catalogue.findRegister(id)?.name)
    const cases = registers.flatMap((register) => casesOf(catalogue, register))
    const theirName = ({ name, aliases }: Register): string => aliases?.[0] ?? name
    const lines = cases.map(({ register, index }) => {
      const given = index.length === 0 ? '' : `-i ${index.join(',')}`
      return `-d fwctl0 --reg_name ${theirName(register)} --get --full_path ${given}`
    })
    const outputs = sid.runAll('mstreg', lines, '--profile', 'bluefield3', '--emu-state', state)
    const found = await compareAll(catalogue, codec, { cases, state, outputs, fullPath: true })
    tell('mstreg 4.33', found)
    expect(found.mismatches).toEqual([])
    expect(found.unreadable).toEqual([])
    expect(found.leftOut).toEqual([])
    // It prints element 0 of an array even when its counter is 0.
    expect(found.theirsOnly.filter((row) => !/: \w+\[0\]/.test(row))).toEqual([])
    expect(found.registers).toBe(186)
    expect(found.fields).toBeGreaterThan(5000)
  }, 300_000)
})

/** MBCT has 1056 bytes: neither tool can carry it through ICMD. */
const expectedLeftOut = ['MBCT']

const bookworm = new Mstflint('bookworm')
describeUnless(bookworm.missing, 'mstreg 4.21 over PCI, its own register file imported', () => {
  test('every field of every register, whatever alternatives of unions it prints beside them', async () => {
    process.env.XDG_DATA_HOME = path.join(folder, 'data')
    mkdirSync(process.env.XDG_DATA_HOME)
    await importForUser([bookworm.adb()], 'bookworm')
    const builtIn = openCatalogue([path.resolve(__dirname, '../../dist/catalogue.bin')])
    const catalogue = openCatalogue()
    const codec = new Codec(catalogue)
    const registers = catalogue.registers().filter(({ layout }) => layout?.endsWith('@bookworm') === true)
    const state = path.join(folder, 'bookworm.json')
    writeState(state, 'bluefield3', registers, (id) => {
      const known = builtIn.findRegister(id)
      return known?.layout === undefined ? undefined : known.name
    })
    // 4.21 wants every index field, and sees a name only once.
    const cases = registers.map((register): Case => ({ register, index: [] }))
    const lines = cases.map(({ register }) => {
      const fields = describeLayout(catalogue, register.layout ?? '').filter(
        ({ access, layout, count }) => access === 'INDEX' && layout === undefined && count !== null,
      )
      const index = new Set(
        fields.flatMap(({ path: where, width, count }) => {
          const name = (where.split('.').at(-1) ?? '').replace(/\[.*$/, '')
          if (width > 32) return [`${name}_hi`, `${name}_lo`]
          return count === 1 ? [name] : Array.from({ length: count ?? 0 }, (_, element) => `${name}[${element}]`)
        }),
      )
      const given = index.size === 0 ? '' : `-i ${[...index].map((name) => `${name}=0`).join(',')}`
      return `-d 03:00.0 --reg_name ${register.name} --get ${given}`
    })
    const outputs = bookworm.runAll('mstreg', lines, '--profile', 'bluefield3', '--emu-state', state)
    const found = await compareAll(catalogue, codec, { cases, state, outputs, fullPath: false })
    tell('mstreg 4.21', found)
    expect(found.mismatches).toEqual([])
    expect(found.unreadable).toEqual([])
    expect(found.registers + found.leftOut.length).toBe(192)
    expect(found.leftOut.map((line) => line.split(':')[0])).toEqual(expectedLeftOut)
    expect(found.fields).toBeGreaterThan(1500)
  }, 300_000)
})
