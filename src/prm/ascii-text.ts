/** Text of a field of bytes: up to the first NUL, or to the end of the field; what is not printable is a dot. */
export function asciiText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end))
    .toString('latin1')
    .replace(/[^ -~]/g, '.')
}
