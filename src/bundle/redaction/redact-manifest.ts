import type { BundleDevice, BundleItem, Manifest } from '../manifest'
import type { Redaction } from './redaction'

/**
 * Takes secrets out of a manifest: out of what is of the host and its user. The words of this tool stay, so that the bundle can be
 * read, whatever the host is called.
 * @throws Error when something that was to be redacted is still in it
 */
export function redactedManifest(manifest: Manifest, redaction: Redaction): Manifest {
  const folders = new Map(manifest.devices.map(({ folder }) => [folder, redaction.redactText(folder)]))
  const made: Manifest = {
    ...manifest,
    host: redaction.redactName('hostname', manifest.host),
    devices: manifest.devices.map((device) => redactedDevice(device, folders, redaction)),
    items: manifest.items.map((item) => redactedItem(item, folders, redaction)),
  }
  const said = {
    host: made.host,
    devices: made.devices,
    items: made.items.map(({ device, command, reason }) => [device, command, reason]),
  }
  if (!redaction.isClean(JSON.stringify(said), true)) throw new Error('the manifest cannot be redacted')
  return made
}

type Folders = ReadonlyMap<string, string>

function redactedDevice(
  { name, folder, identity }: BundleDevice,
  folders: Folders,
  redaction: Redaction,
): BundleDevice {
  return {
    name: redaction.redactText(name),
    folder: folders.get(folder) ?? folder,
    identity: redaction.redactJson(identity) as BundleDevice['identity'],
  }
}

/** Of its file only the folder of the device is not a word of this tool. */
function redactedItem(item: BundleItem, folders: Folders, redaction: Redaction): BundleItem {
  const { device, command, file, reason } = item
  const folder = device === null ? null : (folders.get(device) ?? device)
  return {
    ...item,
    device: folder,
    command: command === null ? null : redaction.redactText(command),
    file: file === null || device === null ? file : `devices/${folder ?? ''}${file.slice(`devices/${device}`.length)}`,
    reason: reason === null ? null : redaction.redactText(reason),
  }
}
