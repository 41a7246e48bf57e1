import { readdirSync } from 'node:fs'
import { Errno } from './caller'
import type { Opened, Tree } from './fuse/tree'
import { KernelTrace, TraceBuffer } from './kernel-trace'
import type { Machine } from './machine'

/** Where the tree has them; they are mounted over the real ones. */
const TRACEFS = 'tracefs'
const DEBUGFS = 'debugfs'
const EVENT = 'events/mlx5/mlx5_fw'

const HEAD = `# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
`

/** tracefs as far as the firmware's tracepoint goes: the trace of all, and instances that can be made. */
export function addTracefs(tree: Tree, machines: readonly Machine[]): void {
  const trace = new KernelTrace(machines)
  addBuffer(tree, TRACEFS, trace, trace.shared)
  const instances = `${TRACEFS}/instances`
  tree.directory(instances).maker = {
    make: (name) => {
      if (trace.instances.has(name)) throw new Errno('EEXIST')
      const buffer = newBuffer(trace, name)
      addBuffer(tree, `${instances}/${name}`, trace, buffer)
    },
    remove: (name) => {
      if (!trace.instances.delete(name)) throw new Errno('ENOENT')
      tree.remove(`${instances}/${name}`)
    },
  }
  tree.link(`${DEBUGFS}/tracing`, '../tracing')
  for (const name of realDebugfs()) tree.directory(`${DEBUGFS}/${name}`)
}

function newBuffer(trace: KernelTrace, name: string): TraceBuffer {
  const buffer = new TraceBuffer()
  trace.instances.set(name, buffer)
  return buffer
}

/** Lines of the script that makes the private /sys: over the real tracefs and debugfs, where there are such. */
export function tracefsMounts(folder: string): string[] {
  const over = (from: string, to: string): string =>
    `if [ -d '${folder}/fuse/sys/kernel/${to}' ]; then mount --rbind '${folder}/fuse/${from}' '${folder}/fuse/sys/kernel/${to}'; fi`
  return [
    ...realDebugfs().map(
      (name) =>
        `if [ -d '/sys/kernel/debug/${name}' ]; then mount --rbind '/sys/kernel/debug/${name}' '${folder}/fuse/${DEBUGFS}/${name}'; fi`,
    ),
    over(TRACEFS, 'tracing'),
    over(DEBUGFS, 'debug'),
  ]
}

/** Folders of the real debugfs that stay reachable: those of real cards are hidden, as the cards are. */
function realDebugfs(): string[] {
  try {
    return readdirSync('/sys/kernel/debug', { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== 'tracing' && !entry.name.startsWith('mlx5'))
      .map(({ name }) => name)
  } catch {
    return []
  }
}

function addBuffer(tree: Tree, folder: string, trace: KernelTrace, buffer: TraceBuffer): void {
  tree.device(`${folder}/trace`, 0o640, () => openTrace(trace, buffer))
  tree.device(`${folder}/trace_pipe`, 0o440, () => openPipe(trace, buffer))
  tree.device(`${folder}/${EVENT}/enable`, 0o640, () => ({
    read: (offset, length) => Buffer.from(buffer.enabled ? '1\n' : '0\n').subarray(offset, offset + length),
    write: (_, data) => {
      const text = Buffer.from(data).toString('latin1').trim()
      if (text !== '0' && text !== '1') throw new Errno('EINVAL')
      trace.enable(buffer, text === '1')
    },
  }))
}

/** All lines as they are when it is read from its beginning; writing to it empties it. */
function openTrace(trace: KernelTrace, buffer: TraceBuffer): Opened {
  let text = Buffer.alloc(0)
  return {
    read: (offset, length) => {
      if (offset === 0) {
        trace.advance()
        const lost = buffer.lost > 0 ? `CPU:3 [LOST ${buffer.lost} EVENTS]\n` : ''
        text = Buffer.from(HEAD + lost + buffer.lines.map((line) => `${line}\n`).join(''), 'latin1')
      }
      return text.subarray(offset, offset + length)
    },
    write: () => {
      trace.advance()
      buffer.lines = []
      buffer.lost = 0
    },
  }
}

/** Takes lines away as they are read. It never waits, which a reader that did not ask for that is told with EAGAIN too. */
function openPipe(trace: KernelTrace, buffer: TraceBuffer): Opened {
  let held = Buffer.alloc(0)
  return {
    read: (_, length) => {
      if (held.length === 0) {
        trace.advance()
        const lost = buffer.lost > 0 ? `CPU:3 [LOST ${buffer.lost} EVENTS]\n` : ''
        held = Buffer.from(lost + buffer.lines.map((line) => `${line}\n`).join(''), 'latin1')
        buffer.lines = []
        buffer.lost = 0
      }
      if (held.length === 0) throw new Errno('EAGAIN')
      const part = held.subarray(0, length)
      held = held.subarray(part.length)
      return part
    },
  }
}
