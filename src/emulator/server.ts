/** Entry of the process that serves inside the namespace: a bundle of its own, started by run.ts. */
import { serveInside } from './inside'
import { insideVariable, type InsideOptions } from './run'

void serveInside(JSON.parse(process.env[insideVariable] ?? '{}') as InsideOptions)
