import { NameError } from '../prm/errors'
import type { BundleDevice } from './manifest'
import { listOf, textOf } from './values'

export type MatchedBy = 'given' | 'pci' | 'card' | 'name' | 'only'

/** Folders of a device in two bundles. */
export interface DeviceMatch {
  readonly a: string
  readonly b: string
  /** What told that they are the same: the PCI address, serial number or base MAC of the card, a name; or there was no other. */
  readonly by: MatchedBy
}

export interface Identified {
  readonly device: BundleDevice
  /** Serial number of the card, or its base MAC. */
  readonly card: string | undefined
}

export interface Matching {
  readonly matches: readonly DeviceMatch[]
  readonly unmatched: { readonly a: readonly string[]; readonly b: readonly string[] }
}

/**
 * Which device of one bundle is which of the other, best hint first.
 * @param wanted names of devices, or NAME_IN_A=NAME_IN_B; then no others are matched
 * @throws NameError for a device that there is not
 */
export function matchDevices(a: readonly Identified[], b: readonly Identified[], wanted: readonly string[]): Matching {
  const matching = new Matcher([...a], [...b])
  for (const word of wanted) matching.given(word)
  if (wanted.length > 0) return { matches: matching.matches, unmatched: { a: [], b: [] } }
  matching.by('pci', ({ device }) => pciOf(device))
  matching.by('card', ({ device, card }) => (card === undefined ? undefined : `${card} ${functionOf(device)}`))
  matching.by('name', ({ device }) => device.name)
  matching.only()
  const order = new Map(a.map(({ device }, index) => [device.folder, index]))
  return {
    matches: matching.matches.sort((one, other) => (order.get(one.a) ?? 0) - (order.get(other.a) ?? 0)),
    unmatched: { a: matching.a.map(({ device }) => device.folder), b: matching.b.map(({ device }) => device.folder) },
  }
}

class Matcher {
  readonly matches: DeviceMatch[] = []

  constructor(
    /** Those without a counterpart so far. */
    public a: Identified[],
    public b: Identified[],
  ) {}

  /** A key that two devices of one bundle share tells nothing. */
  by(by: MatchedBy, keyOf: (one: Identified) => string | undefined): void {
    const alone = (list: readonly Identified[], key: string): Identified | undefined => {
      const found = list.filter((one) => keyOf(one) === key)
      return found.length === 1 ? found[0] : undefined
    }
    for (const one of [...this.a]) {
      const key = keyOf(one)
      const other = key === undefined || alone(this.a, key) === undefined ? undefined : alone(this.b, key)
      if (other !== undefined) this.match(one, other, by)
    }
  }

  only(): void {
    const [one, other] = [this.a[0], this.b[0]]
    if (this.a.length === 1 && this.b.length === 1 && one !== undefined && other !== undefined)
      this.match(one, other, 'only')
  }

  given(word: string): void {
    const [nameA = '', nameB = nameA] = word.split('=')
    const a = deviceNamed(this.a, nameA, 'first')
    if (nameB !== nameA) return this.match(a, deviceNamed(this.b, nameB, 'second'), 'given')
    this.match(a, counterpart(a, this.b) ?? deviceNamed(this.b, nameB, 'second'), 'given')
  }

  private match(one: Identified, other: Identified, by: MatchedBy): void {
    this.matches.push({ a: one.device.folder, b: other.device.folder, by })
    this.a = this.a.filter((left) => left !== one)
    this.b = this.b.filter((left) => left !== other)
  }
}

/** By address or card. */
function counterpart({ device, card }: Identified, others: readonly Identified[]): Identified | undefined {
  const pci = pciOf(device)
  return (
    others.find((one) => pci !== undefined && pciOf(one.device) === pci) ??
    others.find((one) => card !== undefined && one.card === card && functionOf(one.device) === functionOf(device))
  )
}

/** @throws NameError */
function deviceNamed(list: readonly Identified[], name: string, which: string): Identified {
  const found = list.filter(({ device }) => namesOf(device).includes(name))
  const [device] = found
  const known = list.map((one) => one.device.folder)
  if (device === undefined)
    throw new NameError(`${name}: the ${which} bundle has no such device; it has ${known.join(', ') || 'none'}`, known)
  if (found.length > 1)
    throw new NameError(`${name}: that may be ${found.map((one) => one.device.folder).join(' or ')}`, known)
  return device
}

/** All names by which somebody may call it. */
function namesOf({ name, folder, identity }: BundleDevice): string[] {
  const { pci, rdma, net, node } = identity ?? {}
  const names = [...listOf(rdma), ...listOf(net), node, pci].flatMap((one) => textOf(one) ?? [])
  const short = names.flatMap((one) => /^0000:(.*)$/.exec(one)?.[1] ?? [])
  return [name, folder, ...names, ...short]
}

const pciOf = ({ identity }: BundleDevice): string | undefined => textOf(identity?.pci)

/** The functions of a card have its serial number in common. */
const functionOf = (device: BundleDevice): string => /\.(\d)$/.exec(pciOf(device) ?? '')?.[1] ?? ''
