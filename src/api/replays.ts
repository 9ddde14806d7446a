// Replays of drafts over recorded decisions, and what policies in warn and audit would have changed.

import type { FastifyInstance } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import type { ReplayJob, ReplayRequest } from '../governance/replays.ts'
import type { ShadowReport } from '../governance/shadow.ts'
import { EFFECTS } from '../model/decision.ts'
import { type ApiKey, type KeyRing, requiresEach } from './key.ts'
import { closed } from './queries.ts'
import { PROBLEM } from './schemas.ts'

export interface ReplayDesk {
  start(request: ReplayRequest, by: ApiKey): Promise<ReplayJob>
  list(): readonly ReplayJob[]
  get(id: string): ReplayJob
  cancel(id: string): ReplayJob
  shadow(
    policy: string,
    query: { readonly from?: string; readonly to?: string; readonly top?: number },
  ): Promise<ShadowReport>
}

const MAX_FILES = 1000
const Time = (description: string) =>
  Type.Optional(Type.String({ format: 'date-time', description }))
const range = {
  from: Time('RFC 3339; default: a week before `to`'),
  to: Time('RFC 3339, exclusive; default: now'),
}
const limit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'The newest so many decisions' }),
)
const alone = Type.Optional(
  Type.Boolean({
    default: false,
    description: 'Without the policies that are in force beside them',
  }),
)
const Name = (maxLength: number) => Type.String({ minLength: 1, maxLength })
const ReplayBody = Type.Object(
  {
    policies: Type.Optional(
      Type.Object(
        {
          policy_id: Type.Optional(Name(256)),
          version: Type.Optional(Name(100)),
          files: Type.Optional(
            Type.Array(
              Type.Object({ path: Name(200), text: Type.String({ minLength: 1 }) }, closed),
              { minItems: 1, maxItems: MAX_FILES },
            ),
          ),
          alone,
        },
        {
          ...closed,
          description:
            'A stored version as it would be after its activation, or files in place of stored ones; default: the policies in force',
        },
      ),
    ),
    ...range,
    limit,
  },
  closed,
)
const VersionBody = Type.Object({ ...range, limit, alone }, closed)
const Id = Type.Object({ id: Type.String({ format: 'uuid' }) }, closed)
const PolicyId = Type.Object({ id: Name(256) }, closed)
const PolicyVersion = Type.Object({ id: Name(256), version: Name(100) }, closed)
const ShadowQuery = Type.Object(
  {
    from: Time(
      'RFC 3339; default: since the active version of a stored policy is active, else a week before `to`',
    ),
    to: range.to,
    top: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 20 })),
  },
  closed,
)

const nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const Count = Type.Integer({ minimum: 0 })
const Text = nullable(Type.String())
const Effect = Type.Enum([...EFFECTS])
const Moment = Type.String({ format: 'date-time' })
const Ids = Type.Array(Type.String())
const counts = {
  decisions: Count,
  compared: Type.Integer({ description: 'Those of which can be told what the draft says' }),
  cannot_tell: Count,
  changed: Type.Integer({ description: 'Another answer, or the same with other obligations' }),
  newly_denied: Count,
  newly_reviewed: Count,
  newly_allowed: Count,
  obligations_changed: Count,
  would_be_changed: Count,
  newly_failing: Count,
  matrix: Type.Object(
    Object.fromEntries(
      EFFECTS.map((old) => [
        old,
        Type.Object(Object.fromEntries(EFFECTS.map((fresh) => [fresh, Count]))),
      ]),
    ),
    { description: 'Old answer, then new one' },
  ),
}
const Grouped = Type.Object({
  items: Type.Array(Type.Object({ name: Text, ...counts })),
  other: nullable(Type.Object({ names: nullable(Count), ...counts })),
})
const By = Type.Object({ department: Grouped, service: Grouped, user: Grouped })
const change = {
  from: Effect,
  to: Effect,
  obligations_changed: Type.Boolean(),
  old_policy_id: Text,
  new_policy_id: Text,
  department: Text,
  service: Text,
}
const Report = Type.Object({
  revision: Type.String(),
  policies: Count,
  oldest: nullable(Moment),
  newest: nullable(Moment),
  ...counts,
  unreadable: Count,
  evaluations: Type.Integer({ description: 'Equal documents run once' }),
  identical: Type.Integer({ description: 'All that the record tells is as it was' }),
  obligations_unknown: Count,
  by: By,
  samples: Type.Object({
    frequent: Type.Array(
      Type.Object({ ...change, count: Count, newest: Moment, decision_ids: Ids }),
    ),
    newest: Type.Array(
      Type.Object({ decision_id: Type.String(), time: Moment, ...change, user: Text }),
    ),
  }),
  failing: Type.Array(
    Type.Object({
      policy_id: Type.String(),
      error: Type.String(),
      count: Count,
      decision_ids: Ids,
    }),
  ),
  masked: Type.Array(Type.Object({ path: Type.String(), count: Count, policy_ids: Ids }), {
    description: 'What recording left out and a policy would have read',
  }),
})
const Job = Type.Object({
  replay_id: Type.String({ format: 'uuid' }),
  state: Type.Enum(['running', 'complete', 'cancelled', 'limit', 'failed']),
  policies: Type.Object({ policy_id: Text, version: Text, files: Ids, alone: Type.Boolean() }),
  from: Moment,
  to: Moment,
  limit: nullable(Count),
  started_at: Moment,
  ended_at: nullable(Moment),
  progress: Type.Object({
    decisions: Count,
    expected: nullable(Count),
    share: Type.Number({ minimum: 0, maximum: 1 }),
  }),
  error: nullable(
    Type.Object({
      code: Type.String(),
      message: Type.String(),
      problems: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    }),
  ),
  report: nullable(Report),
})
const Shadow = Type.Object({
  policy_id: Type.String(),
  from: Moment,
  to: Moment,
  all_decisions: Count,
  ...counts,
  by: By,
  people_from: Moment,
  newest: Type.Array(
    Type.Object({
      decision_id: Type.String(),
      time: Moment,
      decision: Effect,
      would_be: Effect,
      department: Text,
      service: Text,
    }),
  ),
})
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 404: PROBLEM, 503: PROBLEM }

