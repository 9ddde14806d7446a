// The shapes of answers, for the OpenAPI document.

import { type TSchema, Type } from 'typebox'
import { EFFECTS, MODES } from '../model/decision.ts'

export const nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const EffectSchema = Type.Enum([...EFFECTS])
const OptionalEffect = Type.Union([EffectSchema, Type.Null()])

const FindingSchema = Type.Object({
  type: Type.String(),
  category: Type.String(),
  count: Type.Integer(),
  confidence: Type.Number(),
})

export const DecisionSchema = Type.Object({
  decision_id: Type.String({ format: 'uuid' }),
  decision: EffectSchema,
  reason: Type.String(),
  confidence: Type.Number({ minimum: 0, maximum: 1 }),
  risk_score: Type.Union([Type.Integer(), Type.Null()]),
  primary_policy_id: nullable(Type.String()),
  policies_evaluated: Type.Array(
    Type.Object({
      policy_id: Type.String(),
      policy_name: Type.String(),
      matched: Type.Boolean(),
      priority: Type.Integer(),
      effect: OptionalEffect,
      mode: Type.Enum([...MODES]),
      error: nullable(Type.String()),
    }),
  ),
  obligations: Type.Array(
    Type.Object({ type: Type.String(), parameters: Type.Record(Type.String(), Type.Unknown()) }),
  ),
  service: Type.Union([Type.Object({ id: Type.String(), name: Type.String() }), Type.Null()]),
  findings: Type.Array(FindingSchema),
  review_id: nullable(Type.String()),
  exception_id: nullable(Type.String({ format: 'uuid' })),
  would_be: OptionalEffect,
  ttl: Type.Integer({
    description: 'Seconds that the answer may be reused for an identical request.',
  }),
  revision: Type.String(),
  evaluation_us: Type.Integer(),
  spans: Type.Optional(
    Type.Array(Type.Object({ type: Type.String(), start: Type.Integer(), end: Type.Integer() })),
  ),
})

const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
    errors: Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() })),
  },
  { description: 'RFC 9457 problem document' },
)

/** The answer to whatever cannot be done, as fastify describes it. */
export const PROBLEM = {
  description: 'What was wrong',
  content: { 'application/problem+json': { schema: ProblemSchema } },
}

/** A list that is bounded and has no pages. */
export function foundOf(item: TSchema): TSchema {
  return Type.Object({
    items: Type.Array(item),
    total: Type.Integer({ description: 'How many there are; `items` holds the first of them.' }),
  })
}

export function pageOf(item: TSchema): TSchema {
  return Type.Object({
    items: Type.Array(item),
    next_cursor: Type.Union([Type.String(), Type.Null()], {
      description: 'Give it back as `cursor` for the next page.',
    }),
  })
}
