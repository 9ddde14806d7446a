// The life of policies: written, submitted, approved by a second person, in force, rolled back.
//
// An answer with one version has its edition as ETag; a change says with If-Match which one it was made from.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { CordonError, formatProblem, type Problem } from '../base/errors.ts'
import type { Actor } from '../governance/audit.ts'
import type { Activated, PolicyActivation } from '../governance/policy-activation.ts'
import { MAX_TEXT_BYTES } from '../governance/policy-draft.ts'
import type { PolicyLife, Seen } from '../governance/policy-life.ts'
import type { PolicyPush } from '../governance/policy-push.ts'
import type { VersionName } from '../governance/policy-shelf.ts'
import type { VersionView } from '../governance/policy-views.ts'
import { MODES, SEVERITIES } from '../model/decision.ts'
import { SCOPE_KEYS } from '../model/policy.ts'
import { POLICY_LANGUAGES, POLICY_STATUSES, POLICY_TYPES } from '../model/stored-policy.ts'
import { type KeyRing, requires } from './key.ts'
import { closed, Name, paging } from './queries.ts'
import { pageOf, PROBLEM } from './schemas.ts'

export interface PolicyDesk {
  readonly life: PolicyLife
  readonly activation: PolicyActivation
  readonly push: PolicyPush
}

/** Of an id in an address; each of its characters may be written as three, as in `lib%2Fdates.rego`. */
export const MAX_ID_LENGTH = 256
/** A text in JSON may be six times as long as it is. */
const BODY_BYTES = 6 * MAX_TEXT_BYTES + 64 * 1024

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const Text = Type.String()
const OptionalText = nullable(Text)
const At = Type.String({ format: 'date-time' })
const OptionalAt = nullable(At)
const Id = Type.String({
  minLength: 1,
  maxLength: MAX_ID_LENGTH,
  pattern: String.raw`^[^\u0000]*$`,
})
const Version = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: String.raw`^[^\u0000]*$`,
  examples: ['1.4.0'],
})
const Status = Type.Enum([...POLICY_STATUSES])
const Comment = Type.Optional(Type.String({ maxLength: 4096 }))
const Rejudge = Type.Optional(
  Type.Boolean({
    description:
      'Judge open tunnels, WebSockets and streams again; those that are denied now are closed.',
  }),
)

const Scope = Type.Object(
  Object.fromEntries(SCOPE_KEYS.map((key) => [key, Type.Optional(Type.Array(Text))])),
)
const Metadata = Type.Object({
  name: Text,
  description: Type.Optional(Text),
  version: Type.Optional(Text),
  priority: Type.Optional(Type.Integer()),
  severity: Type.Optional(Type.Enum([...SEVERITIES])),
  mode: Type.Optional(Type.Enum([...MODES])),
  scope: Type.Optional(Scope),
  framework: Type.Optional(Text),
  article: Type.Optional(Text),
})
const Person = Type.Object({
  id: Type.String({ description: "A user's id, or os: and the name of an account." }),
  name: OptionalText,
})
const SUMMARY = {
  policy_id: Text,
  version: Text,
  status: Status,
  edition: Type.Integer({ description: 'Counts the changes of this version; its ETag.' }),
  metadata: Metadata,
  text_sha256: Text,
  text_bytes: Type.Integer(),
  change_summary: OptionalText,
  git: nullable(Type.Object({ commit: OptionalText, branch: OptionalText })),
  contributors: Type.Array(Person, {
    description: 'Whoever wrote any of it: none of them can approve it.',
  }),
  created_at: At,
  created_by: nullable(Person),
  changed_at: At,
  changed_by: nullable(Person),
  submitted_at: OptionalAt,
  submitted_by: nullable(Person),
  approved_at: OptionalAt,
  approved_by: nullable(Person),
  activated_at: OptionalAt,
  archived_at: OptionalAt,
  effective_from: OptionalAt,
  expires_at: OptionalAt,
  rejudge: Type.Boolean(),
}
const SummarySchema = Type.Object(SUMMARY)
const VersionSchema = Type.Object({
  ...SUMMARY,
  text: Text,
  due_problem: nullable(
    Type.String({ description: 'Why a date that has come was not carried out.' }),
  ),
  history: Type.Array(
    Type.Object({
      edition: Type.Integer(),
      at: At,
      by: Person,
      act: Text,
      changed: Type.Array(Text),
      comment: Type.Optional(Text),
    }),
  ),
})
const POLICY = {
  policy_id: Text,
  origin: Type.Enum(['store', 'folder'], {
    description: 'Those of a folder are changed by their files only.',
  }),
  type: Type.Enum([...POLICY_TYPES]),
  language: Type.Enum([...POLICY_LANGUAGES]),
  name: Text,
  description: OptionalText,
  status: Status,
  version: OptionalText,
  priority: nullable(Type.Integer()),
  severity: OptionalText,
  mode: OptionalText,
  scope: Scope,
  framework: OptionalText,
  article: OptionalText,
  path: Text,
  line: nullable(Type.Integer()),
  effective_from: OptionalAt,
  expires_at: OptionalAt,
  created_at: OptionalAt,
  updated_at: OptionalAt,
}
const PolicySchema = Type.Object(POLICY)
const ShownSchema = Type.Object({
  ...POLICY,
  versions: Type.Array(SummarySchema, { description: 'The newest twenty.' }),
})
const ActivatedSchema = Type.Object({
  versions: Type.Array(VersionSchema),
  revision: nullable(
    Type.String({
      description: 'Of all stored policies; null where nothing else is in force yet.',
    }),
  ),
})
const ValidatedSchema = Type.Object({
  valid: Type.Boolean(),
  problems: Type.Array(Type.Object({ pointer: Text, detail: Text })),
})

