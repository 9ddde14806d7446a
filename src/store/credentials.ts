// Proxy tokens and API keys: random, shown once, kept as SHA-256.

import { createHash, randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

export interface StoredKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly user?: {
    readonly id: string
    readonly name?: string
    readonly email?: string
    readonly external_id?: string
  }
}

const SECRET_BYTES = 32
const TOKEN_PREFIX = 'cdt_'
const KEY_PREFIX = 'cdk_'

/** 256 random bits leave nothing to guess, so a plain hash is enough. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

export class Credentials {
  readonly #db: Kysely<Tables>
  readonly #tenant: string

  constructor(db: Kysely<Tables>, tenant: string) {
    this.#db = db
    this.#tenant = tenant
  }

  async createToken(userId: string): Promise<string> {
    const token = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
    await this.#db
      .insertInto('proxy_tokens')
      .values({
        tenant: this.#tenant,
        user_id: userId,
        token_hash: hashOf(token),
        revoked_at: null,
      })
      .execute()
    return token
  }

  /** The person whose token it is, where the login is theirs too. */
  async verifyToken(
    login: string,
    token: string,
  ): Promise<{ readonly user_id: string } | undefined> {
    if (!token.startsWith(TOKEN_PREFIX)) return undefined
    const { rows } = await sql<{ user_id: string }>`
      select u.user_id from proxy_tokens t join users u on u.tenant = t.tenant and u.user_id = t.user_id
      where t.tenant = ${this.#tenant} and t.token_hash = ${hashOf(token)} and t.revoked_at is null
        and lower(${login}) in (lower(u.name), lower(u.email), lower(u.external_id))`.execute(
      this.#db,
    )
    return rows[0]
  }

  async createKey(name: string, scopes: readonly string[], userId: string | null): Promise<string> {
    const key = KEY_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
    await this.#db
      .insertInto('api_keys')
      .values({
        tenant: this.#tenant,
        name,
        scopes: [...scopes],
        user_id: userId,
        key_hash: hashOf(key),
        revoked_at: null,
      })
      .execute()
    return key
  }

  async findKey(key: string): Promise<StoredKey | undefined> {
    const { rows } = await sql<{
      key_id: string
      name: string
      scopes: string[]
      user_id: string | null
      user_name: string | null
      email: string | null
      external_id: string | null
    }>`
      select k.key_id, k.name, k.scopes, k.user_id, u.name as user_name, u.email, u.external_id
      from api_keys k left join users u on u.tenant = k.tenant and u.user_id = k.user_id
      where k.tenant = ${this.#tenant} and k.key_hash = ${hashOf(key)} and k.revoked_at is null`.execute(
      this.#db,
    )
    const row = rows[0]
    if (row === undefined) return undefined
    const user =
      row.user_id === null
        ? {}
        : {
            user: {
              id: row.user_id,
              ...(row.user_name === null ? {} : { name: row.user_name }),
              ...(row.email === null ? {} : { email: row.email }),
              ...(row.external_id === null ? {} : { external_id: row.external_id }),
            },
          }
    return { id: row.key_id, name: row.name, scopes: row.scopes, ...user }
  }
}
