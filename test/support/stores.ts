// The databases that a store can be in, each for the suites that run on all of them.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore, type Store } from '../../src/store/open.ts'
import { noPostgres, noTimescale, startPostgres } from './postgres.ts'
import { silent } from './records.ts'

const migrationsDir = join(import.meta.dirname, '../../migrations')

const KINDS = [
  { name: 'TimescaleDB', skip: noTimescale(), server: { timescale: true, license: 'timescale' } },
  {
    name: 'TimescaleDB under the Apache licence',
    skip: noTimescale(),
    server: { timescale: true, license: 'apache' },
  },
  { name: 'PostgreSQL', skip: noPostgres(), server: {} },
  { name: 'the embedded database', skip: false, server: undefined },
] as const

/**
 * An embedded database in the test's folder. That it ends is told before there is a folder: tap takes that away before
 * what is told for the first time later, and a database writes on in it.
 */
export async function embeddedStore(t: Test): Promise<Store> {
  let store: Store | undefined
  t.teardown(() => store?.close())
  store = await openStore({ databaseUrl: '', dataDir: t.testdir(), migrationsDir, log: silent })
  return store
}

/** Runs a suite on each database that is here, in a store of its own; those that are not are skips. */
export function onEachStore(suite: (t: Test, store: Store, name: string) => Promise<void>): void {
  for (const { name, skip, server } of KINDS) {
    t.test(name, { skip }, async (t) => {
      const running = server === undefined ? undefined : await startPostgres(server)
      t.teardown(() => running?.stop())
      const store = await openStore({
        databaseUrl: (await running?.database()) ?? '',
        dataDir: t.testdir(),
        migrationsDir,
        log: silent,
      })
      t.teardown(() => store.close())
      await suite(t, store, name)
    })
  }
}
