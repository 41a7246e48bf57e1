/** What scripts/catalogue.mjs needs of the importers. */
export { entryKinds, writeLine } from '../entries'
export { importHeaders } from './headers'
export { report } from './report'
export { applySupplement } from './supplement'
