// Stored policies and their versions as rows. Who may change them, and when, is for src/governance/policy-life.ts to say.

import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type {
  PolicyLanguage,
  PolicyStatus,
  PolicyType,
  StoredFile,
} from '../model/stored-policy.ts'
import type { Tables } from './tables.ts'

type Db = Kysely<Tables> | Transaction<Tables>

/** What a policy's text says of itself; libraries, data and tests have but a name. */
export interface VersionMetadata {
  readonly name: string
  readonly description?: string
  readonly version?: string
  readonly priority?: number
  readonly severity?: string
  readonly mode?: string
  readonly scope?: Readonly<Record<string, readonly string[]>>
  readonly framework?: string
  readonly article?: string
}

/** A policy as lists show it: its active version, else its newest. */
export interface PolicyHead {
  readonly policy_id: string
  readonly policy_type: PolicyType
  readonly rule_engine: PolicyLanguage
  readonly path: string
  readonly status: PolicyStatus
  readonly version: string
  readonly rule_metadata: VersionMetadata
  readonly effective_date: Date | null
  readonly expiry_date: Date | null
  readonly created_at: Date
  readonly created_by: string | null
  readonly updated_at: Date
  readonly updated_by: string | null
}

/** One change of a version. */
export interface HistoryEntry {
  readonly edition: number
  /** RFC 3339. */
  readonly at: string
  /** A user's id, or `os:` and the name of an account. */
  readonly by: string
  readonly act: string
  /** What is other than before. */
  readonly changed: readonly string[]
  readonly comment?: string
}

export interface VersionRow {
  readonly policy_id: string
  readonly version: string
  readonly number: number
  readonly status: PolicyStatus
  readonly edition: number
  readonly rule_content: string
  readonly rule_metadata: VersionMetadata
  readonly text_sha256: string
  readonly text_bytes: number
  readonly change_summary: string | null
  readonly git_commit_sha: string | null
  readonly git_branch: string | null
  readonly contributors: readonly string[]
  readonly contributor_keys: readonly string[]
  readonly history: readonly HistoryEntry[]
  readonly created_at: Date
  readonly created_by: string | null
  readonly changed_at: Date
  readonly changed_by: string | null
  readonly submitted_at: Date | null
  readonly submitted_by: string | null
  readonly approved_at: Date | null
  readonly approved_by: string | null
  readonly activated_at: Date | null
  readonly archived_at: Date | null
  readonly effective_from: Date | null
  readonly expires_at: Date | null
  readonly rejudge: boolean
  readonly due_problem: string | null
}

/** A version without its text and its changes, for lists. */
export type VersionListed = Omit<
  VersionRow,
  'rule_content' | 'history' | 'contributor_keys' | 'due_problem'
>

export interface NewHead {
  readonly policy_id: string
  readonly policy_type: PolicyType
  readonly rule_engine: PolicyLanguage
  readonly path: string
}

/** Everything of a version but what tells which one it is. */
export type VersionState = Omit<VersionRow, 'policy_id' | 'version' | 'number'>

/** What a date asks for: a version to become active, or to end. */
export interface Due {
  readonly policy_id: string
  readonly version: string
  readonly what: 'activate' | 'expire'
}

export interface HeadFilter {
  readonly status?: PolicyStatus
  readonly type?: PolicyType
  readonly language?: PolicyLanguage
  /** Part of an id or a name, without case. */
  readonly q?: string
}

const HEAD_COLUMNS = sql.raw(
  'policy_id, policy_type, rule_engine, path, status, version, rule_metadata, effective_date, expiry_date, created_at, created_by, updated_at, updated_by',
)
const LISTED = [
  'policy_id',
  'version',
  'number',
  'status',
  'edition',
  'rule_metadata',
  'text_sha256',
  'text_bytes',
  'change_summary',
  'git_commit_sha',
  'git_branch',
  'contributors',
  'created_at',
  'created_by',
  'changed_at',
  'changed_by',
  'submitted_at',
  'submitted_by',
  'approved_at',
  'approved_by',
  'activated_at',
  'archived_at',
  'effective_from',
  'expires_at',
  'rejudge',
] as const
const LISTED_COLUMNS = sql.raw(LISTED.join(', '))
const COLUMNS = sql.raw(
  [...LISTED, 'rule_content', 'contributor_keys', 'history', 'due_problem'].join(', '),
)
/** With the tenant's number: one change of what is in force at a time. */
const ACTIVATION_LOCK = 7_303_609
/** The same of whoever changes many versions at once. */
const MANY_LOCK = 7_303_612
/** A date that could not be carried out is tried again then. */
const RETRY = '60 seconds'

