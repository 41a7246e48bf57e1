/** Errors of names, values and bytes. `kind` decides the exit code (the table of exit codes is in program.ts). */

/** A name that nothing answers to, or that several things answer to. */
export class NameError extends Error {
  readonly kind = 'usage'
  override readonly name = 'NameError'
  /** What the user may have meant, best first. */
  readonly candidates: readonly string[]
  constructor(message: string, candidates: readonly string[] = []) {
    super(message)
    this.candidates = candidates
  }
}

/** A value that does not fit its field, or is not of its type. */
export class ValueError extends Error {
  readonly kind = 'usage'
  override readonly name = 'ValueError'
  readonly path: string
  constructor(path: string, message: string) {
    super(`${path}: ${message}`)
    this.path = path
  }
}

/** Bytes or text from outside that cannot be what they claim to be. */
export class MalformedData extends Error {
  readonly kind = 'malformed'
  override readonly name = 'MalformedData'
  /** Field path, or file and line for text. */
  readonly path: string
  /** Byte offset in the data, where there is one. */
  readonly offset: number | undefined
  constructor(path: string, message: string, offset?: number) {
    super(offset === undefined ? `${path}: ${message}` : `${path}: ${message} (byte offset ${offset})`)
    this.path = path
    this.offset = offset
  }
}
