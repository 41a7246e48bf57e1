import type { Device } from '../../device/device'
import { Unsupported } from '../../device/errors'
import { MalformedData } from '../../prm/errors'
import { NvConfiguration } from '../../device/nv-config'
import type { NvWrite } from '../../device/nv-plan'
import { armReset, storedTlvs, writeTlvs, type StoredTlv } from '../../device/nv-write'
import { parseNvType } from '../../prm/nv'
import { formatRawTlvs, parseRawTlvs, type RawTlv } from '../../prm/nv-raw'
import { columns } from '../../render/columns'
import { hexString } from '../../render/values'
import { readInput } from '../input'
import { withDevice } from '../session'
import type { Context, Result } from '../types'

/** Writer ids by number (facts: mstconfig, C.2). */
const writers = [
  'UNSPECIFIED',
  'CHASSIS BMC',
  'MAD',
  'BMC',
  'CMD IF',
  'ICMD',
  'ICMD UEFI HII',
  'ICMD UEFI CLP',
  'ICMD FLEXBOOT',
  'ICMD MLXCONFIG',
  'ICMD USER1',
  'ICMD USER2',
  'ICMD MLXCONFIG SET RAW',
]
const SET_RAW = 12

/** All that is stored, in the raw format of mstconfig. */
export async function backupConfiguration(context: Context, name: string): Promise<Result> {
  return withDevice(context, name, async (device) => {
    const stored = await storedTlvs(device)
    const described = stored.map((one) => ({ ...one, ...describe(device, one) }))
    return {
      device: device.identity,
      data: {
        tlvs: described.map(({ name: tlv, type, writer, header, data }) => ({
          tlv,
          type: hex(type),
          writer,
          header: hexString(header),
          data: hexString(data),
        })),
      },
      text: () => formatRawTlvs(described),
      warnings: stored.length === 0 ? ['nothing is stored: all parameters have their defaults'] : [],
    }
  })
}

function describe(
  device: Device,
  { type, header }: StoredTlv,
): { name: string | null; writer: number; remark: string } {
  const { writer_id: id } = device.codec.decode('config_item_ext', header)
  const writer = Number(id)
  const known = writers[writer] ?? (writer === 0x1f ? 'OTHER' : 'UNKNOWN')
  const number = writer.toString(16).padStart(2, '0')
  return {
    name: nameOf(device, type),
    writer,
    remark: `TLV Type: ${hex(type)}, Writer ID: ${known}(0x${number}), Writer Host ID: 0x00`,
  }
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`

const nameOf = ({ catalogue }: Device, type: number): string | null =>
  catalogue.findTlv(parseNvType(type).key)?.name ?? null

/** Writes the TLVs of a raw file, of mstconfig or of backup; when one is refused, those before it are put back. */
export async function restoreConfiguration(context: Context, name: string, file: string): Promise<Result> {
  const tlvs = parseRawTlvs(Buffer.from(readInput(file)).toString('latin1'), file)
  return withDevice(context, name, async (device) => {
    const writes = await writesOf(device, tlvs, file)
    const due = writes.filter(({ before, data }) => !Buffer.from(before).equals(data))
    const rows = writes.map(({ item, before, data }) => [
      item.tlv.name,
      hex(item.type),
      Buffer.from(before).equals(data) ? 'as it is' : `${hexString(before)} -> ${hexString(data)}`,
    ])
    const data = { changed: due.length > 0, rebootRequired: due.length > 0, tlvs: due.map(({ item }) => item.tlv.name) }
    if (due.length === 0)
      return {
        device: device.identity,
        data: { ...data, activation: null },
        text: () => 'Nothing to restore: the next boot has these values already.\n',
      }
    await context.confirm(`these TLVs will be written:\n${columns(rows)}`, 'Write them?')
    await writeTlvs(device, due, SET_RAW)
    const activation = await armReset(device)
    return {
      device: device.identity,
      data: { ...data, activation },
      text: () =>
        `${columns(rows)}${activation === 'reboot' ? 'Reboot' : 'Power-cycle'} the machine to load the settings.\n`,
    }
  })
}

/** A TLV that the device does not have is refused before anything is written. */
async function writesOf(device: Device, tlvs: readonly RawTlv[], file: string): Promise<NvWrite[]> {
  const configuration = new NvConfiguration(device)
  const writes: NvWrite[] = []
  for (const { line, type, data } of tlvs) {
    const tlv = {
      name: nameOf(device, type) ?? `TLV ${hex(type)}`,
      bytes: data.length,
      id: 0,
      class: 0,
      capability: false,
      target: 'NIC',
      parameters: [],
    }
    const item = { tlv, instance: {}, type }
    const { writable } = await configuration.supportOf(item)
    if (!writable)
      throw new Unsupported(`line ${line}: this device cannot be given ${tlv.name} (${hex(type)}); nothing was written`)
    if (writes.some((write) => write.item.type === type))
      throw new MalformedData(`${file}:${line}`, `has ${tlv.name} a second time`)
    const before = await configuration.read(item, 'next')
    writes.push({ stored: configuration.isStored(item), item, before, data })
  }
  return writes
}
