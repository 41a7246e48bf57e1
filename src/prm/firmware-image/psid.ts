/**
 * How the PSID of an image fits a device.
 * same: it is for this board. minor: header and major agree, the two characters between them do not: another variant of the
 * same board, which newer firmware may allow to burn. reserved: such a variant whose name the vendor keeps for itself (X, Y, Z).
 * different: another board.
 */
export type PsidMatch = 'same' | 'minor' | 'reserved' | 'different'

/** Boards of the vendor: header of 5, minor of 2, major of 6 characters (facts: firmware manager, C.7). */
const splittable = /^(?<header>MT_00|NVD00)(?<minor>.{2})(?<major>.{6})$/

/**
 * Compares exactly, letter by letter; blanks around do not count. Two empty PSIDs are no match: a device that does not tell its
 * PSID has none.
 */
export function matchPsid(image: string, device: string): PsidMatch {
  const [ofImage, ofDevice] = [image.trim(), device.trim()]
  if (ofImage !== '' && ofImage === ofDevice) return 'same'
  const [a, b] = [splittable.exec(ofImage)?.groups, splittable.exec(ofDevice)?.groups]
  if (a === undefined || b === undefined || a.header !== b.header || a.major !== b.major) return 'different'
  return /^[XYZ]/.test(a.minor ?? '') ? 'reserved' : 'minor'
}
