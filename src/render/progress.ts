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
    private readonly total: number,
    private readonly enabled: boolean,
  ) {}

  async step(): Promise<void> {
    this.done++
    if (!this.enabled || Date.now() - this.started < PATIENCE) return
    if (this.bar === undefined) {
      const { SingleBar, Presets } = await import('cli-progress')
      const format = `${this.label} {bar} {value}/{total}`
      this.bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true }, Presets.shades_classic)
      this.bar.start(this.total, this.done)
    }
    this.bar.update(this.done)
  }

  stop(): void {
    this.bar?.stop()
  }
}
