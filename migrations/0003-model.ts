// The model that a request asked for: what a policy decided on has to be found in lists and exports.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(`alter table decisions add column resource_model text`).execute(db)
}
