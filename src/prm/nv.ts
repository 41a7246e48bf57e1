/** NV configuration: what a TLV (configuration item) and its parameters are (facts: mstconfig, C). */
import type { Layout } from './layout'

export type NvParameterType = 'BOOL' | 'ENUM' | 'UNSIGNED' | 'INTEGER' | 'BINARY' | 'BYTES' | 'STRING'

export interface NvParameter {
  /** As expressions name it: sriov_en */
  readonly name: string
  /** As people name it: SRIOV_EN. Absent: not to be set by people. */
  readonly title?: string
  /** Bits from the first bit of the data, on the wire. */
  readonly offset: number
  /** Bits; of an array those of one element. */
  readonly width: number
  /** Elements of an array, one behind the other. */
  readonly count?: number
  readonly type: NvParameterType
  readonly values?: Readonly<Record<string, number>>
  /** Expression: shown when it is not zero. "ignore_dependency": shown always. */
  readonly dependency?: string
  /** Parameter of the same TLV that is 0 when this one has no value of its own. */
  readonly validBit?: string
  /** Assignment of one variable for the other expressions: "$_x=..." */
  readonly temporary?: string
  readonly least?: string
  readonly most?: string
  /** Expression: a value is refused when it is zero. */
  readonly rule?: string
  /** Version of the TLV that first had it. */
  readonly since?: number
  /** What a user's own source says about it. */
  readonly text?: string
}

/** Of which thing a TLV is: one of the device, of each port, of each function of a host, of each module, ... */
export type NvScope = 'global' | 'port' | 'function' | 'host' | 'module'

export interface NvTlv {
  /** nv_global_pci_conf */
  readonly name: string
  /** GLOBAL PCI CONF */
  readonly title?: string
  readonly id: number
  /** Class of the type dword: 0 and 6 global, 1 port, 3 function, 7 host, 8 switch, 9 module. */
  readonly class: number
  readonly bytes: number
  /** Says what the device can do: read only, never shown. */
  readonly capability: boolean
  /** NIC, EXP_ROM, ... */
  readonly target: string
  readonly parameters: readonly NvParameter[]
  readonly text?: string
}

/** Which instance of a TLV: ports count from 1, modules, hosts and functions from 0. */
export interface NvInstance {
  readonly port?: number
  readonly module?: number
  readonly host?: number
  readonly function?: number
}

const scopes: Readonly<Record<number, NvScope>> = { 1: 'port', 3: 'function', 7: 'host', 9: 'module' }

export const nvScope = ({ class: kind }: Pick<NvTlv, 'class'>): NvScope => scopes[kind] ?? 'global'

/** A number for each class and id, by which a TLV is found: the type dword without its instance. */
export const nvKey = ({ class: kind, id }: Pick<NvTlv, 'class' | 'id'>): number => kind * 2 ** 24 + id

/** The type dword (facts: mstconfig, C.2a). */
export function nvType(tlv: Pick<NvTlv, 'class' | 'id'>, instance: NvInstance = {}): number {
  const { port = 0, module = 0, host = 0, function: pf = 0 } = instance
  const rest = {
    global: 0,
    port: port << 16,
    function: (host << 18) | (pf << 10),
    host: host << 18,
    module: module << 14,
  }[nvScope(tlv)]
  return ((tlv.class << 24) | rest | tlv.id) >>> 0
}

/** Class and id, and the instance, of a type dword. */
export function parseNvType(type: number): { readonly key: number; readonly instance: NvInstance } {
  const kind = type >>> 24
  const id = {
    port: type & 0xffff,
    function: type & 0x3ff,
    host: type & 0x3ffff,
    module: type & 0x3fff,
    global: type & 0xffffff,
  }
  const scope = nvScope({ class: kind })
  const instances: Readonly<Record<NvScope, NvInstance>> = {
    global: {},
    port: { port: (type >>> 16) & 0xff },
    function: { host: (type >>> 18) & 0x3f, function: (type >>> 10) & 0xff },
    host: { host: (type >>> 18) & 0x3f },
    module: { module: (type >>> 14) & 0x3ff },
  }
  return { key: nvKey({ class: kind, id: id[scope] }), instance: instances[scope] }
}

/** The name of a parameter with its port or module behind it: LINK_TYPE_P1, MODULE_SPLIT_M0. */
export function nvTitle(title: string, { port, module }: NvInstance): string {
  return `${title}${port === undefined ? '' : `_P${port}`}${module === undefined ? '' : `_M${module}`}`
}

/** A TLV's data as a layout; some parameters share bits with others, as the members of a union do. */
export function nvLayout({ name, bytes, parameters }: NvTlv): Layout {
  return {
    name,
    kind: 'union',
    bits: bytes * 8,
    fields: parameters.map(({ name: own, offset, width, count }) => ({
      name: own,
      offset,
      width,
      ...(count === undefined ? {} : { array: { count, stride: width } }),
    })),
  }
}
