import type { ImageBytes } from './image-bytes'
import { findSection } from './toc'
import { sectionType } from './section-types'
import type { RomVersion } from './types'

/** Stands in front of the version of every expansion ROM. */
const SIGN = Buffer.from('mlxsign:', 'latin1')
/** Three little-endian dwords behind it. */
const FACTS = 12
const MAX_ROMS = 16

const types: Readonly<Record<number, string>> = {
  0x01: 'CLP1',
  0x02: 'CLP2',
  0x03: 'CLP3',
  0x04: 'CLP4',
  0x0f: 'CLP',
  0x10: 'PXE',
  0x11: 'UEFI',
  0x12: 'CLP',
  0x13: 'NVMe',
  0x14: 'UEFI Virtio net',
  0x15: 'UEFI Virtio blk',
  0x16: 'PXE Virtio net',
  0x21: 'FCODE',
}
const processors: Readonly<Record<number, string>> = { 1: 'AMD64', 2: 'AARCH64', 3: 'AMD64,AARCH64', 4: 'IA32' }
const protocols: Readonly<Record<number, string>> = { 0: 'IB', 1: 'ETH', 2: 'VPI' }
/** From this type on there are processor, port and protocol. */
const DETAILED = 0x10
const CLP = 0x12
const OLD_CLP = 0x0f
const ANY_PROTOCOL = 0xff

/** The expansion ROMs of an image, in their order, by the signs in its ROM section. */
export function readRoms(image: ImageBytes): RomVersion[] {
  const section = findSection(image, sectionType.ROM_CODE)
  if (section === undefined) return []
  const { bytes } = image
  const code = Buffer.from(bytes.buffer, bytes.byteOffset + section.offset, section.size)
  const roms: RomVersion[] = []
  let found = code.indexOf(SIGN)
  while (found >= 0 && roms.length < MAX_ROMS) {
    const at = found + SIGN.length
    if (at + FACTS > code.length) {
      image.problem('ROM_CODE', section.offset + found, 'ends inside of the version of a ROM')
      return roms
    }
    roms.push(romVersion(image, section.offset + at))
    found = code.indexOf(SIGN, at + FACTS)
  }
  return roms
}

function romVersion(image: ImageBytes, at: number): RomVersion {
  const [first, second, third] = [image.littleWord(at), image.littleWord(at + 4), image.littleWord(at + 8)]
  const type = first >>> 16
  const isDetailed = type >= DETAILED
  const [processor, port, protocol] = [(third >>> 8) & 0xf, (third >>> 12) & 0xf, third & 0xff]
  const hasPort = isDetailed && type !== CLP
  return {
    type: types[type] ?? `0x${type.toString(16)}`,
    version: type === OLD_CLP ? [first & 0xff] : [first & 0xff, (second >>> 16) & 0xff, second & 0xffff],
    cpu: isDetailed && processor !== 0 ? (processors[processor] ?? `0x${processor.toString(16)}`) : null,
    protocol: hasPort && protocol !== ANY_PROTOCOL ? (protocols[protocol] ?? `0x${protocol.toString(16)}`) : null,
    port: hasPort && port !== 0 ? port : null,
    pciDeviceId: isDetailed && third >>> 16 !== 0 ? third >>> 16 : null,
  }
}
