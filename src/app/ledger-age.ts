// Before anything is written to a ledger folder: is it what the store knows, or an older copy that was put back?

import { join } from 'node:path'
import type { Kysely } from 'kysely'
import { refuseOlder } from '../ledger/rolled-back.ts'
import { rosterEntries, shippedNumbers } from '../store/kept-ledger.ts'
import type { Tables } from '../store/tables.ts'

/** Throws CordonError LEDGER_OLDER. */
export async function checkLedgerAge(dataDir: string, db: Kysely<Tables>): Promise<void> {
  await refuseOlder(join(dataDir, 'ledger'), {
    cursors: await shippedNumbers(db),
    entries: (installation) => rosterEntries(db, installation),
  })
}
