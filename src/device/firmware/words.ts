/** Numbers of the update registers in words (facts: firmware manager, C.5 and C.6). */

const components: Readonly<Record<number, string>> = {
  0x01: 'boot image',
  0x02: 'runtime image',
  0x03: 'user NV configuration',
  0x04: 'OEM NV configuration',
  0x05: 'vendor NV configuration',
  0x06: 'CS token',
  0x07: 'debug token',
  0x08: 'device info',
  0x0a: 'gearbox',
  0x0b: 'congestion control',
  0x0c: 'LinkX image',
  0x0d: 'crypto to commissioning',
  0x0e: 'RMCS token',
  0x0f: 'RMDT token',
  0x10: 'CRCS token',
  0x11: 'CRDT token',
  0x12: 'clock EEPROM',
  0x15: 'CA certificate',
  0x16: 'CA certificate chain',
  0x17: 'CA certificate removal',
  0x18: 'CA certificate chain removal',
  0x1a: 'LinkX ELS image',
  0x1b: 'BFB',
  0x1c: 'DPA application',
  0x1d: 'DPA application removal',
}

/** identifier of MCQS. */
export const componentName = (identifier: number): string => components[identifier] ?? `component ${hex(identifier)}`

const componentStates = ['absent', 'present', 'in use']
export const componentStatusName = (status: number): string => componentStates[status] ?? `status ${status}`

export const PENDING_RESET = 'active, pending reset'
const updateStates = ['idle', 'in progress', 'applied', 'active', PENDING_RESET, 'failed', 'cancelled', 'busy']
/** component_update_state of MCQS. */
export const updateStateName = (state: number): string => updateStates[state] ?? `state ${state}`

const owners = ['nobody known', 'the BMC of the chassis', 'a tool over MADs', 'the BMC', 'a driver', 'a tool over ICMD']
/** handle_owner_type of MCC. */
export const ownerName = (type: number): string => owners[type] ?? `owner type ${type}`

const instructions: Readonly<Record<number, string>> = {
  1: 'locking the update handle',
  2: 'releasing the update handle',
  3: 'beginning the update',
  4: 'verifying',
  6: 'activating',
  8: 'cancelling the update',
  0xa: 'releasing the handle by force',
}
/** What an instruction of MCC is about. */
export const instructionName = (instruction: number): string =>
  instructions[instruction] ?? `instruction ${hex(instruction)}`

const controlStates = [
  'idle',
  'locked',
  'initializing',
  'downloading',
  'verifying',
  'applying',
  'activating',
  'uploading',
  'upload pending',
  'downstream transfer',
]
/** control_state of MCC. */
export const controlStateName = (state: number): string => controlStates[state] ?? `state ${state}`

const errors: Readonly<Record<number, string>> = {
  0x01: 'general error',
  0x02: 'the digest of the image is wrong',
  0x03: 'the image is not for this device',
  0x04: 'the image is signed with an unknown key',
  0x05: 'the signature of the image is wrong',
  0x06: 'the image is not signed',
  0x07: 'the key of the signature is not for this device',
  0x08: 'the format of the image is bad',
  0x09: 'an image was written before and waits for a reset',
  0x0a: 'the image is not one of secured firmware',
  0x0b: 'the base MAC of this device is not on the list of the image',
  0x0c: 'the device has no debug token',
  0x0d: 'the version is not the one that is asked for',
  0x0e: 'the time stamp of the image is older than the one that is set',
  0x0f: 'this version is forbidden',
  0x10: 'the flash cannot be erased',
  0x11: 'the running firmware must be burned again first',
  0x12: 'this type of LinkX module is not supported',
  0x13: 'the storage of the host is in use',
  0x14: 'the transfer to the LinkX module failed',
  0x15: 'the LinkX module cannot be activated',
  0x16: 'the image is not compatible with the flash',
  0x17: 'the token was applied before',
  0x18: 'there is no DRAM',
  0x19: 'the security version of the image is too low',
  0x1a: 'the certificate of the image is wrong (CER509)',
  0x1b: 'the signature of the certificate is wrong',
  0x1c: 'the metadata of the certificate are wrong',
  0x1e: 'there is no place for the component',
  0x28: 'the flash is write-protected',
  0x2c: 'the ELF of the DPA application is wrong',
  0x2d: 'the crypto blob of the DPA application is wrong',
  0x2e: 'the metadata of the DPA application are wrong',
  0x2f: 'the signature of the DPA removal is wrong',
  0x30: 'the container of the DPA application is wrong',
}
/** error_code of MCC; whatever has no public name is an internal error of firmware. */
export const updateErrorName = (code: number): string => errors[code] ?? 'internal error of firmware'

/** What helps against an error_code. */
export function updateErrorHint(code: number): string | undefined {
  if (code === 0x09) return 'fw reset, or a reboot, loads that image; then update again'
  if (code === 0x03) return 'fw show FILE names the PSID and the chips that the image is for'
  if (code === 0x0f || code === 0x19) return 'the vendor withdrew this version: take a newer one'
  if (code === 0x11) return 'burn the image of the version that is running, then this one'
  return code === 0x02 || code === 0x05 || code === 0x08 ? 'get the image anew: it is damaged' : undefined
}

const romTypes: Readonly<Record<number, string>> = {
  1: 'PXE',
  2: 'UEFI',
  3: 'CLP',
  4: 'NVMe',
  5: 'FCODE',
  6: 'UEFI Virtio net',
  7: 'UEFI Virtio blk',
  8: 'PXE Virtio net',
}
/** romN_type of MGIR. */
export const romTypeName = (type: number): string => romTypes[type] ?? `ROM type ${type}`

const romArchitectures = [null, 'AMD64', 'AARCH64', 'AMD64,AARCH64', 'IA32'] as const
/** romN_arch of MGIR. */
export const romArchitecture = (arch: number): string | null => romArchitectures[arch] ?? null

/** Of 5 bits: the upper three are 0 where the chip has the scheme of ConnectX-7 and before. */
const lifeCycles: Readonly<Record<number, string>> = {
  0: 'production',
  1: 'GA secured',
  2: 'GA non-secured',
  3: 'RMA',
}
/** The scheme of ConnectX-8 has a state of its own; its others are told as those of before. */
const PRE_PRODUCTION = 4
export const lifeCycleName = (value: number): string =>
  value === PRE_PRODUCTION ? 'pre-production' : (lifeCycles[value] ?? `life cycle ${value}`)

const hex = (value: number): string => `0x${value.toString(16)}`
