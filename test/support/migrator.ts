// A process that opens the store of a database and says how many migrations it found done.

import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { sql } from 'kysely'
import { openStore } from '../../src/store/open.ts'
import { silent } from './records.ts'

const [, , databaseUrl = '', dataDir = ''] = argv
const migrationsDir = join(import.meta.dirname, '../../migrations')
const store = await openStore({ databaseUrl, dataDir, migrationsDir, log: silent })
const { rows } = await sql<{ n: string }>`select count(*) as n from kysely_migration`.execute(
  store.db,
)
stdout.write(rows[0]?.n ?? '')
await store.close()
