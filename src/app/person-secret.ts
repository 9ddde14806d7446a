// The secret that keys of people are made with: of the tenant, so it lies in the store, where every gateway finds it.
//
// Each data directory keeps a copy beside its signing key. A new store takes it from there, so that people go by the
// same keys as in the segments that are replayed into it.

import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import type { Tables } from '../store/tables.ts'

const SECRET_BYTES = 32

/** The secret of the tenant (32 bytes), made where there is none. */
export async function personSecret(
  db: Kysely<Tables>,
  tenant: string,
  dataDir: string,
): Promise<Buffer> {
  const file = fileIn(dataDir)
  const own = readOwn(file)
  await sql`
    insert into person_secrets (tenant, secret) values (${tenant}, ${own ?? randomBytes(SECRET_BYTES)})
    on conflict do nothing`.execute(db)
  const { rows } = await sql<{ secret: Buffer }>`
    select secret from person_secrets where tenant = ${tenant}`.execute(db)
  const secret = rows[0]?.secret
  if (secret === undefined) throw new CordonError('INTERNAL', 'the secret of people is gone')
  if (own?.equals(secret) !== true) writeOwn(file, secret)
  return secret
}

/** The copy of this data directory; undefined where it has never met a store. Throws CONFIG_INVALID. */
export function ownPersonSecret(dataDir: string): Buffer | undefined {
  return readOwn(fileIn(dataDir))
}

function fileIn(dataDir: string): string {
  return join(dataDir, 'keys', 'people.key')
}

function readOwn(file: string): Buffer | undefined {
  if (!existsSync(file)) return undefined
  const text = readFileSync(file, 'latin1').trim()
  if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, 'hex')
  throw new CordonError(
    'CONFIG_INVALID',
    `${file} is no key (64 hex digits): remove it, and it is made anew from the store`,
  )
}

/** Whole or not at all: another process of this folder may be starting too. */
function writeOwn(file: string, secret: Buffer): void {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${secret.toString('hex')}\n`, { mode: 0o600 })
  renameSync(draft, file)
}
