// Budgets: so much of something for somebody in a while (docs/reference/budgets.md).

export const BUDGET_UNITS = ['requests', 'tokens', 'bytes'] as const
export type BudgetUnit = (typeof BUDGET_UNITS)[number]

/** Each value of these has a count of its own. */
export const BUDGET_PARTS = ['user', 'department', 'service', 'model'] as const
export type BudgetPart = (typeof BUDGET_PARTS)[number]

/** fixed: windows follow each other, from the epoch on. sliding: the window ends now. */
export const BUDGET_KINDS = ['fixed', 'sliding'] as const
export type BudgetKind = (typeof BUDGET_KINDS)[number]

/** What becomes of a request that goes beyond; none: policies see it, and nothing else happens. */
export const BUDGET_ANSWERS = ['deny', 'review', 'none'] as const
export type BudgetAnswer = (typeof BUDGET_ANSWERS)[number]

export const BUDGET_MATCHES = [
  'users',
  'groups',
  'roles',
  'departments',
  'services',
  'categories',
  'vendors',
  'models',
  'actions',
  'sources',
] as const
/** As the scope of a policy: OR inside a list, AND between lists; an empty one means all. A model may end in `*`. */
export type BudgetMatch = Readonly<
  Partial<Record<(typeof BUDGET_MATCHES)[number], readonly string[]>>
>

export interface Budget {
  readonly id: string
  /** Empty: one count for all. */
  readonly per: readonly BudgetPart[]
  readonly match: BudgetMatch
  readonly limit: number
  readonly unit: BudgetUnit
  /** Milliseconds. */
  readonly window: number
  readonly kind: BudgetKind
  /** Setting `then`. */
  readonly answer: BudgetAnswer
  /** Whether an answer that is running ends when the budget does. */
  readonly cut: boolean
  /** What a refused person is told; without it, in our words. */
  readonly reason?: string
}

/** A budget as policies see it, as it stood before the request. */
export interface BudgetInput {
  readonly limit: number
  readonly used: number
  /** 0 where more than the limit is used. */
  readonly remaining: number
  readonly unit: BudgetUnit
  /** When something of what is used is free again. */
  readonly resets_at_epoch_ms: number
}

const PREFIX = 'budget:'

/** The `primary_policy_id` of what a budget decided. */
export function policyIdOf(budget: Pick<Budget, 'id'>): string {
  return PREFIX + budget.id
}

/** The id of the budget that decided; undefined where policies did, which alone would have answered something else. */
export function budgetIn(decided: {
  readonly primary_policy_id: string | null
}): string | undefined {
  const id = decided.primary_policy_id
  return id?.startsWith(PREFIX) === true ? id.slice(PREFIX.length) : undefined
}
