import { FAILED, shownName, versionRows, type Shown } from './query-text'

/**
 * Elements and attributes of mstfwmanager --query-format XML (facts: firmware manager, C.3). A device that cannot be queried has
 * empty ones, as there.
 */
export function queryXml(devices: readonly Shown[]): string {
  return `<Devices>\n${devices.map(deviceElement).join('')}</Devices>\n`
}

function deviceElement(shown: Shown): string {
  const { outcome } = shown
  const info = outcome.error === undefined ? outcome.value : undefined
  const mac = info?.addresses.mac.base ?? 'N/A'
  const guid = info?.addresses.guid.base
  const attributes = attributesText({
    pciName: shownName(outcome),
    type: info?.chip ?? 'N/A',
    psid: info?.psid ?? '',
    partNumber: info === undefined ? '--' : (info.partNumber ?? 'N/A'),
  })
  const versions = versionRows(shown).map(
    ([name, current, available]) => `        <${elementName(name)} ${attributesText({ current, available })}/>\n`,
  )
  return [
    `    <Device ${attributes}>\n`,
    '      <Versions>\n',
    ...versions,
    '      </Versions>\n',
    `      <MACs ${attributesText({ Base_Mac: mac })} />\n`,
    guid === undefined ? '' : `      <GUIDs ${attributesText({ Base_Guid: guid })} />\n`,
    `      <Status>${escaped(outcome.error === undefined ? shown.status : FAILED)}</Status>\n`,
    `      <Description>${escaped(info?.description ?? '')}</Description>\n`,
    '    </Device>\n',
  ].join('')
}

/** "FW (Running)" is FW_Running; a ROM type that has a number alone is ROM_0x22, for a name of XML begins with a letter. */
function elementName(name: string): string {
  const word = name.replace(/ /g, '_').replace(/[^\w.-]/g, '')
  return /^[A-Za-z]/.test(word) ? word : `ROM_${word}`
}

function attributesText(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(' ')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? character)
