import type { Struct } from '../../prm/codec'
import { linkGroups } from './link'
import { moduleGroups } from './module'
import { commandLeaves, registerLeaves, type CounterGroup, type Labels, type Surroundings } from './reading'
import { temperatureGroup } from './temperature'
import { valuesOf, type FieldRule, type FieldRules } from './values'

const PRIORITIES = 8

const perPort = ({ ports }: Surroundings): Labels[] => ports.map((port) => ({ port }))
const once = (): Labels[] => [{}]

/** A group of PPCNT for each port, and for each priority or traffic class of it where `by` says so. */
function portGroup(
  name: string,
  title: string,
  group: number,
  rules: Readonly<Record<string, FieldRule>> = {},
  by?: 'priority' | 'traffic_class',
): CounterGroup {
  const classes = ({ trafficClasses }: Surroundings): number => (by === 'priority' ? PRIORITIES : trafficClasses)
  return {
    name,
    title,
    source: `PPCNT grp=${group}${by === undefined ? '' : `, prio_tc=${by}`}`,
    instances: (around) =>
      by === undefined
        ? perPort(around)
        : around.ports.flatMap((port) => [...Array(classes(around)).keys()].map((index) => ({ port, [by]: index }))),
    read: async (device, labels) => {
      const prio = by === undefined ? {} : { prio_tc: Number(labels[by]) }
      const index: Struct = { local_port: Number(labels.port), grp: group, ...prio }
      return valuesOf(await registerLeaves(device, 'PPCNT', index, 'counter_set'), 'counter', byName(rules))
    },
  }
}

/** A group of MPCNT, of the link to the host. */
function pcieGroup(
  name: string,
  title: string,
  group: number,
  usual: 'counter' | 'gauge',
  rules: FieldRules,
): CounterGroup {
  return {
    name,
    title,
    source: `MPCNT grp=${group}`,
    instances: once,
    read: async (device) =>
      valuesOf(await registerLeaves(device, 'MPCNT', { grp: group }, 'counter_set'), usual, rules),
  }
}

const byName =
  (rules: Readonly<Record<string, FieldRule>>): FieldRules =>
  (name) =>
    rules[name]

const sinceCleared: Readonly<Record<string, FieldRule>> = {
  time_since_last_clear: { type: 'gauge', unit: 'milliseconds' },
}

/** Where the names do not say it: units and kinds (facts: the register file of mstflint). */
const priorityRules: Readonly<Record<string, FieldRule>> = {
  rx_pause_duration: { unit: 'microseconds' },
  tx_pause_duration: { unit: 'microseconds' },
}
const statisticalRules: Readonly<Record<string, FieldRule>> = {
  ...sinceCleared,
  phy_received_bits: { unit: 'bits' },
  phy_corrected_bits: { unit: 'bits' },
  fc_zero_hist: { type: 'gauge' },
}
const lastRecovery: FieldRule = { type: 'gauge', unit: 'milliseconds' }
const allRecoveries: FieldRule = { unit: 'milliseconds' }
const recoveryRules: Readonly<Record<string, FieldRule>> = {
  time_in_last_host_logical_recovery: lastRecovery,
  time_in_last_host_serdes_feq_recovery: lastRecovery,
  time_in_last_module_tx_disable_recovery: lastRecovery,
  time_in_last_module_datapath_full_toggle_recovery: lastRecovery,
  total_time_in_host_logical_recovery: allRecoveries,
  total_time_in_host_serdes_feq_recovery: allRecoveries,
  total_time_in_module_tx_disable_recovery: allRecoveries,
  total_time_in_module_datapath_full_toggle_recovery: allRecoveries,
  time_since_last_recovery: { type: 'gauge', unit: 'seconds' },
  time_between_last_2_recoveries: lastRecovery,
  last_host_logical_recovery_attempts_count: { type: 'gauge' },
  last_host_serdes_feq_attempts_count: { type: 'gauge' },
  last_rs_fec_uncorrectable_during_recovery: { type: 'gauge' },
}
const retransmissionRules: Readonly<Record<string, FieldRule>> = {
  plr_codes_loss: { type: 'gauge', unit: 'ratio', scale: 1e-10 },
  plr_xmit_retry_events_within_t_sec_max: { type: 'gauge' },
}

/** dwords of 32 bits; and of the last second, how much of it was spent waiting. */
const pcieRules: FieldRules = (name) => {
  if (name === 'outbound_stalled_reads' || name === 'outbound_stalled_writes') return { type: 'gauge', unit: 'percent' }
  return /(?:^|_)dwords?(?:_|$)/.test(name) ? { unit: 'dwords' } : undefined
}

