import { UsageError } from '../device/errors'
import { globalOptions } from './global-options'
import type { CommandEntry, Context, Result } from './types'

export async function run({ table }: Context, [shell = '']: readonly string[]): Promise<Result> {
  const make = shells[shell]
  if (make === undefined) throw new UsageError(`there are completions for ${Object.keys(shells).join(', ')}`)
  const script = make(table)
  return { data: { shell, script }, text: () => script }
}

const shells: Readonly<Record<string, (table: readonly CommandEntry[]) => string>> = { bash, zsh, fish }

/** Long and short flags of options. */
function flags(options: CommandEntry['options']): string[] {
  return options.flatMap(([text]) => text.match(/(?<![\w-])--?[\w-]+/g) ?? [])
}

/** Words that may follow a command. */
function words(entry: CommandEntry): string[] {
  const verbs = entry.arguments.match(/\b[a-z]+\b/g) ?? []
  return [...verbs, ...flags(entry.options)]
}

function bash(table: readonly CommandEntry[]): string {
  const cases = table.map((entry) => `    ${entry.name}) words="${words(entry).join(' ')}" ;;`)
  return `_mlx5ctl() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= words= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in ${table.map((entry) => entry.name).join('|')}) command=$word; break ;; esac
  done
  case $command in
${cases.join('\n')}
    *) words="${table.map((entry) => entry.name).join(' ')}" ;;
  esac
  [[ $current == -* ]] && words="$words ${flags(globalOptions).join(' ')}"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _mlx5ctl mlx5ctl
`
}

function zsh(table: readonly CommandEntry[]): string {
  const entries = table.map((entry) => `    '${entry.name}:${entry.summary.replace(/'/g, '')}'`)
  const cases = table.map((entry) => `    ${entry.name}) compadd -- ${words(entry).join(' ')} ;;`)
  return `#compdef mlx5ctl
_mlx5ctl() {
  local -a commands
  commands=(
${entries.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  [[ $words[CURRENT] == -* ]] && compadd -- ${flags(globalOptions).join(' ')}
  case $words[2] in
${cases.join('\n')}
  esac
  _files
}
compdef _mlx5ctl mlx5ctl
`
}

function fish(table: readonly CommandEntry[]): string {
  const names = table.map((entry) => entry.name).join(' ')
  const commands = table.map(
    (entry) =>
      `complete -c mlx5ctl -n "not __fish_seen_subcommand_from ${names}" -a ${entry.name} -d '${entry.summary.replace(/'/g, '')}'`,
  )
  const own = table.flatMap((entry) =>
    words(entry).map((word) =>
      word.startsWith('--')
        ? `complete -c mlx5ctl -n "__fish_seen_subcommand_from ${entry.name}" -l ${word.slice(2)}`
        : `complete -c mlx5ctl -n "__fish_seen_subcommand_from ${entry.name}" -a ${word}`,
    ),
  )
  const global = flags(globalOptions).map(
    (flag) => `complete -c mlx5ctl ${flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`}`,
  )
  return `${[...commands, ...own, ...global].join('\n')}\n`
}
