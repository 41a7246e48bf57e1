import type { Profile } from '../../profile'
import { checkImage, type CheckedImage, type ChipFacts, type Version, withMagic } from './image-check'

/** The flash of one emulated device: what runs, and an image that runs after the next reset. */
export class Flash {
  private running: CheckedImage
  private stored: { readonly bytes: Buffer; readonly checked: CheckedImage; readonly isPending: boolean } | undefined
  /** Called when another image is on flash. */
  changed: (() => void) | undefined

  constructor(
    profile: Profile,
    private readonly chip: () => ChipFacts,
  ) {
    const [major = 0, minor = 0, subminor = 0] = profile.identity.firmware.split('.').map(Number)
    this.running = { version: [major, minor, subminor], date: 0, time: 0, securityVersion: 0 }
  }

  /** What runs. */
  get runs(): CheckedImage {
    return this.running
  }

  /** What is on flash. */
  get holds(): CheckedImage {
    return this.stored?.checked ?? this.running
  }

  /** Whether a reset would load something else. */
  get isPending(): boolean {
    return this.stored?.isPending === true
  }

  /** Bytes of the image, where one was ever written. */
  get image(): Buffer | undefined {
    return this.stored?.bytes
  }

  get version(): string {
    return versionText(this.running.version)
  }

  /** Whether the boot code would take an image. @throws ImageRefused */
  check(image: Buffer): CheckedImage {
    return checkImage(image, this.chip())
  }

  /** Puts an image that was checked on flash: whole, or not at all. */
  store(image: Buffer, checked: CheckedImage): void {
    this.stored = { bytes: withMagic(image), checked, isPending: true }
    this.changed?.()
  }

  /** A start of the device with this image on flash. @throws ImageRefused */
  restore(image: Buffer): void {
    this.stored = { bytes: image, checked: this.check(image), isPending: true }
    this.start()
  }

  start(): void {
    if (this.stored === undefined) return
    this.stored = { ...this.stored, isPending: false }
    this.running = this.stored.checked
  }
}

export const versionText = ([major, minor, subminor]: Version): string =>
  `${major}.${minor}.${String(subminor).padStart(4, '0')}`
