// Opening a store of a database server; what both databases have in common is in store.long.ts.

import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { promisify } from 'node:util'
import t from 'tap'
import { openStore } from '../../src/store/open.ts'
import { noPostgres, startPostgres } from '../support/postgres.ts'
import { silent } from '../support/records.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')
const MIGRATOR = join(import.meta.dirname, '../support/migrator.ts')
const run = promisify(execFile)

t.test('PostgreSQL', { skip: noPostgres() }, async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())

  await t.test(
    'two processes that start together on an empty database migrate it once',
    async (t) => {
      const databaseUrl = await server.database()
      const results = await Promise.all(
        [1, 2].map(() => run(execPath, [MIGRATOR, databaseUrl, t.testdirName])),
      )
      const files = readdirSync(migrationsDir).length
      t.same(
        results.map(({ stdout }) => stdout),
        [String(files), String(files)],
      )
    },
  )

  await t.test('a database that is away is told as such', async (t) => {
    await t.rejects(
      openStore({
        databaseUrl: 'postgres://postgres@127.0.0.1:1/none',
        dataDir: t.testdir(),
        migrationsDir,
        log: silent,
      }),
      { code: 'STORE_UNAVAILABLE', message: /ECONNREFUSED/ },
    )
  })
})
