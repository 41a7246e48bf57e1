// Makes docs/mlx5ctl.1 (man page) from the command table. --check: exit 1 when the committed one differs. Needs a build.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const { commandTable, globalOptions, version } = createRequire(import.meta.url)(path.join(root, 'dist/cli.js'))
const file = path.join(root, 'docs/mlx5ctl.1')

const text = (words) => words.replace(/\\/g, '\\e').replace(/-/g, '\\-').replace(/^\./gm, '\\&.')
const option = ([flags, description]) => `.TP\n.B ${text(flags)}\n${text(description)}`
const command = ({ name, arguments: words, description, options, examples }) =>
  [
    `.SS ${text(`${name} ${words}`.trim())}`,
    text(description),
    ...options.map(option),
    '.PP\nExamples:',
    '.nf',
    ...examples.map((example) => `    ${text(example)}`),
    '.fi',
  ].join('\n')

const page = `.\\" Made by scripts/docs.mjs from the command table; do not edit.
.TH MLX5CTL 1 "" "mlx5ctl ${version}" "User Commands"
.SH NAME
mlx5ctl \\- look into, debug and configure NVIDIA ConnectX and BlueField NICs
.SH SYNOPSIS
.B mlx5ctl
[options] COMMAND DEVICE [arguments]
.SH DEVICES
mlx5_core.ctl.0, /dev/mlx5ctl\\-mlx5_core.ctl.0 (mlx5ctl driver); fwctl0, /dev/fwctl/fwctl0 (fwctl); 0000:03:00.0, 03:00.0, mlx5_0,
enp3s0f0np0 (that function, through the best door it has); 0; emu:connectx6dx (the emulator, in process); replay:FILE (a recording).
.SH COMMANDS
${commandTable.map(command).join('\n')}
.SH OPTIONS
${globalOptions.map(option).join('\n')}
.SH EXIT STATUS
0 done; 1 a bug in this tool; 2 usage; 3 no such device, or it cannot be opened; 4 permission or kernel lockdown; 5 not delivered (errno);
6 refused by firmware; 7 malformed data; 8 partial; 9 not supported; 130 interrupted; 141 closed pipe; 143 terminated.
.SH ENVIRONMENT
.B NO_COLOR
no colour.
.B XDG_DATA_HOME
where imported catalogues lie (mlx5ctl/*.bin).
`

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== page) {
    console.error('docs: docs/mlx5ctl.1 is not what the command table makes; run: node scripts/docs.mjs')
    process.exit(1)
  }
} else writeFileSync(file, page)
