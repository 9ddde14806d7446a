// Reports for those who watch: trend, top and first seen, of decisions and of violations.

import type { FastifyInstance } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { EFFECTS, MODES, SEVERITIES } from '../model/decision.ts'
import { SOURCES } from '../model/request.ts'
import {
  type Answer,
  BUCKETS,
  QUESTION_BY,
  QUESTION_OF,
  type TopQuestion,
  type TrendQuestion,
} from '../store/questions.ts'
import { type KeyRing, requires } from './key.ts'
import { closed, Name } from './queries.ts'
import { PROBLEM } from './schemas.ts'

/** Who answers. */
export interface QuestionDesk {
  trend(question: TrendQuestion): Promise<Answer>
  top(question: TopQuestion): Promise<Answer>
  firstSeen(question: TopQuestion): Promise<Answer>
}

const question = {
  of: Type.Optional(Type.Enum([...QUESTION_OF], { default: 'decisions' })),
  from: Type.Optional(
    Type.String({ format: 'date-time', description: 'RFC 3339; default: a week before `to`' }),
  ),
  to: Type.Optional(
    Type.String({ format: 'date-time', description: 'RFC 3339, exclusive; default: now' }),
  ),
  exact: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'Read the rows themselves (31 days at most) instead of sums by hour or day',
    }),
  ),
  user: Name,
  service: Name,
  department: Name,
  policy: Name,
  decision: Type.Optional(Type.Enum([...EFFECTS])),
  source: Type.Optional(Type.Enum([...SOURCES])),
  action: Name,
  mode: Type.Optional(Type.Enum([...MODES])),
  severity: Type.Optional(Type.Enum([...SEVERITIES])),
  would_be: Type.Optional(Type.Enum([...EFFECTS])),
  would_be_policy: Name,
  ai: Type.Optional(
    Type.Boolean({ description: 'AI services, known or suspected, or the others' }),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 1024 })),
}
const by = Type.Enum([...QUESTION_BY])
const TrendQuery = Type.Object(
  {
    ...question,
    by: Type.Optional(by),
    bucket: Type.Optional(Type.Enum([...BUCKETS], { default: 'hour' })),
  },
  closed,
)
const TopQuery = Type.Object(
  { ...question, by: Type.Optional(Type.Enum([...QUESTION_BY], { default: 'service' })) },
  closed,
)

const Moment = Type.String({ format: 'date-time' })
const nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const Count = Type.Integer({ minimum: 0 })
const AnswerSchema = Type.Object({
  from: Moment,
  to: Moment,
  read: Type.String({
    description:
      'The table of sums that was read, or the rows; `from` and `to` are widened to whole buckets of sums.',
  }),
  by: nullable(by),
  items: Type.Array(
    Type.Object({
      time: Type.Optional(Moment),
      name: nullable(Type.String()),
      person: Type.Optional(
        nullable(Type.String({ description: 'By person: what `user` takes.' })),
      ),
      count: Count,
      decisions: Type.Optional(
        Type.Object(Object.fromEntries(EFFECTS.map((effect) => [effect, Count]))),
      ),
      first_seen: Moment,
      last_seen: Moment,
    }),
  ),
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: 'Give it back as `cursor` for the next page.',
  }),
})
const answers = { 200: AnswerSchema, 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }

export function questionRoutes(
  app: FastifyInstance,
  { keys, questions }: { readonly keys: KeyRing; readonly questions: QuestionDesk },
): void {
  const onRequest = requires(keys, 'decisions:read')
  app.get<{ Querystring: Static<typeof TrendQuery> }>(
    '/v1/reports/trend',
    {
      onRequest,
      schema: {
        summary: 'How many decisions or violations, by hour or day',
        tags: ['reports'],
        querystring: TrendQuery,
        response: answers,
      },
    },
    (request) => questions.trend(request.query),
  )
  app.get<{ Querystring: Static<typeof TopQuery> }>(
    '/v1/reports/top',
    {
      onRequest,
      schema: {
        summary: 'Services, departments, policies, people or others with the most, those first',
        tags: ['reports'],
        querystring: TopQuery,
        response: answers,
      },
    },
    (request) => questions.top(request.query),
  )
  app.get<{ Querystring: Static<typeof TopQuery> }>(
    '/v1/reports/first-seen',
    {
      onRequest,
      schema: {
        summary: 'What was seen for the first time in the range, the newest first',
        tags: ['reports'],
        querystring: TopQuery,
        response: answers,
      },
    },
    (request) => questions.firstSeen(request.query),
  )
}
