// Takes people out of what they did: who wrote, approved, asked, answered or resolved stands in rows as a user's id or an
// account, beside words of theirs. The pseudonym takes the place, so that two people stay two, and the words go.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { concerns, type ErasureOrder } from '../model/erasure.ts'
import { bareName, isAccount, personKey, pseudonymOf } from '../model/person.ts'
import type { AuditRecord } from '../model/record.ts'
import type { HistoryEntry } from './policy-versions.ts'
import type { Tables } from './tables.ts'

export type ActTable =
  | 'reviews'
  | 'exceptions'
  | 'policy_versions'
  | 'policy_conflicts'
  | 'policy_events'
  | 'legal_holds'

type Order = Omit<ErasureOrder, 'erasure_id'>
type Db = Kysely<Tables> | Transaction<Tables>

/** As what the people of an order acted, and the pseudonym of each. */
export type Actors = ReadonlyMap<string, string>

/** The tables (partitions) of rows that were changed, one entry a row. */
type Parts = { readonly rows: readonly { readonly part: string }[] }

/** Policies whose versions are gone through in one transaction. */
const STEP_POLICIES = 100
const PART = sql.raw('tableoid::regclass::text as part')

/** Everybody who acted, looked through for those of the order. */
export async function actorsOf(db: Db, { tenant, person_keys: keys }: Order): Promise<Actors> {
  const { rows: secrets } = await sql<{ secret: Buffer }>`
    select secret from person_secrets where tenant = ${tenant}`.execute(db)
  const secret = secrets[0]?.secret
  // A store without it has no acts either: whoever acts has opened the store.
  if (secret === undefined) return new Map()
  const { rows } = await sql<{ who: string }>`
    select unnest(contributors || array[created_by, changed_by, submitted_by, approved_by]) as who from policy_versions where tenant = ${tenant}
    union select entry->>'by' from policy_versions, jsonb_array_elements(history) entry where tenant = ${tenant}
    union select unnest(array[created_by, updated_by, approved_by]) from policies where tenant = ${tenant}
    union select resolved_by from policy_conflicts where tenant = ${tenant}
    union select unnest(array[requested_by, approved_by, denied_by, revoked_by]) from exceptions where tenant = ${tenant}
    union select unnest(array[assigned_by, answered_by]) from reviews where tenant = ${tenant}
    union select unnest(array[created_by, released_by]) from legal_holds where tenant = ${tenant}`.execute(
    db,
  )
  const known = new Set(keys)
  const keyOf = (person: string): string => personKey(secret, tenant, person)
  const isTheirs = (who: string): boolean =>
    [who, ...(isAccount(who) ? [who.toLowerCase(), bareName(who)] : [])].some((name) =>
      known.has(keyOf(name)),
    )
  return new Map(
    rows.flatMap(({ who }) => {
      if ((who as string | null) === null || !isTheirs(who)) return []
      const pseudonym = pseudonymOf(keyOf(who))
      return pseudonym === undefined ? [] : [[who, pseudonym] as const]
    }),
  )
}

export async function countActs(
  db: Db,
  order: Order,
  actors: Actors,
): Promise<Readonly<Record<ActTable, number>>> {
  const count = async (table: ActTable, condition: RawBuilder<unknown>): Promise<number> => {
    const { rows } = await sql<{ n: string }>`
      select count(*) as n from ${sql.table(table)} where ${condition}`.execute(db)
    return Number(rows[0]?.n ?? 0)
  }
  return {
    reviews: await count('reviews', reviewsOf(order, actors)),
    exceptions: await count('exceptions', exceptionsOf(order, actors)),
    policy_versions: await count('policy_versions', versionsOf(order, actors)),
    policy_conflicts: await count('policy_conflicts', conflictsOf(order, actors)),
    policy_events: (await eventsOf(db, order)).length,
    legal_holds: await count('legal_holds', holdsOf(order, actors)),
  }
}

/** Of the person of a review who it is, and what was said to them; of who answered or assigned it, themselves and their words. */
export function eraseReviews(db: Db, order: Order, actors: Actors): Promise<Parts> {
  const isTheirs = isOf(order)
  const answered = acted('answered_by', 'answered_at', order, actors)
  const assigned = acted('assigned_by', 'assigned_at', order, actors)
  return sql<{ part: string }>`
    update reviews set
      person = case when ${isTheirs} then '' else person end,
      comment = case when ${isTheirs} or ${answered} then null else comment end,
      answered_by = ${shown('answered_by', answered, actors)},
      assigned_by = ${shown('assigned_by', assigned, actors)}
    where ${reviewsOf(order, actors)} returning ${PART}`.execute(db)
}

