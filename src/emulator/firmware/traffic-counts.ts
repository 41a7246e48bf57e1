import type { Flow, Growing, TrafficProfile } from '../profile'
import type { DeviceClock } from './clock'

/** What a counter stands at. */
export type Count = bigint

const DIRECTIONS = ['received', 'transmitted'] as const
const KINDS = ['unicast', 'multicast', 'broadcast'] as const
type Direction = (typeof DIRECTIONS)[number]
type Kind = (typeof KINDS)[number]

/** Sizes of frames that RFC 2819 and the extended Ethernet counters tell apart, in bytes. */
const sizes: readonly (readonly [most: number, name: string])[] = [
  [64, '64'],
  [127, '65to127'],
  [255, '128to255'],
  [511, '256to511'],
  [1023, '512to1023'],
  [1518, '1024to1518'],
  [2047, '1519to2047'],
  [4095, '2048to4095'],
  [8191, '4096to8191'],
  [10239, '8192to10239'],
]

const LANES = 4

/** Profiles say how fast; this is how much it is by now. */
export class Moment {
  /** Whole milliseconds, so that what is read at one time agrees. */
  private readonly milliseconds: bigint

  constructor(
    readonly profile: TrafficProfile,
    clock: DeviceClock,
  ) {
    this.milliseconds = BigInt(Math.floor(clock.seconds() * 1000))
  }

  get seconds(): number {
    return Number(this.milliseconds) / 1000
  }

  get elapsed(): Count {
    return this.milliseconds
  }

  grown({ start, perSecond }: Growing): Count {
    return BigInt(start) + (BigInt(Math.round(perSecond * 1000)) * this.milliseconds) / 1_000_000n
  }

  packets(direction: Direction, kind: Kind): Count {
    return this.grown(this.flow(direction, kind))
  }

  octets(direction: Direction, kind: Kind): Count {
    return this.packets(direction, kind) * BigInt(this.flow(direction, kind).bytes)
  }

  allPackets(direction: Direction): Count {
    return KINDS.reduce((sum, kind) => sum + this.packets(direction, kind), 0n)
  }

  allOctets(direction: Direction): Count {
    return KINDS.reduce((sum, kind) => sum + this.octets(direction, kind), 0n)
  }

  /** How many packets there were of each size. */
  bySize(direction: Direction, prefix: string): Record<string, Count> {
    const counts: Record<string, Count> = {}
    for (const kind of KINDS) {
      const size = sizes.find(([most]) => this.flow(direction, kind).bytes <= most)?.[1] ?? '8192to10239'
      const field = `${prefix}${size}octets`
      counts[field] = (counts[field] ?? 0n) + this.packets(direction, kind)
    }
    return counts
  }

  private flow(direction: Direction, kind: Kind): Flow {
    return this.profile[direction][kind]
  }
}

type Counts = readonly [member: string, counts: Record<string, Count>]

/** Groups of PPCNT (facts: F.4): the member of the union, and what its counters stand at. */
export function portCounts(moment: Moment, group: number, priority: number): Counts | undefined {
  const { profile } = moment
  const rx = (kind: Kind): Count => moment.packets('received', kind)
  const tx = (kind: Kind): Count => moment.packets('transmitted', kind)
  const octets = [moment.allOctets('received'), moment.allOctets('transmitted')] as const
  const packets = [moment.allPackets('received'), moment.allPackets('transmitted')] as const
  const pauses = moment.grown(profile.pauses)
  const discards = moment.grown(profile.discards)
  switch (group) {
    case 0x00:
      return [
        'eth_802_3_cntrs_grp_data_layout_ext',
        {
          a_frames_received_ok: packets[0],
          a_frames_transmitted_ok: packets[1],
          a_octets_received_ok: octets[0],
          a_octets_transmitted_ok: octets[1],
          a_multicast_frames_received_ok: rx('multicast'),
          a_multicast_frames_xmitted_ok: tx('multicast'),
          a_broadcast_frames_received_ok: rx('broadcast'),
          a_broadcast_frames_xmitted_ok: tx('broadcast'),
          a_mac_control_frames_received: pauses,
          a_pause_mac_ctrl_frames_received: pauses,
        },
      ]
    case 0x01:
      return [
        'eth_2863_cntrs_grp_data_layout_ext',
        {
          if_in_octets: octets[0],
          if_in_ucast_pkts: rx('unicast'),
          if_in_multicast_pkts: rx('multicast'),
          if_in_broadcast_pkts: rx('broadcast'),
          if_in_discards: discards,
          if_out_octets: octets[1],
          if_out_ucast_pkts: tx('unicast'),
          if_out_multicast_pkts: tx('multicast'),
          if_out_broadcast_pkts: tx('broadcast'),
        },
      ]
    case 0x02:
      return [
        'eth_2819_cntrs_grp_data_layout_ext',
        {
          ether_stats_octets: octets[0],
          ether_stats_pkts: packets[0],
          ether_stats_multicast_pkts: rx('multicast'),
          ether_stats_broadcast_pkts: rx('broadcast'),
          ...moment.bySize('received', 'ether_stats_pkts'),
        },
      ]
    case 0x03:
      return ['eth_3635_cntrs_grp_data_layout_ext', { dot3in_pause_frames: pauses }]
    case 0x05:
      return ['eth_extended_cntrs_grp_data_layout_ext', moment.bySize('transmitted', 'tx_stats_pkts')]
    case 0x06:
      return ['eth_discard_cntrs_grp_ext', { ingress_general: discards, ingress_discard_all: discards }]
    case 0x10:
      // Nothing tells the priorities apart: all of it is of the first.
      if (priority !== 0) return undefined
      return [
        'eth_per_prio_grp_data_layout_ext',
        {
          rx_octets: octets[0],
          rx_frames: packets[0],
          tx_octets: octets[1],
          tx_frames: packets[1],
          rx_pause: pauses,
          rx_discards: discards,
        },
      ]
    default:
      return lineCounts(moment, group)
  }
}

