// The audit events of policies: written in the transaction of the change, told to the ledger behind it. A process that
// ends in between leaves the event to the next one, so no change is without its event; one that ends while it tells may
// tell it twice, with the same id.

import { isDeepStrictEqual } from 'node:util'
import type { Transaction } from 'kysely'
import type { AuditRecord } from '../model/record.ts'
import type { PolicyVersions, VersionMetadata, VersionRow } from '../store/policy-versions.ts'
import type { Tables } from '../store/tables.ts'
import { type Actor, type AuditParts, auditRecord, cut, digestOf, fitting } from './audit.ts'

export interface JournalParts extends AuditParts {
  /** Resolves when the event is kept. */
  readonly audit: (record: AuditRecord) => Promise<void>
}

/** One act upon a version. */
export interface PolicyEvent {
  readonly event_type: string
  readonly action: string
  readonly actor: Actor
  readonly before?: VersionRow
  readonly after: VersionRow
  /** `failure`: it was refused, and nothing was changed. */
  readonly result?: AuditRecord['result']
  readonly severity?: AuditRecord['severity']
  readonly data?: Readonly<Record<string, unknown>>
  readonly comment?: string | undefined
}

/** What a change has left for another process, after this long. */
const LEFT_MS = 5000
/** A longer value stands in an event by its hash. */
const MAX_VALUE_BYTES = 4096
/** What somebody wrote, which stands in the part that can be erased; branches are often called after people. */
const BY_HAND = ['change_summary', 'git_branch'] as const

export class PolicyJournal {
  readonly #parts: JournalParts
  readonly #versions: PolicyVersions

  constructor(parts: JournalParts, versions: PolicyVersions) {
    this.#parts = parts
    this.#versions = versions
  }

  /** The id of the event, to `tell` it when the transaction has ended well. */
  async keep(event: PolicyEvent, transaction: Transaction<Tables>): Promise<string> {
    const record = this.#recordOf(event)
    await this.#versions.keepEvent(record.event_id, JSON.stringify(record), transaction)
    return record.event_id
  }

  /** Of an act that changed nothing. */
  async note(event: PolicyEvent): Promise<void> {
    await this.#parts.audit(fitting(this.#recordOf(event)))
  }

  /** Never throws: what the ledger does not take now is told by `tellLeft`. */
  async tell(eventIds: readonly string[]): Promise<void> {
    for (const id of eventIds)
      await this.#versions.tellEvent(id, (record) => this.#tell(record)).catch(() => undefined)
  }

  /** Events of processes that ended before they told them; throws when all were tried, where one could not be told. */
  async tellLeft(): Promise<void> {
    await this.#versions.tellEvents(LEFT_MS, (record) => this.#tell(record))
  }

  async #tell(record: string): Promise<void> {
    await this.#parts.audit(fitting(JSON.parse(record) as AuditRecord))
  }

  #recordOf({
    event_type,
    action,
    actor,
    before,
    after,
    result = 'success',
    severity = 'info',
    data,
    comment,
  }: PolicyEvent): AuditRecord {
    const branch = after.git_branch ?? undefined
    const words = before === undefined ? [] : BY_HAND.filter((key) => before[key] !== after[key])
    const former = Object.fromEntries(
      words.flatMap((key) => (before?.[key] == null ? [] : [[key, before[key]]])),
    )
    const byHand = {
      ...(comment === undefined || comment === '' ? {} : { comment }),
      ...(branch === undefined || before?.git_branch === branch ? {} : { git_branch: branch }),
      ...(Object.keys(former).length === 0 ? {} : { before: former }),
    }
    const changes = changesBetween(before, after)
    return auditRecord(this.#parts, {
      event_type,
      severity,
      actor,
      target: { type: 'policy', id: after.policy_id, name: cut(after.rule_metadata.name) },
      action,
      result,
      data: {
        version: after.version,
        ...(words.length === 0 ? {} : { changed: words }),
        ...data,
      },
      ...(result === 'failure' || changes === undefined ? {} : { changes }),
      ...(Object.keys(byHand).length === 0 ? {} : { personalData: byHand }),
    })
  }
}

/** Of a new version all of it, else what is other than before; of texts only what tells them apart. */
function changesBetween(
  before: VersionRow | undefined,
  after: VersionRow,
): { readonly before?: unknown; readonly after: unknown } | undefined {
  if (before === undefined) return { after: stateOf(after) }
  const [old, now] = [stateOf(before), stateOf(after)]
  const keys = Object.keys(now).filter((key) => !isDeepStrictEqual(old[key], now[key]))
  if (keys.length === 0) return undefined
  return { before: pick(old, keys, now), after: pick(now, keys, old) }
}

/** The keys of a version that are other than before, for its history and for whoever saw an older edition. */
export function changedKeys(before: VersionRow, after: VersionRow): readonly string[] {
  const [old, now] = [stateOf(before), stateOf(after)]
  return Object.keys(now).filter((key) => !isDeepStrictEqual(old[key], now[key]))
}

function stateOf(row: VersionRow): Readonly<Record<string, unknown>> {
  return {
    status: row.status,
    text: { sha256: row.text_sha256, bytes: row.text_bytes },
    metadata: bounded(withoutPeople(row.rule_metadata)),
    effective_from: row.effective_from?.toISOString() ?? null,
    expires_at: row.expires_at?.toISOString() ?? null,
    rejudge: row.rejudge,
    git_commit: row.git_commit_sha,
  }
}

/** The text of a record stays for years, and a scope can name people: it tells how many. */
function withoutPeople(metadata: VersionMetadata): Readonly<Record<string, unknown>> {
  const users = metadata.scope?.['users']
  return users === undefined || users.length === 0
    ? { ...metadata }
    : { ...metadata, scope: { ...metadata.scope, users: `${users.length} people` } }
}

function bounded(metadata: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => {
      const json = JSON.stringify(value)
      return [key, Buffer.byteLength(json) <= MAX_VALUE_BYTES ? value : digestOf(json)]
    }),
  )
}

function pick(
  state: Readonly<Record<string, unknown>>,
  keys: readonly string[],
  other: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    keys.map((key) => [
      key,
      key === 'metadata' ? differing(state[key] as object, other[key] as object) : state[key],
    ]),
  )
}

function differing(some: object, other: object): Record<string, unknown> {
  const others = other as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    Object.entries(some).filter(([key, value]) => !isDeepStrictEqual(value, others[key])),
  )
}
