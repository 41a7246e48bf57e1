import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'

/** Writes all of it to a file: to a temporary name beside it, synced, then renamed; a failure leaves nothing half. */
export function writeFileAtomically(file: string, contents: string | Uint8Array): void {
  if (file === '/dev/stdout' || file === '-') return writeAll(1, contents)
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`)
  const fd = openSync(temporary, 'wx', 0o644)
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
