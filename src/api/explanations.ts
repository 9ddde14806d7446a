// Why a recorded decision came out as it did: as JSON, or in words for whoever asks for plain text.

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import { stringifyExact } from '../base/exact-json.ts'
import type { Explanation } from '../model/explanation.ts'
import { type KeyRing, requires } from './key.ts'
import { closed } from './queries.ts'
import { PROBLEM } from './schemas.ts'

export interface ExplanationDesk {
  /** Undefined where no such decision is recorded. `only`: tell of these policies. */
  explain(
    decisionId: string,
    only: readonly string[],
  ): Promise<{ readonly explanation: Explanation; readonly words: string } | undefined>
}

const MAX_NAMED = 20
const PolicyId = Type.String({ minLength: 1, maxLength: 256, pattern: String.raw`^[^\u0000]*$` })
const Query = Type.Object(
  {
    policy: Type.Optional(
      Type.Union([PolicyId, Type.Array(PolicyId, { maxItems: MAX_NAMED })], {
        description: 'Tell of this policy only; repeatable',
      }),
    ),
  },
  closed,
)
const ExplanationSchema = Type.Object(
  {
    decision_id: Type.String({ format: 'uuid' }),
    decision: Type.String(),
    reason: Type.String(),
    basis: Type.String({
      description:
        'revision: judged again under the revision it was made under; record: that is not at hand',
    }),
    for_the_person: Type.String({ description: 'One paragraph for whoever asked.' }),
  },
  { additionalProperties: true },
)

export function explanationRoutes(
  app: FastifyInstance,
  { keys, explanations }: { readonly keys: KeyRing; readonly explanations: ExplanationDesk },
): void {
  app.get<{ Params: { id: string }; Querystring: { policy?: string | string[] } }>(
    '/v1/decisions/:id/explanation',
    {
      onRequest: requires(keys, 'decisions:read'),
      schema: {
        summary:
          'Why a decision came out as it did: who was asked, what each said and read, which step decided',
        description: 'With `Accept: text/plain` in words.',
        tags: ['decisions'],
        params: Type.Object({ id: Type.String({ format: 'uuid' }) }, closed),
        querystring: Query,
        response: {
          200: {
            description: 'The explanation',
            content: {
              'application/json': { schema: ExplanationSchema },
              'text/plain': { schema: Type.String() },
            },
          },
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          404: PROBLEM,
          503: PROBLEM,
        },
      },
    },
    async (request, reply) => {
      const { policy = [] } = request.query
      const found = await explanations.explain(
        request.params.id,
        typeof policy === 'string' ? [policy] : policy,
      )
      if (found === undefined) throw new CordonError('NOT_FOUND', 'no such decision')
      if (wantsWords(request.headers.accept ?? ''))
        return reply.type('text/plain; charset=utf-8').send(found.words)
      // As text: what a policy read may be a number that JSON.stringify refuses.
      return reply.type('application/json; charset=utf-8').send(stringifyExact(found.explanation))
    },
  )
}

/** Whether plain text is asked for before JSON (RFC 9110, quality values). */
function wantsWords(accept: string): boolean {
  const quality = (type: string): number => {
    const found = accept
      .toLowerCase()
      .split(',')
      .map((part) => part.trim().split(/\s*;\s*/))
      .find(([name]) => name === type)
    if (found === undefined) return 0
    const q = found.find((parameter) => parameter.startsWith('q='))
    return q === undefined ? 1 : Number(q.slice(2)) || 0
  }
  return quality('text/plain') > quality('application/json')
}
