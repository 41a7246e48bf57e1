import Ajv from 'ajv'
import { readFileSync } from 'node:fs'
import path from 'node:path'

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true })

export interface Envelope {
  readonly command: string | null
  readonly status: string
  readonly device: Record<string, unknown> | null
  readonly data: Record<string, unknown> | null
  readonly error: { readonly kind: string; readonly message: string; readonly errno?: string } | null
  readonly warnings: readonly string[]
}

/** Parses what a command printed under -j and checks it, envelope and data, with the schemas that are shipped. */
export function parseEnvelope(text: string): Envelope {
  const envelope = JSON.parse(text) as Envelope
  check('envelope', envelope)
  if (envelope.data !== null && envelope.command !== null) check(envelope.command.replace(' ', '-'), envelope.data)
  return envelope
}

export interface TraceEventFile {
  readonly displayTimeUnit: string
  readonly traceEvents: readonly {
    readonly name: string
    readonly ph: string
    readonly s?: string
    readonly ts: number
    readonly pid: number
    readonly tid: number
    readonly args: Readonly<Record<string, unknown>>
  }[]
}

/** Parses what --format trace wrote, and checks it with the schema of the format. */
export function parseTraceEvents(text: string): TraceEventFile {
  const file = JSON.parse(text) as TraceEventFile
  check('trace-events', file)
  return file
}

/** @throws Error that says what does not fit the schema of this name */
export function check(name: string, value: unknown): void {
  const file = path.resolve(__dirname, '../../schema', `${name}.json`)
  const validate =
    ajv.getSchema(file) ?? ajv.addSchema(JSON.parse(readFileSync(file, 'utf8')) as object, file).getSchema(file)
  if (validate === undefined) throw new Error(`no schema ${name}`)
  if (validate(value) !== true) throw new Error(`schema ${name}: ${ajv.errorsText(validate.errors)}`)
}
