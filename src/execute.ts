import { CommanderError } from 'commander'
import { commandTable } from './commands/table'
import type { Ability, CallOutcome, Calling, CommandEntry, Context, GlobalOptions, Result } from './commands/types'
import { Interrupted, Unsupported, UsageError } from './device/errors'
import { askYesNo } from './render/ask'
import { colours } from './render/colour'
import { describeError, envelope, type Envelope, type ErrorDescription } from './render/envelope'
import { openOutput, StreamOutput, type Output, type Stop } from './render/output'
import { shownLines, shownText } from './render/shown'
import { hexString } from './render/values'

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
const EXIT_DRIFT = 10
/** Signals that end a command between two steps, once all that it holds was given back; and the exit codes. */
export const stopSignals: Readonly<Record<string, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }

/** Where a program writes; tests have their own. */
export interface Streams {
  /** @param stop throws when the command is to end, while a slow reader lets it wait */
  stdout(text: string | Uint8Array, stop?: Stop): void | Promise<void>
  stderr(text: string): void
  /** Columns of the terminal on stdout, 0 when it is none. */
  readonly width: number
  /** Whether messages go to a terminal. */
  readonly messagesOnTerminal: () => boolean
  readonly launcher: string
}

/** A command line, understood. */
export interface Called {
  readonly entry: CommandEntry
  readonly args: readonly string[]
  readonly own: Readonly<Record<string, unknown>>
  readonly options: GlobalOptions
}

/** Understands a command line. @throws CommanderError, UsageError */
export type Understand = (words: readonly string[]) => Called

/** Something failed when part of the output was written already. */
class Incomplete extends Error {
  readonly kind = 'partial'
  readonly hint: string | undefined
  constructor(
    override readonly cause: Error,
    /** Name of the file that has what was read; undefined where it went to stdout. */
    readonly kept: string | undefined,
  ) {
    super(`${cause.message}; ${kept === undefined ? 'the output is incomplete' : `what was read is kept in ${kept}`}`)
    this.hint = describeError(cause).hint ?? undefined
  }
}

/**
 * Runs a command and writes its result; resolves with the exit code.
 * @param arm from then on signals end the command between two steps; until then they end it at once
 * @param understand for the command lines that the command runs itself
 * @throws whatever keeps it from having one
 */
export async function execute(
  called: Called,
  streams: Streams,
  signal: AbortSignal,
  arm: () => void,
  understand: Understand,
): Promise<number> {
  const { entry, options } = called
  checkAbilities(entry, options)
  const note = (message: string): void => {
    if (!options.quiet) streams.stderr(`mlx5ctl: ${shownLines(message)}\n`)
  }
  const interactive = (): boolean => !options.quiet && streams.messagesOnTerminal()
  const stop = (): void => {
    if (signal.aborted) throw new Interrupted(String(signal.reason))
  }
  const confirm = async (about: string, question: string): Promise<void> => {
    if (options.yes) return
    const canAsk = process.stdin.isTTY && streams.messagesOnTerminal()
    // Who is asked must see what about, also with --quiet.
    if (canAsk || !options.quiet) streams.stderr(`mlx5ctl: ${shownLines(about.trimEnd())}\n`)
    if (!canAsk) throw new UsageError('this asks before it writes, and nobody can be asked here', 'give --yes')
    const isYes = await askYesNo(`${question} [y/N] `, signal)
    stop()
    if (!isYes) throw new Unsupported('not confirmed: nothing was written')
  }
  const output =
    options.output === undefined || entry.ownOutput === true
      ? new StreamOutput((text) => streams.stdout(text, stop))
      : await openOutput(options.output, options.force, stop)
  const { width, launcher } = streams
  let result: Result
  try {
    result = await perform(called, understand, {
      width,
      launcher,
      note,
      interactive,
      confirm,
      write: (part) => output.write(part),
      get signal() {
        arm()
        return signal
      },
    })
    if (result.failure === undefined) await output.commit()
    for (const warning of result.warnings ?? []) note(`warning: ${shownText(warning)}`)
  } catch (error) {
    throw await abandoned(output, error)
  }
  if (result.verdict !== undefined) {
    await tell(result.verdict, called, streams)
    return exitCode(result.verdict)
  }
  if (result.failure === undefined) return resultCode(result)
  const failure = await abandoned(output, result.failure)
  if (output.isFile) throw failure
  await tell(failure, called, streams)
  return exitCode(failure)
}

