import type * as Sqlite from 'node-sqlite3-wasm'
import { MalformedData } from '../errors'
import { importNvTables, type NvDatabaseImport, type NvRow } from './nv-database'

/** A configuration database of mstflint, an SQLite file. @throws MalformedData */
export async function importNvDatabase(file: string): Promise<NvDatabaseImport> {
  // Of a bundled CommonJS module Node sees no names, only the whole.
  const imported: typeof Sqlite & { readonly default?: typeof Sqlite } = await import('node-sqlite3-wasm')
  const { Database } = imported.default ?? imported
  const rows = (() => {
    let database: InstanceType<typeof Database> | undefined
    try {
      database = new Database(file, { readOnly: true, fileMustExist: true })
      const version = (database.get('PRAGMA user_version') as { user_version?: unknown } | null)?.user_version
      if (version !== 0) throw new MalformedData(file, `has version ${String(version)}; this tool reads 0`)
      const all = (table: string): NvRow[] =>
        (database as InstanceType<typeof Database>).all(`SELECT * FROM ${table} ORDER BY rowid`)
      return { tlvs: all('tlvs'), params: all('params') }
    } catch (error) {
      if (error instanceof MalformedData) throw error
      throw new MalformedData(file, `is no configuration database: ${(error as Error).message}`)
    } finally {
      database?.close()
    }
  })()
  return importNvTables(rows, file)
}
