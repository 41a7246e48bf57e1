import type { SingleBar } from 'cli-progress'

/** Shown only for what takes longer than this, in milliseconds. */
const PATIENCE = 1000

/** A bar on stderr, on a terminal only, and only for what takes longer than a second. */
export class Progress {
  private readonly started = Date.now()
  private done = 0
  private bar: SingleBar | undefined

  constructor(
    private readonly label: string,
    /** Undefined where nobody knows. */
    private readonly total: number | undefined,
    private readonly enabled: boolean,
  ) {}

  async step(count = 1): Promise<void> {
    this.done += count
    if (!this.enabled || Date.now() - this.started < PATIENCE) return
    this.bar ??= await this.start()
    this.bar.update(this.done)
  }

  private async start(): Promise<SingleBar> {
    const { SingleBar, Presets } = await import('cli-progress')
    const format = this.total === undefined ? `{value} ${this.label}` : `${this.label} {bar} {value}/{total}`
    const bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true }, Presets.shades_classic)
    bar.start(this.total ?? 0, this.done)
    return bar
  }

  stop(): void {
    this.bar?.stop()
  }
}
