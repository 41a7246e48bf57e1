import type { Codec } from '../../../prm/codec'
import type { DeviceClock } from '../clock'
import type { UpdateControl } from './control'
import { versionText, type Flash } from './flash'
import type { CheckedImage } from './image-check'

export const MGIR = 0x9020
export const MFSV = 0x9115
const MCQS = 0x9060
const MCQI = 0x9061
const VERSION = 1
/** The component of the boot image. */
const BOOT_COMPONENT = 0

/** What an image on flash changes in registers that the profile has values for: versions, and the state of a component. */
export class VersionOverlay {
  constructor(
    private readonly codec: Codec,
    private readonly flash: Flash,
    private readonly control: UpdateControl,
    private readonly clock: DeviceClock,
  ) {}

  /** Seconds of the clock at the last reset; undefined before there was one. */
  private started: number | undefined

  /** A start of the device. */
  start(): void {
    this.started = this.clock.seconds()
  }

  /** Changes the answer to a read. */
  apply(id: number, answer: Uint8Array): void {
    // What a caller has no room for has no fields.
    const isWhole = (layout: string): boolean => answer.length >= this.codec.sizeBytes(layout)
    if (id === MGIR && isWhole('mgir_ext')) this.inMgir(answer)
    if (id === MCQS && isWhole('mcqs_reg_ext')) this.inMcqs(answer)
    if (id === MFSV && isWhole('mfsv_reg_ext') && this.flash.image !== undefined)
      this.set('mfsv_reg_ext', answer, { img_sec_ver: this.flash.runs.securityVersion })
    if (id === MCQI && isWhole('mcqi_reg_ext')) this.inMcqi(answer)
  }

  private inMgir(answer: Uint8Array): void {
    if (this.started !== undefined)
      this.set('mgir_ext', answer, { 'hw_info.uptime': Math.floor(this.clock.seconds() - this.started) })
    if (this.flash.image === undefined) return
    const { version, date, time } = this.flash.runs
    const [major, minor, subminor] = version
    this.set('mgir_ext', answer, {
      'fw_info.extended_major': major,
      'fw_info.extended_minor': minor,
      'fw_info.extended_sub_minor': subminor,
      // Eight bits each: what does not fit is cut off.
      'fw_info.major': major & 0xff,
      'fw_info.minor': minor & 0xff,
      'fw_info.sub_minor': subminor & 0xff,
      'fw_info.year': date >>> 16,
      'fw_info.month': (date >>> 8) & 0xff,
      'fw_info.day': date & 0xff,
      'fw_info.hour': (time >>> 8) & 0xff,
    })
  }

  private inMcqs(answer: Uint8Array): void {
    if (this.codec.get('mcqs_reg_ext', answer, 'component_index') !== BOOT_COMPONENT) return
    this.codec.set('mcqs_reg_ext', answer, 'component_update_state', this.control.componentState)
  }

  private inMcqi(answer: Uint8Array): void {
    const get = (name: string): number => Number(this.codec.get('mcqi_reg_ext', answer, name))
    if (get('component_index') !== BOOT_COMPONENT || get('info_type') !== VERSION) return
    if (this.flash.image === undefined) return
    this.version(answer, get('read_pending_component') === 1 ? this.flash.holds : this.flash.runs)
  }

  private version(answer: Uint8Array, { version, date, time }: CheckedImage): void {
    const [major, minor, subminor] = version
    const text = Buffer.alloc(92)
    text.write(versionText(version), 'latin1')
    const base = 'data.mcqi_version_ext'
    const isDated = date !== 0
    this.set('mcqi_reg_ext', answer, {
      [`${base}.version`]: ((major << 24) | (minor << 16) | subminor) >>> 0,
      [`${base}.version_string_length`]: versionText(version).length,
      [`${base}.build_time_valid`]: isDated ? 1 : 0,
      [`${base}.build_time.year`]: date >>> 16,
      [`${base}.build_time.month`]: (date >>> 8) & 0xff,
      [`${base}.build_time.day`]: date & 0xff,
      [`${base}.build_time.hours`]: (time >>> 8) & 0xff,
      [`${base}.build_time.minutes`]: (time >>> 16) & 0xff,
      [`${base}.build_time.seconds`]: time >>> 24,
      ...Object.fromEntries([...text].map((byte, index) => [`${base}.version_string[${index}]`, byte])),
    })
  }

  private set(layout: string, image: Uint8Array, values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) this.codec.set(layout, image, name, value)
  }
}
