// What is left of budgets, for whoever may read decisions: the API and the command line.

import { CordonError } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { durationText } from '../base/size.ts'
import type { ListedCounter } from '../context/budget-counter.ts'
import { type BudgetCount, budgetCounts, type CountQuery } from '../decision/budget-counts.ts'
import { type KeyedPeopleParts, type KeyedUser, peopleByKey } from '../governance/people-by-key.ts'
import type { Budget } from '../model/budget.ts'
import { keyPrefixOf, pseudonymOf } from '../model/person.ts'
import { StoredDirectory } from '../store/directory.ts'

export interface BudgetDeskParts extends KeyedPeopleParts {
  /** Those in force. */
  readonly budgets: () => readonly Budget[]
  /** Undefined where another process counts in its memory. */
  readonly counter: ListedCounter | undefined
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: () => boolean
}

export interface BudgetQuery {
  readonly budget?: string
  /** Name, e-mail, external id, user id, login, address or pseudonym. */
  readonly user?: string
  readonly department?: string
  readonly service?: string
  readonly model?: string
  readonly limit?: number
  readonly cursor?: string
}

export interface BudgetRow {
  readonly budget_id: string
  /** By what the budget is per, null where nobody has used anything of it. */
  readonly subject: {
    /** The pseudonym. */
    readonly person?: string
    /** Null where people are shown by pseudonyms, or the directory does not know them. */
    readonly user?: KeyedUser | null
    readonly department?: string
    readonly service?: string
    readonly model?: string
  } | null
  readonly unit: Budget['unit']
  readonly limit: number
  readonly used: number
  readonly remaining: number
  readonly window: string
  readonly kind: Budget['kind']
  readonly then: Budget['answer']
  readonly cut: boolean
  /** When something of what is used is free again. */
  readonly resets_at: string | null
}

export interface BudgetPage {
  readonly items: readonly BudgetRow[]
  readonly next_cursor: string | null
  /** False where there are more counts than are looked through. */
  readonly complete: boolean
}

const PAGE = 100
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * Counts of budgets, by budget. Throws NOT_FOUND for a budget or a person of whom nothing is known, INPUT_INVALID for a name
 * where people are shown by pseudonyms, STORE_UNAVAILABLE while nobody can tell.
 */
export async function budgetsPage(parts: BudgetDeskParts, query: BudgetQuery): Promise<BudgetPage> {
  const { counter, pseudonymous } = parts
  const budgets = parts.budgets()
  const { budget, user, department, service, model, limit = PAGE, cursor } = query
  if (budget !== undefined && !budgets.some(({ id }) => id === budget))
    throw new CordonError(
      'NOT_FOUND',
      `there is no budget "${budget.slice(0, 100)}"${didYouMean(
        budget,
        budgets.map(({ id }) => id),
      )}`,
    )
  if (counter === undefined)
    throw new CordonError(
      'STORE_UNAVAILABLE',
      'budgets are counted in the memory of the gateways, which is not here: with redis_url they can be told everywhere',
    )
  const person = user === undefined ? undefined : await personCalled(parts, user)
  const page = await budgetCounts(counter, budgets, {
    limit,
    ...(budget === undefined ? {} : { budget }),
    ...(person === undefined ? {} : { person }),
    ...(department === undefined ? {} : { department }),
    ...(service === undefined ? {} : { service }),
    ...(model === undefined ? {} : { model }),
    ...(cursor === undefined ? {} : { after: cursor }),
  })
  if (user !== undefined && person?.user?.known !== true && cursor === undefined)
    refuseStranger(page.counts, user)
  const keys = new Set(page.counts.flatMap(({ subject }) => subject?.user ?? []))
  const people =
    pseudonymous() || keys.size === 0
      ? new Map<string, KeyedUser>()
      : await peopleByKey(parts, keys)
  return {
    items: page.counts.map((count) => rowOf(count, people)),
    next_cursor: page.next,
    complete: page.isComplete,
  }
}

async function personCalled(
  { db, tenant, personKey, pseudonymous }: BudgetDeskParts,
  given: string,
): Promise<CountQuery['person'] & object> {
  const prefix = keyPrefixOf(given)
  if (prefix !== undefined) return { key: prefix, user: undefined }
  if (pseudonymous())
    throw new CordonError(
      'INPUT_INVALID',
      'people are shown by pseudonyms here: give one, such as person-ab3defgh7jkl',
      { problems: [{ file: '/querystring/user', message: 'must be a pseudonym' }] },
    )
  const directory = new StoredDirectory(db, tenant)
  const found =
    (await directory.find({ login: given })) ??
    (UUID.test(given) ? await directory.find({ user_id: given }) : undefined)
  if (found === undefined) return { key: personKey(given), user: { name: given, known: false } }
  return { key: personKey(found.person ?? given), user: found.user }
}

/** Of a name that nobody has nothing is known; who has used something is somebody. */
function refuseStranger(counts: readonly BudgetCount[], given: string): void {
  if (counts.some(({ subject, used }) => subject?.user !== undefined && used > 0)) return
  throw new CordonError('NOT_FOUND', `nothing is known of "${given.slice(0, 100)}"`)
}

function rowOf(
  { budget, subject, used, resets_at: resetsAt }: BudgetCount,
  people: ReadonlyMap<string, KeyedUser>,
): BudgetRow {
  const { id, unit, limit, window, kind, answer, cut } = budget
  const { user: key, ...rest } = subject ?? {}
  const person =
    key === undefined ? {} : { person: pseudonymOf(key) ?? key, user: people.get(key) ?? null }
  return {
    budget_id: id,
    subject: subject === undefined ? null : { ...person, ...rest },
    unit,
    limit,
    used,
    remaining: Math.max(0, limit - used),
    window: durationText(window),
    kind,
    // oxlint-disable-next-line no-thenable -- as the setting is called
    then: answer,
    cut,
    resets_at: resetsAt === undefined ? null : new Date(resetsAt).toISOString(),
  }
}
