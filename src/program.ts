import { fstatSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { globalOptions } from './commands/global-options'
import { commandTable } from './commands/table'
import type { Ability, CommandEntry, Context, GlobalOptions, Result } from './commands/types'
import { deviceFirst, requestedFormat } from './commands/words'
import { Interrupted, UsageError } from './device/errors'
import { colours } from './render/colour'
import { describeError, envelope, type Envelope, type ErrorDescription } from './render/envelope'
import { askYesNo } from './render/ask'
import { writeAll, writeFileAtomically } from './render/output'
import { hexString } from './render/values'

export { commandTable, globalOptions }

export const version = process.env.MLX5CTL_VERSION ?? '0.0.0'

/** Exit codes by the kind of an error. */
const exitCodes: Readonly<Record<string, number>> = {
  internal: 1,
  usage: 2,
  'not-found': 3,
  open: 3,
  permission: 4,
  delivery: 5,
  firmware: 6,
  malformed: 7,
  partial: 8,
  unsupported: 9,
  interrupted: 130,
}
const EXIT_PARTIAL = 8
/** Signals that end a command between two steps, once all that it holds was given back; and the exit codes. */
const stopSignals: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }
const EXIT_PIPE = 141

/** Device number of /dev/null. */
const DEV_NULL = 0x103

/** Where a program writes; tests have their own. */
export interface Streams {
  stdout(text: string | Uint8Array): void
  stderr(text: string): void
  /** Columns of the terminal on stdout, 0 when it is none. */
  readonly width: number
  /** Whether messages go to a terminal. */
  readonly messagesOnTerminal: () => boolean
  readonly launcher: string
}

/** Runs a command line of the real process, and leaves its exit code in process.exitCode. */
export async function main(argv: readonly string[]): Promise<void> {
  const streams: Streams = {
    stdout: (text) => writeAll(1, text),
    stderr: (text) => writeAll(2, text),
    width: terminalWidth(),
    messagesOnTerminal: () => process.stderr.isTTY,
    launcher: argv[1] ?? '',
  }
  try {
    process.exitCode = await runProgram(argv.slice(2), streams)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    process.exitCode = EXIT_PIPE
  }
}

/** The stream object of stdout is made only for what may be a terminal: making it costs milliseconds. */
function terminalWidth(): number {
  try {
    const { rdev } = fstatSync(1)
    return rdev !== 0 && rdev !== DEV_NULL && process.stdout.isTTY ? process.stdout.columns : 0
  } catch {
    return 0
  }
}

/** Runs one command line; resolves with its exit code. */
export async function runProgram(words: readonly string[], streams: Streams): Promise<number> {
  const asked = requestedFormat(words)
  const interruption = new AbortController()
  const stop = (signal: NodeJS.Signals): void => interruption.abort(signal)
  let called: Called | undefined
  const ordered = deviceFirst(words)
  const program = createProgram(streams, commandsFor(ordered), (entry, args, own, options) => {
    called = { entry, args, own, options }
  })
  for (const signal of Object.keys(stopSignals)) process.on(signal, stop)
  try {
    program.parse(ordered, { from: 'user' })
    if (called === undefined) throw new UsageError('no command was given; mlx5ctl --help lists them')
    return await execute(called, streams, interruption.signal)
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    return await fail(
      error,
      { format: called?.options.format ?? asked, called, verbose: called?.options.verbose ?? false },
      streams,
    )
  } finally {
    for (const signal of Object.keys(stopSignals)) process.removeListener(signal, stop)
  }
}

interface Called {
  readonly entry: CommandEntry
  readonly args: readonly string[]
  readonly own: Readonly<Record<string, unknown>>
  readonly options: GlobalOptions
}

/** The command that a line calls, where that is plain; else all, for help and for suggestions. */
function commandsFor(words: readonly string[]): readonly CommandEntry[] {
  const called = commandTable.find((entry) => entry.name === words[0])
  return called === undefined ? commandTable : [called]
}

/** The commander program, made from the command table. */
export function createProgram(
  streams: Streams,
  entries: readonly CommandEntry[],
  call: (entry: CommandEntry, args: string[], own: Record<string, unknown>, options: GlobalOptions) => void,
): Command {
  const program = new Command('mlx5ctl')
    .description('Look into, debug and configure NVIDIA ConnectX and BlueField NICs (mlx5).')
    .usage('[options] COMMAND DEVICE [arguments]')
    .version(version, '-V, --version')
    .helpCommand('help [command]', 'help for a command')
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .configureOutput({ writeOut: (text) => streams.stdout(text), writeErr: () => undefined })
    .addHelpText('after', `\nDevices: ${deviceNames}\nExit codes: ${exitText}`)
  for (const [flags, description] of globalOptions) program.option(flags, description)
  for (const entry of entries) addCommand(program, entry, call)
  return program
}

