// Who is behind a pseudonym.

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import type { Revealed } from '../governance/reveal.ts'
import { type ApiKey, type KeyRing, requiresEach } from './key.ts'
import { PROBLEM } from './schemas.ts'

export interface PeopleDesk {
  /** Throws NOT_FOUND where no record says any more who it was. */
  reveal(pseudonym: string, reason: string, by: ApiKey): Promise<Revealed>
}

const closed = { additionalProperties: false }
const Text = Type.Union([Type.String(), Type.Null()])
const Person = Type.Object({
  pseudonym: Type.String(),
  user: Type.Object({ id: Text, name: Text, email: Text }),
  ip_address: Text,
  seen: Type.String({ format: 'date-time' }),
})

export function peopleRoutes(
  app: FastifyInstance,
  { keys, people }: { readonly keys: KeyRing; readonly people: PeopleDesk },
): void {
  app.post<{ Params: { pseudonym: string }; Body: { reason: string } }>(
    '/v1/people/:pseudonym/reveal',
    {
      // Who people are, and what is kept of them: neither right alone tells what somebody did.
      onRequest: requiresEach(keys, 'directory:read', 'ledger:read'),
      schema: {
        summary:
          'Who is behind a pseudonym; the audit event with the reason is kept before the answer',
        tags: ['people'],
        params: Type.Object({ pseudonym: Type.String({ maxLength: 100 }) }, closed),
        body: Type.Object({ reason: Type.String({ minLength: 1, maxLength: 1000 }) }, closed),
        response: {
          200: Person,
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          404: PROBLEM,
          503: PROBLEM,
        },
      },
    },
    async (request) => {
      const key = request.apiKey
      if (key?.user === undefined)
        throw new CordonError(
          'FORBIDDEN',
          'whoever reveals a person is written down: use a key that belongs to somebody (cordon key create --user)',
        )
      return people.reveal(request.params.pseudonym, request.body.reason, key)
    },
  )
}
