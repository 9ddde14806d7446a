// Who is behind a pseudonym, and what a person's violations come to.

import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { CordonError } from '../base/errors.ts'
import type { PersonRisk } from '../governance/person-risk.ts'
import type { Revealed } from '../governance/reveal.ts'
import { RISK_LEVELS } from '../model/risk.ts'
import { type ApiKey, type KeyRing, requires, requiresEach } from './key.ts'
import { PROBLEM } from './schemas.ts'

export interface PeopleDesk {
  /** Throws NOT_FOUND where no record says any more who it was. */
  reveal(pseudonym: string, reason: string, by: ApiKey): Promise<Revealed>
  /** Throws NOT_FOUND for somebody of whom nothing is known. */
  risk(person: string): Promise<PersonRisk>
}

const closed = { additionalProperties: false }
const Text = Type.Union([Type.String(), Type.Null()])
const Person = Type.Object({
  pseudonym: Type.String(),
  user: Type.Object({ id: Text, name: Text, email: Text }),
  ip_address: Text,
  seen: Type.String({ format: 'date-time' }),
})

const Risk = Type.Object({
  person: Type.String({ description: 'The pseudonym, the same wherever the person appears.' }),
  user: Type.Union([Type.Object({ id: Text, name: Text }), Type.Null()]),
  own_score: Type.Integer({ minimum: 0, maximum: 100 }),
  level: Type.Enum([...RISK_LEVELS]),
  points: Type.Number({ description: 'Of all violations, each one decayed until now.' }),
  half_life_days: Type.Number(),
  violations: Type.Array(
    Type.Object({
      violation_id: Type.String(),
      day: Type.String({ format: 'date' }),
      policy_id: Text,
      service_id: Type.String(),
      severity: Type.String(),
      points: Type.Number({ description: 'What is left of it.' }),
    }),
    { description: 'Those that count, newest first, at most 100.' },
  ),
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

  app.get<{ Params: { person: string } }>(
    '/v1/people/:person/risk',
    {
      onRequest: requires(keys, 'violations:read'),
      schema: {
        summary: "A person's own risk score, and the violations that it comes from",
        tags: ['people'],
        params: Type.Object(
          {
            person: Type.String({
              minLength: 1,
              maxLength: 320,
              description: 'Name, e-mail, external id, user id or pseudonym.',
            }),
          },
          closed,
        ),
        response: {
          200: Risk,
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          404: PROBLEM,
          503: PROBLEM,
        },
      },
    },
    (request) => people.risk(request.params.person),
  )
}