/** What a command line, or a command that calls another one, lends to a command. */
type Surroundings = Omit<Context, 'options' | 'own' | 'version' | 'table' | 'writeRecord' | 'call'>

/** Runs a command and writes what it gives back. */
async function perform(called: Called, understand: Understand, around: Surroundings): Promise<Result> {
  const { entry, args, own, options } = called
  const module = await entry.load()
  const { width, launcher, opened } = around
  const write = (part: string | Uint8Array): Promise<void> => around.write(part)
  const context: Context = {
    options,
    own,
    width,
    launcher,
    opened,
    version,
    table: commandTable,
    note: (message) => around.note(message),
    interactive: () => around.interactive(),
    confirm: (about, question) => around.confirm(about, question),
    write,
    writeRecord: (device, data) => write(ndjson(called, { device, records: [data] })),
    call: (words, how) => callCommand(understand(words), understand, context, how),
    get signal() {
      return around.signal
    },
  }
  const result = await module.run(context, args)
  if (result.exitCode === undefined) await write(await format(called, result))
  return result
}

/** A command line inside of another one: it asks nothing, and how it fails is for the caller to tell. */
async function callCommand(
  line: Called,
  understand: Understand,
  caller: Context,
  { options, write, signal, opened }: Calling,
): Promise<CallOutcome> {
  const called: Called = { ...line, options: { ...line.options, ...options } }
  const { verbose } = called.options
  try {
    const result = await perform(called, understand, {
      width: 0,
      launcher: caller.launcher,
      opened,
      signal,
      write,
      interactive: () => false,
      confirm: async () => {
        if (!called.options.yes) throw new UsageError('this asks before it writes, and nobody can be asked here')
      },
      note: (message) => {
        if (verbose) caller.note(message)
      },
    })
    const { warnings = [] } = result
    const failure = result.failure ?? result.verdict
    if (failure === undefined) return { exitCode: resultCode(result), error: null, warnings }
    return { exitCode: exitCode(failure), error: describe(failure), warnings }
  } catch (error) {
    return { exitCode: exitCode(error), error: describe(error), warnings: [] }
  }
}

/** The exit code of a result without a failure. */
function resultCode({ endedBy, exitCode: own, partial, drift }: Result): number {
  if (endedBy !== undefined) return stopSignals[endedBy] ?? 1
  return own ?? (partial === true ? EXIT_PARTIAL : drift === true ? EXIT_DRIFT : 0)
}

/** What is said when something fails: with what became of the output, where some of it was written. */
async function abandoned(output: Output, error: unknown): Promise<unknown> {
  const isPipe = (error as NodeJS.ErrnoException | null)?.code === 'EPIPE'
  const { written } = output
  const kept = await output.abandon()
  return written > 0 && !isPipe && error instanceof Error ? new Incomplete(error, kept) : error
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
  const { format } = options
  const own = entry.formats ?? []
  if (format !== 'text' && format !== 'json' && format !== 'ndjson' && !own.includes(format))
    throw new UsageError(
      `${entry.name} has no --format ${format}`,
      `it has ${['text', 'json', 'ndjson', ...own].join(', ')}`,
    )
  if (options.output !== undefined && options.output === options.record)
    throw new UsageError('-o and --record name the same file')
  for (const [given, ability, flag] of wants)
    if (given && !entry.abilities.includes(ability)) throw new UsageError(`${entry.name} has no ${flag}`)
  if (options.raw && options.hex) throw new UsageError('--raw and --hex exclude each other')
  if ((options.raw || options.hex) && options.format !== 'text') throw new UsageError('--raw and --hex have no JSON')
}

async function format(called: Called, result: Result): Promise<string | Uint8Array> {
  const { options } = called
  if (options.raw && result.raw !== undefined) return result.raw()
  if (options.hex && result.hex !== undefined) return result.hex()
  if (options.format === 'json') return `${stringify(resultEnvelope(called, result), 2)}\n`
  if (options.format === 'ndjson') return ndjson(called, result)
  return result.text()
}

function ndjson(
  called: Called,
  { device, data, records }: Pick<Result, 'device' | 'records'> & { data?: unknown },
): string {
  const time = new Date().toISOString()
  const base = { time, command: commandName(called), device: device?.node ?? null }
  return (records ?? [data]).map((record) => `${stringify({ ...base, data: record })}\n`).join('')
}

