import { matchPsid } from '../../src/prm/firmware-image/psid'
import {
  compareVersions,
  formatRomVersion,
  formatVersion,
  parseVersion,
  versionChange,
} from '../../src/prm/firmware-image/version'

describe('versions', () => {
  test.each([
    [[28, 39, 1002], '28.39.1002'],
    [[12, 28, 4], '12.28.0004'],
    [[16, 99, 0], '16.99.0000'],
    [[10, 100, 5], '10.0100.0005'],
    [[28, 1000, 12345], '28.1000.12345'],
    [[0, 0, 0], '0.0.0000'],
  ])('%j is written %s, and read back', ([major = 0, minor = 0, subminor = 0], text) => {
    expect(formatVersion({ major, minor, subminor })).toBe(text)
    expect(parseVersion(text)).toEqual({ major, minor, subminor })
  })

  test('versions of expansion ROMs', () => {
    expect(formatRomVersion([3, 7, 201])).toBe('3.7.0201')
    expect(formatRomVersion([14, 32, 12])).toBe('14.32.0012')
    expect(formatRomVersion([1, 2, 3, 4])).toBe('1.2.0304')
    expect(formatRomVersion([8])).toBe('8')
    expect(formatRomVersion([])).toBe('')
  })

  test.each(['', '28', '28.39', '28.39.1002.4', '28.39.x', '-1.2.3', '1.2.65536', '1.2.999999', 'v1.2.3', '1..2'])(
    '%j is no version',
    (text) => expect(() => parseVersion(text)).toThrow('is no version'),
  )

  test('they are in the order of their schemes, then of their numbers', () => {
    const ascending = [
      '10.0.0000',
      '10.10.5000',
      '11.1.1000',
      '10.0100.0000',
      '11.0200.0001',
      '28.0100.0000',
      '10.11.0000',
      '11.2.0000',
      '12.14.2036',
      '16.26.0100',
      '16.26.1040',
      '16.27.1040',
      '28.39.1002',
      '28.39.2048',
      '28.43.1014',
    ]
    for (const [a, first] of ascending.entries())
      for (const [b, second] of ascending.entries())
        expect([first, second, Math.sign(compareVersions(parseVersion(first), parseVersion(second)))]).toEqual([
          first,
          second,
          Math.sign(a - b),
        ])
  })

  test('what an image is for a device', () => {
    const [old, later] = [parseVersion('28.39.1002'), parseVersion('28.43.1014')]
    expect([versionChange(later, old), versionChange(old, later), versionChange(old, old)]).toEqual([
      'newer',
      'older',
      'same',
    ])
  })
})

describe('PSIDs', () => {
  test.each([
    ['MT_0000000838', 'MT_0000000838', 'same'],
    ['DEL0000000016', 'DEL0000000016', 'same'],
    [' MT_0000000838 ', 'MT_0000000838', 'same'],
    ['MT_00AB000838', 'MT_0000000838', 'minor'],
    ['NVD00AB001644', 'NVD0000001644', 'minor'],
    ['MT_00X0000838', 'MT_0000000838', 'reserved'],
    ['MT_00ZZ000838', 'MT_0000000838', 'reserved'],
    ['MT_0000000838', 'MT_00X0000838', 'minor'],
    ['MT_0000000839', 'MT_0000000838', 'different'],
    ['NVD0000000838', 'MT_0000000838', 'different'],
    ['DEL00AB000016', 'DEL0000000016', 'different'],
    ['mt_0000000838', 'MT_0000000838', 'different'],
    ['MT_000000838', 'MT_0000000838', 'different'],
    ['MT_00000008380', 'MT_0000000838', 'different'],
    ['', '', 'different'],
    ['MT_0000000838', '', 'different'],
  ])('image %s for device %s: %s', (image, device, expected) => {
    expect(matchPsid(image, device)).toBe(expected)
  })
})
