/** Entry of the process that serves inside the namespace, and of its thread: a bundle of its own, started by run.ts. */
import { isMainThread, workerData } from 'node:worker_threads'
import { serveDevices, serveInside } from './inside'
import { insideVariable, type InsideOptions } from './run'

if (isMainThread) void serveInside(JSON.parse(process.env[insideVariable] ?? '{}') as InsideOptions)
else serveDevices(workerData as Parameters<typeof serveDevices>[0])
