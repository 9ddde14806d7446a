// The installations in a database whose keys and list of writers are whole.

import type { Kysely } from 'kysely'
import type { KeptKey } from '../proof/key-chain.ts'
import type { Tables } from '../store/tables.ts'
import { Damaged } from './report.ts'
import { keysIn, rosterIn } from './store-pages.ts'
import { Trust } from './trust.ts'

export interface StoredTrust {
  readonly trust: Trust
  /** Oldest first, as they are kept. */
  readonly kept: readonly KeptKey[]
}

/** Those that are damaged are left out: `cordon ledger verify --database` names what is wrong with them. */
export async function trustsIn(db: Kysely<Tables>): Promise<readonly StoredTrust[]> {
  const snapshot = { db, isOne: false }
  const trusts: StoredTrust[] = []
  for (const [installation, keys] of Map.groupBy(await keysIn(snapshot), (key) => key.installation))
    try {
      const kept = keys.map(({ vkey, note }) => ({ vkey, note: note ?? undefined }))
      const trust = new Trust(installation, kept)
      for await (const { note } of rosterIn(snapshot, installation))
        trust.enrol(note, { table: 'ledger_roster' })
      trusts.push({ trust, kept })
    } catch (error) {
      if (!(error instanceof Damaged)) throw error
    }
  return trusts
}
