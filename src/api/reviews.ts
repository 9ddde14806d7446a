// The queue of reviews: who is to answer, by when, and the answers.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import { conditionsSchema, Description, InstantText } from './exceptions.ts'
import { type ApiKey, grants, type KeyRing, requires } from './key.ts'
import type { Page } from './lists.ts'
import { closed, Name, paging } from './queries.ts'
import { nullable, pageOf, PROBLEM } from './schemas.ts'

const ReviewQuery = Type.Object(
  {
    user: Name,
    service: Name,
    policy: Name,
    status: Type.Optional(Type.Enum(['pending', 'approved', 'denied', 'expired'])),
    assignee: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 320,
        pattern: String.raw`^[^\u0000]*$`,
        description: 'A user, by whatever they are called; me; or none',
      }),
    ),
    overdue: Type.Optional(
      Type.Enum(['true', 'false'], { description: 'Pending beyond its time, or not' }),
    ),
    order: Type.Optional(
      Type.Enum(['newest', 'oldest'], { default: 'newest', description: 'Which come first' }),
    ),
    ...paging,
  },
  closed,
)
export type ReviewFilter = Static<typeof ReviewQuery>

const AnswerBody = Type.Object(
  {
    decision: Type.Enum(['approve', 'deny']),
    comment: Type.Optional(Type.String({ maxLength: 4096 })),
    exception: Type.Optional(
      Type.Object(
        {
          from: Type.Optional(InstantText),
          until: Type.Optional(InstantText),
          reason: Type.Optional(Description),
          justification: Type.Optional(Type.String({ maxLength: 4000 })),
          conditions: Type.Optional(conditionsSchema),
        },
        {
          ...closed,
          description:
            'With an approval: an exception for the person, in place of review_valid. Needs exceptions:write too.',
        },
      ),
    ),
  },
  closed,
)
export type AnswerRequest = Static<typeof AnswerBody>

type Review = Readonly<Record<string, unknown>>

export interface ReviewDesk {
  list(filter: ReviewFilter): Promise<Page>
  /** Undefined, here and below, where there is no such review. */
  show(id: string): Promise<Review | undefined>
  /** Throws CONFLICT where it is answered already, OWN_REQUEST where the person of the review approves it. */
  answer(id: string, answer: AnswerRequest, by: ApiKey): Promise<Review | undefined>
  assign(id: string, assignee: string | null, by: ApiKey): Promise<Review | undefined>
}

const Text = Type.String()
const OptionalText = nullable(Text)
const OptionalAt = nullable(Type.String({ format: 'date-time' }))
const ReviewSchema = Type.Object({
  review_id: Type.String({ format: 'uuid' }),
  status: Type.Enum(['pending', 'approved', 'denied', 'expired']),
  overdue: Type.Boolean({ description: 'Pending beyond `due_at`.' }),
  person: nullable(
    Type.String({
      description: 'The user id, for unknown people the login, else the client address.',
    }),
  ),
  person_name: OptionalText,
  service_id: Text,
  policy_id: nullable(Type.String({ description: 'Null: by default.' })),
  action: Text,
  reason: OptionalText,
  count: Type.Integer({ description: 'How often it was asked.' }),
  first_seen: OptionalAt,
  last_seen: OptionalAt,
  first_decision_id: OptionalText,
  due_at: OptionalAt,
  assignee: OptionalText,
  assignee_name: OptionalText,
  assigned_at: OptionalAt,
  assigned_by: OptionalText,
  escalation: Type.Integer({ description: 'How often it was escalated.' }),
  escalated_at: OptionalAt,
  answered_at: OptionalAt,
  answered_by: OptionalText,
  answered_by_name: OptionalText,
  comment: OptionalText,
  valid_until: nullable(
    Type.String({
      format: 'date-time',
      description: 'Of an approval: until then the same request passes.',
    }),
  ),
  exception_id: OptionalText,
})
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }
const IdOfPath = Type.Object({ id: Type.String({ format: 'uuid' }) }, closed)

export function reviewRoutes(
  app: FastifyInstance,
  { keys, desk }: { readonly keys: KeyRing; readonly desk: ReviewDesk },
): void {
  app.get<{ Querystring: ReviewFilter }>(
    '/v1/reviews',
    {
      onRequest: requires(keys, 'reviews:read'),
      schema: {
        summary: 'Reviews, newest first, or with order=oldest as a queue',
        tags: ['reviews'],
        querystring: ReviewQuery,
        response: { 200: pageOf(ReviewSchema), ...answers },
      },
    },
    ({ query, apiKey }) => desk.list(meant(query, apiKey)),
  )
  app.get<{ Params: { id: string } }>(
    '/v1/reviews/:id',
    {
      onRequest: requires(keys, 'reviews:read'),
      schema: {
        summary: 'One review',
        tags: ['reviews'],
        params: IdOfPath,
        response: { 200: ReviewSchema, 404: PROBLEM, ...answers },
      },
    },
    async ({ params }) => found(await desk.show(params.id)),
  )
  app.post<{ Params: { id: string }; Body: AnswerRequest }>(
    '/v1/reviews/:id',
    {
      onRequest: requires(keys, 'reviews:write'),
      schema: {
        summary:
          'Answer a review: frees what is held and, approved, lets the same request pass for review_valid',
        tags: ['reviews'],
        params: IdOfPath,
        body: AnswerBody,
        response: { 200: ReviewSchema, 404: PROBLEM, 409: PROBLEM, ...answers },
      },
    },
    async ({ params, body, apiKey }) => {
      const key = given(apiKey)
      if (body.exception !== undefined && !grants(key.scopes, 'exceptions:write'))
        throw new CordonError(
          'FORBIDDEN',
          'an answer that becomes an exception needs the scope exceptions:write too',
        )
      return found(await desk.answer(params.id, body, key))
    },
  )
  app.post<{ Params: { id: string }; Body: { assignee: string | null } }>(
    '/v1/reviews/:id/assign',
    {
      onRequest: requires(keys, 'reviews:write'),
      schema: {
        summary: 'Say who is to answer a review; null: nobody in particular',
        tags: ['reviews'],
        params: IdOfPath,
        body: Type.Object(
          {
            assignee: Type.Union([Type.String({ minLength: 1, maxLength: 320 }), Type.Null()], {
              description: 'A user: name, e-mail address, external id or id.',
            }),
          },
          closed,
        ),
        response: { 200: ReviewSchema, 404: PROBLEM, 409: PROBLEM, ...answers },
      },
    },
    async ({ params, body, apiKey }) =>
      found(await desk.assign(params.id, body.assignee, given(apiKey))),
  )
}

/** `me` is whoever the key belongs to. */
function meant(query: ReviewFilter, key: ApiKey | null): ReviewFilter {
  if (query.assignee !== 'me') return query
  const id = key?.user?.id
  if (id === undefined)
    throw new CordonError('INPUT_INVALID', 'this API key belongs to nobody, so nobody is "me"', {
      problems: [{ file: '/querystring/assignee', message: 'names nobody' }],
    })
  return { ...query, assignee: id }
}

function given(key: ApiKey | null): ApiKey {
  if (key === null) throw new CordonError('UNAUTHENTICATED', 'send an API key')
  return key
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new CordonError('NOT_FOUND', 'no such review')
  return row
}
