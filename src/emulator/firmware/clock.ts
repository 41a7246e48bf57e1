/** The clock of an emulated device, in ticks of its core frequency. */
export class DeviceClock {
  private readonly origin: bigint

  /**
   * @param kilohertz device_frequency_khz
   * @param options start: ticks at the beginning; now: nanoseconds of a monotonic clock, for tests and for a clock that stands still
   */
  constructor(
    private readonly kilohertz: number,
    private readonly options: { readonly start?: bigint; readonly now?: () => bigint } = {},
  ) {
    this.origin = this.now()
  }

  /** Ticks, from `start` on. */
  ticks(): bigint {
    return (
      (this.options.start ?? 0n) + ((this.now() - this.origin) * BigInt(this.kilohertz)) / NANOSECONDS_PER_MILLISECOND
    )
  }

  /** Seconds since the device is there. */
  seconds(): number {
    return Number(this.now() - this.origin) / NANOSECONDS_PER_SECOND
  }

  private now(): bigint {
    return this.options.now?.() ?? process.hrtime.bigint()
  }
}

const NANOSECONDS_PER_MILLISECOND = 1_000_000n
const NANOSECONDS_PER_SECOND = 1e9
