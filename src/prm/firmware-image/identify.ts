import { MalformedData } from '../errors'
import type { ImageBytes } from './image-bytes'
import type { ImageFormat } from './types'

/** A file that is no firmware image that this tool reads, and what it is instead. */
export class ForeignFile extends MalformedData {
  readonly hint: string | undefined
  constructor(
    /** What the file is: PLDM, MFA2, FS2, ...; unknown when nothing tells. */
    readonly format: string,
    message: string,
    hint?: string,
  ) {
    super('file', message, 0)
    this.hint = hint
  }
}

/** Where the magic of an image may stand in a file, or in flash (facts: firmware manager, C.7). */
const starts = [0, ...Array.from({ length: 10 }, (_, index) => 0x10000 << index)]
const newMagic = [0x4d544657, 0xabcdef00, 0xfade1234, 0x5678dead] as const
const oldMagic = [0x4d544657, 0x8cdfd000, 0xdead9270, 0x4154beef] as const
/** The dword whose top byte is the number of the format. */
const newVersion = 0x10
const oldVersion = 0x24

interface Known {
  readonly format: string
  /** First bytes, in hex. */
  readonly magic: string
  readonly what: string
  readonly hint?: string
}

const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
const unpack = 'unpack it: the image is inside'
const packages = 'take the image of the device out of the package, or the .bin file that the vendor offers beside it'

const known: readonly Known[] = [
  { format: 'PLDM', magic: 'f018878ccb7d49439800a02f059aca02', what: 'a PLDM package', hint: packages },
  { format: 'PLDM', magic: '1244d2648d7d4718a030fc8a56587d5a', what: 'a PLDM package (1.1)', hint: packages },
  { format: 'PLDM', magic: '3119ce2fe80a4a99af6d46f8b121f6bf', what: 'a PLDM package (1.2)', hint: packages },
  { format: 'MFA2', magic: ascii('MLNX.MFA2.XZ.00!'), what: 'an MFA2 archive', hint: packages },
  { format: 'component', magic: ascii('#BIN.COMPONENT!#'), what: 'a component of another kind than firmware' },
  { format: 'FC1', magic: ascii('MTCF'), what: 'firmware of a cable or module' },
  {
    format: 'BFB',
    magic: '42660213',
    what: 'a boot stream of a BlueField (BFB)',
    hint: 'it is installed with bfb-install',
  },
  { format: 'zip', magic: ascii('PK\u0003\u0004'), what: 'a zip archive', hint: unpack },
  { format: 'gzip', magic: '1f8b', what: 'compressed by gzip', hint: unpack },
  { format: 'xz', magic: 'fd377a585a00', what: 'compressed by xz', hint: unpack },
  { format: 'bzip2', magic: ascii('BZh'), what: 'compressed by bzip2', hint: unpack },
  {
    format: 'ELF',
    magic: '7f454c46',
    what: 'a program',
    hint: 'self-extracting updaters hold images: run it with --extract',
  },
  { format: 'PE', magic: ascii('MZ'), what: 'a program for Windows' },
]

/** Longest of the signatures above. */
const LONGEST = 16

/** What the first bytes say that is not an image; MFAR is an archive of images. */
export function archiveOrForeign(bytes: Uint8Array): 'MFA' | ForeignFile | undefined {
  const head = Buffer.from(bytes.subarray(0, LONGEST)).toString('hex')
  if (head.startsWith(ascii('MFAR'))) return 'MFA'
  const found = known.find(({ magic }) => head.startsWith(magic))
  if (found === undefined) return undefined
  return new ForeignFile(found.format, `is ${found.what}, not a firmware image`, found.hint)
}

/**
 * Where images begin in the file, and the format of the first.
 * @throws ForeignFile where there is none that this tool reads
 */
export function findImages(image: ImageBytes): { readonly format: ImageFormat; readonly offsets: readonly number[] } {
  const offsets = (magic: readonly number[]): number[] =>
    starts.filter((start) => magic.every((word, index) => image.word(start + 4 * index) === word))
  const found = offsets(newMagic)
  const [first] = found
  if (first !== undefined) {
    const version = image.word(first + newVersion) >>> 24
    if (version !== 1 && version !== 2)
      throw new ForeignFile(`FS${version}`, `is an image of format number ${version}; FS4 (1) and FS5 (2) are read`)
    return { format: version === 1 ? 'FS4' : 'FS5', offsets: found }
  }
  const old = offsets(oldMagic)
  const [firstOld] = old
  if (firstOld === undefined) throw unknown(image)
  if (image.word(firstOld + oldVersion) >>> 24 !== 3)
    throw new ForeignFile('FS2', 'is an image of format FS2, of ConnectX-3 and older, which this tool does not read')
  return { format: 'FS3', offsets: old }
}

function unknown(image: ImageBytes): ForeignFile {
  if (image.length === 0) return new ForeignFile('empty', 'is empty')
  if (image.bytes.every((byte) => byte === 0xff || byte === 0))
    return new ForeignFile('blank', 'is blank: nothing but 0x00 and 0xff')
  return new ForeignFile('unknown', 'is no firmware image: there is no magic at any of the offsets where one begins')
}
