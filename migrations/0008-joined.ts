// Up to where a store has all records of a writer, while a part of an archive (`replay --from`) has brought newer ones:
// the recorder goes on from there, and fills the hole. Null: up to the cursor. A former release's recorder does not look.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table writers add column joined bigint`.execute(db)
}
