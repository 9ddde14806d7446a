// The break-glass mode of a tenant, which holds for every gateway of the store.

import type { Kysely } from 'kysely'
import type { Mode } from '../model/decision.ts'
import type { Tables } from './tables.ts'

/** What is in force at this moment (milliseconds since the epoch), if anything. */
export async function modeInForce(
  db: Kysely<Tables>,
  tenant: string,
  now: number,
): Promise<{ readonly mode: Mode; readonly until: number } | undefined> {
  const row = await db
    .selectFrom('point_modes')
    .select(['mode', 'until'])
    .where('tenant', '=', tenant)
    .executeTakeFirst()
  const until = row?.until.getTime() ?? 0
  return row !== undefined && until > now ? { mode: row.mode as Mode, until } : undefined
}
