import { MalformedData } from './errors'

/** NAME and VALUE as they are written; of a list one for each element. */
export type WrittenSetting = readonly [name: string, text: string]

/** What a file says of settings: for all devices, for those of a PSID, for single ones. */
export interface SettingsFile {
  readonly all: readonly WrittenSetting[]
  readonly psids: ReadonlyMap<string, readonly WrittenSetting[]>
  readonly devices: ReadonlyMap<string, readonly WrittenSetting[]>
}

const sections = ['parameters', 'psid', 'devices']
const MOST_BYTES = 4 << 20

/**
 * Reads a file of settings, YAML or JSON:
 *
 *   parameters: { SRIOV_EN: true }
 *   psid: { MT_0000000359: { NUM_OF_VFS: 8 } }
 *   devices: { "0000:03:00.0": { NUM_OF_VFS: 16, HOST_CHAINING_DESCRIPTORS: [1, 2] } }
 *
 * What is said of a device counts before what is said of its PSID, and that before what is said of all.
 * @throws MalformedData with line and column
 */
export async function parseSettingsFile(text: string, file: string): Promise<SettingsFile> {
  if (text.length > MOST_BYTES) throw new MalformedData(file, `is longer than ${MOST_BYTES} bytes`)
  const { parseDocument } = await import('yaml')
  // Scalars stay as they are written: what 0011 or True is depends on the parameter.
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: true })
  const [problem] = document.errors
  if (problem !== undefined) throw new MalformedData(file, problem.message.replace(/\n[^]*$/, '').replace(/:$/, ''))
  let value: unknown
  try {
    value = document.toJS({ mapAsMap: true, maxAliasCount: 100 })
  } catch (error) {
    throw new MalformedData(file, (error as Error).message)
  }
  const top = mapOf(value, file, 'the file')
  for (const name of top.keys())
    if (!sections.includes(name))
      throw new MalformedData(file, `has ${name}: it has ${sections.join(', ')} and nothing else at its top`)
  const nothing = new Map<string, unknown>()
  const nested = (name: string): Map<string, WrittenSetting[]> =>
    new Map(
      [...mapOf(top.get(name) ?? nothing, file, name)].map(([key, settings]) => [
        key,
        settingsOf(settings, file, `${name} ${key}`),
      ]),
    )
  const found = {
    all: settingsOf(top.get('parameters') ?? nothing, file, 'parameters'),
    psids: nested('psid'),
    devices: nested('devices'),
  }
  const lists = [found.all, ...found.psids.values(), ...found.devices.values()]
  if (lists.every(({ length }) => length === 0)) throw new MalformedData(file, 'holds no setting')
  return found
}

function settingsOf(value: unknown, file: string, where: string): WrittenSetting[] {
  return [...mapOf(value, file, where)].flatMap(([name, written]): WrittenSetting[] => {
    if (typeof written === 'string') return [[name, written]]
    if (Array.isArray(written) && written.length > 0 && written.every((one) => typeof one === 'string'))
      return written.map((one, index) => [`${name}[${index}]`, one])
    throw new MalformedData(file, `${where}: ${name} is neither a value nor a list of values`)
  })
}

function mapOf(value: unknown, file: string, where: string): Map<string, unknown> {
  if (value === '' || value === null) return new Map()
  if (!(value instanceof Map) || ![...value.keys()].every((key) => typeof key === 'string'))
    throw new MalformedData(file, `${where} is no map of names`)
  return value as Map<string, unknown>
}