const portGroups: readonly CounterGroup[] = [
  portGroup('ieee_802_3', 'IEEE 802.3 counters of the MAC', 0x00),
  portGroup('rfc_2863', 'RFC 2863, interfaces', 0x01),
  portGroup('rfc_2819', 'RFC 2819, remote monitoring: frames by size', 0x02),
  portGroup('rfc_3635', 'RFC 3635, Ethernet-like interfaces', 0x03),
  portGroup('eth_extended', 'extended Ethernet counters', 0x05),
  portGroup('discard', 'discarded frames, by reason', 0x06),
  portGroup('per_priority', 'frames and pauses of each priority', 0x10, priorityRules, 'priority'),
  portGroup(
    'per_traffic_class',
    'queue and drops of each traffic class',
    0x11,
    { transmit_queue: { type: 'gauge', unit: 'bytes' } },
    'traffic_class',
  ),
  portGroup(
    'per_traffic_class_congestion',
    'congestion of each traffic class',
    0x13,
    { ecn_marked_tc: { unit: 'packets' }, wred_discard: { unit: 'packets' } },
    'traffic_class',
  ),
  portGroup('phy', 'physical layer', 0x12, sinceCleared),
  portGroup('phy_statistical', 'physical layer, bits and error rates', 0x16, statisticalRules),
  portGroup('recovery', 'recoveries of the link', 0x1a, recoveryRules),
  portGroup('ib_port', 'InfiniBand port counters', 0x20),
  portGroup('ib_extended', 'InfiniBand port counters of 64 bits', 0x21),
  portGroup('plr', 'retransmission at the physical layer', 0x22, retransmissionRules),
  portGroup('rs_fec', 'RS-FEC blocks by the number of errors', 0x23),
  portGroup('ib_packets', 'InfiniBand packets and errors', 0x25, sinceCleared),
  portGroup('ib_general', 'InfiniBand general errors', 0x26),
  portGroup('nvlink_reduction', 'NVLink reductions', 0x2c, { mlid: { type: 'gauge' } }),
]

const pcieGroups: readonly CounterGroup[] = [
  pcieGroup('pcie_performance', 'PCIe errors and stalls', 0, 'counter', pcieRules),
  pcieGroup('pcie_physical', 'PCIe equalisation timeouts', 3, 'gauge', () => undefined),
  pcieGroup('pcie_performance_2', 'PCIe TLPs, replays and AER', 4, 'counter', pcieRules),
]

/** The function's own vport, or others by their numbers. */
const vports = ({ scope }: Surroundings): Labels[] => scope.vports?.map((vport) => ({ vport })) ?? [{}]
const vportFields = ({ vport }: Labels): Struct =>
  vport === undefined ? {} : { other_vport: 1, vport_number: Number(vport) }

/** What is not counted reads as 0: GENERAL capabilities say which counters there are, by names that are much like theirs. */
const vnicCapabilities: Readonly<Record<string, string>> = {
  total_error_queues: 'vnic_env_queue_counters',
  send_queue_priority_update_flow: 'vnic_env_queue_counters',
  nic_receive_steering_discard: 'nic_receive_steering_discard',
  receive_discard_vport_down: 'receive_discard_vport_down',
  transmit_discard_vport_down: 'transmit_discard_vport_down',
  async_eq_overrun: 'eq_overrun_count',
  comp_eq_overrun: 'eq_overrun_count',
  invalid_command: 'invalid_command_count',
  quota_exceeded_command: 'quota_exceeded_count',
  internal_rq_out_of_buffer: 'vnic_env_int_rq_oob',
  cq_overrun: 'vnic_env_cq_overrun',
  generated_pkt_steering_fail: 'vnic_env_cnt_steering_fail',
  handled_pkt_steering_fail: 'vnic_env_cnt_steering_fail',
  bar_uar_access: 'vnic_env_cnt_bar_uar_access',
  odp_local_triggered_page_fault: 'vnic_env_cnt_odp_page_fault',
  odp_remote_triggered_page_fault: 'vnic_env_cnt_odp_page_fault',
}

const functionGroups: readonly CounterGroup[] = [
  {
    name: 'vport',
    title: 'traffic of the vport',
    source: 'QUERY_VPORT_COUNTER',
    instances: vports,
    read: async (device, labels) =>
      valuesOf(await commandLeaves(device, 'QUERY_VPORT_COUNTER', vportFields(labels)), 'counter'),
  },
  {
    name: 'vnic_env',
    title: 'drops and overruns of the vNIC',
    source: 'QUERY_VNIC_ENV',
    instances: vports,
    read: async (device, labels, { has }) => {
      const leaves = await commandLeaves(device, 'QUERY_VNIC_ENV', vportFields(labels))
      const own = leaves.map((leaf) => ({ ...leaf, name: leaf.name.replace(/^vport_env\./, '') }))
      const counted = own.filter(({ name }) => has(vnicCapabilities[name] ?? '') !== false)
      return valuesOf(counted, 'counter', (name) => (name.endsWith('_error_queues') ? { type: 'gauge' } : undefined))
    },
  },
  {
    name: 'q_counters',
    title: 'RDMA queues: retries, timeouts, errors',
    source: 'QUERY_Q_COUNTER',
    instances: (around) =>
      vports(around).flatMap((labels) => queueCounterSets(around).map((set) => ({ ...labels, ...set }))),
    read: async (device, labels) => {
      const { counter_set: set } = labels
      const which: Struct = set === 'all' ? { aggregate: 1 } : { counter_set_id: Number(set) }
      return valuesOf(await commandLeaves(device, 'QUERY_Q_COUNTER', { ...vportFields(labels), ...which }), 'counter')
    },
  },
]

/** Those asked for; else the sum of all where the device can make it (q_counter_aggregation), else set 0. */
function queueCounterSets({ scope, sumsQueueCounters }: Surroundings): Labels[] {
  const asked = scope.queueCounterSets
  return asked?.map((set) => ({ counter_set: set })) ?? [{ counter_set: sumsQueueCounters ? 'all' : 0 }]
}

/** Every group, in the order in which they are read and shown. */
export const counterGroups: readonly CounterGroup[] = [
  ...linkGroups,
  ...portGroups,
  ...functionGroups,
  ...pcieGroups,
  temperatureGroup,
  ...moduleGroups,
]
