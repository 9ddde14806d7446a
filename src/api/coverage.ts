// What was seen of the traffic with AI services, who uses unknown ones, and where interception fails.

import type { FastifyInstance } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { VISIBILITIES } from '../model/record.ts'
import {
  COVERAGE_BY,
  type CoverageQuery,
  type CoverageReport,
  type FailingHost,
  type Found,
  type ListQuery,
  type ShadowHost,
} from '../store/coverage.ts'
import { type KeyRing, requires } from './key.ts'
import { foundOf, PROBLEM } from './schemas.ts'

/** Where the reports come from. */
export interface Reports {
  report(query: CoverageQuery): Promise<CoverageReport>
  shadowAi(query: ListQuery): Promise<Found<ShadowHost>>
  failures(query: ListQuery): Promise<Found<FailingHost>>
}

const closed = { additionalProperties: false }
const range = {
  from: Type.Optional(
    Type.String({ format: 'date-time', description: 'RFC 3339; default: a week before `to`' }),
  ),
  to: Type.Optional(
    Type.String({ format: 'date-time', description: 'RFC 3339, exclusive; default: now' }),
  ),
}
const CoverageRange = Type.Object(
  { ...range, by: Type.Optional(Type.Enum([...COVERAGE_BY], { default: 'reason' })) },
  closed,
)
const ListRange = Type.Object(
  {
    ...range,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  },
  closed,
)

const Time = Type.String({ format: 'date-time' })
const Count = Type.Integer({ minimum: 0 })
const nullable = (schema: TSchema): TSchema => Type.Union([schema, Type.Null()])
const Text = nullable(Type.String())
const Share = nullable(Type.Number({ minimum: 0, maximum: 1 }))
const Seen = Type.Object(Object.fromEntries(VISIBILITIES.map((each) => [each, Share])), {
  description: 'Shares of the bytes by what was seen of them; null without bytes.',
})
const Report = Type.Object({
  from: Time,
  to: Time,
  requests: Count,
  bytes: Count,
  seen: Seen,
  by: Type.Enum([...COVERAGE_BY]),
  items: Type.Array(
    Type.Object({
      name: Text,
      visibility: nullable(Type.Enum([...VISIBILITIES])),
      requests: Count,
      bytes: Count,
      share: Share,
      seen: Seen,
    }),
  ),
  total: Count,
})
const Shadow = Type.Object({
  host: Type.String(),
  first_seen: Time,
  last_seen: Time,
  people: Count,
  requests: Count,
  bytes: Count,
  bytes_in: Count,
  bytes_out: Count,
  formats: Type.Array(Type.String()),
  departments: Type.Array(Type.String()),
})
const Failing = Type.Object({
  host: Type.String(),
  failures: Count,
  first_seen: Time,
  last_seen: Time,
  succeeded: Count,
  suggested: Type.Boolean(),
  suggestion: Text,
  clients: Type.Array(
    Type.Object({
      address: Text,
      user: Text,
      department: Text,
      failures: Count,
      last_seen: Time,
    }),
  ),
})
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }

export function coverageRoutes(
  app: FastifyInstance,
  { keys, reports }: { readonly keys: KeyRing; readonly reports: Reports },
): void {
  const onRequest = requires(keys, 'decisions:read')

  app.get<{ Querystring: CoverageQuery }>(
    '/v1/coverage',
    {
      onRequest,
      schema: {
        summary: 'Share of AI bytes by what was seen of them, and why not more',
        tags: ['coverage'],
        querystring: CoverageRange,
        response: { 200: Report, ...answers },
      },
    },
    (request) => reports.report(request.query),
  )
  app.get<{ Querystring: ListQuery }>(
    '/v1/shadow-ai',
    {
      onRequest,
      schema: {
        summary: 'Unknown hosts that speak an AI wire format, the last seen first',
        tags: ['coverage'],
        querystring: ListRange,
        response: { 200: foundOf(Shadow), ...answers },
      },
    },
    (request) => reports.shadowAi(request.query),
  )
  app.get<{ Querystring: ListQuery }>(
    '/v1/interception/failures',
    {
      onRequest,
      schema: {
        summary: 'TLS handshakes that clients broke off, by host and client',
        tags: ['coverage'],
        querystring: ListRange,
        response: { 200: foundOf(Failing), ...answers },
      },
    },
    (request) => reports.failures(request.query),
  )
}