/** The exception itself holds on, for whom it is for. */
export function eraseExceptions(db: Db, order: Order, actors: Actors): Promise<Parts> {
  const isTheirs = isOf(order)
  const by = (act: string): RawBuilder<unknown> => acted(`${act}_by`, `${act}_at`, order, actors)
  const [requested, approved] = [by('requested'), by('approved')]
  const [denied, revoked] = [by('denied'), by('revoked')]
  return sql<{ part: string }>`
    update exceptions set
      reason = case when ${isTheirs} or ${requested} then '' else reason end,
      justification = case when ${isTheirs} or ${requested} then '' else justification end,
      comment = case when ${isTheirs} or ${approved} then null else comment end,
      denial_reason = case when ${isTheirs} or ${denied} then null else denial_reason end,
      revocation_reason = case when ${isTheirs} or ${revoked} then null else revocation_reason end,
      requested_by = ${shown('requested_by', requested, actors)},
      approved_by = ${shown('approved_by', approved, actors)},
      denied_by = ${shown('denied_by', denied, actors)},
      revoked_by = ${shown('revoked_by', revoked, actors)}
    where ${exceptionsOf(order, actors)} returning ${PART}`.execute(db)
}

/** That it is resolved stays, without why. */
export function eraseConflicts(db: Db, order: Order, actors: Actors): Promise<Parts> {
  const resolved = acted('resolved_by', 'resolved_at', order, actors)
  return sql<{ part: string }>`
    update policy_conflicts set resolution_notes = null, resolved_by = ${shown('resolved_by', resolved, actors)}
    where ${conflictsOf(order, actors)} returning ${PART}`.execute(db)
}

/** Why it stands is not of the person, but of the proceedings. */
export function eraseHolds(db: Db, order: Order, actors: Actors): Promise<Parts> {
  const created = acted('created_by', 'created_at', order, actors)
  const released = acted('released_by', 'released_at', order, actors)
  return sql<{ part: string }>`
    update legal_holds set created_by = ${shown('created_by', created, actors)},
      released_by = ${shown('released_by', released, actors)}
    where ${holdsOf(order, actors)} returning ${PART}`.execute(db)
}

/** Events that wait for the ledger lose their personal part, as they would in it. */
export async function eraseEvents(db: Db, order: Order): Promise<Parts> {
  const parts: { part: string }[] = []
  for (const { personal: _personal, ...record } of await eventsOf(db, order)) {
    const { rows } = await sql<{ part: string }>`
      update policy_events set record = ${JSON.stringify(record)}
      where tenant = ${order.tenant} and event_id = ${record.event_id} returning ${PART}`.execute(
      db,
    )
    parts.push(...rows)
  }
  return { rows: parts }
}

/** The policies whose versions they had a part in, some at a time: each step is for a transaction of its own. */
export async function policiesToErase(
  db: Db,
  order: Order,
  actors: Actors,
): Promise<readonly (readonly string[])[]> {
  const { rows } = await sql<{ id: string }>`
    select distinct policy_id as id from policy_versions where ${versionsOf(order, actors)} order by 1`.execute(
    db,
  )
  const steps: string[][] = []
  for (let from = 0; from < rows.length; from += STEP_POLICIES)
    steps.push(rows.slice(from, from + STEP_POLICIES).map(({ id }) => id))
  return steps
}

/** Texts of versions, and keys of their authors' names, stay: two people must stay two. */
export async function eraseVersions(
  db: Db,
  order: Order,
  actors: Actors,
  policyIds: readonly string[],
): Promise<Parts> {
  const { tenant } = order
  // Whoever changes a policy waits for its head.
  await sql`select 1 from policies where tenant = ${tenant} and policy_id = any(${[...policyIds]}::text[])
    order by policy_id collate "C" for update`.execute(db)
  const { rows: found } = await sql<Authored>`
    select policy_id, version, contributors, history, change_summary, git_branch, created_at, created_by, changed_at, changed_by,
      submitted_at, submitted_by, approved_at, approved_by
    from policy_versions where policy_id = any(${[...policyIds]}::text[]) and ${versionsOf(order, actors)}`.execute(
    db,
  )
  const parts: { part: string }[] = []
  for (const version of found) {
    const row = withoutActors(version, order, actors)
    const { rows } = await sql<{ part: string }>`
      update policy_versions set contributors = ${[...row.contributors]}::text[], history = ${JSON.stringify(row.history)}::jsonb,
        change_summary = ${row.change_summary}, git_branch = ${row.git_branch}, created_by = ${row.created_by},
        changed_by = ${row.changed_by}, submitted_by = ${row.submitted_by}, approved_by = ${row.approved_by}
      where tenant = ${tenant} and policy_id = ${row.policy_id} and version = ${row.version} returning ${PART}`.execute(
      db,
    )
    parts.push(...rows)
  }
  const by = (column: 'created' | 'updated' | 'approved'): RawBuilder<unknown> =>
    shown(`${column}_by`, acted(`${column}_by`, `${column}_at`, order, actors), actors)
  // What a list shows of them is that of a version.
  await sql`
    update policies set created_by = ${by('created')}, updated_by = ${by('updated')}, approved_by = ${by('approved')},
      comments = (select v.change_summary from policy_versions v
        where v.tenant = policies.tenant and v.policy_id = policies.policy_id order by v.status = 'active' desc, v.number desc limit 1)
    where tenant = ${tenant} and policy_id = any(${[...policyIds]}::text[])`.execute(db)
  return { rows: parts }
}

