// Prints one capability of a device. usage: node examples/capabilities.cjs [DEVICE]
const { open, queryCapabilities } = require('mlx5ctl')

const main = async () => {
  const device = await open(process.argv[2] ?? 'emu:connectx6dx')
  try {
    const { values } = await queryCapabilities(device, device.catalogue.capability('GENERAL'), 'current')
    console.log(`log_max_qp ${values.log_max_qp}`)
  } finally {
    await device.close()
  }
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
