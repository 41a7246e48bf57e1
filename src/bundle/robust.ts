/** A value that lies so many times the usual spread from the middle is an outlier. */
const FAR = 5
/** Makes the median of the deviations that of a standard deviation, where the values are spread normally. */
const NORMAL = 1.4826
/** Spread that is put up with anyway, as a share of the middle. */
const TOLERANCE = 0.01
/** The same for rates, which are compared by their order of magnitude. */
const RATE_TOLERANCE = 0.05
/** Powers of ten that shares of wrong bits are apart anyway, and the least one that matters. */
const RATIO_TOLERANCE = 0.4
const LEAST_RATIO = 1e-15

export interface Measured<T> {
  readonly of: T
  readonly value: number
}

export interface Spread<T> {
  readonly median: number
  /** Half of the values lie nearer to the median than this. */
  readonly deviation: number
  /** Farthest first. */
  readonly outliers: readonly Measured<T>[]
}

/** Values far from the middle, by median and median absolute deviation: outliers do not move these. */
export function outlying<T>(measured: readonly Measured<T>[]): Spread<T> {
  const median = medianOf(measured.map(({ value }) => value))
  return judged(measured, (value) => value, TOLERANCE * Math.max(Math.abs(median), 1))
}

/** The same for rates, which differ by orders of magnitude: 0 among thousands is as far off as thousands among 0. */
export function outlyingRates<T>(measured: readonly Measured<T>[]): Spread<T> {
  return judged(measured, (value) => Math.log1p(Math.max(0, value)), RATE_TOLERANCE)
}

/** The same for shares of bits that are wrong: below the least one, none is as good as another. */
export function outlyingRatios<T>(measured: readonly Measured<T>[]): Spread<T> {
  return judged(measured, (value) => Math.log10(Math.max(LEAST_RATIO, value)), RATIO_TOLERANCE)
}

/** @param least spread that is put up with, on the scale */
function judged<T>(measured: readonly Measured<T>[], scale: (value: number) => number, least: number): Spread<T> {
  const values = measured.map(({ value }) => value)
  const scaled = values.map(scale)
  const [median, middle] = [medianOf(values), medianOf(scaled)]
  const deviations = scaled.map((value) => Math.abs(value - middle))
  const usual = Math.max(NORMAL * medianOf(deviations), least)
  const outliers = measured
    .map((one, index) => ({ one, far: (deviations[index] ?? 0) / usual }))
    .filter(({ far }) => far > FAR)
    .sort((a, b) => b.far - a.far)
    .map(({ one }) => one)
  return { median, deviation: medianOf(values.map((value) => Math.abs(value - median))), outliers }
}

/** 0 for no values. */
export function medianOf(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  const half = sorted.length >> 1
  const upper = sorted[half] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2
}