/** What the line itself counts: bits, and what error correction had to do. */
function lineCounts(moment: Moment, group: number): Counts | undefined {
  const { line } = moment.profile
  const blocks = moment.grown(line.blocks)
  const corrected = moment.grown(line.correctedBlocks)
  const symbols = moment.grown(line.correctedSymbols)
  const sinceCleared = moment.grown({ start: line.clearedMillisecondsAgo, perSecond: 1000 })
  switch (group) {
    case 0x12:
      return [
        'phys_layer_cntrs_ext',
        {
          time_since_last_clear: sinceCleared,
          rs_fec_corrected_blocks: corrected,
          rs_fec_no_errors_blocks: blocks - corrected,
          rs_fec_corrected_symbols_total: symbols,
          ...perLane('rs_fec_corrected_symbols_lane', symbols),
        },
      ]
    case 0x16:
      return [
        'phys_layer_stat_cntrs_ext',
        {
          time_since_last_clear: sinceCleared,
          phy_received_bits: blocks * BigInt(line.bitsPerBlock),
          // A wrong symbol has one wrong bit here.
          phy_corrected_bits: symbols,
          ...perLane('phy_raw_errors_lane', symbols),
        },
      ]
    case 0x23:
      // A block that was corrected has one wrong symbol, or two.
      return [
        'ppcnt_rs_fec_histograms_counters_ext',
        { 'hist[0]': blocks - corrected, 'hist[1]': corrected - (symbols - corrected), 'hist[2]': symbols - corrected },
      ]
    default:
      return undefined
  }
}

/** Evenly over the lanes; the first has what does not come out even. */
function perLane(prefix: string, all: Count): Record<string, Count> {
  const each = all / BigInt(LANES)
  const counts = [...Array(LANES).keys()].map((lane): [string, Count] => [`${prefix}${lane}`, each])
  return Object.fromEntries([...counts, [`${prefix}0`, all - each * BigInt(LANES - 1)]])
}

/** Bytes of a TLP that is written to the host, and of one that is read from it. */
const WRITTEN = 256n
const READ = 512n
const DWORD = 4n

/** Groups of MPCNT: what comes in from the line is written to the host, what goes out is read from it. */
export function hostCounts(moment: Moment, group: number): Counts | undefined {
  const written = moment.allOctets('received')
  const read = moment.allOctets('transmitted')
  if (group === 0)
    return ['pcie_perf_counters_ext', { outbound_stalled_writes_events: moment.grown(moment.profile.stalls) }]
  if (group !== 4) return undefined
  return [
    'pcie_perf_counters2_ext',
    {
      total_dwords_transmitted: written / DWORD,
      total_dwords_received: read / DWORD,
      outbound_write_tlps_count: written / WRITTEN,
      outbound_write_data_dword: written / DWORD,
      outbound_read_tlps_count: read / READ,
      outbound_read_data_dword: read / DWORD,
    },
  ]
}

/** Outboxes of commands: the vport sees what the port does. */
export function functionCounts(moment: Moment, command: string): Record<string, Count> | undefined {
  const { profile } = moment
  if (command === 'QUERY_VPORT_COUNTER')
    return Object.fromEntries(
      DIRECTIONS.flatMap((direction) =>
        KINDS.flatMap((kind): [string, Count][] => [
          [`${direction}_eth_${kind}.packets`, moment.packets(direction, kind)],
          [`${direction}_eth_${kind}.octets`, moment.octets(direction, kind)],
        ]),
      ),
    )
  if (command === 'QUERY_VNIC_ENV')
    return { 'vport_env.nic_receive_steering_discard': moment.grown(profile.steeringDiscards) }
  if (command === 'QUERY_Q_COUNTER')
    return {
      rx_write_requests: moment.grown(profile.remoteWrites),
      rx_read_requests: moment.grown(profile.remoteReads),
    }
  return undefined
}