const deviceNames =
  'mlx5_core.ctl.0, fwctl0, 0000:03:00.0, mlx5_0, enp3s0f0np0, 0, emu:connectx6dx, replay:FILE; "mlx5ctl DEVICE COMMAND" works too.'
const exitText =
  '0 done, 1 bug, 2 usage, 3 no device, 4 permission, 5 not delivered, 6 refused by firmware, 7 malformed data, 8 partial, 9 not supported.'

function addCommand(program: Command, entry: CommandEntry, call: Parameters<typeof createProgram>[2]): void {
  const command = program
    .command(entry.name)
    .summary(entry.summary)
    .description(entry.description)
    .usage(`${entry.arguments} [options]`.trim())
    .argument('[words...]')
    .configureHelp({ visibleArguments: () => [] })
    .addHelpText(
      'after',
      `\nExamples:\n${entry.examples.map((example) => `  ${example}`).join('\n')}\n\nOptions of every command: mlx5ctl --help`,
    )
    .action((words: string[], _: unknown, self: Command) => {
      const [least, most] = entry.takes
      if (words.length < least || words.length > most)
        throw new UsageError(
          `usage: mlx5ctl ${entry.name} ${entry.arguments}`.trim(),
          `mlx5ctl help ${entry.name} has examples`,
        )
      call(entry, words, self.opts(), globalsOf(program.opts()))
    })
  for (const [flags, description] of entry.options) {
    const collected = flags.startsWith('--profile')
    const shown = flags.replace(/ ([A-Z]+)$/, (_, name: string) => ` <${name.toLowerCase()}>`)
    if (collected) command.option(shown, description, (value: string, before: string[] = []) => [...before, value])
    else command.option(shown, description)
  }
}

/** @throws UsageError for values that no command takes */
function globalsOf(raw: Readonly<Record<string, unknown>>): GlobalOptions {
  const format = raw.json === true ? 'json' : (raw.format ?? 'text')
  if (format !== 'text' && format !== 'json' && format !== 'ndjson')
    throw new UsageError('--format takes text, json or ndjson')
  const text = (key: string): Record<string, string> => (typeof raw[key] === 'string' ? { [key]: raw[key] } : {})
  const timeout = raw.timeout === undefined ? undefined : Number(raw.timeout)
  if (timeout !== undefined && !(timeout > 0)) throw new UsageError('--timeout takes a number of seconds')
  const flag = (key: string): boolean => raw[key] === true
  return {
    format,
    raw: flag('raw'),
    hex: flag('hex'),
    reserved: flag('reserved'),
    dryRun: flag('dryRun'),
    allowTaint: flag('allowTaint'),
    yes: flag('yes'),
    clearSemaphore: flag('clearSemaphore'),
    color: raw.color !== false && process.env.NO_COLOR === undefined,
    quiet: flag('quiet'),
    verbose: flag('verbose'),
    ...(timeout === undefined ? {} : { timeout }),
    ...text('output'),
    ...text('transport'),
    ...text('record'),
    ...text('devRoot'),
    ...text('sysfsRoot'),
    ...text('emuState'),
    ...text('fault'),
  }
}

async function execute(called: Called, streams: Streams, signal: AbortSignal): Promise<number> {
  const { entry, args, own, options } = called
  checkAbilities(entry, options)
  const note = (message: string): void => {
    if (!options.quiet) streams.stderr(`mlx5ctl: ${message}\n`)
  }
  const module = await entry.load()
  const { width, launcher } = streams
  const interactive = (): boolean => !options.quiet && streams.messagesOnTerminal()
  const ask = (question: string): Promise<boolean> => {
    if (!process.stdin.isTTY || !streams.messagesOnTerminal())
      throw new UsageError('this asks before it writes, and nobody can be asked here', 'give --yes')
    return askYesNo(question, signal)
  }
  const context: Context = { options, own, width, launcher, signal, note, interactive, ask, table: commandTable }
  const result = await module.run(context, args)
  if (result.exitCode !== undefined) return result.exitCode
  const output = await format(called, result)
  for (const warning of result.warnings ?? []) note(`warning: ${warning}`)
  if (options.output === undefined) streams.stdout(output)
  else writeOutput(options.output, output)
  return result.partial === true ? EXIT_PARTIAL : 0
}

function writeOutput(file: string, output: string | Uint8Array): void {
  try {
    writeFileAtomically(file, output)
  } catch (error) {
    throw Object.assign(new Error(`${file} cannot be written: ${(error as Error).message}`), {
      kind: (error as NodeJS.ErrnoException).code === 'EACCES' ? 'permission' : 'open',
    })
  }
}

