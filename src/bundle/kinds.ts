/**
 * What a value is to whoever compares. state: it says how things are, and a difference is one. counter: it grows. gauge: it is
 * measured. volatile: it is of the moment (a clock, an uptime), and differs always.
 */
export const kinds = ['state', 'counter', 'gauge', 'volatile'] as const
export type Kind = (typeof kinds)[number]

/** Parts of registers that count, measure or tell the time whatever the field is called (facts: dumps, F; PRM). */
const registers: Readonly<Record<string, readonly [Kind, RegExp]>> = {
  PPCNT: ['counter', /^counter_set\b/],
  MPCNT: ['counter', /^counter_set\b/],
  UNIT_PERF_COUNTERS_DATA: ['counter', /^counter\d/],
  MISC_COUNTERS: ['counter', /^(?:ecc|ldb_silent_drop)$/],
  SLRG: ['gauge', /^page_data\b/],
  SLRED: ['gauge', /^page_data\b/],
  MVCR: ['gauge', /_sensor_value/],
  MRTC: ['volatile', /./],
}

const clock =
  /(?:^|[._\]])(?:uptime|up_time|timestamp|time_stamp|time_to_link_up|utc_n?sec|freq_adjustment|internal_timer|seconds_since\w*|time_since\w*|time_elapsed_since_last_cmd|update_handle)(?:_high|_low|_[hl])?(?:\[\d+\])?$/i
const measure =
  /(?:^|[._\]])(?:temperature|max_temperature|temp\d*_input|voltage|current_power|power_draw|fan_speed)(?:\[\d+\])?$/i
const count =
  /(?:[._\]]|^)(?:\w+_(?:cnt|counter|errors|drops|dropped|discards|packets|bytes)|error_count|interrupts)(?:_high|_low|_[hl])?(?:\[\d+\])?$/i
/** Folders of sysfs that hold counters. */
const statistics = /(?:^|[./])(?:statistics|hw_counters|counters)[./]/

/** Groups of counters that say how link, slot and module are: what they measure aside, a difference is one. */
const states: ReadonlySet<string> = new Set(['link', 'pcie_link', 'module', 'module_state'])
const measuredInThem = /temperature|voltage|power|bias|snr|ber(?:_|$)|time/i
const limit = /(?:_th|_threshold|threshold_(?:hi|lo))$/

/** Shares of bits that are wrong, which are compared by their order of magnitude. */
export const isErrorRatio = (field: string): boolean => /(?:^|[._])f?ber(?:_lane\d+)?$/i.test(field)

/** Of a value in a group of counters, by what the group says of it. */
export function countedKind(group: string, type: string | undefined, name: string): Kind {
  if (clock.test(name)) return 'volatile'
  if (type === 'counter') return 'counter'
  if (type !== 'gauge' || limit.test(name)) return 'state'
  return states.has(group) && !measuredInThem.test(name) ? 'state' : 'gauge'
}

/** Of a field of a register, by its path. */
export function registerFieldKind(register: string, path: string): Kind {
  const [kind, fields] = (Object.hasOwn(registers, register) ? registers[register] : undefined) ?? []
  return kind !== undefined && fields?.test(path) === true ? kind : fieldKind(path)
}

/** Of any other field. */
export function fieldKind(path: string): Kind {
  if (clock.test(path)) return 'volatile'
  return measure.test(path) ? 'gauge' : 'state'
}

/** Of what sysfs shows. */
export function sysfsKind(path: string): Kind {
  return statistics.test(path) || count.test(path) ? 'counter' : fieldKind(path)
}
