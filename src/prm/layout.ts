/**
 * The one model for everything that has a bit layout, whatever source it came from.
 *
 * Offsets and widths are in bits. Bit 0 is the first bit on the wire: the most significant bit of the first big-endian
 * dword. A field of width w <= 32 at offset o that stays inside a dword has the shift 32 - w - (o mod 32).
 */

/** INDEX selects an instance, OP an operation; both are sent with a read. */
export type Access = 'RO' | 'RW' | 'WO' | 'INDEX' | 'OP'

/**
 * An expression over fields: a number, the path of a field, or an operator and its operands. A path starts in the structure
 * that holds the field (unions between do not count); each leading ^ goes one structure up.
 */
export type Expression =
  | number
  | string
  | readonly [operator: string, a: Expression]
  | readonly [operator: string, a: Expression, b: Expression]

/** Which member of a union counts, by the value of another field. A value that is not listed selects none: all count. */
export interface Selection {
  readonly by: string
  /** Member name by selector value. */
  readonly members: Readonly<Record<string, string>>
}

/** Repetition of a field. `count` is null for an open-ended tail, which adds nothing to the size of its layout. */
interface ArrayShape {
  readonly count: number | null
  /** Elements that there are of an open-ended tail, by other fields. */
  readonly used?: Expression
  /** Distance in bits from one element to the next; equal to the field's width in everything from kernel headers. */
  readonly stride: number
}

export interface Field {
  /** The empty string for an anonymous aggregate, whose members belong to the name space of its parent. */
  readonly name: string
  /** Bits from the start of the layout that holds the field. */
  readonly offset: number
  /** Bits of one element. */
  readonly width: number
  readonly array?: ArrayShape
  /** Name of the nested layout, when the field is a structure or union. */
  readonly layout?: string
  /** Name of the enumeration of its values. */
  readonly enum?: string
  /** Inherited by the fields of a nested layout that have none of their own. */
  readonly access?: Access
  /** Of a field that is a union. */
  readonly select?: Selection
  /** The field is there when this is not zero. */
  readonly when?: Expression
  /** What a user's own source says about it. */
  readonly text?: string
}

export interface Layout {
  readonly name: string
  /** In a union all members overlap; each is decoded. */
  readonly kind: 'struct' | 'union'
  /** Size in bits, open-ended tails excluded. */
  readonly bits: number
  readonly fields: readonly Field[]
}

/** Named constants, largest family one C enum. Values above 2^53 are bigint. */
export interface Enumeration {
  readonly name: string
  readonly values: Readonly<Record<string, number | bigint>>
  /** The names stand for themselves: no family prefix is left out. */
  readonly literal?: true
}

/** Lowest fwctl scope (facts: fwctl UAPI): 0 configuration, 1 debug read, 2 debug write, 3 debug write full. */
export type Scope = 0 | 1 | 2 | 3

/** Scope of one command: fixed, by direction for access-register commands, or null where mainline fwctl never allows it. */
export type CommandScope = Scope | null | { readonly read: Scope; readonly write: Scope }

export interface Command {
  /** Opcode name without the MLX5_CMD_OP_ prefix: QUERY_HCA_CAP. */
  readonly name: string
  readonly opcode: number
  /** Layout names of inbox and outbox; absent where no source has a layout, with `note` saying why. */
  readonly inbox?: string
  readonly outbox?: string
  readonly scope: CommandScope
  readonly note?: string
}

export interface Register {
  /** PTYS */
  readonly name: string
  readonly id: number
  readonly layout?: string
  /** What other sources call it: the kernel's NODE_DESC is SET_NODE in mstflint. */
  readonly aliases?: readonly string[]
}

export interface CapabilityType {
  /** GENERAL */
  readonly name: string
  /** op_mod of QUERY_HCA_CAP is (type << 1) | mode, mode 0 = maximum, 1 = current. */
  readonly type: number
  readonly layout?: string
}

/** A general object (opcodes 0xa00 to 0xa03). */
export interface GeneralObject {
  readonly name: string
  readonly type: number
  readonly layout?: string
}

/** Firmware status of a command: the first byte of every outbox. */
export interface CommandStatus {
  /** BAD_PARAM_ERR */
  readonly name: string
  readonly code: number
  /** The kernel's words: "bad parameter". */
  readonly text: string
}

/** A range of CR space. */
export interface DumpBlock {
  /** In bytes, a multiple of 4. */
  readonly address: number
  readonly dwords: number
}

/** What a register dump of a chip reads, by ascending address. */
export interface DumpTable {
  /** ConnectX7 */
  readonly name: string
  /** Bits 0 to 15 of CR 0xf0014. */
  readonly hardwareId: number
  readonly blocks: readonly DumpBlock[]
}

/** True for fields that only fill space: reserved_at_40, reserved_0 and the misspelling resereved_at_54. */
export function isReserved(field: { readonly name: string }): boolean {
  return /^res\w*ved_/.test(field.name)
}
