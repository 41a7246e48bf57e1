/**
 * Values by declared width, never by value: number up to 32 bits, bigint up to 64, beyond that a Uint8Array of
 * ceil(width / 8) bytes holding the big-endian integer.
 */
export type Value = number | bigint | Uint8Array | Struct | readonly Value[]

export interface Struct {
  [field: string]: Value
}

export interface DecodeOptions {
  /** Also show reserved fields that are not zero. */
  readonly reserved?: boolean
  /** Decode what is whole of bytes that end early, instead of refusing them. */
  readonly partial?: boolean
  /** Walk all members of unions and all members with conditions, whatever the bytes say of them. */
  readonly alternatives?: boolean
}
