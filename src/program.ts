import { fstatSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { globalOptions } from './commands/global-options'
import { commandTable } from './commands/table'
import { formats, type CommandEntry, type GlobalOptions } from './commands/types'
import { deviceFirst, requestedFormat } from './commands/words'
import { UsageError } from './device/errors'
import { execute, fail, stopSignals, version, type Called, type Streams } from './execute'
import { writeAll, writeAllNow } from './render/output'

export { commandTable, globalOptions, version }

const EXIT_PIPE = 141

/** Device number of /dev/null. */
const DEV_NULL = 0x103

/** Runs a command line of the real process, and leaves its exit code in process.exitCode. */
export async function main(argv: readonly string[]): Promise<void> {
  const streams: Streams = {
    stdout: (text, stop) => writeAll(1, text, stop === undefined ? {} : { stop }),
    stderr: (text) => writeAllNow(2, text),
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
  let said = ''
  const say = (text: string): void => void (said += text)
  let armed = false
  const arm = (): void => {
    if (!armed) for (const signal of Object.keys(stopSignals)) process.on(signal, stop)
    armed = true
  }
  try {
    called = understand(deviceFirst(words), say)
    return await execute(called, streams, interruption.signal, arm, understand)
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      await streams.stdout(said)
      return 0
    }
    return await fail(error, called?.options.format ?? asked, called, streams)
  } finally {
    for (const signal of Object.keys(stopSignals)) process.removeListener(signal, stop)
  }
}

/** @param say takes what help prints @throws CommanderError, UsageError */
function understand(words: readonly string[], say: (text: string) => void = () => undefined): Called {
  let called: Called | undefined
  const program = createProgram(say, commandsFor(words), (entry, args, own, options) => {
    called = { entry, args, own, options }
  })
  program.parse(words, { from: 'user' })
  if (called === undefined) throw new UsageError('no command was given; mlx5ctl --help lists them')
  return called
}

/** The command that a line calls, where that is plain; else all, for help and for suggestions. */
function commandsFor(words: readonly string[]): readonly CommandEntry[] {
  const called = commandTable.find((entry) => entry.name === words[0])
  return called === undefined ? commandTable : [called]
}

/** The commander program, made from the command table. */
export function createProgram(
  say: (text: string) => void,
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
    .configureOutput({ writeOut: say, writeErr: () => undefined })
    .addHelpText('after', `\nDevices: ${deviceNames}\nExit codes: ${exitText}`)
  for (const [flags, description] of globalOptions) program.option(flags, description)
  for (const entry of entries) addCommand(program, entry, call)
  return program
}

const deviceNames =
  'mlx5_core.ctl.0, fwctl0, 0000:03:00.0, mlx5_0, enp3s0f0np0, 0, emu:connectx6dx, replay:FILE; "mlx5ctl DEVICE COMMAND" works too.'
const exitText =
  '0 done, 1 bug, 2 usage, 3 no device, 4 permission, 5 not delivered, 6 refused by firmware, 7 malformed data, 8 partial, 9 not supported, 10 drift.'

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
  const wanted = raw.json === true ? 'json' : (raw.format ?? 'text')
  const format = formats.find((one) => one === wanted)
  if (format === undefined) throw new UsageError(`--format takes ${formats.join(', ')}; not every command has each`)
  const text = (key: string): Record<string, string> => (typeof raw[key] === 'string' ? { [key]: raw[key] } : {})
  const timeout = raw.timeout === undefined ? undefined : Number(raw.timeout)
  if (timeout !== undefined && !(timeout > 0)) throw new UsageError('--timeout takes a number of seconds')
  const flag = (key: string): boolean => raw[key] === true
  return {
    format,
    formatGiven: raw.json === true || raw.format !== undefined,
    raw: flag('raw'),
    hex: flag('hex'),
    reserved: flag('reserved'),
    dryRun: flag('dryRun'),
    allowTaint: flag('allowTaint'),
    yes: flag('yes'),
    force: flag('force'),
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
