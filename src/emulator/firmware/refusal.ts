/** Command status codes that the model gives (include/linux/mlx5/device.h 7.2). */
export const Status = {
  OK: 0,
  BAD_OP: 0x2,
  BAD_PARAM: 0x3,
  BAD_RES: 0x5,
  RES_BUSY: 0x6,
  LIM: 0x8,
  BAD_RES_STATE: 0x9,
  BAD_INDEX: 0xa,
  NO_RES: 0xf,
  BAD_INP_LEN: 0x50,
  BAD_OUTP_LEN: 0x51,
} as const

/** Status of an access register in the operation TLV of ICMD (facts: mstreg A.4). */
export const RegisterStatus = {
  OK: 0,
  BUSY: 1,
  UNKNOWN_TLV: 3,
  NOT_SUPPORTED: 4,
  BAD_CLASS: 5,
  BAD_METHOD: 6,
  BAD_PARAM: 7,
  RESOURCE_UNAVAILABLE: 8,
  BAD_CONFIG: 0x20,
  ERASE_EXCEEDED: 0x21,
  CONFIG_CORRUPT: 0x22,
  LEN_TOO_SMALL: 0x24,
} as const

/** Firmware refuses: a status, and a reason from which the syndrome is made. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    reason: string,
    /** What ICMD says in place of the status. */
    readonly registerStatus: number = RegisterStatus.BAD_PARAM,
    /** The register as it is given back all the same. */
    readonly image?: Uint8Array,
  ) {
    super(reason)
  }
}

/** A stable 24-bit syndrome that is not zero, as firmware gives one to each place that refuses. */
export function syndrome(opcode: number, reason: string): number {
  let hash = 0x811c9dc5 ^ opcode
  for (const char of reason) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0
  return (hash & 0xffffff) | 1
}