interface Authored {
  readonly policy_id: string
  readonly version: string
  readonly contributors: readonly string[]
  readonly history: readonly HistoryEntry[]
  readonly change_summary: string | null
  readonly git_branch: string | null
  readonly created_at: Date
  readonly created_by: string | null
  readonly changed_at: Date
  readonly changed_by: string | null
  readonly submitted_at: Date | null
  readonly submitted_by: string | null
  readonly approved_at: Date | null
  readonly approved_by: string | null
}

function withoutActors(version: Authored, { before }: Order, actors: Actors): Authored {
  const isTheirs = ({ by, at }: HistoryEntry): boolean => actors.has(by) && Date.parse(at) < before
  const by = (id: string | null, at: Date | null): string | null =>
    id === null || at === null || at.getTime() >= before ? id : (actors.get(id) ?? id)
  // A branch and a summary are of whoever named them last.
  const named = (key: 'change_summary' | 'git_branch'): string | null => {
    const last = version.history.findLast(
      ({ act, changed }) => act === 'create' || changed.includes(key),
    )
    return last !== undefined && isTheirs(last) ? null : version[key]
  }
  return {
    ...version,
    contributors: version.contributors.map((id) => actors.get(id) ?? id),
    history: version.history.map((entry) => {
      if (!isTheirs(entry)) return entry
      const { comment: _comment, ...rest } = entry
      return { ...rest, by: actors.get(entry.by) ?? entry.by }
    }),
    change_summary: named('change_summary'),
    git_branch: named('git_branch'),
    created_by: by(version.created_by, version.created_at),
    changed_by: by(version.changed_by, version.changed_at),
    submitted_by: by(version.submitted_by, version.submitted_at),
    approved_by: by(version.approved_by, version.approved_at),
  }
}

function reviewsOf(order: Order, actors: Actors): RawBuilder<unknown> {
  return sql`tenant = ${order.tenant} and first_seen < ${new Date(order.before)}
    and ((${isOf(order)} and (person <> '' or comment is not null))
      or ${acted('answered_by', 'answered_at', order, actors)} or ${acted('assigned_by', 'assigned_at', order, actors)})`
}

function exceptionsOf(order: Order, actors: Actors): RawBuilder<unknown> {
  const acts = ['requested', 'approved', 'denied', 'revoked'].map((act) =>
    acted(`${act}_by`, `${act}_at`, order, actors),
  )
  return sql`tenant = ${order.tenant} and requested_at < ${new Date(order.before)}
    and ((${isOf(order)} and (reason <> '' or justification <> '' or coalesce(comment, denial_reason, revocation_reason) is not null))
      or ${sql.join(acts, sql` or `)})`
}

function conflictsOf(order: Order, actors: Actors): RawBuilder<unknown> {
  return sql`tenant = ${order.tenant} and ${acted('resolved_by', 'resolved_at', order, actors)}`
}

function holdsOf(order: Order, actors: Actors): RawBuilder<unknown> {
  return sql`tenant = ${order.tenant} and (${acted('created_by', 'created_at', order, actors)}
    or ${acted('released_by', 'released_at', order, actors)})`
}

function versionsOf(order: Order, actors: Actors): RawBuilder<unknown> {
  const ids = idsOf(actors)
  const before = new Date(order.before)
  const acts = ['created', 'changed', 'submitted', 'approved'].map((act) =>
    acted(`${act}_by`, `${act}_at`, order, actors),
  )
  return sql`tenant = ${order.tenant} and created_at < ${before} and (contributors && ${ids} or ${sql.join(acts, sql` or `)}
    or exists (select from jsonb_array_elements(history) entry
      where entry->>'by' = any(${ids}) and (entry->>'at')::timestamptz < ${before}))`
}

async function eventsOf(db: Db, order: Order): Promise<readonly AuditRecord[]> {
  const like = order.person_keys.map((key) => `%"person_key":"${key}"%`)
  const { rows } = await sql<{ record: string }>`
    select record from policy_events where tenant = ${order.tenant} and record like any(${like}::text[])`.execute(
    db,
  )
  return rows
    .map(({ record }) => JSON.parse(record) as AuditRecord)
    .filter((record) => record.personal !== undefined && concerns(order, record))
}

/** That the row is about one of them. */
function isOf({ person_keys: keys }: Order): RawBuilder<unknown> {
  return sql`(person_key is not null and person_key = any(${[...keys]}::text[]))`
}

/** That one of them did it, before the order. */
function acted(by: string, at: string, { before }: Order, actors: Actors): RawBuilder<unknown> {
  return sql`(${sql.ref(by)} is not null and ${sql.ref(by)} = any(${idsOf(actors)}) and ${sql.ref(at)} < ${new Date(before)})`
}

/** The pseudonym where one of them did it, else who is there. */
function shown(by: string, isTheirs: RawBuilder<unknown>, actors: Actors): RawBuilder<unknown> {
  return sql`case when ${isTheirs} is true
    then (${[...actors.values()]}::text[])[array_position(${idsOf(actors)}, ${sql.ref(by)})] else ${sql.ref(by)} end`
}

function idsOf(actors: Actors): RawBuilder<unknown> {
  return sql`${[...actors.keys()]}::text[]`
}
