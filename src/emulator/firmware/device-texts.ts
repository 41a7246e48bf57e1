import type { Codec } from '../../prm/codec'

/** Bytes of the register before its text. */
const TEXT_AT = 0x10

/** Fills an MQIS image: the text of the kind that its info_type asks for, from read_offset on, as much as there is room for. */
export function answerText(
  codec: Codec,
  layout: string,
  image: Uint8Array,
  texts: Readonly<Record<string, string>>,
): void {
  const field = (name: string): number => Number(codec.get(layout, image, name))
  const text = Buffer.from(texts[String(field('info_type'))] ?? '', 'latin1')
  const room = image.length - TEXT_AT
  const part = text.subarray(field('read_offset'), field('read_offset') + Math.min(field('read_length') || room, room))
  codec.set(layout, image, 'info_length', text.length)
  codec.set(layout, image, 'read_length', part.length)
  image.fill(0, TEXT_AT)
  image.set(part, TEXT_AT)
}