function resultEnvelope(called: Called, { device, data, warnings, partial, failure, verdict }: Result): Envelope {
  const error = failure ?? verdict
  return envelope(version, {
    command: commandName(called),
    device: device === undefined ? null : { ...device },
    status: partial === true || error !== undefined ? 'partial' : 'ok',
    data,
    error: error === undefined ? null : describeError(error),
    warnings: warnings ?? [],
  })
}

/** "cmd list", "cmd show", "catalogue info": with the verb, where there is one. */
function commandName({ entry, args }: Called): string {
  const [verb = ''] = args
  const isVerb = /^[a-z]+$/.test(verb) && new RegExp(`(?:^|\\| )${verb}\\b`).test(entry.arguments)
  return isVerb && entry.name !== 'completion' ? `${entry.name} ${verb}` : entry.name
}

/** Every failure is one sentence on stderr, and under JSON one document on stdout as well. Resolves with the exit code. */
export async function fail(
  error: unknown,
  how: GlobalOptions['format'],
  called: Called | undefined,
  streams: Streams,
): Promise<number> {
  if ((error as NodeJS.ErrnoException | null)?.code === 'EPIPE') throw error
  await tellDocument(error, how, called, streams)
  await tell(error, called, streams)
  return exitCode(error)
}

/** A stdout that takes nothing more is no reason not to say on stderr what happened. */
async function tellDocument(
  error: unknown,
  how: GlobalOptions['format'],
  called: Called | undefined,
  streams: Streams,
): Promise<void> {
  const described = describe(error)
  const command = called === undefined ? null : commandName(called)
  const time = new Date().toISOString()
  const parts = { command, device: null, status: 'error' as const, data: null, error: described, warnings: [] }
  try {
    if (how === 'json') await streams.stdout(`${stringify(envelope(version, parts), 2)}\n`)
    if (how === 'ndjson') await streams.stdout(`${stringify({ time, command, device: null, error: described })}\n`)
  } catch (failed) {
    if ((failed as NodeJS.ErrnoException).code === 'EPIPE') throw failed
    streams.stderr(`mlx5ctl: stdout cannot be written: ${(failed as Error).message}\n`)
  }
}

/** Messages quote what files and devices say: nothing of that may move the cursor, or look like another message. */
async function tell(error: unknown, called: Called | undefined, streams: Streams): Promise<void> {
  const { kind, message, hint } = describe(error)
  const coloured = (called?.options.color ?? process.env.NO_COLOR === undefined) && streams.messagesOnTerminal()
  const paint = await colours(coloured)
  streams.stderr(`${paint.error('mlx5ctl:')} ${shownText(message)}\n`)
  if (hint !== null) streams.stderr(`${paint.hint(`mlx5ctl: hint: ${shownText(hint)}`)}\n`)
  if (kind !== 'internal') return
  streams.stderr(
    'mlx5ctl: this is a bug in mlx5ctl; please report it, with a recording of the command (--record FILE)\n',
  )
  if (called?.options.verbose === true && error instanceof Error) streams.stderr(`${shownLines(error.stack ?? '')}\n`)
}

function exitCode(error: unknown): number {
  const cause = error instanceof Incomplete ? error.cause : error
  const bySignal = cause instanceof Interrupted ? stopSignals[cause.signal] : undefined
  return bySignal ?? exitCodes[describe(error).kind] ?? 1
}

function describe(error: unknown): ErrorDescription {
  if (!(error instanceof CommanderError)) return describeError(error)
  const message = error.code === 'commander.help' ? 'no command was given; mlx5ctl --help lists them' : error.message
  return { kind: 'usage', message: message.replace(/^error: /, '').replace(/\n/g, ' '), hint: null }
}

/** JSON with bigints as decimal strings and bytes as hex; control characters that JSON leaves alone are escaped, for terminals. */
function stringify(value: unknown, indent?: number): string {
  const text = JSON.stringify(
    value,
    (_, member: unknown) =>
      typeof member === 'bigint' ? member.toString() : member instanceof Uint8Array ? hexString(member) : member,
    indent,
  )
  return text.replace(/[\u007f-\u009f]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`)
}
