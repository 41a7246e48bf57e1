import { MalformedData } from '../errors'
import type { FirmwareArchive } from './types'

/** @throws MalformedData */
export function parseArchive(bytes: Uint8Array): Promise<FirmwareArchive> {
  return Promise.reject(new MalformedData('archive', `of ${bytes.length} bytes cannot be read yet`))
}
