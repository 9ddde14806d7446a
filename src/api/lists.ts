// What was decided: lists with filters and keyset pagination.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import { SEVERITIES } from '../model/decision.ts'
import { APPROVAL_STATUSES } from '../model/service.ts'
import { type KeyRing, requires } from './key.ts'
import { closed, decisionFilters, Name, paging, Time, Words } from './queries.ts'
import { pageOf, PROBLEM } from './schemas.ts'

export interface Page {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly next_cursor: string | null
}

const DecisionQuery = Type.Object(
  { ...decisionFilters, since: Time, until: Time, ...paging },
  closed,
)
const ViolationQuery = Type.Object(
  {
    user: Name,
    department: Name,
    service: Name,
    policy: Name,
    severity: Type.Optional(Type.Enum([...SEVERITIES])),
    status: Type.Optional(Type.Enum(['open', 'investigating', 'resolved', 'false_positive'])),
    q: Words,
    since: Time,
    until: Time,
    ...paging,
  },
  closed,
)
const AuditQuery = Type.Object(
  {
    actor: Name,
    event_type: Name,
    severity: Type.Optional(Type.Enum(['info', 'warning', 'error', 'critical'])),
    result: Type.Optional(Type.Enum(['success', 'failure', 'partial'])),
    action: Name,
    target_type: Name,
    target_id: Name,
    q: Words,
    since: Time,
    until: Time,
    ...paging,
  },
  closed,
)
const ServiceQuery = Type.Object(
  {
    q: Name,
    vendor: Name,
    category: Name,
    approval_status: Type.Optional(Type.Enum([...APPROVAL_STATUSES])),
    ...paging,
  },
  closed,
)
export type DecisionFilter = Static<typeof DecisionQuery>
export type ViolationFilter = Static<typeof ViolationQuery>
export type AuditFilter = Static<typeof AuditQuery>
export type ServiceFilter = Static<typeof ServiceQuery>

/** What the lists read from; pages are newest first, services by id. */
export interface Records {
  decisions(filter: DecisionFilter): Promise<Page>
  decision(id: string): Promise<Readonly<Record<string, unknown>> | undefined>
  violations(filter: ViolationFilter): Promise<Page>
  auditEvents(filter: AuditFilter): Promise<Page>
  services(filter: ServiceFilter): Promise<Page>
}

const Row = Type.Object({}, { additionalProperties: true })
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }
const listed = { 200: pageOf(Row), ...answers }
const IdOfPath = Type.Object({ id: Type.String({ format: 'uuid' }) }, closed)

export function listRoutes(
  app: FastifyInstance,
  { keys, records }: { readonly keys: KeyRing; readonly records: Records },
): void {
  const reads = (scope: string) => requires(keys, scope)

  app.get<{ Querystring: DecisionFilter }>(
    '/v1/decisions',
    {
      onRequest: reads('decisions:read'),
      schema: {
        summary: 'Decisions, newest first',
        tags: ['decisions'],
        querystring: DecisionQuery,
        response: listed,
      },
    },
    (request) => records.decisions(request.query),
  )
  app.get<{ Params: { id: string } }>(
    '/v1/decisions/:id',
    {
      onRequest: reads('decisions:read'),
      schema: {
        summary: 'One decision',
        tags: ['decisions'],
        params: IdOfPath,
        response: { 200: Row, 404: PROBLEM, ...answers },
      },
    },
    async (request) => found(await records.decision(request.params.id), 'decision'),
  )
  app.get<{ Querystring: ViolationFilter }>(
    '/v1/violations',
    {
      onRequest: reads('violations:read'),
      schema: {
        summary: 'Violations, grouped by person, policy, service and day',
        tags: ['violations'],
        querystring: ViolationQuery,
        response: listed,
      },
    },
    (request) => records.violations(request.query),
  )
  app.get<{ Querystring: AuditFilter }>(
    '/v1/audit-events',
    {
      onRequest: reads('ledger:read'),
      schema: {
        summary: 'What administrators did and what befell the ledger, newest first',
        tags: ['ledger'],
        querystring: AuditQuery,
        response: listed,
      },
    },
    (request) => records.auditEvents(request.query),
  )
  app.get<{ Querystring: ServiceFilter }>(
    '/v1/services',
    {
      onRequest: reads('services:read'),
      schema: {
        summary: 'The catalogue of AI services',
        tags: ['catalogue'],
        querystring: ServiceQuery,
        response: listed,
      },
    },
    (request) => records.services(request.query),
  )
}

function found<T>(row: T | undefined, what: string): T {
  if (row === undefined) throw new CordonError('NOT_FOUND', `no such ${what}`)
  return row
}
