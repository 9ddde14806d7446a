// Who is behind a pseudonym: told to somebody who says why, and written down before it is told.

import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { pseudonymOf } from '../model/person.ts'
import { type AuditRecord, type LedgerRecord, peopleIn } from '../model/record.ts'
import { keysBehind } from '../store/people-found.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord } from './audit.ts'

export interface RevealParts extends AuditParts {
  readonly db: Kysely<Tables>
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
}

/** As their newest record with a personal part has them. */
export interface Revealed {
  readonly pseudonym: string
  readonly user: {
    readonly id: string | null
    readonly name: string | null
    readonly email: string | null
  }
  readonly ip_address: string | null
  /** Of that record. */
  readonly seen: Date
}

const MAX_REASON = 1000

/** Throws INPUT_INVALID without a reason, NOT_FOUND where no record knows the pseudonym or the person was erased. */
export async function revealPerson(
  parts: RevealParts,
  given: string,
  reason: string,
  actor: Actor,
): Promise<Revealed> {
  if (reason.trim() === '' || reason.length > MAX_REASON)
    throw new CordonError(
      'INPUT_INVALID',
      `say why, in at most ${MAX_REASON} characters: revealing a person is written down with its reason`,
      { problems: [{ file: '/reason', message: 'is missing or too long' }] },
    )
  const { db, tenant, audit } = parts
  const keys = await keysBehind(db, tenant, given)
  const [key] = keys
  if (key === undefined)
    throw new CordonError('NOT_FOUND', `no record knows ${given.toLowerCase()}`)
  const pseudonym = pseudonymOf(key) ?? given
  const found = (await ofDecisions(db, tenant, keys)) ?? (await ofEvents(db, tenant, keys))
  await audit(
    auditRecord(parts, {
      event_type: 'person_revealed',
      severity: 'warning',
      actor,
      target: { type: 'person', id: pseudonym, person_key: key },
      action: 'reveal',
      result: found === undefined ? 'failure' : 'success',
      personalData: { reason },
    }),
  )
  if (found === undefined)
    throw new CordonError(
      'NOT_FOUND',
      `${pseudonym} was erased: no record says any more who it was`,
    )
  return { pseudonym, ...found }
}

type Found = Omit<Revealed, 'pseudonym'>

async function ofDecisions(
  db: Kysely<Tables>,
  tenant: string,
  keys: readonly string[],
): Promise<Found | undefined> {
  const row = await db
    .selectFrom('decisions')
    .select(['user_id', 'user_name', 'user_email', 'ip_address', 'time'])
    .where('tenant', '=', tenant)
    .where(sql<boolean>`person_key = any(${[...keys]}::text[]) and personal is not null`)
    .orderBy('time', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row === undefined
    ? undefined
    : {
        user: { id: row.user_id, name: row.user_name, email: row.user_email },
        ip_address: row.ip_address,
        seen: row.time,
      }
}

/** An administrator who never asked for anything, and whoever was acted upon. */
async function ofEvents(
  db: Kysely<Tables>,
  tenant: string,
  keys: readonly string[],
): Promise<Found | undefined> {
  const { rows } = await sql<{
    record: string
    actor_name: string | null
    target_name: string | null
    time: Date
  }>`
    select record, actor_name, target_name, time from audit_events
    where tenant = ${tenant} and personal is not null
      and record like any(${keys.map((key) => `%"person_key":"${key}"%`)}::text[])
    order by time desc limit 100`.execute(db)
  for (const { record: text, actor_name: actorName, target_name: targetName, time } of rows) {
    const record = JSON.parse(text) as LedgerRecord
    if (record.kind !== 'audit' || !peopleIn(record).some((key) => keys.includes(key))) continue
    const { actor, target } = record
    const isActor = keys.includes(actor.person_key ?? '')
    const name = isActor ? actorName : targetName
    const id = (isActor ? actor.id : target?.id) ?? null
    if (name !== null) return { user: { id, name, email: null }, ip_address: null, seen: time }
  }
  return undefined
}
