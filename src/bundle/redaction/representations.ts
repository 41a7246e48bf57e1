/** The forms in which one value is met: hex digits, numbers, words. */
export interface Forms {
  /** Lower case, without separators. */
  readonly digits: readonly string[]
  /** Of values that are made of this one, and may be secrets of their own. */
  readonly derived: readonly string[]
  /** Of parts, as dwords hold them: few enough digits to be met in the middle of two others. */
  readonly parts: readonly string[]
  readonly numbers: readonly bigint[]
}

/** A number below this is met for many reasons; and a dword whose digits nothing tells from others, below this. */
const TELLING = 1n << 16n
const TELLING_DWORD = 1n << 24n

/** A MAC: as it is, with its bytes reversed, written in ASCII, in an address of IPv6, in the GUID that firmware makes of it. */
export function formsOfMac(mac: string): Forms {
  const [vendor, own] = [mac.slice(0, 6), mac.slice(6)]
  const flipped = (Number.parseInt(mac.slice(0, 2), 16) ^ 2).toString(16).padStart(2, '0')
  const inGuid = [`${vendor}0300${own}`, `${vendor}fffe${own}`, `${flipped}${vendor.slice(2)}fffe${own}`]
  return {
    digits: [mac, reversed(mac), ...written(mac, [2])],
    derived: [...inGuid, ...inGuid.map(reversed)],
    parts: tellingDwords(mac.slice(4)),
    numbers: telling([
      value(mac),
      value(reversed(mac)),
      value(mac.slice(4)),
      value(mac.slice(0, 8)),
      value(reversed(mac).slice(0, 8)),
    ]),
  }
}

/** A GUID of 64 bits or more; with it the MAC that it was made of. */
export function formsOfGuid(guid: string): Forms {
  const [high, low] = [guid.slice(0, guid.length / 2), guid.slice(guid.length / 2)]
  const middle = guid.slice(6, 10)
  const madeOf =
    guid.length === 16 && (middle === '0300' || middle === 'fffe') ? [guid.slice(0, 6) + guid.slice(10)] : []
  const swapped = `${reversed(high)}${reversed(low)}`
  return {
    digits: [
      guid,
      reversed(guid),
      swapped,
      `${reversed(low)}${reversed(high)}`,
      `${low}${high}`,
      ...written(guid, [2, 4]),
    ],
    derived: madeOf.flatMap((mac) => [mac, reversed(mac), ...written(mac, [2])]),
    parts: tellingDwords(low),
    numbers: telling([value(guid), value(reversed(guid)), value(high), value(low)]),
  }
}

/** Text: its bytes, in the cases it may be written in. */
export function digitsOfText(text: string): string[] {
  return [...new Set([text, text.toLowerCase(), text.toUpperCase()])].map(ascii)
}

/** Groups of digits with colons between, and without, as ASCII. */
function written(digits: string, groups: readonly number[]): string[] {
  const texts = [digits, ...groups.map((size) => digits.match(new RegExp(`.{${size}}`, 'g'))?.join(':') ?? digits)]
  return texts.flatMap((text) => [ascii(text), ascii(text.toUpperCase())])
}

const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
const reversed = (digits: string): string => Buffer.from(digits, 'hex').reverse().toString('hex')
const value = (digits: string): bigint => BigInt(`0x${digits}`)
const telling = (numbers: readonly bigint[]): bigint[] => numbers.filter((number) => number >= TELLING)
/** As they are, and with their bytes reversed. */
const tellingDwords = (low: string): string[] => (value(low) < TELLING_DWORD ? [] : [low, reversed(low)])
