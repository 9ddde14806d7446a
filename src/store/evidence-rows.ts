// What proves the records, from the folder into the store; repeats change nothing.

import { sql, type Transaction } from 'kysely'
import type { Evidence } from '../model/record.ts'
import type { Tables } from './tables.ts'
import { type Columns, insert, selectRows } from './unnest.ts'

const KEY_COLUMNS: Columns = { installation: 'uuid', number: 'integer', vkey: 'text', note: 'text' }
const ROSTER_COLUMNS: Columns = { installation: 'uuid', number: 'integer', note: 'text' }
const CHECKPOINT_COLUMNS: Columns = {
  writer: 'uuid',
  size: 'bigint',
  time: 'timestamptz',
  is_seal: 'boolean',
  frontier: 'bytea',
  note: 'text',
}

/** Keys, entries and seals stay as they came first. Of a writer's newest checkpoints that with the larger size stays. */
export async function keepEvidence(
  transaction: Transaction<Tables>,
  { installation, keys, roster, checkpoints }: Evidence,
): Promise<void> {
  await insert(
    transaction,
    'ledger_keys',
    KEY_COLUMNS,
    keys.map((key) => ({ installation, ...key })),
  )
  await insert(
    transaction,
    'ledger_roster',
    ROSTER_COLUMNS,
    roster.map((entry) => ({ installation, ...entry })),
  )
  if (checkpoints.length === 0) return
  // The store must have what a checkpoint covers, or whoever verifies would miss it.
  await sql`
    with told as (${selectRows(
      CHECKPOINT_COLUMNS,
      checkpoints.map(({ isSeal, ...rest }) => ({ ...rest, is_seal: isSeal })),
    )}),
    kept as (
      insert into ledger_checkpoints as known (writer, size, time, is_seal, frontier, note)
      select writer, size, time, is_seal, frontier, note from told
      where size <= (select coalesce(max(seq), 0) from writers where writers.writer = told.writer)
        and (is_seal or not exists (
          select from ledger_checkpoints newer where newer.writer = told.writer and not newer.is_seal and newer.size > told.size))
      on conflict (writer, is_seal, size) do update set time = excluded.time, note = excluded.note
        where not known.is_seal and excluded.time > known.time
      returning writer, size, is_seal)
    delete from ledger_checkpoints former using kept
    where former.writer = kept.writer and not former.is_seal and not kept.is_seal and former.size < kept.size`.execute(
    transaction,
  )
}