/** Options that a command cannot heed are refused, not ignored. */
function checkAbilities(entry: CommandEntry, options: GlobalOptions): void {
  const wants: readonly (readonly [boolean, Ability, string])[] = [
    [options.raw, 'raw', '--raw'],
    [options.hex, 'hex', '--hex'],
    [options.reserved, 'reserved', '--reserved'],
    [options.dryRun, 'dry-run', '--dry-run'],
    [options.record !== undefined, 'device', '--record'],
    [options.transport !== undefined, 'device', '--transport'],
    [options.timeout !== undefined, 'device', '--timeout'],
    [options.allowTaint, 'device', '--allow-taint'],
    [options.clearSemaphore, 'device', '--clear-semaphore'],
  ]
  for (const [given, ability, flag] of wants)
    if (given && !entry.abilities.includes(ability)) throw new UsageError(`${entry.name} has no ${flag}`)
  if (options.raw && options.hex) throw new UsageError('--raw and --hex exclude each other')
  if ((options.raw || options.hex) && options.format !== 'text') throw new UsageError('--raw and --hex have no JSON')
}

async function format(called: Called, result: Result): Promise<string | Uint8Array> {
  const { options } = called
  if (options.raw && result.raw !== undefined) return result.raw()
  if (options.hex && result.hex !== undefined) return result.hex()
  if (options.format === 'json') return `${stringify(successEnvelope(called, result), 2)}\n`
  if (options.format === 'ndjson') {
    const time = new Date().toISOString()
    const base = { time, command: commandName(called), device: result.device?.node ?? null }
    return (result.records ?? [result.data]).map((record) => `${stringify({ ...base, data: record })}\n`).join('')
  }
  return result.text()
}

function successEnvelope(called: Called, result: Result): Envelope {
  return envelope(version, {
    command: commandName(called),
    device: result.device === undefined ? null : { ...result.device },
    status: result.partial === true ? 'partial' : 'ok',
    data: result.data,
    error: null,
    warnings: result.warnings ?? [],
  })
}

/** "cmd list", "cmd show", "catalogue info": with the verb, where there is one. */
function commandName({ entry, args }: Called): string {
  const [verb = ''] = args
  const isVerb = new RegExp(`(?:^|\\| )${verb}\\b`).test(entry.arguments) && /^[a-z]+$/.test(verb)
  return isVerb && entry.name !== 'completion' ? `${entry.name} ${verb}` : entry.name
}

interface Failure {
  readonly format: GlobalOptions['format']
  readonly called: Called | undefined
  readonly verbose: boolean
}

/** Every failure is one sentence on stderr, and under JSON one document on stdout as well. */
async function fail(error: unknown, { format: how, called, verbose }: Failure, streams: Streams): Promise<number> {
  if ((error as NodeJS.ErrnoException | null)?.code === 'EPIPE') throw error
  const described = error instanceof CommanderError ? usageOf(error) : describeError(error)
  const command = called === undefined ? null : commandName(called)
  if (how === 'json') {
    const parts = { command, device: null, status: 'error' as const, data: null, error: described, warnings: [] }
    streams.stdout(`${stringify(envelope(version, parts), 2)}\n`)
  }
  if (how === 'ndjson')
    streams.stdout(`${stringify({ time: new Date().toISOString(), command, device: null, error: described })}\n`)
  const coloured = (called?.options.color ?? process.env.NO_COLOR === undefined) && streams.messagesOnTerminal()
  const { error: paint, hint } = await colours(coloured)
  streams.stderr(`${paint('mlx5ctl:')} ${described.message}\n`)
  if (described.hint !== null) streams.stderr(`${hint(`mlx5ctl: hint: ${described.hint}`)}\n`)
  if (described.kind === 'internal') {
    streams.stderr(
      'mlx5ctl: this is a bug in mlx5ctl; please report it, with a recording of the command (--record FILE)\n',
    )
    if (verbose && error instanceof Error) streams.stderr(`${error.stack ?? ''}\n`)
  }
  const bySignal = error instanceof Interrupted ? stopSignals[error.signal] : undefined
  return bySignal ?? exitCodes[described.kind] ?? 1
}

function usageOf(error: CommanderError): ErrorDescription {
  const message = error.code === 'commander.help' ? 'no command was given; mlx5ctl --help lists them' : error.message
  return { kind: 'usage', message: message.replace(/^error: /, '').replace(/\n/g, ' '), hint: null }
}

function stringify(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, member: unknown) =>
      typeof member === 'bigint' ? member.toString() : member instanceof Uint8Array ? hexString(member) : member,
    indent,
  )
}