export class PolicyVersions {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  transaction<T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.#db.transaction().execute(run)
  }

  /** The same, and whatever was done is taken back. */
  async trial<T>(run: (transaction: Transaction<Tables>) => Promise<T>): Promise<T> {
    const transaction = await this.#db.startTransaction().execute()
    try {
      return await run(transaction)
    } finally {
      await transaction.rollback().execute()
    }
  }

  /** Heads behind an id, in the order of their ids by code point. */
  async heads(
    filter: HeadFilter,
    after: string | undefined,
    limit: number,
  ): Promise<readonly PolicyHead[]> {
    const { status, type, language, q } = filter
    const conditions: RawBuilder<unknown>[] = [
      sql`tenant = ${this.#tenant}`,
      ...(status === undefined ? [] : [sql`status = ${status}`]),
      ...(type === undefined ? [] : [sql`policy_type = ${type}`]),
      ...(language === undefined ? [] : [sql`rule_engine = ${language}`]),
      ...(q === undefined
        ? []
        : [
            sql`(position(lower(${q}) in lower(policy_id)) > 0 or position(lower(${q}) in lower(name)) > 0)`,
          ]),
      ...(after === undefined ? [] : [sql`policy_id collate "C" > ${after}`]),
    ]
    const { rows } = await sql<PolicyHead>`
      select ${HEAD_COLUMNS} from policies where ${sql.join(conditions, sql` and `)}
      order by policy_id collate "C" limit ${limit}`.execute(this.#db)
    return rows
  }

  async head(id: string, db: Db = this.#db): Promise<PolicyHead | undefined> {
    const { rows } = await sql<PolicyHead>`
      select ${HEAD_COLUMNS} from policies where tenant = ${this.#tenant} and policy_id = ${id}`.execute(
      db,
    )
    return rows[0]
  }

  /** The same, and nobody else changes the policy until the transaction ends. */
  async lockHead(id: string, transaction: Transaction<Tables>): Promise<PolicyHead | undefined> {
    const { rows } = await sql<PolicyHead>`
      select ${HEAD_COLUMNS} from policies where tenant = ${this.#tenant} and policy_id = ${id} for update`.execute(
      transaction,
    )
    return rows[0]
  }

  async count(): Promise<number> {
    const { rows } = await sql<{ n: string }>`
      select count(*) as n from policies where tenant = ${this.#tenant}`.execute(this.#db)
    return Number(rows[0]?.n ?? 0)
  }

  /** The policy whose file has this path, without case. */
  async idAt(path: string): Promise<string | undefined> {
    const { rows } = await sql<{ policy_id: string }>`
      select policy_id from policies where tenant = ${this.#tenant} and lower(path) = lower(${path})`.execute(
      this.#db,
    )
    return rows[0]?.policy_id
  }

  /** Newest first; `before` is the number that the page before ended with. */
  async versions(
    id: string,
    before: number | undefined,
    limit: number,
  ): Promise<readonly VersionListed[]> {
    const { rows } = await sql<VersionListed>`
      select ${LISTED_COLUMNS} from policy_versions where tenant = ${this.#tenant} and policy_id = ${id}
        ${before === undefined ? sql`` : sql`and number < ${before}`}
      order by number desc limit ${limit}`.execute(this.#db)
    return rows
  }

  async version(id: string, version: string, db: Db = this.#db): Promise<VersionRow | undefined> {
    const { rows } = await sql<VersionRow>`
      select ${COLUMNS} from policy_versions
      where tenant = ${this.#tenant} and policy_id = ${id} and version = ${version}`.execute(db)
    return rows[0]
  }

  /** The newest of a policy, or the newest with one of these states. */
  async newest(
    id: string,
    statuses?: readonly PolicyStatus[],
    db: Db = this.#db,
  ): Promise<VersionRow | undefined> {
    const { rows } = await sql<VersionRow>`
      select ${COLUMNS} from policy_versions where tenant = ${this.#tenant} and policy_id = ${id}
        ${statuses === undefined ? sql`` : sql`and status = any(${[...statuses]}::text[])`}
      order by number desc limit 1`.execute(db)
    return rows[0]
  }

  /** Who wrote a text of a policy in any version; nobody where a version with it has been approved. */
  async authorsOf(
    id: string,
    sha256: string,
    db: Db,
  ): Promise<Pick<VersionRow, 'contributors' | 'contributor_keys'>> {
    const { rows } = await sql<Pick<VersionRow, 'contributors' | 'contributor_keys'>>`
      with same as (
        select contributors, contributor_keys, approved_at from policy_versions
        where tenant = ${this.#tenant} and policy_id = ${id} and text_sha256 = ${sha256})
      select distinct contributors, contributor_keys from same
      where not exists (select from same where approved_at is not null)`.execute(db)
    return {
      contributors: rows.flatMap((row) => row.contributors),
      contributor_keys: rows.flatMap((row) => row.contributor_keys),
    }
  }

  /** Whether another version, which nobody has approved, was submitted in the same edition. */
  async isSubmittedBeside({ policy_id: id, version, edition }: VersionRow): Promise<boolean> {
    const { rows } = await sql`
      select 1 from policy_versions where tenant = ${this.#tenant} and policy_id = ${id} and version <> ${version}
        and approved_at is null and history @> ${JSON.stringify([{ act: 'submit', edition }])}::jsonb
      limit 1`.execute(this.#db)
    return rows.length > 0
  }

  /** Of those that were active and are not: the one that was so last. */
  async activeBefore(id: string, db: Db = this.#db): Promise<VersionRow | undefined> {
    const { rows } = await sql<VersionRow>`
      select ${COLUMNS} from policy_versions where tenant = ${this.#tenant} and policy_id = ${id}
        and status = 'archived' and activated_at is not null
      order by activated_at desc, number desc limit 1`.execute(db)
    return rows[0]
  }

  async insertHead(head: NewHead, db: Db): Promise<boolean> {
    const { rows } = await sql`
      insert into policies (tenant, policy_id, name, version, status, policy_type, rule_engine, path, rule_content)
      values (${this.#tenant}, ${head.policy_id}, ${head.policy_id}, '', 'draft', ${head.policy_type}, ${head.rule_engine}, ${head.path}, '')
      on conflict do nothing returning 1`.execute(db)
    return rows.length > 0
  }

  async insertVersion(row: VersionRow, db: Db): Promise<void> {
    await sql`
      insert into policy_versions (tenant, policy_id, version, number, ${STATE_COLUMNS})
      values (${this.#tenant}, ${row.policy_id}, ${row.version}, ${row.number}, ${sql.join(stateValues(row))})`.execute(
      db,
    )
  }

  async updateVersion(row: VersionRow, db: Db): Promise<void> {
    const values = stateValues(row)
    await sql`
      update policy_versions set due_retry_at = null, ${sql.join(
        STATE.map((column, index) => sql`${sql.ref(column)} = ${values[index] ?? null}`),
      )}
      where tenant = ${this.#tenant} and policy_id = ${row.policy_id} and version = ${row.version}`.execute(
      db,
    )
  }

  /** The head shows the active version, else the newest, as of now. */
  async refreshHead(id: string, by: string, at: Date, db: Db): Promise<void> {
    await sql`
      update policies p set
        name = v.rule_metadata->>'name', description = v.rule_metadata->>'description', version = v.version,
        status = v.status, priority = coalesce((v.rule_metadata->>'priority')::integer, 100),
        framework = v.rule_metadata->>'framework', article_reference = v.rule_metadata->>'article',
        scope = coalesce(v.rule_metadata->'scope', '{}'), rule_content = v.rule_content, rule_metadata = v.rule_metadata,
        effective_date = coalesce(v.effective_from, v.activated_at), expiry_date = v.expires_at, approved_by = v.approved_by, approved_at = v.approved_at,
        comments = v.change_summary, updated_by = ${by}, updated_at = ${at},
        created_by = coalesce(p.created_by, ${by})
      from (
        select * from policy_versions where tenant = ${this.#tenant} and policy_id = ${id}
        order by status = 'active' desc, number desc limit 1) v
      where p.tenant = ${this.#tenant} and p.policy_id = ${id}`.execute(db)
  }

  /** The files that are in force, in the order of their paths by code point. */
  async activeFiles(db: Db = this.#db): Promise<readonly (StoredFile & { readonly id: string })[]> {
    const { rows } = await sql<StoredFile & { id: string }>`
      select p.policy_id as id, p.path, v.rule_content as text
      from policy_versions v join policies p on p.tenant = v.tenant and p.policy_id = v.policy_id
      where v.tenant = ${this.#tenant} and v.status = 'active' order by p.path collate "C"`.execute(
      db,
    )
    return rows
  }

  /** The newest versions that are submitted or approved, of each policy whose active one is not newer. */
  async filesOnTheirWay(): Promise<readonly (StoredFile & { readonly id: string })[]> {
    const { rows } = await sql<StoredFile & { id: string }>`
      select distinct on (v.policy_id) v.policy_id as id, p.path, v.rule_content as text
      from policy_versions v join policies p on p.tenant = v.tenant and p.policy_id = v.policy_id
      where v.tenant = ${this.#tenant} and v.status in ('review', 'approved') and not exists (
        select from policy_versions a where a.tenant = v.tenant and a.policy_id = v.policy_id
          and a.status = 'active' and a.number > v.number)
      order by v.policy_id, v.number desc`.execute(this.#db)
    return rows
  }

  /** What `activeFiles` has, without the texts: the same while nothing of it changes. */
  async activeState(db: Db = this.#db): Promise<string> {
    const { rows } = await sql<{ state: string | null }>`
      select md5(string_agg(policy_id || ' ' || version || ' ' || text_sha256, ',' order by policy_id collate "C")) as state
      from policy_versions where tenant = ${this.#tenant} and status = 'active'`.execute(db)
    return rows[0]?.state ?? ''
  }

  /** Waits for whoever changes what is in force, until the transaction ends. */
  async lockActivation(transaction: Transaction<Tables>): Promise<void> {
    await this.#lock(ACTIVATION_LOCK, transaction)
  }

  /** Waits for whoever changes many versions at once, until the transaction ends. */
  async lockMany(transaction: Transaction<Tables>): Promise<void> {
    await this.#lock(MANY_LOCK, transaction)
  }

  /**
   * Dates that have come, those that came first first. Each is the caller's for a minute; a process that ends meanwhile
   * leaves it to the others. `now` is the caller's clock: one that is ahead of the database's carries out nothing early.
   */
  async takeDue(now: Date, limit: number): Promise<readonly Due[]> {
    const { rows } = await sql<Due & { at: Date }>`
      with due as (
        select version_id, case when expires_at <= least(${now}::timestamptz, clock_timestamp()) then 'expire' else 'activate' end as what,
          case when expires_at <= least(${now}::timestamptz, clock_timestamp()) then expires_at else effective_from end as at
        from policy_versions
        where tenant = ${this.#tenant} and (due_retry_at is null or due_retry_at <= clock_timestamp())
          and ((status = 'approved' and effective_from <= least(${now}::timestamptz, clock_timestamp()))
            or (status in ('approved', 'active') and expires_at <= least(${now}::timestamptz, clock_timestamp())))
        order by 3, version_id limit ${limit} for update skip locked)
      update policy_versions v set due_retry_at = clock_timestamp() + ${RETRY}::interval
      from due where v.tenant = ${this.#tenant} and v.version_id = due.version_id
      returning v.policy_id, v.version, due.what, due.at`.execute(this.#db)
    return rows.toSorted((a, b) => a.at.getTime() - b.at.getTime())
  }

  /** Why a date could not be carried out; false where that was told already, or the version is another by now. */
  async noteProblem(row: VersionRow, problem: string, db: Db): Promise<boolean> {
    const { rows } = await sql`
      update policy_versions set due_problem = ${problem}
      where tenant = ${this.#tenant} and policy_id = ${row.policy_id} and version = ${row.version}
        and edition = ${row.edition} and due_problem is distinct from ${problem}
      returning 1`.execute(db)
    return rows.length > 0
  }

  /** Names by user id; who is not in the directory has none. */
  async namesOf(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const users = ids.filter((id) => UUID.test(id))
    if (users.length === 0) return new Map()
    const { rows } = await sql<{ user_id: string; name: string }>`
      select user_id, name from users where tenant = ${this.#tenant} and user_id = any(${users}::uuid[])`.execute(
      this.#db,
    )
    return new Map(rows.map(({ user_id: id, name }) => [id, name]))
  }

  /** An audit event of a change, kept with it until the ledger has it. */
  async keepEvent(eventId: string, record: string, db: Db): Promise<void> {
    await sql`
      insert into policy_events (tenant, event_id, record) values (${this.#tenant}, ${eventId}, ${record})`.execute(
      db,
    )
  }

  /**
   * Gives the events that nobody has told for so long, oldest first, and forgets those whose `tell` resolves. One that is not
   * taken does not keep the others; the first error is thrown when all have been tried.
   */
  async tellEvents(olderThanMs: number, tell: (record: string) => Promise<void>): Promise<void> {
    const { rows } = await sql<{ event_id: string }>`
      select event_id from policy_events
      where tenant = ${this.#tenant} and made_at <= clock_timestamp() - ${olderThanMs} * interval '1 millisecond'
      order by made_at, event_id limit 100`.execute(this.#db)
    const errors: unknown[] = []
    for (const { event_id: id } of rows)
      await this.tellEvent(id, async (record) => {
        try {
          await tell(record)
        } catch (error) {
          errors.push(error)
          throw error
        }
      }).catch((error: unknown) => {
        // Of the store: the others would fare no better.
        if (!errors.includes(error)) throw error
      })
    if (errors.length > 0) throw errors[0]
  }

  /** The same of one event, in a transaction of its own; nothing where it is told, or another process tells it. */
  async tellEvent(eventId: string, tell: (record: string) => Promise<void>): Promise<void> {
    await this.transaction(async (transaction) => {
      const { rows } = await sql<{ record: string }>`
        select record from policy_events where tenant = ${this.#tenant} and event_id = ${eventId}
        for update skip locked`.execute(transaction)
      const [event] = rows
      if (event === undefined) return
      await tell(event.record)
      await sql`delete from policy_events where tenant = ${this.#tenant} and event_id = ${eventId}`.execute(
        transaction,
      )
    })
  }

  async #lock(number: number, transaction: Transaction<Tables>): Promise<void> {
    await sql`select pg_advisory_xact_lock(${number}::integer, hashtext(${this.#tenant}))`.execute(
      transaction,
    )
  }
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const STATE = [
  'status',
  'edition',
  'rule_content',
  'rule_metadata',
  'text_sha256',
  'text_bytes',
  'change_summary',
  'git_commit_sha',
  'git_branch',
  'contributors',
  'contributor_keys',
  'history',
  'created_at',
  'created_by',
  'changed_at',
  'changed_by',
  'submitted_at',
  'submitted_by',
  'approved_at',
  'approved_by',
  'activated_at',
  'archived_at',
  'effective_from',
  'expires_at',
  'rejudge',
  'due_problem',
] as const satisfies readonly (keyof VersionState)[]
const STATE_COLUMNS = sql.raw(STATE.join(', '))
const JSON_COLUMNS: ReadonlySet<string> = new Set(['rule_metadata', 'history'])
const LIST_COLUMNS: ReadonlySet<string> = new Set(['contributors', 'contributor_keys'])

function stateValues(row: VersionState): RawBuilder<unknown>[] {
  return STATE.map((column) => {
    const value = row[column]
    if (JSON_COLUMNS.has(column)) return sql`${JSON.stringify(value)}::jsonb`
    if (LIST_COLUMNS.has(column)) return sql`${value}::text[]`
    return sql`${value}`
  })
}
