import {
  checkCrAddress,
  type CrSpace,
  CrSpaceError,
  type CrSpaceScan,
  DeliveryError,
  type ScannedWords,
} from './contract'
import { space, type PciGateway } from './pci-gateway'
import type { Serial } from './serial'

/** Words that are read before others get their turn at the gateway. */
const WORDS_AT_ONCE = 256
/** Addresses have 30 bits. */
const SPACE_END = 2 ** 30
/** What the device gives for what cannot be read; only the first address of a scan may be such. */
const NOT_READABLE = 0xbadacce5

/** CR space through the gateway. `scans`: whether the device leads from word to word. */
export function crSpaceBehind(gateway: PciGateway, serial: Serial, scans: boolean): CrSpace {
  const scan: CrSpaceScan = {
    size: () => serial.run(() => sizeOfScan(gateway)),
    read: (from, most) => serial.run(() => readScan(gateway, from, most)),
  }
  return {
    read: (address, dwords) => serial.run(() => readWords(gateway, address, dwords)),
    ...(scans ? { scan } : {}),
  }
}

async function readWords(gateway: PciGateway, address: number, dwords: number): Promise<Uint32Array> {
  checkCrAddress(address, dwords)
  const words = new Uint32Array(dwords)
  let done = 0
  try {
    while (done < dwords)
      await gateway.own((owned) => {
        owned.enter(space.CR)
        for (const end = Math.min(dwords, done + WORDS_AT_ONCE); done < end; done++)
          words[done] = owned.read(address + done * 4)
      })
  } catch (error) {
    throw crSpaceError(error, address + done * 4, words.subarray(0, done))
  }
  return words
}

function sizeOfScan(gateway: PciGateway): Promise<number> {
  return gateway.own((owned) => {
    owned.enter(space.SCAN)
    return owned.size()
  })
}

/** The end is where the device leads back, or to where its space ends. */
async function readScan(gateway: PciGateway, from: number, most: number): Promise<ScannedWords> {
  const pairs = new Uint32Array(most * 2)
  let at: number | undefined = from
  let done = 0
  try {
    while (at !== undefined && done < most)
      await gateway.own((owned) => {
        owned.enter(space.SCAN)
        const end = owned.size() || SPACE_END
        for (let turn = 0; turn < WORDS_AT_ONCE && at !== undefined && done < most; turn++) {
          const { value, next } = owned.readAndNext(at)
          if (at !== 0 || value !== NOT_READABLE) {
            pairs[done * 2] = at
            pairs[done * 2 + 1] = value
            done++
          }
          at = next > at && next < end ? next : undefined
        }
      })
  } catch (error) {
    throw crSpaceError(error, at ?? from, pairs.subarray(0, done * 2))
  }
  return { pairs: pairs.subarray(0, done * 2), next: at }
}

function crSpaceError(error: unknown, address: number, before: Uint32Array): unknown {
  return error instanceof DeliveryError ? new CrSpaceError(error, address, before) : error
}
