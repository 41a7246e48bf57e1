import type { Device } from './device'
import { ticksToNanoseconds, type DiagnosticCapabilities, type DiagnosticParameters } from './diagnostic-counters'
import { DiagnosticRing } from './diagnostic-ring'
import { RingRounds, SlotMemory } from './diagnostic-rounds'
import { hostClock, type HostClock } from './diagnostic-stream'

/** Milliseconds in which two rounds should come, to be measured; and those of the first step, which are doubled each time. */
const MEASURE = 200
const STEP = 5
/** Rounds that are looked at in a ring that began empty. */
const LOOKED_AT = 4

/**
 * The time between two rounds that follow one another, in nanoseconds; undefined when no two came soon. Firmware may be far slower
 * than it was asked to be. A ring that was not emptied may hold rounds of what was set before, anywhere: there only slots count that
 * changed meanwhile.
 * @param given what was set just now, as the device says
 * @throws FirmwareError, DeliveryError, Interrupted
 */
export async function measurePeriod(
  device: Device,
  { frequencyKhz }: DiagnosticCapabilities,
  { counters, logSamples, onDemand, clear }: DiagnosticParameters,
  clock: HostClock = hostClock,
): Promise<bigint | undefined> {
  if (onDemand || counters.length === 0 || logSamples === 0) return undefined
  const slots = clear ? Math.min(LOOKED_AT, 2 ** logSamples) : 2 ** logSamples
  const ring = new DiagnosticRing(device, counters.length)
  const places = new Map(counters.map((id, index) => [id, index]))
  const read = async (): Promise<RingRounds> => new RingRounds(await ring.read(0, slots), places)
  const memory = new SlotMemory(slots)
  if (!clear) remember(memory, await read(), slots)
  for (let [passed, step] = [0, STEP]; passed < MEASURE; passed += step, step *= 2) {
    await clock.sleep(step, undefined)
    const ticks = stepOf(await read(), slots, memory)
    if (ticks !== undefined) return ticksToNanoseconds(BigInt(ticks), frequencyKhz)
  }
  return undefined
}

function remember(memory: SlotMemory, rounds: RingRounds, slots: number): void {
  for (let slot = 0; slot < slots; slot++) {
    const mark = rounds.mark(slot)
    if (mark !== undefined) memory.take(slot, mark)
  }
}

/** Ticks between the first two neighbours that are new. */
function stepOf(rounds: RingRounds, slots: number, memory: SlotMemory): number | undefined {
  for (let slot = 1; slot < slots; slot++) {
    const [before, after] = [rounds.mark(slot - 1), rounds.mark(slot)]
    if (before === undefined || after === undefined) continue
    if (memory.holds(slot - 1, before) || memory.holds(slot, after)) continue
    if (((after.sampleId - before.sampleId) & 0xffff) === 1) return (after.timeStamp - before.timeStamp) >>> 0
  }
  return undefined
}