export function replayRoutes(
  app: FastifyInstance,
  { keys, replays }: { readonly keys: KeyRing; readonly replays: ReplayDesk },
): void {
  // It tells of policies as well as of what people did. To run one takes a core for a while: nothing for a key that only reads.
  const reads = requiresEach(keys, ['policies:read', 'policies:approve'], 'decisions:read')
  const runs = requiresEach(keys, ['policies:write', 'policies:approve'], 'decisions:read')
  const tags = ['replays']

  app.post<{ Body: Static<typeof ReplayBody> | null }>(
    '/v1/replays',
    {
      onRequest: runs,
      schema: {
        summary: 'Run policies over recorded decisions: what would be decided otherwise',
        tags,
        body: Type.Union([ReplayBody, Type.Null()]),
        response: { 202: Job, ...answers, 429: PROBLEM },
      },
    },
    async (request, reply) => {
      const job = await replays.start(request.body ?? {}, byOf(request.apiKey))
      return reply.code(202).header('location', `/v1/replays/${job.replay_id}`).send(job)
    },
  )
  app.post<{
    Params: Static<typeof PolicyVersion>
    Body: Static<typeof VersionBody> | null
  }>(
    '/v1/policies/:id/versions/:version/replay',
    {
      onRequest: runs,
      schema: {
        summary: 'The same for a stored version, as it would be after its activation',
        tags,
        params: PolicyVersion,
        body: Type.Union([VersionBody, Type.Null()]),
        response: { 202: Job, ...answers, 429: PROBLEM },
      },
    },
    async (request, reply) => {
      const { id, version } = request.params
      const { alone: isAlone = false, ...rest } = request.body ?? {}
      const job = await replays.start(
        { policies: { policy_id: id, version, alone: isAlone }, ...rest },
        byOf(request.apiKey),
      )
      return reply.code(202).header('location', `/v1/replays/${job.replay_id}`).send(job)
    },
  )
  app.get(
    '/v1/replays',
    {
      onRequest: reads,
      schema: {
        summary: 'Replays of this process, newest first, without their reports',
        tags,
        response: { 200: Type.Object({ items: Type.Array(Job) }), ...answers },
      },
    },
    () => ({ items: replays.list() }),
  )
  app.get<{ Params: Static<typeof Id> }>(
    '/v1/replays/:id',
    {
      onRequest: reads,
      schema: {
        summary: 'How far a replay is, and what it has seen so far',
        tags,
        params: Id,
        response: { 200: Job, ...answers },
      },
    },
    (request) => replays.get(request.params.id),
  )
  app.delete<{ Params: Static<typeof Id> }>(
    '/v1/replays/:id',
    {
      onRequest: runs,
      schema: {
        summary: 'Cancel a replay; what it has seen so far can still be read',
        tags,
        params: Id,
        response: { 200: Job, ...answers },
      },
    },
    (request) => replays.cancel(request.params.id),
  )
  app.get<{ Params: Static<typeof PolicyId>; Querystring: Static<typeof ShadowQuery> }>(
    '/v1/policies/:id/shadow',
    {
      onRequest: reads,
      schema: {
        summary: 'What a policy in warn or audit would have changed',
        tags,
        params: PolicyId,
        querystring: ShadowQuery,
        response: { 200: Shadow, ...answers },
      },
    },
    (request) => replays.shadow(request.params.id, request.query),
  )
}

function byOf(key: ApiKey | null): ApiKey {
  return key ?? { id: '', name: 'unknown', scopes: [] }
}
