/** What scripts/catalogue.mjs needs of the importers. */
export { entryKinds, writeLine } from '../entries'
export { importAdb } from './adb'
export { dumpTableIds, importDumpTable } from './dump-csv'
export { importHeaders } from './headers'
export { importNvDatabase } from './nv-sqlite'
export { reconcile } from './reconcile'
export { report } from './report'
export { applySupplement } from './supplement'
