// What administrators do, each with its audit event: the same acts whether they come from the command line,
// through control.sock, or from the API.

import { stringify } from 'csv-stringify/sync'
import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import { stringifyExact } from '../base/exact-json.ts'
import { didYouMean } from '../base/nearest.ts'
import type { Mode } from '../model/decision.ts'
import type { AuditRecord } from '../model/record.ts'
import { exportedInput, type RecordedRow } from '../policy/recorded-input.ts'
import { Coverage } from '../store/coverage.ts'
import { Credentials } from '../store/credentials.ts'
import { DecisionFeed } from '../store/feed.ts'
import { Arrivals } from '../store/follow.ts'
import { Lists } from '../store/lists.ts'
import { modeInForce } from '../store/modes.ts'
import { type DirectoryNames, directoryNames } from '../store/names.ts'
import { PolicyVersions } from '../store/policy-versions.ts'
import { Questions } from '../store/questions.ts'
import { Reviews } from '../store/reviews.ts'
import type { Tables } from '../store/tables.ts'
import { Upkeep, type UpkeepParts } from '../store/upkeep.ts'
import { type Actor, auditRecord, type Target } from './audit.ts'
import type { Kind } from './columns.ts'
import { Erasure, type ErasureParts } from './erasure.ts'
import { Exceptions, type ExceptionsParts } from './exceptions.ts'
import { Holds } from './holds.ts'
import { addUser, importFile, type ImportResult } from './import.ts'
import { type PersonRisk, personRisk, type PersonRiskParts } from './person-risk.ts'
import { type ReplayJobs, Replays } from './replays.ts'
import { type Revealed, revealPerson } from './reveal.ts'
import { ReviewDesk, type ReviewDeskParts } from './reviews.ts'

const SCOPES = [
  'decisions:write',
  'decisions:self',
  'decisions:read',
  'policies:read',
  'policies:write',
  'policies:approve',
  'directory:read',
  'directory:write',
  'catalogue:write',
  'reviews:write',
  'exceptions:write',
  'ledger:read',
  'admin',
] as const
/** Authorship is compared by user, so these keys belong to one. */
const NEEDS_USER = new Set([
  'decisions:self',
  'policies:write',
  'policies:approve',
  'reviews:write',
  'exceptions:write',
])

export type ExportTable = 'decisions' | 'violations' | 'audit_events'

/** What goes with a user. */
const PEOPLE_TABLES = ['users', 'user_groups', 'user_roles', 'proxy_tokens', 'api_keys']

export interface AdminParts
  extends
    Pick<ErasureParts, 'segmentsHolding' | 'carryOut'>,
    Pick<UpkeepParts, 'kind' | 'ages' | 'by' | 'ship'>,
    Pick<
      ReviewDeskParts,
      'reviewValidMs' | 'reviewSlaMs' | 'reviewEscalateTo' | 'onReviewAnswered'
    >,
    Pick<ExceptionsParts, 'nameable' | 'onExceptionsChanged'>,
    Pick<PersonRiskParts, 'riskSettings'> {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly nextId: () => string
  readonly now: () => number
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
  /** The key of a person, by user id, login or address. */
  readonly personKey: (person: string) => string
  /** Takes what was deleted out of the files of these tables, where that is cheap. */
  readonly giveBack: (tables: readonly string[]) => Promise<void>
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
  /** What the directory remembers may be old. */
  readonly onPeopleChanged: () => Promise<void>
  readonly onModeChanged: (override: { readonly mode: Mode; readonly until: number }) => void
  /** Who runs replays; a command runs its own. */
  readonly replayJobs?: ReplayJobs
}

export class Admin {
  readonly lists: Lists
  readonly feed: DecisionFeed
  readonly arrivals: Arrivals
  readonly coverage: Coverage
  readonly questions: Questions
  readonly replays: Replays
  readonly credentials: Credentials
  readonly reviews: Reviews
  readonly desk: ReviewDesk
  readonly exceptions: Exceptions
  readonly erasure: Erasure
  readonly holds: Holds
  readonly upkeep: Upkeep
  readonly #parts: AdminParts

