// What a store holds of the ledger, counted: what is missing, what is there twice, where numbers have holes.

import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'

export interface Census {
  readonly decisions: number
  /** Records that stand in the store more than once, by writer and number. */
  readonly doubled: readonly string[]
  /** Writers whose numbers are not 1 to the cursor, each once. */
  readonly holes: readonly string[]
  readonly ids: ReadonlySet<string>
  readonly paths: ReadonlySet<string>
  /** Lost and told: the sum of all gap records. */
  readonly told: number
}

const CATCH_UP_MS = 120_000
const TABLES = ['decisions', 'outcomes', 'audit_events', 'gaps', 'dead_letters'] as const

/** Reads everything: for tests with some hundred thousand records. */
export async function census(databaseUrl: string): Promise<Census> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const all = TABLES.map((table) => `select writer, seq from ${table}`).join(' union all ')
    const writers = await client.query<Record<string, string>>(
      `select w.writer, w.seq::text as cursor, count(a.seq)::text as rows, count(distinct a.seq)::text as numbers, coalesce(max(a.seq), 0)::text as last
       from writers w left join (${all}) a using (writer) group by 1, 2 order by 1`,
    )
    const decisions = await client.query<{ decision_id: string; path: string | null }>(
      `select decision_id::text, record::jsonb #>> '{input,resource,path}' as path from decisions`,
    )
    const gaps = await client.query<{ told: string }>(
      `select coalesce(sum(count), 0)::text as told from gaps`,
    )
    const ids = new Set(decisions.rows.map(({ decision_id: id }) => id))
    return {
      decisions: decisions.rows.length,
      doubled: [
        ...writers.rows.filter(({ rows, numbers }) => rows !== numbers),
        ...(ids.size === decisions.rows.length ? [] : [{ ids: ids.size }]),
      ].map((row) => JSON.stringify(row)),
      holes: writers.rows
        .filter(({ cursor, numbers, last }) => cursor !== last || numbers !== last)
        .map((row) => JSON.stringify(row)),
      ids,
      paths: new Set(decisions.rows.flatMap(({ path }) => (path === null ? [] : [path]))),
      told: Number(gaps.rows[0]?.told),
    }
  } finally {
    await client.end()
  }
}

/** What clients are owed. */
export interface Owed {
  readonly owed: ReadonlySet<string>
  readonly passed: ReadonlySet<string>
}

export function missingFrom({ ids, paths }: Census, { owed, passed }: Owed): string[] {
  return [...owed]
    .filter((id) => !ids.has(id))
    .concat([...passed].filter((path) => !paths.has(path)))
}

/** The store as soon as it has everything but what it tells as lost, or as it is after long enough. */
export async function caughtUp(databaseUrl: string, owed: Owed): Promise<Census> {
  const deadline = Date.now() + CATCH_UP_MS
  for (;;) {
    const found = await census(databaseUrl)
    const isWhole = missingFrom(found, owed).length <= found.told && found.holes.length === 0
    if (isWhole || Date.now() > deadline) return found
    await wait(200)
  }
}
