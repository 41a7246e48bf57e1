import { existsSync } from 'node:fs'
import path from 'node:path'

/** The addon in native/: ioctl in a worker thread, and page-aligned memory. Loaded when first needed. */
export interface Addon {
  /**
   * Calls ioctl(2) in a worker thread. The argument (up to 4096 bytes, copied back afterwards) gets the 64-bit address of
   * each buffer written at its byte offset; a bigint is passed by value. Buffers are copied in and out, so that the caller
   * may do with them what it likes meanwhile.
   * @throws TypeError for wrong arguments; an errno is a result
   */
  ioctl(
    fd: number,
    request: number,
    argument: Uint8Array | bigint,
    pointers?: readonly { readonly offset: number; readonly buffer: Uint8Array }[],
  ): Promise<{ readonly result: number; readonly errno: number }>
  /** Zeroed pages; `address` is where they lie. Unmapped when collected or released, never while pinned. */
  allocate(length: number): { readonly handle: object; readonly buffer: ArrayBuffer; readonly address: bigint }
  pin(handle: object): void
  unpin(handle: object): void
  /** @throws Error while pinned */
  release(handle: object): void
}

/** The addon cannot be had; the message says what is missing and what to do. */
class AddonMissing extends Error {
  override readonly name = 'AddonMissing'
  readonly kind = 'open'
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

let loaded: Addon | undefined

/** @throws AddonMissing */
export function loadAddon(): Addon {
  loaded ??= load(`${process.platform}-${process.arch}.node`)
  return loaded
}

function load(name: string): Addon {
  const beside = path.join(__dirname, 'native', name)
  const file = existsSync(beside) ? beside : path.resolve(__dirname, '../dist/native', name)
  if (!existsSync(file))
    throw new AddonMissing(
      `device nodes need the native addon, and there is none for ${process.platform}-${process.arch} (${beside})`,
      'install a C compiler (apt-get install gcc libc6-dev) and run: npm run build',
    )
  const holder: { exports: unknown } = { exports: {} }
  try {
    process.dlopen(holder, file)
  } catch (error) {
    throw new AddonMissing(
      `the native addon ${file} does not load: ${(error as Error).message}`,
      'it was built for another C library or processor: run npm run build on this machine',
    )
  }
  return holder.exports as Addon
}
