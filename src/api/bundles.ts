// The stored policies in force as OPA fetches them, with ETag, 304 and long poll; and what each node made of them.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import type { PolicyRollout } from '../governance/policy-rollout.ts'
import { type KeyRing, requires } from './key.ts'
import { closed } from './queries.ts'
import { PROBLEM } from './schemas.ts'

/** What can be fetched; the same files have the same etag on every replica. */
export interface OfferedBundle {
  readonly etag: string
  /** Undefined: it has been replaced meanwhile. */
  bytes(): Promise<Buffer | undefined>
}

export interface BundleDesk {
  /** Undefined: no stored policy was ever in force. */
  current(): Promise<OfferedBundle | undefined>
  /** Resolves once there may be another bundle, or after this time. */
  wait(forMs: number, gone: AbortSignal): Promise<void>
  rollout(): Promise<PolicyRollout>
}

const ProblemShape = Type.Object(
  { file: Type.String(), message: Type.String() },
  { additionalProperties: true },
)
const Nullable = Type.Union([Type.String(), Type.Null()])
const Rollout = Type.Object({
  head: Type.Union([Type.Object({ revision: Type.String(), number: Type.Integer() }), Type.Null()]),
  nodes: Type.Array(
    Type.Object({
      node: Type.String(),
      name: Type.String(),
      role: Type.String(),
      version: Type.String(),
      rules: Type.String({ description: 'Policies, catalogue and settings together.' }),
      revision: Nullable,
      number: Type.Integer(),
      wanted: Nullable,
      current: Type.Boolean({ description: 'Whether the head is in force there.' }),
      problems: Type.Array(ProblemShape),
      bundles: Type.Array(
        Type.Object({
          name: Type.String(),
          revision: Nullable,
          etag: Nullable,
          active_since: Nullable,
          last_success: Nullable,
          problems: Type.Array(ProblemShape),
        }),
      ),
      active_since: Nullable,
      seen_at: Type.String({ format: 'date-time' }),
      age_s: Type.Integer({ description: 'Seconds since the node told of itself.' }),
    }),
  ),
})

/** What the bundle of the store is called. */
const NAME = 'cordon'
/** By this type OPA knows that it may ask us to wait. */
const TYPE = 'application/vnd.openpolicyagent.bundles'
const MAX_WAIT_S = 300
const Params = Type.Object({ name: Type.String({ maxLength: 200 }) }, closed)
const Bytes = Type.String({ format: 'binary', description: `A bundle (gzip), as ${TYPE}.` })
const refused = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 404: PROBLEM, 503: PROBLEM }

export function bundleRoutes(
  app: FastifyInstance,
  { keys, bundles }: { readonly keys: KeyRing; readonly bundles: BundleDesk },
): void {
  for (const path of ['/v1/bundles/:name', '/bundles/:name']) {
    app.get<{ Params: { name: string } }>(
      path,
      {
        onRequest: requires(keys, 'policies:read'),
        schema: {
          summary: `The stored policies in force as an OPA bundle: ${NAME}.tar.gz; waits for a change where Prefer asks for it`,
          tags: ['policies'],
          params: Params,
          response: { 200: Bytes, 304: Type.Null(), ...refused },
          ...(path.startsWith('/v1/') ? {} : { hide: true }),
        },
      },
      (request, reply) => serve(bundles, request, reply),
    )
  }
  app.get(
    '/v1/policies/status',
    {
      onRequest: requires(keys, 'policies:read'),
      schema: {
        summary:
          'Which revision of the stored policies each node has in force, and what it refuses',
        tags: ['policies'],
        response: { 200: Rollout, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM },
      },
    },
    () => bundles.rollout(),
  )
}

async function serve(
  bundles: BundleDesk,
  request: FastifyRequest<{ Params: { name: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (request.params.name.replace(/\.tar\.gz$/, '') !== NAME)
    throw new CordonError('NOT_FOUND', `there is no such bundle: ask for ${NAME}.tar.gz`)
  const known = tagsOf(request.headers['if-none-match'])
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  // Before the first look, so that no change falls between the two.
  const waitMs = known.length === 0 ? 0 : waitOf(request.headers['prefer'])
  const change = waitMs === 0 ? undefined : bundles.wait(waitMs, gone.signal)
  let offered = await bundles.current()
  if (change !== undefined && offered !== undefined && matches(known, offered.etag)) {
    await change
    offered = await bundles.current()
  }
  gone.abort()
  if (offered === undefined)
    throw new CordonError('NOT_FOUND', 'no stored policy was ever in force: activate one first')
  reply.header('etag', `"${offered.etag}"`).header('cache-control', 'no-cache').type(TYPE)
  if (matches(known, offered.etag)) return reply.code(304).send()
  const bytes = await offered.bytes()
  if (bytes === undefined)
    throw new CordonError('STORE_UNAVAILABLE', 'the bundle has just been replaced: ask again')
  return reply.send(bytes)
}

/** Tags as they stand in If-None-Match, compared weakly (RFC 9110 section 13.1.2). */
function tagsOf(header: string | undefined): readonly string[] {
  if (header === undefined || header === '') return []
  return header
    .slice(0, 4096)
    .split(',')
    .map((tag) =>
      tag
        .trim()
        .replace(/^W\//, '')
        .replace(/^"(.*)"$/, '$1'),
    )
}

function matches(tags: readonly string[], etag: string): boolean {
  return tags.includes(etag) || tags.includes('*')
}

/** `Prefer: modes=snapshot,delta;wait=60` in milliseconds; a snapshot is what is always given. */
function waitOf(header: string | readonly string[] | undefined): number {
  const [, seconds = '0'] = /(?:^|[;,\s])wait=(\d{1,6})/.exec(String(header ?? '')) ?? []
  return Math.min(Number(seconds), MAX_WAIT_S) * 1000
}
