// Conflicts between policies: what was found, looking again, and resolving one with a reason.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import { CONFLICT_TYPES, type ConflictReport, EVIDENCE } from '../model/conflict.ts'
import { SEVERITIES } from '../model/decision.ts'
import { CONFLICT_STATUSES, type ConflictRow, type LastScan } from '../store/conflicts.ts'
import { type ApiKey, type KeyRing, requires } from './key.ts'
import { closed, Name, paging } from './queries.ts'
import { PROBLEM } from './schemas.ts'

export interface ConflictDesk {
  list(filter: ConflictFilter): Promise<{
    readonly items: readonly ConflictRow[]
    readonly next_cursor: string | null
    readonly last_scan: LastScan | null
  }>
  /** Undefined where there is no such conflict. */
  show(id: string): Promise<ConflictRow | undefined>
  /** Looks over everything in force. */
  scan(): Promise<ConflictReport>
  /** Throws NOT_FOUND, and CONFLICT where it is resolved already. */
  resolve(id: string, notes: string, by: ApiKey): Promise<ConflictRow>
}

const Query = Type.Object(
  {
    status: Type.Optional(
      Type.Enum([...CONFLICT_STATUSES], {
        description: 'Without: open and resolved ones; gone: those of policies that have changed',
      }),
    ),
    type: Type.Optional(Type.Enum([...CONFLICT_TYPES])),
    severity: Type.Optional(Type.Enum([...SEVERITIES])),
    evidence: Type.Optional(Type.Enum([...EVIDENCE])),
    policy: Name,
    ...paging,
  },
  closed,
)
type ConflictFilter = Static<typeof Query>

const nullable = (schema: ReturnType<typeof Type.String>) => Type.Union([schema, Type.Null()])
const At = Type.String({ format: 'date-time' })
const Text = Type.String()
const Witness = Type.Union([
  Type.Object(
    {},
    { additionalProperties: true, description: 'cordon policy eval shows the conflict with it.' },
  ),
  Type.Null(),
])
const Found = {
  type: Type.Enum([...CONFLICT_TYPES]),
  policy_a_id: Text,
  policy_b_id: nullable(Text),
  together_with: Type.Array(Text, {
    description: 'More that stand before the second, which only all of them together hide.',
  }),
  severity: Type.Enum([...SEVERITIES]),
  evidence: Type.Enum([...EVIDENCE]),
  says: Text,
  witness: Witness,
  fingerprint: Type.String({ description: 'The same as long as neither policy changes.' }),
}
const Row = Type.Object({
  conflict_id: Type.String({ format: 'uuid' }),
  ...Found,
  status: Type.Enum([...CONFLICT_STATUSES]),
  resolved: Type.Boolean(),
  resolution_notes: nullable(Text),
  resolved_by: nullable(Text),
  resolved_at: nullable(At),
  detected_at: At,
  last_seen: At,
})
const SCAN = {
  policies: Type.Integer(),
  pairs: Type.Integer({ description: 'Pairs of policies whose scopes meet.' }),
  examined: Type.Integer(),
  left_out: Type.Integer({ description: 'Pairs that may disagree and were not looked into.' }),
  complete: Type.Boolean(),
  notes: Type.Array(Text),
}
const PageSchema = Type.Object({
  items: Type.Array(Row),
  next_cursor: nullable(Text),
  last_scan: Type.Union([Type.Object({ ...SCAN, scanned_at: At }), Type.Null()], {
    description: 'Null: nobody has looked yet; POST /v1/policies/conflicts/scan looks.',
  }),
})
const Report = Type.Object({
  ...SCAN,
  found: Type.Object(Object.fromEntries(SEVERITIES.map((each) => [each, Type.Integer()]))),
})
const answers = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }
const IdOfPath = Type.Object({ id: Type.String({ format: 'uuid' }) }, closed)

export function conflictRoutes(
  app: FastifyInstance,
  { keys, conflicts }: { readonly keys: KeyRing; readonly conflicts: ConflictDesk },
): void {
  app.get<{ Querystring: ConflictFilter }>(
    '/v1/policies/conflicts',
    {
      onRequest: requires(keys, 'policies:read'),
      schema: {
        summary:
          'Conflicts of the policies in force and of those that were to be, the gravest first',
        tags: ['policies'],
        querystring: Query,
        response: { 200: PageSchema, ...answers },
      },
    },
    (request) => conflicts.list(request.query),
  )
  app.get<{ Params: { id: string } }>(
    '/v1/policies/conflicts/:id',
    {
      onRequest: requires(keys, 'policies:read'),
      schema: {
        summary: 'One conflict',
        tags: ['policies'],
        params: IdOfPath,
        response: { 200: Row, 404: PROBLEM, ...answers },
      },
    },
    async (request) => {
      const found = await conflicts.show(request.params.id)
      if (found === undefined) throw new CordonError('NOT_FOUND', 'no such conflict')
      return found
    },
  )
  app.post(
    '/v1/policies/conflicts/scan',
    {
      onRequest: requires(keys, 'policies:write'),
      schema: {
        summary: 'Look over everything in force now; takes seconds for thousands of policies',
        tags: ['policies'],
        response: { 200: Report, 422: PROBLEM, ...answers },
      },
    },
    async () => {
      const { conflicts: found, ...report } = await conflicts.scan()
      return {
        ...report,
        found: Object.fromEntries(
          SEVERITIES.map((each) => [
            each,
            found.filter(({ severity }) => severity === each).length,
          ]),
        ),
      }
    },
  )
  app.post<{ Params: { id: string }; Body: { notes: string } }>(
    '/v1/policies/conflicts/:id/resolve',
    {
      onRequest: requires(keys, 'policies:approve'),
      schema: {
        summary:
          'Say why a conflict may stand; it stays resolved until one of the two policies changes',
        tags: ['policies'],
        params: IdOfPath,
        body: Type.Object({ notes: Type.String({ minLength: 1, maxLength: 4096 }) }, closed),
        response: { 200: Row, 404: PROBLEM, 409: PROBLEM, ...answers },
      },
    },
    async (request) => {
      if (request.apiKey === null) throw new CordonError('UNAUTHENTICATED', 'send an API key')
      return conflicts.resolve(request.params.id, request.body.notes, request.apiKey)
    },
  )
}
