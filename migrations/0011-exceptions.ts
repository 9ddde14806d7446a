// Exceptions with their life, and reviews as a queue: somebody's, due at a time, escalated when nobody answers.
//
// No release before this one wrote exceptions, so the columns that name who acted can hold whatever names them.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // A user's id, or `os:` and a name of the operating system, as in reviews.answered_by.
  `alter table exceptions alter column requested_by type text, alter column approved_by type text, alter column revoked_by type text`,
  // position: the transaction that last changed what the exception is, so that gateways learn of it by looking.
  // requester_key: of the name of who asked, so that somebody who was removed and added again is known without being named.
  `alter table exceptions
    add column lifts text not null default 'policy' check (lifts in ('policy', 'defaults', 'everything')),
    add column person_key text, add column requester_key text, add column comment text, add column denied_by text, add column denied_at timestamptz,
    add column denial_reason text, add column expired_at timestamptz, add column review_id uuid,
    add column position xid8 not null default pg_current_xact_id(),
    add check (status in ('pending', 'approved', 'denied', 'expired', 'revoked'))`,
  `create index exceptions_newest on exceptions (tenant, requested_at desc, exception_id desc)`,
  `create index exceptions_open on exceptions (tenant, status, effective_until) where status in ('pending', 'approved')`,
  `create index exceptions_changed on exceptions (tenant, position)`,
  // Rows of a gateway of the former release come without due_at; the control role gives it to them.
  `alter table reviews
    add column assignee uuid, add column assigned_at timestamptz, add column assigned_by text, add column due_at timestamptz,
    add column escalated_at timestamptz, add column escalation integer not null default 0, add column exception_id uuid`,
  `create index reviews_waiting on reviews (tenant, due_at) where status = 'pending'`,
  `create index reviews_newest on reviews (tenant, first_seen desc, review_id desc)`,
  `alter table decisions add column exception_id uuid`,
  // Few rows, so it costs next to nothing.
  `create index decisions_exception on decisions (tenant, exception_id, time desc) where exception_id is not null`,
]
