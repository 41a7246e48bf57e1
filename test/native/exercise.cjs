// Run by addon.test.ts, plainly and under valgrind: exercises the addon, prints one JSON line, exits 1 on a surprise.
const fs = require('node:fs')
const holder = { exports: {} }
process.dlopen(holder, process.argv[2])
const addon = holder.exports
const gc = global.gc

const bytes = (length) => new Uint8Array(length)
const pointer = (offset, buffer) => [{ offset, buffer }]
const detached = bytes(16)
structuredClone(detached.buffer, { transfer: [detached.buffer] })
const released = addon.allocate(4096)
addon.release(released.handle)

const refused = [
  () => addon.ioctl(),
  () => addon.ioctl(1, 2),
  () => addon.ioctl(-1, 1, bytes(4)),
  () => addon.ioctl(0.5, 1, bytes(4)),
  () => addon.ioctl(NaN, 1, bytes(4)),
  () => addon.ioctl('1', 1, bytes(4)),
  () => addon.ioctl(2 ** 31, 1, bytes(4)),
  () => addon.ioctl(1, -1, bytes(4)),
  () => addon.ioctl(1, 2 ** 32, bytes(4)),
  () => addon.ioctl(1, 1n, bytes(4)),
  () => addon.ioctl(1, 1, null),
  () => addon.ioctl(1, 1, {}),
  () => addon.ioctl(1, 1, new ArrayBuffer(8)),
  () => addon.ioctl(1, 1, new Uint16Array(8)),
  () => addon.ioctl(1, 1, new DataView(new ArrayBuffer(8))),
  () => addon.ioctl(1, 1, bytes(0)),
  () => addon.ioctl(1, 1, bytes(4097)),
  () => addon.ioctl(1, 1, detached),
  () => addon.ioctl(1, 1, 1n << 64n),
  () => addon.ioctl(1, 1, -1n),
  () => addon.ioctl(1, 1, bytes(16), {}),
  () => addon.ioctl(1, 1, bytes(16), [null]),
  () => addon.ioctl(1, 1, bytes(16), [{}]),
  () => addon.ioctl(1, 1, bytes(16), pointer(9, bytes(1))),
  () => addon.ioctl(1, 1, bytes(16), pointer(-1, bytes(1))),
  () => addon.ioctl(1, 1, bytes(16), pointer(0, bytes(0))),
  () => addon.ioctl(1, 1, bytes(16), pointer(0, detached)),
  () => addon.ioctl(1, 1, bytes(16), pointer(0, 'text')),
  () => addon.ioctl(1, 1, bytes(4), pointer(0, bytes(1))),
  () =>
    addon.ioctl(
      1,
      1,
      bytes(16),
      Array.from({ length: 9 }, () => ({ offset: 0, buffer: bytes(1) })),
    ),
  () => addon.ioctl(1, 1, 5n, pointer(0, bytes(1))),
  () => addon.allocate(),
  () => addon.allocate(0),
  () => addon.allocate(-1),
  () => addon.allocate(1.5),
  () => addon.allocate(2 ** 33),
  () => addon.allocate('4096'),
  () => addon.pin(),
  () => addon.pin({}),
  () => addon.pin(released.handle),
  () => addon.unpin(released.handle),
  () => addon.release(1),
  () => addon.release(null),
]

const magic = Buffer.from('pages of mlx5ctl')
const mem = fs.openSync('/proc/self/mem', 'r')
/** Writes a text that no other memory has. */
const mark = (memory) => new Uint8Array(memory.buffer).set(magic)
/** Whether the text is still there: the pages are neither unmapped nor anybody else's. */
const mapped = (address) => {
  const found = Buffer.alloc(magic.length)
  try {
    fs.readSync(mem, found, 0, found.length, address)
  } catch {
    return false
  }
  return found.equals(magic)
}
/** Collects until it holds; false when it does not, after many rounds. */
const until = async (holds) => {
  for (let round = 0; round < 200 && !holds(); round++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return holds()
}

/** In functions of their own, so that no local keeps what is to be collected. */
function lose() {
  const memory = addon.allocate(1 << 20)
  mark(memory)
  return memory.address
}

function hold() {
  const memory = addon.allocate(1 << 20)
  mark(memory)
  addon.pin(memory.handle)
  return { heldAddress: memory.address, heldHandle: memory.handle }
}

async function main() {
  const passed = refused.findIndex((call) => {
    try {
      call()
      return true
    } catch (error) {
      return !(error instanceof Error)
    }
  })
  if (passed >= 0) throw new Error(`not refused: ${refused[passed]}`)

  // FIONREAD on a file: an argument that is written by the kernel.
  const file = fs.openSync(process.argv[1], 'r')
  const size = bytes(4)
  const fionread = await addon.ioctl(file, 0x541b, size)
  // TCGETS on a file: ENOTTY. A descriptor that is not open: EBADF.
  const tcgets = await addon.ioctl(file, 0x5401, bytes(64))
  const closed = await addon.ioctl(9999, 0x541b, bytes(4))

  // The address of a buffer is patched into the argument, which comes back.
  const argument = bytes(24)
  const nested = Uint8Array.from([1, 2, 3, 4])
  await addon.ioctl(file, 0x5401, argument, pointer(8, nested))
  const patched = new DataView(argument.buffer).getBigUint64(8, true)

  // A buffer that goes away under a pending call is not written to.
  const gone = bytes(4096)
  const pending = addon.ioctl(file, 0x541b, bytes(64), pointer(8, gone))
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  await pending

  const memory = addon.allocate(5000)
  const view = new Uint8Array(memory.buffer)
  const aligned = memory.address % 4096n === 0n && view.length === 8192 && view.every((byte) => byte === 0)
  mark(memory)
  addon.pin(memory.handle)
  let busy = false
  try {
    addon.release(memory.handle)
  } catch {
    busy = true
  }
  addon.unpin(memory.handle)
  addon.release(memory.handle)
  addon.release(memory.handle)
  const emptied = view.length === 0
  const unmapped = await until(() => !mapped(memory.address))

  // Collected, not released: unmapped too; pinned: never.
  const lostAddress = lose()
  const { heldAddress, heldHandle } = hold()
  const collected = await until(() => !mapped(lostAddress))
  const kept = mapped(heldAddress)
  addon.unpin(heldHandle)
  const freed = await until(() => !mapped(heldAddress))

  const results = {
    refused: refused.length,
    fionread:
      fionread.result === 0 && new DataView(size.buffer).getInt32(0, true) === fs.statSync(process.argv[1]).size,
    tcgets: tcgets.result === -1 && tcgets.errno === 25,
    closed: closed.result === -1 && closed.errno === 9,
    patched: patched !== 0n,
    aligned,
    busy,
    emptied,
    unmapped,
    collected,
    kept,
    freed,
  }
  console.log(JSON.stringify(results))
  if (Object.values(results).some((value) => value === false)) process.exitCode = 1
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
