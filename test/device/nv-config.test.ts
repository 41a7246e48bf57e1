import { NvConfiguration } from '../../src/device/nv-config'
import { planConfiguration } from '../../src/device/nv-plan'
import { storedTlvs } from '../../src/device/nv-write'
import { MalformedData, NameError, ValueError } from '../../src/prm/errors'
import { UsageError } from '../../src/device/errors'
import { Random, seed } from '../support/random'
import { catalogue, scriptedDevice } from '../support/scripted-device'

/** What may be said of answers that make no sense; anything else that is thrown is a defect. */
const clear = [MalformedData, NameError, ValueError, UsageError]

test('answers that make no sense: every parameter is read, or it is told why not', async () => {
  const random = new Random(seed)
  let settings = 0
  let refused = 0
  for (let round = 0; round < 30; round++) {
    const { device } = scriptedDevice((image) => {
      const answer = random.bytes(image.length)
      // Now and then what was asked is given back, and the TLV is said to be there.
      if (random.below(2) === 0) image.copy(answer, 0, 0, Math.min(image.length, 12))
      if (random.below(2) === 0 && answer.length === 8) answer[7] = 3
      return answer
    })
    const configuration = new NvConfiguration(device)
    for (const tlv of catalogue.tlvs())
      for (const item of await configuration.items(tlv))
        settings += (await configuration.settings(item, ['next', 'current', 'default'])).length
    for (const [name, text] of [
      ['NUM_OF_VFS', '5'],
      ['SRIOV_EN', '1'],
      ['FLEX_PARSER_PROFILE_ENABLE', '2'],
    ] as const)
      try {
        await planConfiguration(configuration, [[name, text]])
      } catch (error) {
        if (!clear.some((kind) => error instanceof kind)) throw error
        refused++
      }
  }
  process.stdout.write(`${settings} settings out of nonsense, ${refused} plans refused (seed ${seed})\n`)
  expect(settings).toBeGreaterThan(1000)
})

test('lists that make no sense, or have no end', async () => {
  const random = new Random(seed)
  let listed = 0
  let malformed = 0
  for (let round = 0; round < 300; round++) {
    const { device } = scriptedDevice((image) => {
      const answer = random.bytes(image.length)
      answer.writeUInt32BE(random.below(4), 0)
      answer.writeUInt32BE(random.below(300), 16)
      return answer
    })
    try {
      listed += (await storedTlvs(device)).length
    } catch (error) {
      if (!(error instanceof MalformedData)) throw error
      malformed++
    }
  }
  expect(listed).toBeGreaterThan(0)
  expect(malformed).toBeGreaterThan(0)
  const { device } = scriptedDevice((image, _, count) => {
    image.writeUInt32BE(count, 0)
    image.writeUInt32BE(4, 16)
    image.writeUInt32BE(count, 20)
    return image
  })
  await expect(storedTlvs(device)).rejects.toThrow(/lists more than 4096 TLVs/)
})
