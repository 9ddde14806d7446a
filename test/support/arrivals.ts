// Decisions that arrive in the store in transactions of a test's own, so that it can end them in any order.

import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import { IdSource } from '../../src/base/ids.ts'
import type { Tables } from '../../src/store/tables.ts'

const ids = new IdSource()

export interface ArrivingFields {
  readonly tenant?: string
  readonly time?: number
  readonly decision?: 'ALLOW' | 'DENY' | 'REVIEW'
  readonly department?: string
}

/** One batch of a writer: its rows and what says that they came together. The ids of the decisions. */
export async function arrive(
  db: Kysely<Tables>,
  rows: readonly ArrivingFields[],
  { writer = randomUUID(), first = 1 }: { readonly writer?: string; readonly first?: number } = {},
): Promise<string[]> {
  const tenant = rows[0]?.tenant ?? 'default'
  const made = rows.map((row, index) => ({
    time: new Date(row.time ?? Date.now()),
    id: ids.next(),
    seq: first + index,
    decision: row.decision ?? 'ALLOW',
    department: row.department ?? 'Engineering',
  }))
  await sql`
    insert into decisions (tenant, time, decision_id, request_id, user_name, user_department, user_known, person_key, action,
      resource_type, resource_id, resource_host, resource_known, resource_ai, decision, reason, policies_evaluated, obligations,
      mode, revision, source, findings, writer, seq, leaf, record)
    select ${tenant}, time, id, id, 'maya', department, true, 'person', 'send_prompt',
      'ai_service', 'chatgpt', 'chatgpt.com', true, true, decision, 'because', '[]', '[]',
      'enforce', 'sha256:0', 'proxy', '[]', ${writer}, seq, '\\x00', '{}'
    from unnest(${made.map(({ time }) => time)}::timestamptz[], ${made.map(({ id }) => id)}::uuid[], ${made.map(({ seq }) => seq)}::bigint[],
      ${made.map(({ decision }) => decision)}::text[], ${made.map(({ department }) => department)}::text[]
    ) as made(time, id, seq, decision, department)`.execute(db)
  const times = made.map(({ time }) => time.getTime())
  await sql`
    insert into ledger_batches (tenant, position, writer, first_seq, last_seq, time_from, time_to)
    values (${tenant}, pg_current_xact_id(), ${writer}, ${first}, ${first + rows.length - 1},
      ${new Date(Math.min(...times))}, ${new Date(Math.max(...times))})`.execute(db)
  return made.map(({ id }) => id)
}
