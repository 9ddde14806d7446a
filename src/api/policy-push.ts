// Policies from a folder under version control: what changed becomes drafts; and the files in force, for the folder.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import type { PolicyPush } from '../governance/policy-push.ts'
import { POLICY_STATUSES, POLICY_TYPES } from '../model/stored-policy.ts'
import { type KeyRing, requires } from './key.ts'
import { actorOf } from './policies.ts'
import { closed } from './queries.ts'
import { PROBLEM } from './schemas.ts'

const BODY_BYTES = 64 * 1024 * 1024
const MAX_FILES = 20_000

const File = Type.Object({ path: Type.String({ maxLength: 1024 }), text: Type.String() }, closed)
const Nullable = Type.Union([Type.String(), Type.Null()])
const PushBody = Type.Object(
  {
    files: Type.Array(File, {
      maxItems: MAX_FILES,
      description:
        'All files of the folder; what is not among them and in force is told as removed.',
    }),
    git: Type.Optional(
      Type.Object(
        {
          commit: Type.Optional(Type.String({ maxLength: 64 })),
          branch: Type.Optional(Type.String({ maxLength: 255 })),
        },
        closed,
      ),
    ),
    change_summary: Type.Optional(Type.String({ maxLength: 4096 })),
    submit: Type.Optional(
      Type.Boolean({
        description:
          'Ask for approval of what is a draft in the end; the files must load beside what stays in force.',
      }),
    ),
    dry_run: Type.Optional(
      Type.Boolean({ description: 'Only tell what would be written, or refused.' }),
    ),
  },
  closed,
)
const Pushed = Type.Object({
  dry_run: Type.Boolean(),
  files: Type.Array(
    Type.Object({
      policy_id: Type.String(),
      path: Type.String(),
      type: Type.Union([Type.Enum([...POLICY_TYPES]), Type.Null()]),
      result: Type.Enum(['created', 'changed', 'unchanged', 'removed']),
      version: Nullable,
      status: Type.Union([Type.Enum([...POLICY_STATUSES]), Type.Null()]),
      note: Nullable,
    }),
  ),
})
const Active = Type.Object({
  revision: Nullable,
  files: Type.Array(Type.Object({ path: Type.String(), text: Type.String() })),
})
const refusals = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }

export function policyPushRoutes(
  app: FastifyInstance,
  { keys, policies }: { readonly keys: KeyRing; readonly policies: { readonly push: PolicyPush } },
): void {
  app.post<{ Body: Static<typeof PushBody> }>(
    '/v1/policies/push',
    {
      onRequest: requires(keys, 'policies:write'),
      bodyLimit: BODY_BYTES,
      schema: {
        summary:
          'A folder of policy files: what is other than in the store becomes drafts, all or none',
        tags: ['policies'],
        body: PushBody,
        response: { 200: Pushed, 409: PROBLEM, 412: PROBLEM, 422: PROBLEM, ...refusals },
      },
    },
    (request) => policies.push.push(request.body, actorOf(request)),
  )
  app.get(
    '/v1/policies/files',
    {
      onRequest: requires(keys, 'policies:read'),
      schema: {
        summary: 'The stored files in force, tests among them',
        tags: ['policies'],
        response: { 200: Active, ...refusals },
      },
    },
    () => policies.push.active(),
  )
}