const NOTES = {
  change_summary: Comment,
  effective_from: Type.Optional(OptionalAt),
  expires_at: Type.Optional(OptionalAt),
  git: Type.Optional(
    Type.Object(
      {
        commit: Type.Optional(Type.String({ maxLength: 64 })),
        branch: Type.Optional(Type.String({ maxLength: 255 })),
      },
      closed,
    ),
  ),
}
const PolicyText = Type.String({
  minLength: 1,
  description: `Rego, Cedar, a data document or a test; at most ${MAX_TEXT_BYTES / 1024} KiB.`,
})
const PLACE = {
  path: Type.Optional(
    Type.String({
      maxLength: MAX_ID_LENGTH,
      description:
        'Of libraries, data and tests, whose id it is; policies have one after their id.',
      examples: ['acme/limits_test.rego'],
    }),
  ),
  language: Type.Optional(Type.Enum(['rego', 'cedar'])),
  policy_id: Type.Optional(Id),
}
const NewPolicy = Type.Object(
  { text: PolicyText, ...PLACE, version: Type.Optional(Version), ...NOTES },
  closed,
)
const NewVersion = Type.Object(
  { text: Type.Optional(PolicyText), version: Type.Optional(Version), ...NOTES },
  closed,
)
const EditedVersion = Type.Object({ text: PolicyText, ...NOTES }, closed)
const Dates = Type.Object(
  { effective_from: Type.Optional(OptionalAt), expires_at: Type.Optional(OptionalAt) },
  { ...closed, minProperties: 1 },
)
const Checked = Type.Object({ text: PolicyText, ...PLACE }, closed)
const Commented = Type.Object({ comment: Comment }, closed)
const Activating = Type.Object(
  {
    effective_from: Type.Optional(
      Type.String({ format: 'date-time', description: 'Takes effect then; absent: now.' }),
    ),
    expires_at: Type.Optional(OptionalAt),
    rejudge: Rejudge,
    comment: Comment,
    also: Type.Optional(
      Type.Array(Type.Object({ policy_id: Id, version: Type.Optional(Version) }, closed), {
        maxItems: 999,
        description: 'Other approved versions that take effect with it, all or none.',
      }),
    ),
  },
  closed,
)
const Archiving = Type.Object({ rejudge: Rejudge, comment: Comment }, closed)
const RollingBack = Type.Object(
  {
    to: Type.Optional(Version),
    expires_at: Type.Optional(OptionalAt),
    rejudge: Rejudge,
    comment: Comment,
  },
  closed,
)
const PolicyQuery = Type.Object(
  {
    status: Type.Optional(Status),
    type: Type.Optional(Type.Enum([...POLICY_TYPES])),
    language: Type.Optional(Type.Enum([...POLICY_LANGUAGES])),
    origin: Type.Optional(Type.Enum(['store', 'folder'])),
    q: Name,
    ...paging,
  },
  closed,
)
const PageQuery = Type.Object(paging, closed)
const CompareQuery = Type.Object(
  { from: Type.Optional(Version), to: Type.Optional(Version) },
  closed,
)
const PolicyName = Type.Object({ id: Id }, closed)
const VersionPath = Type.Object({ id: Id, version: Version }, closed)
const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 1024, description: 'ETags of editions, or *', examples: ['"3"'] }),
  ),
})

