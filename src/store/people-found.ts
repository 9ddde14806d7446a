// By which keys records know a person: those that follow from what the directory says, and those that records have.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { formerPersonKey, isAccount, isPersonKey, keyPrefixOf, namedAs } from '../model/person.ts'
import { type LedgerRecord, peopleIn } from '../model/record.ts'
import type { Tables } from './tables.ts'

/** One of these. */
export interface Who {
  /** Name, e-mail, external id or id. */
  readonly user?: string
  /** Of somebody whom the directory does not know. */
  readonly login?: string
  /** Of somebody who had no login. */
  readonly address?: string
  /** A person key, or a pseudonym. */
  readonly person?: string
}

export interface FoundPerson {
  readonly keys: readonly string[]
  /** Everything they are called, to be kept out of texts that stay. */
  readonly names: readonly string[]
  /** Of the directory, where they are in it. */
  readonly user_id: string | undefined
}

export interface PeopleParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly personKey: (person: string) => string
}

/** A look through all decisions may take its time. */
const LOOK_TIMEOUT = '10min'
const KEYED = ['decisions', 'violations', 'reviews'] as const
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Throws INPUT_INVALID unless exactly one is given; who has no record and is not in the directory has no keys but their own. */
export async function findPerson(parts: PeopleParts, who: Who): Promise<FoundPerson> {
  const given = Object.entries(who).filter(([, value]) => value !== undefined)
  const [[kind, value] = ['', '']] = given
  if (given.length !== 1 || value.trim() === '')
    throw new CordonError(
      'INPUT_INVALID',
      'say whom: one of --user, --login, --address and --person, and not empty',
    )
  if (kind === 'person') return byKey(parts, value)
  if (kind === 'address') return byAddress(parts, value)
  if (kind === 'login') return byName(parts, { names: [value], users: [] })
  const users = await usersCalled(parts, value)
  const names = users.flatMap(({ name, email, external_id: external }) => [name, email, external])
  return byName(parts, {
    names: [value, ...names.filter((each) => each !== null)],
    users: users.length > 0 ? users.map(({ user_id: id }) => id) : UUID.test(value) ? [value] : [],
    ...(users[0] === undefined ? {} : { user_id: users[0].user_id }),
  })
}

async function byName(
  { db, tenant, personKey }: PeopleParts,
  {
    names,
    users,
    user_id: userId,
  }: {
    readonly names: readonly string[]
    readonly users: readonly string[]
    readonly user_id?: string
  },
): Promise<FoundPerson> {
  const lower = [...new Set(names.map((name) => name.toLowerCase()))]
  const accounts = [...names, ...lower]
    .filter((name) => !isAccount(name))
    .map((name) => `os:${name}`)
  const former = await formerIds({ db, tenant, personKey }, lower)
  const people = [...new Set([...users, ...former, ...names, ...lower, ...accounts])]
  // Somebody who is in the directory goes by the id; a row with another id is another person of that name.
  const others = userId === undefined ? sql`` : sql`user_id is null and`
  const called = (columns: readonly string[]): RawBuilder<unknown> =>
    sql`(user_id = any(${[...users]}::text[]) or (${others} (${sql.join(
      columns.map((column) => sql`lower(${sql.ref(column)}) = any(${lower}::text[])`),
      sql` or `,
    )})))`
  const found = await keysWhere(db, tenant, [
    ['decisions', called(['user_name', 'user_email'])],
    ['violations', called(['user_name'])],
    ['reviews', sql`lower(person) = any(${[...lower, ...users]}::text[])`],
  ])
  return {
    keys: await withFormer(db, tenant, people, [...people.map(personKey), ...found]),
    names,
    user_id: userId,
  }
}

/**
 * Ids that the directory does not know any more, under which somebody of the name wrote policies or asked for exceptions:
 * of these the key of the name is left.
 */
