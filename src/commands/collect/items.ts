import type { Transport } from '../../transport/contract'
import type { CommandEntry } from '../types'
import { devlinkOutput } from './devlink'
import { hostFacts, kernelLog } from './host'
import type { Produced, Surroundings } from './surroundings'
import { sysfsFacts } from './sysfs'

/** A command that an item sends, as the catalogue names it. */
export interface Sending {
  readonly command: string
  /** op_mod 0 of ACCESS_REG writes, 1 reads. */
  readonly opMod: number
  readonly what: string
}

/** One file of a bundle, and how it is come by. */
export interface Item {
  readonly name: string
  /** Below the folder of the device, or `host`. */
  readonly file: string
  /** Bytes cannot be redacted. */
  readonly form: 'json' | 'text' | 'bytes'
  readonly sends: readonly Sending[]
  /** What it needs of the door, in words; and why this one has not got it. */
  readonly needs?: string
  readonly lacks?: (transport: Transport) => string | undefined
  /** It was asked for by name: where the device does not know it, that is a failure. */
  readonly asked?: boolean
  /** Bytes of the file, as a rule. */
  readonly estimate: number
  /** It is taken so long behind that item, as the interval says. */
  readonly behind?: string
  /** The command line of this tool that gives it; or what gives it here. */
  readonly source:
    | { readonly words: readonly string[] }
    | { readonly shown: string | null; readonly produce: (around: Surroundings) => Promise<Produced> }
}

const KIB = 1024
const access = (what: string): Sending => ({ command: 'ACCESS_REG', opMod: 1, what })
/** Registered memory is of the host: a protection domain and a key for it, which are given back. */
const memory: readonly Sending[] = [
  ...['ALLOC_PD', 'CREATE_MKEY', 'DESTROY_MKEY', 'DEALLOC_PD'].map((command) => ({
    command,
    opMod: 0,
    what: 'memory of the host, registered and given back, where the door has some',
  })),
]

/** Segments that take no argument, tell much and are short. */
export const defaultSegments = [
  'QUERY_VNIC_ENV',
  'FUNC_SYND_REC',
  'SHARED_BUFFER',
  'PAGE_HISTOGRAM',
  'SCHEDQ_INFO',
  'VQOS_TREE',
  'VQOS_DISTLIST',
  'STE_ROOT',
  'SX_SLICE_ALL',
]

export function hostItems(): Item[] {
  return [
    { name: 'list', file: 'list.json', form: 'json', sends: [], estimate: KIB, source: { words: ['list', '-j'] } },
    {
      name: 'host',
      file: 'host.json',
      form: 'json',
      sends: [],
      estimate: 2 * KIB,
      source: { shown: null, produce: hostFacts },
    },
    {
      name: 'kernel-log',
      file: 'kernel-log.txt',
      form: 'text',
      sends: [],
      estimate: 32 * KIB,
      source: { shown: null, produce: kernelLog },
    },
  ]
}

interface Choice {
  readonly segments: readonly string[]
  /** Whether somebody named the segments. */
  readonly asked: boolean
  /** Whether the tracer itself is taken, and not what the kernel has of it. */
  readonly tracer: boolean
}

/** What is collected of one device, in this order. Commands that the tool does not have are left out. */
export function deviceItems(name: string, { segments, asked, tracer }: Choice, table: readonly CommandEntry[]): Item[] {
  const known = new Set(table.map((entry) => entry.name))
  return [...facts(), ...state(name), ...dumps(name, segments, asked), ...running(name, tracer)].filter(
    ({ source }) => !('words' in source) || known.has(source.words[0] ?? ''),
  )
}

/** Of the kernel: they tell something when the device is gone, too. */
function facts(): Item[] {
  const devlink = (item: string, words: readonly string[]): Item => ({
    name: item,
    file: `${item}.json`,
    form: 'json',
    sends: [],
    needs: 'devlink (iproute2)',
    estimate: 4 * KIB,
    source: { shown: `devlink -j ${words.join(' ')} pci/ADDRESS`, produce: devlinkOutput(words) },
  })
  return [
    {
      name: 'sysfs',
      file: 'sysfs.json',
      form: 'json',
      sends: [],
      estimate: 8 * KIB,
      source: { shown: null, produce: sysfsFacts },
    },
    devlink('devlink-info', ['dev', 'info']),
    devlink('devlink-params', ['dev', 'param', 'show']),
    devlink('devlink-health', ['health', 'show']),
  ]
}

const json = (item: string, words: readonly string[], sends: readonly Sending[], estimate: number): Item => ({
  name: item,
  file: `${item}.json`,
  form: 'json',
  sends,
  estimate,
  source: { words: [...words, '-j'] },
})

