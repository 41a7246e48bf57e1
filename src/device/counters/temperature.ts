import { registerValues } from '../registers'
import { modulesOf } from './module'
import { registerLeaves, type CounterGroup } from './reading'
import { elementsOf, info, textOf, valuesOf, type FieldRules } from './values'

/** Temperatures are in steps of 0.125 degrees, two's complement (facts: F.4). */
const eighths: FieldRules = (name) =>
  name.includes('temperature') ? { type: 'gauge', unit: 'celsius', scale: 0.125, signed: true } : undefined

/** Sensors of modules, which sensor_map does not tell of; modules of a port come from PMLP. */
const FIRST_MODULE_SENSOR = 64

export const temperatureGroup: CounterGroup = {
  name: 'temperature',
  title: 'sensors of the chip and of the modules',
  source: 'MTCAP, MTMP sensor_index=sensor',
  instances: async (around, device) => {
    const { sensor_map: map = 0n } = await registerValues(device, 'MTCAP')
    const own = [...Array(64).keys()].filter((bit) => ((BigInt(map as number | bigint) >> BigInt(bit)) & 1n) === 1n)
    const modules = new Set<number>()
    for (const port of around.ports) for (const module of await modulesOf(device, port)) modules.add(module)
    return [...own, ...[...modules].map((module) => FIRST_MODULE_SENSOR + module)].map((sensor) => ({ sensor }))
  },
  read: async (device, { sensor }) => {
    const leaves = await registerLeaves(device, 'MTMP', { sensor_index: Number(sensor) })
    const name = textOf([...elementsOf(leaves, 'sensor_name_hi'), ...elementsOf(leaves, 'sensor_name_lo')])
    const hasMaximum = leaves.find((leaf) => leaf.name === 'mte')?.value === 1
    const shown = leaves.filter(
      (leaf) => /temperature/.test(leaf.name) && (hasMaximum || leaf.name !== 'max_temperature'),
    )
    return [...(name === '' ? [] : [info('sensor_name', name)]), ...valuesOf(shown, 'gauge', eighths)]
  },
}