type OfPolicy = { Params: Static<typeof PolicyName> }
type OfVersion = { Params: Static<typeof VersionPath> }

const refusals = { 400: PROBLEM, 401: PROBLEM, 403: PROBLEM, 503: PROBLEM }
const missing = { 404: PROBLEM, ...refusals }
const changing = { 409: PROBLEM, 412: PROBLEM, 422: PROBLEM, ...missing }

export function policyRoutes(
  app: FastifyInstance,
  { keys, policies }: { readonly keys: KeyRing; readonly policies: PolicyDesk },
): void {
  const { life, activation } = policies
  const reads = requires(keys, 'policies:read', 'policies:approve')
  const writes = requires(keys, 'policies:write')
  const approves = requires(keys, 'policies:approve')
  const writesOrApproves = requires(keys, 'policies:write', 'policies:approve')
  const tags = ['policies']

  app.get<{ Querystring: Static<typeof PolicyQuery> }>(
    '/v1/policies',
    {
      onRequest: reads,
      schema: {
        summary: 'Policies of the store and of folders, by id',
        tags,
        querystring: PolicyQuery,
        response: { 200: pageOf(PolicySchema), ...refusals },
      },
    },
    async (request) => asJson(await life.shelf.list(request.query)),
  )
  app.post<{ Body: Static<typeof NewPolicy> }>(
    '/v1/policies',
    {
      onRequest: writes,
      bodyLimit: BODY_BYTES,
      schema: {
        summary: 'A new policy, library, data document or test; its first version is a draft',
        tags,
        body: NewPolicy,
        response: { 201: VersionSchema, 409: PROBLEM, 422: PROBLEM, ...refusals },
      },
    },
    async (request, reply) => {
      const made = await life.create(request.body, actorOf(request))
      return sent(reply.code(201).header('location', addressOf(made)), made)
    },
  )
  // What is tried is compiled and its tests run: nothing for a key that only reads.
  app.post<{ Body: Static<typeof Checked> }>(
    '/v1/policies/validate',
    {
      onRequest: writes,
      bodyLimit: BODY_BYTES,
      schema: {
        summary: 'What would be wrong with a text among the active policies; nothing is kept',
        tags,
        body: Checked,
        response: { 200: ValidatedSchema, 409: PROBLEM, 422: PROBLEM, ...refusals },
      },
    },
    async (request) => validated(await life.validateText(request.body)),
  )
  app.get<OfPolicy>(
    '/v1/policies/:id',
    {
      onRequest: reads,
      schema: {
        summary: 'One policy with its newest versions',
        tags,
        params: PolicyName,
        response: { 200: ShownSchema, ...missing },
      },
    },
    async (request) => asJson(await life.shelf.show(request.params.id)),
  )
  app.get<OfPolicy & { Querystring: Static<typeof CompareQuery> }>(
    '/v1/policies/:id/compare',
    {
      onRequest: reads,
      schema: {
        summary:
          'What differs between two versions: the text as a unified diff, and metadata. Without `from` the active one, without `to` the newest',
        tags,
        params: PolicyName,
        querystring: CompareQuery,
        response: {
          200: Type.Object({
            policy_id: Text,
            from: Text,
            to: Text,
            from_edition: Type.Integer(),
            to_edition: Type.Integer(),
            diff: Text,
            changed: Type.Record(Text, Type.Object({ from: Type.Unknown(), to: Type.Unknown() })),
          }),
          ...missing,
        },
      },
    },
    async (request) =>
      asJson(await life.shelf.compare(request.params.id, request.query.from, request.query.to)),
  )
  app.post<OfPolicy & { Body: Static<typeof RollingBack> | null }>(
    '/v1/policies/:id/rollback',
    {
      onRequest: approves,
      schema: {
        summary: 'A version that was active before is so again, without another approval',
        tags,
        params: PolicyName,
        body: orNothing(RollingBack),
        response: { 200: ActivatedSchema, ...changing },
      },
    },
    async (request) =>
      asJson(await activation.rollBack(request.params.id, request.body ?? {}, actorOf(request))),
  )
  app.get<OfPolicy & { Querystring: Static<typeof PageQuery> }>(
    '/v1/policies/:id/versions',
    {
      onRequest: reads,
      schema: {
        summary: 'Versions of a policy, newest first, without their texts',
        tags,
        params: PolicyName,
        querystring: PageQuery,
        response: { 200: pageOf(SummarySchema), ...missing },
      },
    },
    async (request) => asJson(await life.shelf.listVersions(request.params.id, request.query)),
  )
  app.post<OfPolicy & { Body: Static<typeof NewVersion> | null }>(
    '/v1/policies/:id/versions',
    {
      onRequest: writes,
      bodyLimit: BODY_BYTES,
      schema: {
        summary:
          'A new draft behind the newest version; without a text it begins with that of the active one',
        tags,
        params: PolicyName,
        body: orNothing(NewVersion),
        response: { 201: VersionSchema, ...changing },
      },
    },
    async (request, reply) => {
      const made = await life.addVersion(request.params.id, request.body ?? {}, actorOf(request))
      return sent(reply.code(201).header('location', addressOf(made)), made)
    },
  )
  app.get<OfVersion>(
    '/v1/policies/:id/versions/:version',
    {
      onRequest: reads,
      schema: {
        summary: 'One version with its text and its history',
        tags,
        params: VersionPath,
        response: { 200: VersionSchema, ...missing },
      },
    },
    async (request, reply) => sent(reply, await life.shelf.version(nameOf(request))),
  )
  app.put<OfVersion & { Body: Static<typeof EditedVersion> }>(
    '/v1/policies/:id/versions/:version',
    {
      onRequest: writes,
      bodyLimit: BODY_BYTES,
      schema: {
        summary: 'Edit a draft; If-Match says which edition the text was made from',
        tags,
        params: VersionPath,
        headers: IfMatch,
        body: EditedVersion,
        response: { 200: VersionSchema, 428: PROBLEM, ...changing },
      },
    },
    async (request, reply) =>
      sent(
        reply,
        await life.edit(nameOf(request), request.body, requireSeen(request), actorOf(request)),
      ),
  )
  app.patch<OfVersion & { Body: Static<typeof Dates> }>(
    '/v1/policies/:id/versions/:version',
    {
      onRequest: writesOrApproves,
      schema: {
        summary:
          'When a version takes effect and ends; null takes a date away. Of approved and active ones with policies:approve',
        tags,
        params: VersionPath,
        headers: IfMatch,
        body: Dates,
        response: { 200: VersionSchema, ...changing },
      },
    },
    async (request, reply) =>
      sent(
        reply,
        await life.setDates(
          nameOf(request),
          request.body,
          seenBy(request),
          actorOf(request),
          mayApprove(request),
        ),
      ),
  )
  app.post<OfVersion>(
    '/v1/policies/:id/versions/:version/validate',
    {
      onRequest: writes,
      schema: {
        summary: 'What is wrong with a version among the active policies, their tests included',
        tags,
        params: VersionPath,
        response: { 200: ValidatedSchema, ...missing },
      },
    },
    async (request) => validated(await life.validate(nameOf(request))),
  )

  const moves = {
    submit: {
      onRequest: writes,
      summary: 'Ask for approval; a version that is not valid is refused',
      run: (request: Moving) =>
        life.submit(nameOf(request), request.body?.comment, seenBy(request), actorOf(request)),
    },
    approve: {
      onRequest: approves,
      summary: 'Approve what somebody else wrote; If-Match says which edition was looked at',
      run: (request: Moving) =>
        life.approve(nameOf(request), request.body?.comment, seenBy(request), actorOf(request)),
    },
    reject: {
      onRequest: writesOrApproves,
      summary:
        'Send it back to its authors: a draft again. Whoever wrote it can take it back from review too',
      run: (request: Moving) =>
        life.reject(
          nameOf(request),
          request.body?.comment,
          seenBy(request),
          actorOf(request),
          mayApprove(request),
        ),
    },
  }
  for (const [name, { onRequest, summary, run }] of Object.entries(moves))
    app.post<OfVersion & { Body: Static<typeof Commented> | null }>(
      `/v1/policies/:id/versions/:version/${name}`,
      {
        onRequest,
        schema: {
          summary,
          tags,
          params: VersionPath,
          headers: IfMatch,
          body: orNothing(Commented),
          response: {
            200: VersionSchema,
            ...(name === 'approve' ? { 428: PROBLEM } : {}),
            ...changing,
          },
        },
      },
      async (request, reply) => sent(reply, await run(request)),
    )

  app.post<OfVersion & { Body: Static<typeof Activating> | null }>(
    '/v1/policies/:id/versions/:version/activate',
    {
      onRequest: approves,
      schema: {
        summary:
          'An approved version takes effect, now or at a date; refused with every reason where what would be in force is not valid, fails a test or conflicts',
        tags,
        params: VersionPath,
        headers: IfMatch,
        body: orNothing(Activating),
        response: { 200: ActivatedSchema, ...changing },
      },
    },
    async (request, reply) => {
      const { also = [], ...how } = request.body ?? {}
      const names = [nameOf(request), ...also]
      const done = await activation.activate(names, how, seenBy(request), actorOf(request))
      return sentOf(reply, done)
    },
  )
  app.post<OfVersion & { Body: Static<typeof Archiving> | null }>(
    '/v1/policies/:id/versions/:version/archive',
    {
      onRequest: writesOrApproves,
      schema: {
        summary:
          'A version ends: an active one is no longer in force, any other goes no further. Of approved and active ones with policies:approve',
        tags,
        params: VersionPath,
        headers: IfMatch,
        body: orNothing(Archiving),
        response: { 200: ActivatedSchema, ...changing },
      },
    },
    async (request, reply) =>
      sentOf(
        reply,
        await activation.archive(
          nameOf(request),
          request.body ?? {},
          seenBy(request),
          actorOf(request),
          mayApprove(request),
        ),
      ),
  )
}

