// Which records retention has told to go, by their numbers: what is missing beside them was taken by somebody else. The audit
// record `retention_applied` with that event_id has the hash of them.

import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  // A bit for each of the numbers 4096 * block + 1 to 4096 * block + 4096, in 512 bytes (src/store/gone-numbers.ts).
  await sql
    .raw(
      `create table retention_numbers (
         tenant text not null, event_id uuid not null, writer uuid not null, block bigint not null,
         numbers bytea not null check (length(numbers) = 512), primary key (tenant, event_id, writer, block))`,
    )
    .execute(db)
}
