import type { Codec } from '../prm/codec'
import { NameError } from '../prm/errors'
import type { Namer } from '../render/values'

/** Names the values of fields that have an enumeration. */
export function enumNamer(codec: Codec, layout: string): Namer {
  return (path, value) => {
    try {
      return codec.enumName(codec.resolve(layout, path).enum, value)
    } catch (error) {
      // A reserved field that is shown has no name to resolve.
      if (error instanceof NameError) return undefined
      throw error
    }
  }
}