async function formerIds(
  { db, tenant, personKey }: PeopleParts,
  names: readonly string[],
): Promise<readonly string[]> {
  const keysOf = (part: 'author' | 'requester'): readonly string[] =>
    names.map((name) => personKey(namedAs(part, name)))
  const { rows } = await patiently(db, (transaction) =>
    sql<{ id: string }>`
      select id from (
        select contributors[1] as id from policy_versions
          where tenant = ${tenant} and cardinality(contributors) = 1 and contributor_keys && ${keysOf('author')}::text[]
        union select requested_by from exceptions where tenant = ${tenant} and requester_key = any(${keysOf('requester')}::text[])) acted
      where not exists (select from users where users.tenant = ${tenant} and users.user_id::text = id)`.execute(
      transaction,
    ),
  )
  return rows.map(({ id }) => id).filter((id) => UUID.test(id))
}

async function byAddress(
  { db, tenant, personKey }: PeopleParts,
  address: string,
): Promise<FoundPerson> {
  const found = await keysWhere(db, tenant, [
    [
      'decisions',
      sql`ip_address = ${address} and user_id is null and user_name is null and user_email is null`,
    ],
    ['reviews', sql`person = ${address}`],
  ])
  return {
    keys: await withFormer(db, tenant, [address], [personKey(address), ...found]),
    names: [address],
    user_id: undefined,
  }
}

async function byKey({ db, tenant }: PeopleParts, person: string): Promise<FoundPerson> {
  if (isPersonKey(person)) return { keys: [person], names: [], user_id: undefined }
  return { keys: await keysBehind(db, tenant, person), names: [], user_id: undefined }
}

/** The keys of a pseudonym, as far as records have them; throws INPUT_INVALID for what is none. */
export async function keysBehind(
  db: Kysely<Tables>,
  tenant: string,
  pseudonym: string,
): Promise<string[]> {
  const prefix = keyPrefixOf(pseudonym)
  if (prefix === undefined)
    throw new CordonError(
      'INPUT_INVALID',
      `"${pseudonym.slice(0, 100)}" is no pseudonym such as person-ab3defgh7jkl, and no person key (64 hex digits)`,
    )
  const found = await keysWhere(
    db,
    tenant,
    KEYED.map((table) => [table, sql`person_key like ${`${prefix}%`}`]),
  )
  // Administrators may have no decisions. Their events are few.
  const { rows } = await patiently(db, (transaction) =>
    sql<{ record: string }>`
      select record from audit_events where tenant = ${tenant} and record like ${`%"person_key":"${prefix}%`}`.execute(
      transaction,
    ),
  )
  const acting = rows
    .flatMap(({ record }) => peopleIn(JSON.parse(record) as LedgerRecord))
    .filter((key) => key.startsWith(prefix))
  return [...new Set([...found, ...acting])]
}

/**
 * The first release made keys without a secret. Whoever names such a key names the person, so it is named only where
 * records have it.
 */
async function withFormer(
  db: Kysely<Tables>,
  tenant: string,
  people: readonly string[],
  keys: readonly string[],
): Promise<string[]> {
  const former = people.map((person) => formerPersonKey(tenant, person))
  const held = await keysWhere(
    db,
    tenant,
    KEYED.map((table) => [table, sql`person_key = any(${former}::text[])`]),
  )
  return [...new Set([...keys, ...held])]
}

async function keysWhere(
  db: Kysely<Tables>,
  tenant: string,
  places: readonly (readonly [table: string, condition: RawBuilder<unknown>])[],
): Promise<string[]> {
  const { rows } = await patiently(db, (transaction) =>
    sql<{ person_key: string }>`${sql.join(
      places.map(
        ([table, condition]) =>
          sql`select person_key from ${sql.table(table)} where tenant = ${tenant} and ${condition}`,
      ),
      sql` union `,
    )}`.execute(transaction),
  )
  return rows.map(({ person_key: key }) => key)
}

async function usersCalled(
  { db, tenant }: PeopleParts,
  name: string,
): Promise<{ user_id: string; name: string; email: string | null; external_id: string | null }[]> {
  return db
    .selectFrom('users')
    .select(['user_id', 'name', 'email', 'external_id'])
    .where('tenant', '=', tenant)
    .where(
      sql<boolean>`lower(${name}) in (lower(name), lower(email), lower(external_id), user_id::text)`,
    )
    .execute()
}

function patiently<T>(
  db: Kysely<Tables>,
  run: (transaction: Transaction<Tables>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (transaction) => {
    await sql.raw(`set local statement_timeout = '${LOOK_TIMEOUT}'`).execute(transaction)
    return run(transaction)
  })
}
