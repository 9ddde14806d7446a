// What is left of budgets, and whose it is.

import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { BUDGET_ANSWERS, BUDGET_KINDS, BUDGET_UNITS } from '../model/budget.ts'
import { type KeyRing, requires } from './key.ts'
import { closed, Name, paging } from './queries.ts'
import { PROBLEM } from './schemas.ts'

const BudgetQuery = Type.Object(
  {
    budget: Name,
    user: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 320,
        pattern: String.raw`^[^\u0000]*$`,
        description:
          'Name, e-mail, external id, user id or pseudonym: all budgets that concern them.',
      }),
    ),
    department: Name,
    service: Name,
    model: Name,
    ...paging,
  },
  closed,
)
export type BudgetFilter = Static<typeof BudgetQuery>

const Row = Type.Object({
  budget_id: Type.String(),
  subject: Type.Union(
    [
      Type.Object({
        person: Type.Optional(
          Type.String({ description: 'The pseudonym, the same wherever the person appears.' }),
        ),
        user: Type.Optional(
          Type.Union([Type.Object({ id: Type.String(), name: Type.String() }), Type.Null()]),
        ),
        department: Type.Optional(Type.String()),
        service: Type.Optional(Type.String()),
        model: Type.Optional(Type.String()),
      }),
      Type.Null(),
    ],
    {
      description:
        'By what the budget is per; without members it is for all. Null: nobody has used anything of it.',
    },
  ),
  unit: Type.Enum([...BUDGET_UNITS]),
  limit: Type.Integer(),
  used: Type.Integer(),
  remaining: Type.Integer({ description: '0 where more than the limit is used.' }),
  window: Type.String({ description: 'As in the settings, such as 1h.' }),
  kind: Type.Enum([...BUDGET_KINDS]),
  // oxlint-disable-next-line no-thenable -- as the setting is called
  then: Type.Enum([...BUDGET_ANSWERS]),
  cut: Type.Boolean(),
  resets_at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
    description: 'When something of what is used is free again.',
  }),
})
const Page = Type.Object({
  items: Type.Array(Row),
  next_cursor: Type.Union([Type.String(), Type.Null()], {
    description: 'Give it back as `cursor` for the next page.',
  }),
  complete: Type.Boolean({
    description: 'False where there are more counts than are looked through.',
  }),
})

export interface BudgetDesk {
  /** Throws NOT_FOUND for a budget or a person of whom nothing is known, STORE_UNAVAILABLE while nobody can count. */
  list(filter: BudgetFilter): Promise<{
    readonly items: readonly Static<typeof Row>[]
    readonly next_cursor: string | null
    readonly complete: boolean
  }>
}

export function budgetRoutes(
  app: FastifyInstance,
  { keys, budgets }: { readonly keys: KeyRing; readonly budgets: BudgetDesk },
): void {
  app.get<{ Querystring: BudgetFilter }>(
    '/v1/budgets',
    {
      onRequest: requires(keys, 'decisions:read'),
      schema: {
        summary: 'What is used and left of budgets, by budget and whom it is counted for',
        tags: ['budgets'],
        querystring: BudgetQuery,
        response: {
          200: Page,
          400: PROBLEM,
          401: PROBLEM,
          403: PROBLEM,
          404: PROBLEM,
          503: PROBLEM,
        },
      },
    },
    (request) => budgets.list(request.query),
  )
}
