import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { emulated, type Outcome } from '../support/cli'
import { missingForEmulatedNodes } from '../support/oracle'

const sources = path.resolve(__dirname, '../../.sources')
const share = '/usr/share/mstflint'

/** Unmodified tools of one Debian release, with the C library and the data they came with. */
export class Mstflint {
  private readonly root: string
  private readonly loader: string | undefined

  constructor(readonly suite: 'sid' | 'bookworm') {
    this.root = path.join(sources, `mstflint-${suite}`)
    this.loader = find(this.root, 'ld-linux-x86-64.so.2')
  }

  /** Why they cannot be run here; undefined where they can. */
  get missing(): string | undefined {
    return (
      missingForEmulatedNodes() ??
      (this.loader === undefined
        ? `mstflint of Debian ${this.suite} was not fetched (scripts/fetch-sources.sh)`
        : undefined)
    )
  }

  /** The register file of HCAs, or of switches. */
  adb(kind: 'hca' | 'switch' = 'hca'): string {
    return path.join(this.root, share, `prm_dbs/${kind}/ext/register_access_table.adb`)
  }

  /** The configuration database of HCAs. */
  database(): string {
    return path.join(this.root, share, 'mlxconfig_dbs/mlxconfig_host.db')
  }

  /** The words that start a tool. */
  command(tool: string): string {
    const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu']
      .map((one) => path.join(this.root, one))
      .join(':')
    return `${this.loader} --library-path ${libraries} ${this.root}/usr/bin/${tool}`
  }

  /** The words that start a tool written in Python, with the machine's own Python 3. */
  python(tool: string, words: string): string {
    const libraries = path.join(this.root, 'usr/lib/x86_64-linux-gnu')
    const tools = path.join(libraries, 'mstflint/python_tools')
    return `PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${tools} LD_LIBRARY_PATH=${libraries} /usr/bin/python3 ${tools}/${tool}/${tool}.py ${words}`
  }

  /** Runs a script inside `mlx5ctl emulate`, where the tools find their data. */
  run(script: string, ...options: string[]): Outcome {
    // The path of the data is compiled in; the machine's own folder is covered in the private namespace only. So is that of
    // their lock files, over which tools of tests that run beside one another would refuse one another.
    return emulated(
      `mount -t tmpfs none /usr/share && mkdir ${share} && mount --bind ${this.root}${share} ${share}
mkdir -p /tmp/mstflint_lockfiles && mount -t tmpfs none /tmp/mstflint_lockfiles
${script}`,
      ...options,
    )
  }

  /** Runs many command lines of one tool in one emulated machine; what each printed, in their order. */
  runAll(tool: string, lines: readonly string[], ...options: string[]): string[] {
    const folder = mkdtempSync(path.join(tmpdir(), 'mlx5ctl-mstflint-'))
    try {
      const script = lines.map((line, index) => `${this.command(tool)} ${line} >${folder}/${index} 2>&1`).join('\n')
      writeFileSync(path.join(folder, 'script'), script)
      this.run(`. ${folder}/script; true`, ...options)
      return lines.map((_, index) => readFileSync(path.join(folder, String(index)), 'latin1'))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Rows "name | 0x..." of mstreg, in its order. */
export function rowsOf(output: string): [name: string, value: number][] {
  return [...output.matchAll(/^(\S+)\s*\|\s*(0x[0-9a-f]{8})$/gm)].map(([, name = '', value]) => [name, Number(value)])
}

function find(folder: string, name: string): string | undefined {
  if (!existsSync(folder)) return undefined
  const entry = readdirSync(folder, { recursive: true, withFileTypes: true }).find((one) => one.name === name)
  return entry === undefined ? undefined : path.join(entry.parentPath, entry.name)
}
