/** The one JSON document of every command, on success and on failure (schema/envelope.json). */
export interface Envelope {
  readonly schemaVersion: '1.0'
  readonly tool: { readonly name: 'mlx5ctl'; readonly version: string }
  readonly command: string | null
  readonly device: Readonly<Record<string, unknown>> | null
  readonly status: 'ok' | 'partial' | 'error'
  readonly data: unknown
  readonly error: ErrorDescription | null
  readonly warnings: readonly string[]
}

export interface ErrorDescription {
  readonly kind: string
  readonly message: string
  readonly hint: string | null
  readonly errno?: string
  readonly opcode?: string
  readonly opMod?: number
  readonly firmwareStatus?: { readonly code: number; readonly name: string }
  readonly syndrome?: string
}

export function envelope(version: string, parts: Omit<Envelope, 'schemaVersion' | 'tool'>): Envelope {
  return { schemaVersion: '1.0', tool: { name: 'mlx5ctl', version }, ...parts }
}

/** What an error says of itself, by the members that the tool's errors have. */
export function describeError(error: unknown): ErrorDescription {
  const raw = (typeof error === 'object' && error !== null ? error : {}) as Readonly<Record<string, unknown>>
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  const firmware = raw.kind === 'firmware'
  const system = systemError(raw)
  const errno = text(raw.errno) ?? system?.code
  return {
    kind: text(raw.kind) ?? system?.kind ?? 'internal',
    message: text(raw.message) ?? String(error),
    hint: text(raw.hint) ?? null,
    ...(errno === undefined ? {} : { errno }),
    ...(firmware
      ? {
          opcode: text(raw.opcode) ?? '',
          opMod: Number(raw.opMod),
          firmwareStatus: { code: Number(raw.status), name: text(raw.statusName) ?? '' },
          syndrome: `0x${Number(raw.syndrome).toString(16)}`,
        }
      : {}),
  }
}

/** A file that cannot be read or written, where nothing said it better, is no bug of this tool. */
function systemError({ code, syscall }: Readonly<Record<string, unknown>>): { code: string; kind: string } | undefined {
  if (typeof code !== 'string' || typeof syscall !== 'string') return undefined
  return { code, kind: code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? 'permission' : 'open' }
}
