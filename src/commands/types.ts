import type { ErrorDescription } from '../render/envelope'
import type { DeviceIdentity, Transport } from '../transport/contract'

/** text, json and ndjson are of every command; the others of those that name them in the table. */
export const formats = ['text', 'json', 'ndjson', 'csv', 'trace', 'prometheus', 'xml'] as const
export type Format = (typeof formats)[number]

/** Options of every command, as cli.md lists them. */
export interface GlobalOptions {
  readonly format: Format
  /** Whether a format was asked for. */
  readonly formatGiven: boolean
  readonly output?: string
  readonly raw: boolean
  readonly hex: boolean
  readonly reserved: boolean
  readonly transport?: string
  /** Seconds. */
  readonly timeout?: number
  readonly record?: string
  readonly dryRun: boolean
  readonly allowTaint: boolean
  readonly yes: boolean
  readonly force: boolean
  readonly clearSemaphore: boolean
  readonly color: boolean
  readonly quiet: boolean
  readonly verbose: boolean
  readonly devRoot?: string
  readonly sysfsRoot?: string
  readonly emuState?: string
  readonly fault?: string
}

/** Global options that only some commands can heed; the others refuse them. */
export type Ability = 'raw' | 'hex' | 'reserved' | 'dry-run' | 'device'

/** What a command is run with. */
export interface Context {
  readonly options: GlobalOptions
  /** Options of the command itself. */
  readonly own: Readonly<Record<string, unknown>>
  /** Columns of the terminal on stdout, 0 when it is none. */
  readonly width: number
  /** Path of the launcher. */
  readonly launcher: string
  /** Of this tool. */
  readonly version: string
  /** Once it was asked for, signals end the command between two steps, and no longer at once. */
  readonly signal: AbortSignal
  /** Whether somebody watches: stderr is a terminal, and not --quiet. */
  interactive(): boolean
  /**
   * Unless --yes: tells on stderr what is about to happen, asks, and waits for a line on stdin.
   * @throws UsageError where they are no terminals, Unsupported when the answer is no, Interrupted
   */
  confirm(about: string, question: string): Promise<void>
  /** A message on stderr, unless --quiet. */
  note(message: string): void
  /**
   * Writes part of a result that is too long, or takes too long, to be kept until all of it is there. When the command fails
   * later, it is told that the output is incomplete.
   */
  write(part: string | Uint8Array): Promise<void>
  /** The same, one record of ndjson. */
  writeRecord(device: DeviceIdentity | undefined, data: unknown): Promise<void>
  /** The table of all commands. */
  readonly table: readonly CommandEntry[]
  /** A device that is open already: what the command takes instead of opening the one that it names, and does not close. */
  readonly opened?: Transport | undefined
  /** Runs another command line in this process. Never rejects for what the command does. @throws CommanderError, UsageError */
  call(words: readonly string[], how: Calling): Promise<CallOutcome>
}

/** What a command line is run with inside of another one. */
export interface Calling {
  /** Where what it prints on stdout goes. */
  readonly write: (part: string | Uint8Array) => Promise<void>
  /** Global options beside those of the words. */
  readonly options: Partial<GlobalOptions>
  readonly signal: AbortSignal
  readonly opened?: Transport | undefined
}

/** How it ended, as a process would tell. */
export interface CallOutcome {
  readonly exitCode: number
  readonly error: ErrorDescription | null
  readonly warnings: readonly string[]
}

/** What a command gives back; the program renders it in the format that was asked for. */
export interface Result {
  readonly device?: DeviceIdentity | undefined
  readonly data: unknown
  /** Records of ndjson; without them it is the data. */
  readonly records?: readonly unknown[]
  readonly text: () => string | Promise<string>
  /** Exact bytes, for --raw. */
  readonly raw?: (() => Uint8Array) | undefined
  /** For --hex. */
  readonly hex?: (() => string) | undefined
  readonly warnings?: readonly string[]
  readonly partial?: boolean
  /** What ended the work before all was there; the result is what was read until then. Makes it partial. */
  readonly failure?: Error | undefined
  /** What was looked into is bad. The result is whole: it is written, then this is told, and decides the exit code. */
  readonly verdict?: Error | undefined
  /** Something is not as it should be, which the command was asked to tell: exit code 10. */
  readonly drift?: boolean
  /** The signal that ended what goes on until it is ended: all is written, and the exit code tells the signal. */
  readonly endedBy?: string | undefined
  /** Only `emulate` has one: that of the command it ran. Nothing is printed then. */
  readonly exitCode?: number
}

interface CommandModule {
  run(context: Context, args: readonly string[]): Promise<Result>
}

/** One line of the command table, from which the program, its help, completions and the man page are made. */
export interface CommandEntry {
  readonly name: string
  readonly arguments: string
  readonly summary: string
  readonly description: string
  readonly options: readonly (readonly [flags: string, description: string])[]
  readonly examples: readonly string[]
  readonly abilities: readonly Ability[]
  /** Formats beside text, json and ndjson. */
  readonly formats?: readonly Format[]
  /** The file of -o is the command's own affair; what it gives back goes to stdout. */
  readonly ownOutput?: boolean
  /** How many arguments it takes, at least and at most. */
  readonly takes: readonly [number, number]
  readonly load: () => Promise<CommandModule>
}
