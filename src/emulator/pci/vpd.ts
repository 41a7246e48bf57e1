/** Tags of PCI vital product data. */
const tag = { IDENTIFIER: 0x82, READ_ONLY: 0x90, END: 0x78 } as const

/** Vital product data: the product's name (ID), then the read-only keywords, closed by RV with a checksum over all before it. */
export function vpdImage(fields: Readonly<Record<string, string>>): Buffer {
  const { ID = '', ...keywords } = fields
  const entries = Object.entries(keywords).map(([keyword, text]) =>
    Buffer.concat([Buffer.from(keyword, 'latin1'), Buffer.from([text.length]), Buffer.from(text, 'latin1')]),
  )
  const reserved = Buffer.from([0x52, 0x56, 1])
  const list = Buffer.concat([...entries, reserved])
  const before = Buffer.concat([
    large(tag.IDENTIFIER, Buffer.from(ID, 'latin1').length),
    Buffer.from(ID, 'latin1'),
    large(tag.READ_ONLY, list.length + 1),
    list,
  ])
  const sum = before.reduce((total, byte) => (total + byte) & 0xff, 0)
  return Buffer.concat([before, Buffer.from([(0x100 - sum) & 0xff, tag.END])])
}

function large(name: number, length: number): Buffer {
  const header = Buffer.from([name, 0, 0])
  header.writeUInt16LE(length, 1)
  return header
}
