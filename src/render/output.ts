import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'

/**
 * Writes all of it to a file: to a temporary name beside it, synced, then renamed; a failure leaves nothing half. What is no
 * regular file (a device, a FIFO) is written to as it is, and a link stays one.
 */
export function writeFileAtomically(name: string, contents: string | Uint8Array): void {
  const descriptor = { '-': 1, '/dev/stdout': 1, '/dev/stderr': 2 }[name]
  if (descriptor !== undefined) return writeAll(descriptor, contents)
  const target = existing(name)
  if (target?.regular === false) return writeFileSync(name, contents)
  const file = target?.path ?? name
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`)
  const fd = openSync(temporary, 'wx', target?.mode ?? 0o644)
  try {
    writeFileSync(fd, contents)
    fsyncSync(fd)
    closeSync(fd)
    renameSync(temporary, file)
  } catch (error) {
    unlinkSync(temporary)
    throw error
  }
}

function existing(name: string): { path: string; regular: boolean; mode: number } | undefined {
  const stat = statSync(name, { throwIfNoEntry: false })
  return stat === undefined ? undefined : { path: realpathSync(name), regular: stat.isFile(), mode: stat.mode & 0o777 }
}

/** Writes all of it to a descriptor, however slow the reader is. */
export function writeAll(fd: number, contents: string | Uint8Array): void {
  const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(fd, bytes, done, bytes.length - done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
