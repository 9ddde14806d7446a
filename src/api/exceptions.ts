// Exceptions from policies: asked for, decided by somebody else, revoked, and what they let through.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import { EXCEPTION_STATUSES, LIFTS } from '../model/exception.ts'
import { SOURCES } from '../model/request.ts'
import { type ApiKey, type KeyRing, requires } from './key.ts'
import type { DecisionFilter, Page } from './lists.ts'
import { closed, Name, paging } from './queries.ts'
import { nullable, pageOf, PROBLEM } from './schemas.ts'

const Word = Type.String({ pattern: '^[a-z][a-z0-9]*(_[a-z0-9]+)*$', maxLength: 64 })
const Called = Type.String({ minLength: 1, maxLength: 320, pattern: String.raw`^[^\u0000]*$` })
export const InstantText = Type.String({
  format: 'date-time',
  description: 'RFC 3339, such as 2026-12-24T00:00:00Z',
})
export const Description = Type.String({ minLength: 1, maxLength: 500 })
const MAX_ITEMS = 100

export const conditionsSchema = Type.Object(
  {
    max_uses: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000_000,
        description: 'Decisions that it may let through, exact over all gateways.',
      }),
    ),
    data_types: Type.Optional(
      Type.Array(Word, {
        maxItems: MAX_ITEMS,
        description:
          'Types or categories of findings: all that is found must be among them, and all of the content must have been seen.',
      }),
    ),
    hours: Type.Optional(
      Type.Object(
        {
          from: Type.Integer({ minimum: 0, maximum: 23 }),
          to: Type.Integer({ minimum: 0, maximum: 24 }),
        },
        {
          ...closed,
          description: 'Of the day, in the time zone of the gateway; 22 to 6 is over midnight.',
        },
      ),
    ),
    weekdays: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), {
        minItems: 1,
        maxItems: 7,
        description: '1 is Monday.',
      }),
    ),
    sources: Type.Optional(Type.Array(Type.Enum([...SOURCES]), { minItems: 1, maxItems: 10 })),
    actions: Type.Optional(Type.Array(Word, { minItems: 1, maxItems: MAX_ITEMS })),
  },
  { ...closed, description: 'All that are given must hold.' },
)

const RequestBody = Type.Object(
  {
    user: Type.Optional(Called),
    department: Type.Optional(Called),
    group: Type.Optional(Called),
    policy: Type.Optional(Called),
    service: Type.Optional(Called),
    lifts: Type.Optional(
      Type.Enum([...LIFTS], {
        description:
          'policy: the policy that is named. Without one: everything that refuses at the service, or only its defaults.',
      }),
    ),
    reason: Description,
    justification: Type.Optional(Type.String({ maxLength: 4000 })),
    from: Type.Optional(InstantText),
    until: Type.Optional(InstantText),
    conditions: Type.Optional(conditionsSchema),
  },
  {
    ...closed,
    description:
      'Whom it is for: at least one of user, department and group. What it is for: policy, service or both.',
  },
)
export type ExceptionBody = Static<typeof RequestBody>

const ExceptionQuery = Type.Object(
  {
    user: Name,
    department: Name,
    group: Name,
    policy: Name,
    service: Name,
    status: Type.Optional(Type.Enum([...EXCEPTION_STATUSES])),
    review_id: Type.Optional(Type.String({ format: 'uuid' })),
    ...paging,
  },
  closed,
)
export type ExceptionFilter = Static<typeof ExceptionQuery>

type Exception = Readonly<Record<string, unknown>>

/** Undefined where there is no such exception; throws CONFLICT where it is in another state. */
export interface ExceptionDesk {
  list(filter: ExceptionFilter): Promise<Page>
  show(id: string): Promise<Exception | undefined>
  uses(filter: DecisionFilter): Promise<Page>
  request(request: ExceptionBody, by: ApiKey): Promise<Exception>
  /** Throws OWN_REQUEST for whoever asked or benefits. */
  approve(id: string, comment: string | undefined, by: ApiKey): Promise<Exception | undefined>
  deny(id: string, reason: string, by: ApiKey): Promise<Exception | undefined>
  revoke(id: string, reason: string, by: ApiKey): Promise<Exception | undefined>
}