type Moving = FastifyRequest<OfVersion & { Body: Static<typeof Commented> | null }>

/** Acts need no body. */
function orNothing<T extends TSchema>(schema: T) {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: ['object', 'null'] })
}

/** Whose key it is: authorship is compared by user. */
export function actorOf({ apiKey }: FastifyRequest): Actor {
  const user = apiKey?.user
  if (user === undefined)
    throw new CordonError(
      'FORBIDDEN',
      'changes of policies have authors: use a key that belongs to somebody (cordon key create --user)',
    )
  const { id, name } = user
  return { type: 'user', id, ...(name === undefined ? {} : { name }) }
}

function mayApprove({ apiKey }: FastifyRequest): boolean {
  const scopes = apiKey?.scopes ?? []
  return scopes.includes('policies:approve') || scopes.includes('admin')
}

function nameOf({ params }: FastifyRequest<OfVersion>): Required<VersionName> {
  return { policy_id: params.id, version: params.version }
}

/** Editions that If-Match names; a weak or foreign tag matches none (RFC 9110, section 13.1.1). */
function seenBy({ headers }: Pick<FastifyRequest, 'headers'>): Seen {
  const given = headers['if-match']
  if (given === undefined || given.trim() === '*') return undefined
  return given.split(',').flatMap((tag) => {
    const [, edition] = /^\s*"(\d{1,9})"\s*$/.exec(tag) ?? []
    return edition === undefined ? [] : [Number(edition)]
  })
}

function requireSeen(request: Pick<FastifyRequest, 'headers'>): Seen {
  if (request.headers['if-match'] === undefined)
    throw new CordonError(
      'UNSEEN',
      'say which edition the text was made from: If-Match with the ETag that the version had when you read it',
    )
  return seenBy(request)
}

function sent(reply: FastifyReply, version: VersionView): unknown {
  reply.header('etag', `"${version.edition}"`)
  return asJson(version)
}

function sentOf(reply: FastifyReply, done: Activated): unknown {
  const [version] = done.versions
  if (version !== undefined) reply.header('etag', `"${version.edition}"`)
  return asJson(done)
}

function addressOf({ policy_id: id, version }: VersionView): string {
  return `/v1/policies/${encodeURIComponent(id)}/versions/${encodeURIComponent(version)}`
}

function validated(problems: readonly Problem[]): Static<typeof ValidatedSchema> {
  return {
    valid: problems.length === 0,
    problems: problems.map((problem) => ({ pointer: '/text', detail: formatProblem(problem) })),
  }
}

/** Dates as texts, before the schema of the answer is applied. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
