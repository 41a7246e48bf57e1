/** One value of a metric. */
export interface Sample {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * The text format of Prometheus: each metric once, with its HELP and TYPE, in the order in which it first occurs; without time
 * stamps, as the textfile collector of node_exporter wants it.
 * @throws Error for two samples of one name and the same labels, or of two types
 */
export async function prometheusText(samples: readonly Sample[]): Promise<string> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const registry = new Registry()
  for (const [name, own] of byName(samples)) {
    const [{ help, type } = { help: '', type: 'gauge' }] = own
    const labelNames = [...new Set(own.flatMap(({ labels }) => Object.keys(labels)))]
    const configuration = { name, help, labelNames, registers: [registry] }
    const seen = new Set<string>()
    const metric = type === 'counter' ? new Counter(configuration) : new Gauge(configuration)
    for (const { labels, value, type: again } of own) {
      const key = JSON.stringify(Object.entries(labels).sort())
      if (again !== type || seen.has(key)) throw new Error(`the metric ${name} has two values for ${key}`)
      seen.add(key)
      if (metric instanceof Counter) metric.inc({ ...labels }, value)
      else metric.set({ ...labels }, value)
    }
  }
  return registry.metrics()
}

function byName(samples: readonly Sample[]): Map<string, Sample[]> {
  const found = new Map<string, Sample[]>()
  for (const sample of samples) found.set(sample.name, [...(found.get(sample.name) ?? []), sample])
  return found
}
