// The newest version of each stored policy, all of them at once: for whoever compares them with a folder.

import { type Kysely, sql, type Transaction } from 'kysely'
import type { PolicyStatus } from '../model/stored-policy.ts'
import type { Tables } from './tables.ts'

export interface LatestVersion {
  readonly policy_id: string
  readonly path: string
  /** The newest version. */
  readonly version: string
  readonly status: PolicyStatus
  readonly edition: number
  readonly text_sha256: string
  readonly contributors: readonly string[]
  /** Of the version in force; null: none is. */
  readonly active_sha256: string | null
}

const PAGE = 5000

export async function latestVersions(
  db: Kysely<Tables> | Transaction<Tables>,
  tenant: string,
): Promise<readonly LatestVersion[]> {
  const found: LatestVersion[] = []
  for (let after = ''; ;) {
    const { rows } = await sql<LatestVersion>`
      select p.policy_id, p.path, v.version, v.status, v.edition, v.text_sha256, v.contributors, a.text_sha256 as active_sha256
      from policies p
      cross join lateral (
        select version, status, edition, text_sha256, contributors from policy_versions
        where tenant = p.tenant and policy_id = p.policy_id order by number desc limit 1) v
      left join policy_versions a on a.tenant = p.tenant and a.policy_id = p.policy_id and a.status = 'active'
      where p.tenant = ${tenant} and p.policy_id collate "C" > ${after}
      order by p.policy_id collate "C" limit ${PAGE}`.execute(db)
    found.push(...rows)
    const last = rows.at(-1)
    if (rows.length < PAGE || last === undefined) return found
    after = last.policy_id
  }
}
