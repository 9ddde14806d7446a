// What is in force of the stored policies, as bundles; which of them is the head; and what the nodes made of it.

import { createHash } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import type { Tables } from './tables.ts'

type Db = Kysely<Tables> | Transaction<Tables>

/** What every node is to have in force. */
export interface RevisionHead {
  /** Counts the changes of what is in force. */
  readonly number: number
  /** Of the last change after which what is open is to be judged again. */
  readonly rejudge_number: number
  /** `sha256:<hex>` over the sources. */
  readonly revision: string
}

export interface NewRevision {
  readonly revision: string
  readonly bundle: Buffer
  readonly files: number
  readonly policies: number
}

/** What a node tells of itself. */
export interface NodeState {
  readonly node: string
  readonly name: string
  readonly role: string
  readonly version: string
  /** Everything that decides there: policies, catalogue and settings. */
  readonly rules: string
  /** The stored policies in force there; null: none yet. */
  readonly revision: string | null
  readonly number: number
  /** What it should have in force and refuses; null: nothing. */
  readonly wanted: string | null
  readonly problems: readonly Problem[]
  readonly bundles: readonly BundleState[]
  readonly active_since: Date | null
}

/** A bundle that a node reads from elsewhere. */
export interface BundleState {
  readonly name: string
  /** As its maker names it; null: never had. */
  readonly revision: string | null
  readonly etag: string | null
  /** RFC 3339, as of the node's clock. */
  readonly active_since: string | null
  readonly last_success: string | null
  readonly problems: readonly Problem[]
}

export interface NodeSeen extends NodeState {
  readonly seen_at: Date
  /** Seconds since it was heard of, by the database's clock. */
  readonly age_s: number
}

/** Bundles that are kept behind the head: nodes may be fetching one. */
const KEPT = 10
const MAX_NODES = 1000
/** A node that is silent for so long has gone. */
const FORGOTTEN = '1 hour'

export class PolicyRevisions {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  /** Makes a revision the head. `db`: the transaction of the change that led to it. */
  async publish(next: NewRevision, rejudge: boolean, db: Db): Promise<RevisionHead> {
    const { revision, bundle, files, policies } = next
    const sha256 = createHash('sha256').update(bundle).digest('hex')
    await sql`
      insert into policy_revisions (tenant, revision, bundle, sha256, bytes, files, policies)
      values (${this.#tenant}, ${revision}, ${bundle}, ${sha256}, ${bundle.length}, ${files}, ${policies})
      on conflict (tenant, revision) do update set bundle = excluded.bundle, sha256 = excluded.sha256,
        bytes = excluded.bytes, created_at = now()`.execute(db)
    const { rows } = await sql<HeadRow>`
      insert into policy_heads (tenant, number, rejudge_number, revision)
      values (${this.#tenant}, 1, ${rejudge ? 1 : 0}, ${revision})
      on conflict (tenant) do update set number = policy_heads.number + 1, revision = excluded.revision, changed_at = now(),
        rejudge_number = case when ${rejudge} then policy_heads.number + 1 else policy_heads.rejudge_number end
      returning number, rejudge_number, revision`.execute(db)
    await sql`
      delete from policy_revisions where tenant = ${this.#tenant} and revision <> ${revision} and revision not in (
        select revision from policy_revisions where tenant = ${this.#tenant} order by created_at desc, revision limit ${KEPT})`.execute(
      db,
    )
    const [row] = rows
    if (row === undefined) throw new CordonError('INTERNAL', 'the head of the policies is gone')
    return headOf(row)
  }

  /** Undefined: nothing of the store was ever in force. */
  async head(db: Db = this.#db): Promise<RevisionHead | undefined> {
    const { rows } = await sql<HeadRow>`
      select number, rejudge_number, revision from policy_heads where tenant = ${this.#tenant}`.execute(
      db,
    )
    return rows[0] === undefined ? undefined : headOf(rows[0])
  }

  /** The bundle of a revision, as it was published; undefined where it is not kept any more. Throws BUNDLE_INVALID. */
  async bundle(revision: string): Promise<Buffer | undefined> {
    const { rows } = await sql<{ bundle: Buffer; sha256: string }>`
      select bundle, sha256 from policy_revisions where tenant = ${this.#tenant} and revision = ${revision}`.execute(
      this.#db,
    )
    const [row] = rows
    if (row === undefined) return undefined
    const bundle = Buffer.from(row.bundle)
    if (createHash('sha256').update(bundle).digest('hex') !== row.sha256)
      throw new CordonError(
        'BUNDLE_INVALID',
        `the bundle of ${revision} is damaged in the store: activate a policy again`,
      )
    return bundle
  }

  /** Revisions that were published before a moment and are kept, the newest first. */
  async before(time: Date, limit: number): Promise<readonly string[]> {
    const { rows } = await sql<{ revision: string }>`
      select revision from policy_revisions where tenant = ${this.#tenant}
      order by created_at > ${time}, created_at desc, revision limit ${limit}`.execute(this.#db)
    return rows.map(({ revision }) => revision)
  }

  async tellNode(state: NodeState): Promise<void> {
    const { node, name, role, version, rules, revision, number, wanted, problems, bundles } = state
    await sql`
      insert into policy_nodes (tenant, node, name, role, version, rules, revision, number, wanted, problems, bundles, active_since)
      values (${this.#tenant}, ${node}, ${name}, ${role}, ${version}, ${rules}, ${revision}, ${number}, ${wanted},
        ${JSON.stringify(problems)}::jsonb, ${JSON.stringify(bundles)}::jsonb, ${state.active_since})
      on conflict (tenant, node) do update set name = excluded.name, role = excluded.role, version = excluded.version,
        rules = excluded.rules, revision = excluded.revision, number = excluded.number, wanted = excluded.wanted,
        problems = excluded.problems, bundles = excluded.bundles, active_since = excluded.active_since, seen_at = now()`.execute(
      this.#db,
    )
    await sql`
      delete from policy_nodes where tenant = ${this.#tenant} and seen_at < now() - ${FORGOTTEN}::interval`.execute(
      this.#db,
    )
  }

  /** It has ended in order. */
  async forgetNode(node: string): Promise<void> {
    await sql`delete from policy_nodes where tenant = ${this.#tenant} and node = ${node}`.execute(
      this.#db,
    )
  }

  /** Those that were heard of within the last hour, by name. */
  async nodes(): Promise<readonly NodeSeen[]> {
    const { rows } = await sql<NodeSeen & { number: string; age_s: string }>`
      select node, name, role, version, rules, revision, number, wanted, problems, bundles, active_since, seen_at,
        extract(epoch from now() - seen_at) as age_s
      from policy_nodes where tenant = ${this.#tenant} and seen_at >= now() - ${FORGOTTEN}::interval
      order by name, role, node limit ${MAX_NODES}`.execute(this.#db)
    return rows.map((row) => ({
      ...row,
      number: Number(row.number),
      age_s: Math.max(0, Math.round(Number(row.age_s))),
    }))
  }
}

interface HeadRow {
  readonly number: string
  readonly rejudge_number: string
  readonly revision: string
}

function headOf({ number, rejudge_number, revision }: HeadRow): RevisionHead {
  return { number: Number(number), rejudge_number: Number(rejudge_number), revision }
}
