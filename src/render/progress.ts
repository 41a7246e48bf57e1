import type { SingleBar } from 'cli-progress'

/** Shown only for what takes longer than this, in milliseconds. */
const PATIENCE = 1000

/** A bar on stderr, on a terminal only, and only for what takes longer than a second. */
export class Progress {
  private readonly started = Date.now()
  private done = 0
  private starting: Promise<void> | undefined
  private bar: SingleBar | undefined
  private stopped = false

  constructor(
    private readonly label: string,
    /** Undefined where nobody knows. */
    private readonly total: number | undefined,
    private readonly enabled: boolean,
  ) {}

  /** Need not be waited for. */
  async step(count = 1): Promise<void> {
    this.done += count
    if (!this.enabled || Date.now() - this.started < PATIENCE) return
    this.starting ??= this.start()
    await this.starting
    this.bar?.update(this.done)
  }

  stop(): void {
    this.stopped = true
    this.bar?.stop()
    this.bar = undefined
  }

  private async start(): Promise<void> {
    const { SingleBar, Presets } = await import('cli-progress')
    if (this.stopped) return
    const format = this.total === undefined ? `{value} ${this.label}` : `${this.label} {bar} {value}/{total}`
    this.bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true }, Presets.shades_classic)
    this.bar.start(this.total ?? 0, this.done)
  }
}
