// POST /v1/decisions and /v1/decisions/batch: translates JSON to an AccessRequest, and nothing else.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import type { IdSource } from '../base/ids.ts'
import type { Decider } from '../decision/decide.ts'
import { decisionJson } from '../model/decision-json.ts'
import type { Decision } from '../model/decision.ts'
import { type AccessRequest, type Destination, type Principal, SOURCES } from '../model/request.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type ApiKey, type KeyRing, requires } from './key.ts'
import { DecisionSchema, PROBLEM } from './schemas.ts'

const MAX_BATCH = 100
export const MAX_BODY_BYTES = 11 * 1024 * 1024

const Name = Type.String({ minLength: 1, maxLength: 320 })
const Text = Type.String({ maxLength: 1024 })
const closed = { additionalProperties: false }

const RequestSchema = Type.Object(
  {
    user: Type.Optional(
      Type.Object(
        {
          name: Type.Optional(Name),
          email: Type.Optional(Name),
          external_id: Type.Optional(Name),
          user_id: Type.Optional(Name),
        },
        {
          ...closed,
          description: 'Any of these; absent: an anonymous person, or the person of the key.',
        },
      ),
    ),
    action: Type.String({
      pattern: '^[a-z][a-z0-9]*(_[a-z0-9]+)*$',
      maxLength: 64,
      examples: ['send_prompt'],
    }),
    resource: Type.Object(
      {
        url: Type.String({
          minLength: 1,
          maxLength: 16_384,
          description: 'As a browser reads it, or host:port.',
        }),
        method: Type.Optional(Type.String({ pattern: '^[A-Za-z-]{1,32}$' })),
        headers: Type.Optional(
          Type.Record(
            Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$" }),
            Type.String({ maxLength: 8192 }),
            { maxProperties: 100, additionalProperties: false },
          ),
        ),
      },
      closed,
    ),
    content: Type.Optional(
      Type.Object(
        { text: Type.String(), media_type: Type.Optional(Text), filename: Type.Optional(Text) },
        { ...closed, description: 'Searched in memory, never stored.' },
      ),
    ),
    context: Type.Optional(
      Type.Object(
        {
          source: Type.Optional(Type.Enum([...SOURCES])),
          ip_address: Type.Optional(Type.String({ maxLength: 64, format: 'ip' })),
          device: Type.Optional(
            Type.Record(Type.String({ maxLength: 128 }), Type.Unknown(), { maxProperties: 64 }),
          ),
          user_agent: Type.Optional(Text),
          location_type: Type.Optional(Text),
          geo_location: Type.Optional(Text),
          capabilities: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 64 })),
        },
        closed,
      ),
    ),
  },
  closed,
)
type RequestBody = Static<typeof RequestSchema>

export interface DecisionParts {
  readonly decider: Decider
  readonly ids: IdSource
  readonly keys: KeyRing
  readonly metrics: Metrics
  /** Reads a URL as browsers do; an error says what is wrong with it. */
  readonly destinationOf: (
    resource: RequestBody['resource'],
  ) => Destination | { readonly error: string }
}

export function decisionRoutes(app: FastifyInstance, parts: DecisionParts): void {
  const { decider, metrics } = parts
  const onRequest = requires(parts.keys, 'decisions:write', 'decisions:self')

  const judge = async (
    body: RequestBody,
    key: ApiKey | null,
    started: number,
    pointer: string,
  ): Promise<Decision> => {
    const outcome = await decider.decide(accessRequest(body, key, parts, pointer))
    outcome.finish({
      status: 200,
      bytes_in: 0,
      bytes_out: 0,
      duration_ms: Math.round(performance.now() - started),
    })
    metrics.requests.inc({ door: 'api', outcome: outcome.decision.decision.toLowerCase() })
    return outcome.decision
  }

  app.post<{ Body: RequestBody }>(
    '/v1/decisions',
    {
      onRequest,
      schema: {
        summary: 'Decide one request',
        tags: ['decisions'],
        body: RequestSchema,
        response: {
          200: DecisionSchema,
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          503: PROBLEM,
        },
      },
      serializerCompiler: () => (decision) => decisionJson(decision as Decision),
    },
    (request) => judge(request.body, request.apiKey, performance.now(), ''),
  )

  app.post<{ Body: { requests: RequestBody[] } }>(
    '/v1/decisions/batch',
    {
      onRequest,
      schema: {
        summary: 'Decide up to a hundred requests, answered in order',
        tags: ['decisions'],
        body: Type.Object(
          { requests: Type.Array(RequestSchema, { minItems: 1, maxItems: MAX_BATCH }) },
          closed,
        ),
        response: {
          200: Type.Object({ decisions: Type.Array(DecisionSchema) }),
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          503: PROBLEM,
        },
      },
      serializerCompiler: () => (answer) =>
        `{"decisions":[${(answer as { decisions: Decision[] }).decisions.map(decisionJson).join()}]}`,
    },
    async (request) => {
      const started = performance.now()
      // Everything is checked before anything is decided, so that a bad item leaves no records behind.
      const all = request.body.requests.map((body, index) => {
        accessRequest(body, request.apiKey, parts, `/requests/${index}`)
        return body
      })
      const decisions: Decision[] = []
      for (const [index, body] of all.entries()) {
        decisions.push(await judge(body, request.apiKey, started, `/requests/${index}`))
      }
      return { decisions }
    },
  )
}

function accessRequest(
  body: RequestBody,
  key: ApiKey | null,
  parts: DecisionParts,
  pointer: string,
): AccessRequest {
  const destination = parts.destinationOf(body.resource)
  if ('error' in destination) throw invalid(`${pointer}/resource/url`, destination.error)
  const context = body.context ?? {}
  const userAgent = context.user_agent ?? destination.user_agent
  return {
    request_id: parts.ids.next(),
    principal: principalOf(body.user, key, pointer),
    action: body.action,
    destination,
    ...(body.content === undefined ? {} : { content: body.content }),
    context: {
      ...context,
      source: context.source ?? 'api_gateway',
      ...(userAgent === undefined ? {} : { user_agent: userAgent }),
    },
  }
}

/** `decisions:write` may name any person, `decisions:self` only its own. */
function principalOf(user: RequestBody['user'], key: ApiKey | null, pointer: string): Principal {
  const named = user !== undefined && Object.keys(user).length > 0
  const own = key?.user
  const mayNameAnybody =
    key === null || key.scopes.includes('decisions:write') || key.scopes.includes('admin')
  if (mayNameAnybody) {
    if (named) return user
    return own === undefined ? {} : { user_id: own.id }
  }
  if (own === undefined) throw new CordonError('FORBIDDEN', 'this API key belongs to nobody')
  if (named && !isOwn(user, own)) {
    throw new CordonError('FORBIDDEN', 'this API key may decide for its own user only', {
      problems: [{ file: `${pointer}/user`, message: 'names another person' }],
    })
  }
  return { user_id: own.id }
}

function isOwn(user: NonNullable<RequestBody['user']>, own: NonNullable<ApiKey['user']>): boolean {
  const same = (given: string | undefined, known: string | undefined): boolean =>
    given === undefined || given.toLowerCase() === known?.toLowerCase()
  return (
    same(user.user_id, own.id) &&
    same(user.name, own.name) &&
    same(user.email, own.email) &&
    same(user.external_id, own.external_id)
  )
}

function invalid(pointer: string, detail: string): CordonError {
  return new CordonError('INPUT_INVALID', 'the body is not valid', {
    problems: [{ file: pointer, message: detail }],
  })
}
