import { readFileSync } from 'node:fs'
import path from 'node:path'

/** Kernel lockdown: none, integrity or confidentiality; undefined where the kernel does not tell. */
export function lockdownState(sysfsRoot = '/sys'): string | undefined {
  try {
    const text = readFileSync(path.join(sysfsRoot, 'kernel/security/lockdown'), 'utf8')
    return /\[(\w+)\]/.exec(text)?.[1]
  } catch {
    return undefined
  }
}