const Text = Type.String()
const OptionalText = nullable(Text)
const OptionalAt = nullable(Type.String({ format: 'date-time' }))
const ExceptionSchema = Type.Object({
  exception_id: Type.String({ format: 'uuid' }),
  status: Type.Enum([...EXCEPTION_STATUSES]),
  exception_type: Type.String({ description: 'temporary, or permanent: without an end.' }),
  user: nullable(
    Type.Object({
      id: nullable(Type.String({ description: 'Null where people are shown by pseudonyms.' })),
      name: OptionalText,
    }),
  ),
  department: OptionalText,
  group: OptionalText,
  policy_id: OptionalText,
  service_id: OptionalText,
  lifts: Type.Enum([...LIFTS]),
  conditions: conditionsSchema,
  effective_from: OptionalAt,
  effective_until: OptionalAt,
  reason: Text,
  justification: OptionalText,
  requested_by: OptionalText,
  requested_by_name: OptionalText,
  requested_at: OptionalAt,
  approved_by: OptionalText,
  approved_by_name: OptionalText,
  approved_at: OptionalAt,
  comment: OptionalText,
  denied_by: OptionalText,
  denied_by_name: OptionalText,
  denied_at: OptionalAt,
  denial_reason: OptionalText,
  revoked_by: OptionalText,
  revoked_by_name: OptionalText,
  revoked_at: OptionalAt,
  revocation_reason: OptionalText,
  expired_at: OptionalAt,
  usage_count: Type.Integer({ description: 'Decisions that it let through.' }),
  last_used: OptionalAt,
  review_id: nullable(Type.String({ description: 'The review whose approval made it.' })),
})
/** A decision, as lists have it. */
const Row = Type.Object({}, { additionalProperties: true })
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }
const decided = { 200: ExceptionSchema, 404: PROBLEM, 409: PROBLEM, ...answers }
const IdOfPath = Type.Object({ id: Type.String({ format: 'uuid' }) }, closed)
const WithReason = Type.Object({ reason: Description }, closed)

export function exceptionRoutes(
  app: FastifyInstance,
  { keys, exceptions }: { readonly keys: KeyRing; readonly exceptions: ExceptionDesk },
): void {
  const reads = requires(keys, 'exceptions:read')
  const writes = requires(keys, 'exceptions:write')

  app.get<{ Querystring: ExceptionFilter }>(
    '/v1/exceptions',
    {
      onRequest: reads,
      schema: {
        summary: 'Exceptions, newest first',
        tags: ['exceptions'],
        querystring: ExceptionQuery,
        response: { 200: pageOf(ExceptionSchema), ...answers },
      },
    },
    ({ query }) => exceptions.list(query),
  )
  app.post<{ Body: ExceptionBody }>(
    '/v1/exceptions',
    {
      onRequest: writes,
      schema: {
        summary: 'Ask for an exception; somebody else approves it',
        tags: ['exceptions'],
        body: RequestBody,
        response: { 201: ExceptionSchema, 429: PROBLEM, ...answers },
      },
    },
    async ({ body, apiKey }, reply) => {
      const made = await exceptions.request(body, given(apiKey))
      return reply
        .code(201)
        .header('location', `/v1/exceptions/${String(made['exception_id'])}`)
        .send(made)
    },
  )
  app.get<{ Params: { id: string } }>(
    '/v1/exceptions/:id',
    {
      onRequest: reads,
      schema: {
        summary: 'One exception',
        tags: ['exceptions'],
        params: IdOfPath,
        response: { 200: ExceptionSchema, 404: PROBLEM, ...answers },
      },
    },
    async ({ params }) => found(await exceptions.show(params.id)),
  )
  app.get<{ Params: { id: string }; Querystring: { limit?: number; cursor?: string } }>(
    '/v1/exceptions/:id/uses',
    {
      onRequest: requires(keys, 'decisions:read'),
      schema: {
        summary: 'The decisions that an exception had a part in, newest first',
        tags: ['exceptions'],
        params: IdOfPath,
        querystring: Type.Object({ ...paging }, closed),
        response: { 200: pageOf(Row), 404: PROBLEM, ...answers },
      },
    },
    async ({ params, query }) => {
      found(await exceptions.show(params.id))
      return exceptions.uses({ ...query, exception_id: params.id })
    },
  )
  app.post<{ Params: { id: string }; Body: { comment?: string } | null }>(
    '/v1/exceptions/:id/approve',
    {
      onRequest: writes,
      schema: {
        summary: 'Approve an exception; never by who asked for it, nor by whom it is for',
        tags: ['exceptions'],
        params: IdOfPath,
        body: Type.Union([
          Type.Object({ comment: Type.Optional(Type.String({ maxLength: 4000 })) }, closed),
          Type.Null(),
        ]),
        response: decided,
      },
    },
    async ({ params, body, apiKey }) =>
      found(await exceptions.approve(params.id, body?.comment, given(apiKey))),
  )
  for (const [act, summary] of [
    ['deny', 'Deny an exception that waits'],
    ['revoke', 'Revoke an exception; within two seconds it holds nowhere'],
  ] as const)
    app.post<{ Params: { id: string }; Body: { reason: string } }>(
      `/v1/exceptions/:id/${act}`,
      {
        onRequest: writes,
        schema: {
          summary,
          tags: ['exceptions'],
          params: IdOfPath,
          body: WithReason,
          response: decided,
        },
      },
      async ({ params, body, apiKey }) =>
        found(await exceptions[act](params.id, body.reason, given(apiKey))),
    )
}

function given(key: ApiKey | null): ApiKey {
  if (key === null) throw new CordonError('UNAUTHENTICATED', 'send an API key')
  return key
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new CordonError('NOT_FOUND', 'no such exception')
  return row
}