  constructor(parts: AdminParts) {
    this.#parts = parts
    const pseudonymous = (): boolean => parts.pseudonymous
    this.lists = new Lists(parts.db, parts.tenant, pseudonymous)
    this.feed = new DecisionFeed(parts.db, parts.tenant, pseudonymous)
    this.arrivals = new Arrivals(() => this.feed.sign())
    this.questions = new Questions({ ...parts, pseudonymous })
    this.replays = new Replays({
      ...parts,
      pseudonymous,
      versions: new PolicyVersions(parts.db, parts.tenant),
      jobs: parts.replayJobs,
    })
    this.coverage = new Coverage(parts.db, parts.tenant, parts.now, pseudonymous)
    this.credentials = new Credentials(parts.db, parts.tenant)
    this.reviews = new Reviews(parts.db, parts.tenant, parts.nextId, () => parts.reviewSlaMs)
    this.exceptions = new Exceptions(parts)
    this.desk = new ReviewDesk(parts, this.exceptions)
    this.erasure = new Erasure(parts)
    this.holds = new Holds(parts)
    this.upkeep = new Upkeep(parts)
  }

  async importContext(
    file: { file: string; content: string; kind: Kind },
    actor: Actor,
  ): Promise<ImportResult> {
    const { db, tenant } = this.#parts
    const result = await importFile(db, tenant, file)
    const { created, updated, unchanged, refused } = result
    await this.#audit(
      'context_imported',
      actor,
      { type: file.kind, name: file.kind },
      'import',
      refused.length === 0 ? 'success' : 'failure',
      {
        created,
        updated,
        unchanged,
        refused: refused.length,
      },
    )
    if (created + updated > 0) await this.#parts.onPeopleChanged()
    return result
  }

  async addUser(
    user: { name: string; email?: string; department?: string; groups?: readonly string[] },
    actor: Actor,
  ): Promise<{ readonly user_id: string }> {
    if (user.name.trim() === '') throw new CordonError('INPUT_INVALID', 'a user needs a name')
    const added = await addUser(this.#parts.db, this.#parts.tenant, user)
    await this.#audit('user_added', actor, { type: 'user', id: added.user_id }, 'create', 'success')
    await this.#parts.onPeopleChanged()
    return added
  }

  /** Removes somebody from the directory, with memberships, tokens and keys. Their records stay, and name them still. */
  async removeUser(login: string, actor: Actor): Promise<{ readonly user_id: string }> {
    const userId = await this.#userId(login)
    const { db, tenant } = this.#parts
    await db
      .deleteFrom('users')
      .where('tenant', '=', tenant)
      .where('user_id', '=', userId)
      .execute()
    await this.#audit('user_removed', actor, { type: 'user', id: userId }, 'delete', 'success')
    await this.#parts.onPeopleChanged()
    await this.#parts.giveBack(PEOPLE_TABLES)
    return { user_id: userId }
  }

  /** The token; it is shown this once. */
  async createToken(login: string, actor: Actor): Promise<{ readonly token: string }> {
    const userId = await this.#userId(login)
    const token = await this.credentials.createToken(userId)
    await this.#audit(
      'proxy_token_created',
      actor,
      { type: 'user', id: userId },
      'create',
      'success',
    )
    return { token }
  }

  /** The key; it is shown this once. */
  async createKey(
    { name, scopes, user }: { name: string; scopes: readonly string[]; user?: string },
    actor: Actor,
  ): Promise<{ readonly key: string }> {
    if (name.trim() === '') throw new CordonError('INPUT_INVALID', 'a key needs a name')
    if (scopes.length === 0)
      throw new CordonError('INPUT_INVALID', `a key needs a scope: ${SCOPES.join(', ')}`)
    for (const scope of scopes) {
      if (!(SCOPES as readonly string[]).includes(scope)) {
        throw new CordonError(
          'INPUT_INVALID',
          `there is no scope "${scope}"${didYouMean(scope, SCOPES)}; scopes are ${SCOPES.join(', ')}`,
        )
      }
      if (NEEDS_USER.has(scope) && user === undefined)
        throw new CordonError(
          'INPUT_INVALID',
          `a key with ${scope} belongs to somebody: add --user`,
        )
    }
    const userId = user === undefined ? null : await this.#userId(user)
    const key = await this.credentials.createKey(name, scopes, userId)
    const owner = userId === null ? {} : { person_key: this.#parts.personKey(userId) }
    const target = { type: 'api_key', name, ...owner }
    await this.#audit('api_key_created', actor, target, 'create', 'success', { scopes })
    return { key }
  }

  async setMode(
    { mode, forMs }: { mode: Mode; forMs: number },
    actor: Actor,
  ): Promise<{ readonly mode: Mode; readonly until: string }> {
    const until = new Date(this.#parts.now() + forMs)
    await sql`
      insert into point_modes (tenant, mode, until) values (${this.#parts.tenant}, ${mode}, ${until})
      on conflict (tenant) do update set mode = excluded.mode, until = excluded.until, set_at = now()`.execute(
      this.#parts.db,
    )
    await this.#audit(
      'mode_changed',
      actor,
      { type: 'enforcement_point' },
      'update',
      'success',
      { mode, until: until.toISOString() },
      mode === 'enforce' ? 'info' : 'critical',
    )
    this.#parts.onModeChanged({ mode, until: until.getTime() })
    return { mode, until: until.toISOString() }
  }

  /** Who is behind a pseudonym; throws without a reason, and where nobody can tell any more. */
  async reveal(pseudonym: string, reason: string, actor: Actor): Promise<Revealed> {
    return revealPerson(this.#parts, pseudonym, reason, actor)
  }

  /** What somebody's violations come to. */
  async personRisk(person: string): Promise<PersonRisk> {
    return personRisk(this.#parts, person)
  }

  /** The key that signs the ledger was changed; what the former one signed stays valid. */
  async ledgerKeyRotated(
    { number, vkey }: { readonly number: number; readonly vkey: string },
    actor: Actor,
  ): Promise<void> {
    await this.#audit(
      'ledger_key_rotated',
      actor,
      { type: 'ledger_key', id: String(number) },
      'update',
      'success',
      { number, vkey },
      'warning',
    )
  }

  /** The names that policies may mean; of people only those that are asked for. */
  async directoryNames(users: readonly string[]): Promise<DirectoryNames> {
    return directoryNames(this.#parts.db, this.#parts.tenant, users)
  }

  /** The break-glass mode in force, if any. */
  async modeOverride(): Promise<{ readonly mode: Mode; readonly until: number } | undefined> {
    return modeInForce(this.#parts.db, this.#parts.tenant, this.#parts.now())
  }

  /** The lines of an export, each with its end of line. */
  async *export(
    table: ExportTable,
    format: 'ndjson' | 'csv',
    from: Date | undefined,
    to: Date | undefined,
  ): AsyncGenerator<string> {
    let columns: string[] | undefined
    const { pseudonymous } = this.#parts
    // As replay reads it; a table has no room for documents.
    const more =
      table === 'decisions' && format === 'ndjson'
        ? (row: unknown) => exportedInput(row as RecordedRow, pseudonymous)
        : undefined
    for await (const row of this.lists.all(table, from, to, more)) {
      if (format === 'ndjson') {
        yield `${stringifyExact(row)}\n`
        continue
      }
      const flat = flatten(row)
      if (columns === undefined) {
        columns = Object.keys(flat)
        yield stringify([columns])
      }
      // Spreadsheets run cells that begin like formulas.
      yield stringify([columns.map((column) => flat[column] ?? '')], { escape_formulas: true })
    }
  }

  async #userId(login: string): Promise<string> {
    const { rows } = await sql<{ user_id: string }>`
      select user_id from users where tenant = ${this.#parts.tenant} and lower(${login}) in (lower(name), lower(email), lower(external_id))`.execute(
      this.#parts.db,
    )
    const id = rows[0]?.user_id
    if (id === undefined)
      throw new CordonError(
        'NOT_FOUND',
        `there is no user "${login}"; add one with "cordon user add"`,
      )
    return id
  }

  async #audit(
    eventType: string,
    actor: Actor,
    target: Target | undefined,
    action: string,
    result: AuditRecord['result'],
    data?: Readonly<Record<string, unknown>>,
    severity: AuditRecord['severity'] = 'info',
  ): Promise<void> {
    await this.#parts.audit(
      auditRecord(this.#parts, {
        event_type: eventType,
        severity,
        actor,
        action,
        result,
        ...(target === undefined ? {} : { target }),
        ...(data === undefined ? {} : { data }),
      }),
    )
  }
}

/**
 * `user.name` and `resource.host`, which every row has; any other document is JSON in one cell, because the next row's may
 * have other keys.
 */
function flatten(row: Readonly<Record<string, unknown>>): Record<string, string> {
  const out: Record<string, string> = {}
  for (const [key, value] of Object.entries(row)) {
    if (key === 'user' || key === 'resource')
      for (const [inner, each] of Object.entries(value as object))
        out[`${key}.${inner}`] = cellOf(each)
    else out[key] = cellOf(value)
  }
  return out
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'string' ? value : stringifyExact(value)
}