function state(name: string): Item[] {
  const capabilities = { command: 'QUERY_HCA_CAP', opMod: 0 }
  return [
    json('info', ['info', name], [{ command: 'QUERY_ADAPTER', opMod: 0, what: 'PSID' }, access('MGIR')], KIB),
    counters(name, 'counters-1'),
    json('capabilities', ['cap', name], [{ ...capabilities, what: 'every type, current values' }], 104 * KIB),
    json('capabilities-max', ['cap', name, '--max'], [{ ...capabilities, what: 'every type, maximum' }], 104 * KIB),
    json(
      'registers',
      ['reg', 'dump', name, '--all-readable'],
      [access('MCAM, PCAM, QCAM, then every register that the device says it has')],
      176 * KIB,
    ),
    json(
      'firmware',
      ['reg', 'dump', name, 'MGIR', 'MCQS', 'MCQI', 'MFRL', 'info_type=1'],
      [access('MGIR, MCQS, MCQI, MFRL')],
      8 * KIB,
    ),
    json(
      'objects',
      ['obj', 'summary', name],
      [{ command: 'QUERY_QP', opMod: 0, what: 'this and every other query of an object, for the ids 0..31' }],
      16 * KIB,
    ),
    json('config', ['config', 'query', name, '-e'], [access('MNVQC, MNVDA, MQIS, MGIR')], 52 * KIB),
    {
      name: 'config-raw',
      file: 'config.raw',
      form: 'bytes',
      sends: [access('MNVGN, MNVDA')],
      estimate: 4 * KIB,
      source: { words: ['config', 'backup', name] },
    },
  ]
}

function dumps(name: string, segments: readonly string[], asked: boolean): Item[] {
  const resource = [access('RESOURCE_DUMP'), ...memory]
  return [
    json('rscdump-menu', ['rscdump', 'menu', name], resource, 26 * KIB),
    ...segments.map((segment): Item => ({
      name: `rscdump-${segment}`,
      file: `rscdump-${segment}.bin`,
      form: 'bytes',
      sends: resource,
      asked,
      estimate: segment === 'SX_SLICE_ALL' ? 257 * KIB : KIB,
      source: { words: ['rscdump', name, segment, '--raw'] },
    })),
    {
      name: 'coredump',
      file: 'coredump.bin',
      form: 'bytes',
      sends: [access('CORE_DUMP'), ...memory],
      needs: 'registered memory: the mlx5ctl driver',
      lacks: ({ memory: provider }) =>
        provider === undefined ? 'this door has no memory that the device can write to' : undefined,
      estimate: 2048 * KIB,
      source: { words: ['coredump', name, '--raw'] },
    },
    {
      name: 'regdump',
      file: 'regdump.txt',
      form: 'bytes',
      sends: [],
      needs: 'CR space: PCI config space',
      lacks: ({ crSpace, memory: provider }) =>
        crSpace !== undefined
          ? undefined
          : provider === undefined
            ? 'this door does not lead into CR space; --transport pci does'
            : 'this door does not lead into CR space; coredump has the same registers',
      estimate: 2048 * KIB,
      source: { words: ['regdump', name] },
    },
  ]
}

/** What the kernel has kept, without a command; on request by the tracer itself, which is taken and given back for that. */
function firmwareTrace(name: string, tracer: boolean): Item {
  const writes = {
    command: 'ACCESS_REG',
    opMod: 0,
    what: 'MTRC_CAP, MTRC_CONF, MTRC_CTRL: the tracer is taken and given back',
  }
  const sends = [access('MTRC_CAP, MTRC_STDB, MTRC_CTRL'), writes, ...memory]
  return tracer
    ? {
        ...json('fwtrace', ['fwtrace', name], sends, 64 * KIB),
        needs: 'a tracer that nobody has, or that of the kernel',
      }
    : {
        ...json('fwtrace', ['fwtrace', name, '--source', 'kernel'], [], 64 * KIB),
        needs: 'tracefs, and mlx5_core to have the tracer of the device (--tracer takes it)',
      }
}

function running(name: string, tracer: boolean): Item[] {
  return [firmwareTrace(name, tracer), { ...counters(name, 'counters-2'), behind: 'counters-1' }]
}

function counters(name: string, item: string): Item {
  const sends = [
    access('PPCNT, MPCNT, MTMP, ...'),
    { command: 'QUERY_VPORT_COUNTER', opMod: 0, what: 'and vNIC, queue counters' },
  ]
  return json(item, ['counters', name], sends, 116 * KIB)
}
