// Can this request be afforded? What it may cost is taken before the policies run (docs/reference/budgets.md).
//
// Taking is one step for all budgets that a request belongs to: all of them are charged or none. Policies see the
// counts as they stood before.

import { durationText } from '../base/size.ts'
import type { Asked, BudgetCounter, Counted, Taken } from '../context/budget-counter.ts'
import {
  type Budget,
  type BudgetInput,
  type BudgetMatch,
  type BudgetPart,
  policyIdOf,
} from '../model/budget.ts'
import type { Effect, Verdict } from '../model/decision.ts'
import type { InputDocument, ResourceInput, UserInput } from '../model/input.ts'
import type { OutcomeRecord } from '../model/record.ts'
import type { AccessRequest } from '../model/request.ts'
import type { AiService } from '../model/service.ts'
import { Charge, type Item, type Spent } from './charge.ts'
import { countKey, countName } from './count-name.ts'

type HowItEnded = Pick<
  OutcomeRecord,
  'status' | 'bytes_in' | 'bytes_out' | 'input_tokens' | 'output_tokens'
>

export interface BudgetSettings {
  readonly budgets: readonly Budget[]
  /** What becomes of a request while nobody can count. */
  readonly onError: 'allow' | 'deny'
}

export interface BudgetMetrics {
  readonly budgetErrors: { inc(): void }
}

export interface BudgetsParts {
  readonly counter: BudgetCounter
  /** Read anew for every request. */
  readonly settings: () => BudgetSettings
  readonly metrics: BudgetMetrics
}

/** What a request may cost, as far as can be told beforehand. */
export interface Cost {
  /** Of the question: a quarter of its characters. */
  readonly tokens: number
  /** The most that the answer may have, where the question says so; else 0. */
  readonly answerTokens: number
  /** Of the question. */
  readonly bytes: number
}

export interface Asking {
  /** It opens a conversation, which has said nothing yet. */
  readonly isConversation?: boolean
  /** The key of the person, which names nobody. */
  readonly person: () => string
  /** Undefined: nothing is taken, the counts are only looked at. */
  readonly cost: Cost | undefined
  /** False where whatever is said is not done, so that nothing is held back either. */
  readonly enforced: boolean
}

/** What budgets say of a request. */
export interface Budgeted {
  /** By id, as policies see it; undefined where it could not be counted. */
  readonly input: Readonly<Record<string, BudgetInput>> | undefined
  /** With what was taken; undefined where the counts were only looked at, or could not be. */
  readonly charge: Charge | undefined
  readonly cost: Cost | undefined
  /** The budget that the request goes beyond, or for which nobody can count. */
  readonly beyond: Beyond | undefined
}

export interface Beyond {
  readonly policyId: string
  readonly effect: Effect
  readonly reason: string
  /** Milliseconds until there is something again; undefined where nobody knows. */
  readonly waitMs: number | undefined
}

export class Budgets {
  readonly #parts: BudgetsParts

  constructor(parts: BudgetsParts) {
    this.#parts = parts
  }

  /**
   * Whether a budget of that service needs to know what a body says: its model, or how much it asks for. Of unknown hosts
   * so much is read as tells whether they are AI at all.
   */
  readBody(service: AiService | undefined): boolean {
    if (service === undefined) return false
    const { id, vendor, service_type: category } = service
    const resource = {
      id,
      ...(vendor === undefined ? {} : { vendor }),
      ...(category === undefined ? {} : { category }),
    }
    return this.#parts
      .settings()
      .budgets.some(
        ({ unit, per, match }) =>
          (unit === 'tokens' || per.includes('model') || isGiven(match.models)) &&
          isService(match, resource),
      )
  }

  /** Takes what the request may cost; undefined where no budget concerns it. */
  take(input: InputDocument, asking: Asking): undefined | Promise<Budgeted> {
    const { budgets, onError } = this.#parts.settings()
    if (budgets.length === 0 || !input.resource.ai) return undefined
    const { isConversation = false } = asking
    const concerned = budgets.filter((budget) => concerns(budget, input, isConversation))
    if (concerned.length === 0) return undefined
    const person = asking.person()
    const items = concerned.map((budget): Item => ({
      budget,
      asked: askedOf(budget, input, person, asking),
    }))
    return this.#take(items, asking, onError === 'deny')
  }

  async #take(
    items: readonly Item[],
    { cost, enforced }: Asking,
    denies: boolean,
  ): Promise<Budgeted> {
    const { counter, metrics } = this.#parts
    const onError = (): void => metrics.budgetErrors.inc()
    try {
      const taking = await counter.take(items.map(({ asked }) => asked))
      const { granted, counted } = taking
      const input = inputOf(items, counted)
      if (cost === undefined) return { input, charge: undefined, cost, beyond: undefined }
      const taken = granted ? counted : undefined
      const charge = new Charge({ counter, items, onError, taken })
      return { input, charge, cost, beyond: beyondOf(items, taking) }
    } catch {
      onError()
      const beyond = cost !== undefined && enforced && denies ? uncounted(items) : undefined
      return { input: undefined, charge: undefined, cost, beyond }
    }
  }
}

/** A budget weakens no refusal of a policy: what it adds is DENY, or REVIEW where policies let through. */
export function limited(verdict: Verdict, beyond: Beyond | undefined): Verdict {
  if (beyond === undefined || STRENGTH[beyond.effect] <= STRENGTH[verdict.decision]) return verdict
  const { effect, reason, policyId } = beyond
  return {
    ...verdict,
    decision: effect,
    reason,
    primary_policy_id: policyId,
    obligations: effect === 'DENY' ? [] : verdict.obligations,
    would_be: effect === 'REVIEW' && verdict.would_be === 'DENY' ? 'DENY' : null,
    severity: 'low',
  }
}

/** A budget has run out while the answer was running. */
export function ranOut(verdict: Verdict, { id, limit, unit, window }: Budget): Verdict {
  return {
    ...verdict,
    decision: 'DENY',
    reason: `the budget "${id}" of ${limit} ${unit} in ${durationText(window)} ran out during the answer`,
    primary_policy_id: policyIdOf({ id }),
    obligations: [],
    would_be: null,
    severity: 'low',
  }
}

const PROMPT = 'send_prompt'
const STRENGTH: Readonly<Record<Effect, number>> = { ALLOW: 0, REVIEW: 1, DENY: 2 }
/** Characters of a token, about, in the languages of the trade. */
const CHARACTERS_A_TOKEN = 4

/** What a request may cost, from what a door has read of it. */
export function costOf({ content }: AccessRequest): Cost {
  const bytes = content?.message?.bytes ?? content?.text.length ?? 0
  // A long text was searched where it was read, and is not here.
  const length = content?.searched === undefined ? (content?.text.length ?? 0) : bytes
  return {
    tokens: Math.ceil(length / CHARACTERS_A_TOKEN),
    answerTokens: content?.message?.max_tokens ?? 0,
    bytes,
  }
}

/** What a request has cost that passed. `measured`: tokens of the answer, about, where its service may not tell. */
export function spentOf(
  cost: Cost,
  { status, bytes_in, bytes_out, input_tokens: asked, output_tokens: answered }: HowItEnded,
  measured: number | undefined,
): Spent {
  const bytes = Math.max(cost.bytes, bytes_in + bytes_out)
  const isTold = asked !== undefined || answered !== undefined
  // What an origin did not do it does not charge for.
  if (!isTold && (status === 0 || status >= 400)) return { tokens: 0, bytes }
  return { tokens: (asked ?? cost.tokens) + (answered ?? measured ?? 0), bytes }
}

function askedOf(
  budget: Budget,
  input: InputDocument,
  person: string,
  { cost, enforced, isConversation = false }: Asking,
): Asked {
  const { unit, window, kind, limit, per, answer } = budget
  const values = per.map((part) => valueOf(part, input, person))
  // What costs nothing, or nothing yet, is refused too, once all is used.
  const isFree = isConversation && unit !== 'requests'
  return {
    key: countKey(budget, values),
    name: countName(budget, values),
    limit: isFree ? limit - 1 : limit,
    cost: cost === undefined || isFree ? 0 : Math.max(1, amountOf(unit, cost)),
    window,
    kind,
    holds: enforced && answer !== 'none',
  }
}

function amountOf(unit: Budget['unit'], { tokens, answerTokens, bytes }: Cost): number {
  if (unit === 'requests') return 1
  return unit === 'tokens' ? tokens + answerTokens : bytes
}

function valueOf(part: BudgetPart, { user, resource }: InputDocument, person: string): string {
  switch (part) {
    case 'user':
      return person
    case 'department':
      return user.department?.name ?? ''
    case 'service':
      return resource.id ?? `host:${resource.host ?? ''}`
    case 'model':
      return resource.model ?? ''
  }
}

function concerns(
  { unit, match }: Budget,
  { user, action, resource, context }: InputDocument,
  isConversation: boolean,
): boolean {
  // Prompts come in a conversation, and what is answered may come before the first of them.
  const actions = isConversation && unit !== 'requests' ? [action, PROMPT] : [action]
  // Only a prompt is paid for in tokens, and an answer belongs to a question that was counted.
  if (unit === 'tokens' && !actions.includes(PROMPT)) return false
  if (action === 'receive_response' && !isGiven(match.actions)) return false
  return (
    isAny(match.actions, actions) &&
    isOne(match.sources, context.source) &&
    isService(match, resource) &&
    isModel(match, resource.model) &&
    isUser(match, user)
  )
}

function isService(
  { services, categories, vendors }: BudgetMatch,
  { id, category, vendor }: Pick<ResourceInput, 'id' | 'category' | 'vendor'>,
): boolean {
  return isOne(services, id ?? 'unknown') && isOne(categories, category) && isOne(vendors, vendor)
}

/** Whether requests for a model may belong to a budget. */
export function isModel({ models }: BudgetMatch, model: string | undefined): boolean {
  if (!isGiven(models)) return true
  return (
    model !== undefined &&
    models.some((each) =>
      each.endsWith('*') ? model.startsWith(each.slice(0, -1)) : model === each,
    )
  )
}

/** Whether requests of somebody may belong to a budget. */
export function isUser(
  { users, groups, roles, departments }: BudgetMatch,
  user: UserInput,
): boolean {
  const { id, name, email } = user
  return (
    isAny(users, [id ?? 'unknown', ...[name, email].filter((each) => each !== undefined)]) &&
    isAny(groups, user.groups) &&
    isAny(roles, user.roles) &&
    isAny(departments, departmentsOf(user))
  )
}

function departmentsOf({ department }: UserInput): readonly string[] {
  const { name, path = [] } = department ?? {}
  return name === undefined ? path : [name, ...path]
}

function isGiven(list: readonly string[] | undefined): list is readonly string[] {
  return list !== undefined && list.length > 0
}

function isOne(list: readonly string[] | undefined, value: string | undefined): boolean {
  return !isGiven(list) || (value !== undefined && list.includes(value))
}

function isAny(
  list: readonly string[] | undefined,
  values: readonly string[] | undefined,
): boolean {
  return !isGiven(list) || (values?.some((value) => list.includes(value)) ?? false)
}

function inputOf(
  items: readonly Item[],
  counted: readonly Counted[],
): Readonly<Record<string, BudgetInput>> {
  const input: Record<string, BudgetInput> = {}
  for (const [index, { used, resets_at }] of counted.entries()) {
    const budget = items[index]?.budget
    if (budget === undefined) continue
    const { id, limit, unit } = budget
    const remaining = Math.max(0, limit - used)
    input[id] = { limit, used, remaining, unit, resets_at_epoch_ms: resets_at }
  }
  return input
}

/** The budget that decides: one that denies before one that asks, in the order of the settings. */
function beyondOf(items: readonly Item[], { counted, now }: Taken): Beyond | undefined {
  const over = items.flatMap(({ budget, asked: { cost, limit } }, index): Beyond[] => {
    const { used = 0, resets_at: resetsAt = 0 } = counted[index] ?? {}
    if (budget.answer === 'none' || used + cost <= limit) return []
    return [
      {
        policyId: policyIdOf(budget),
        effect: budget.answer === 'deny' ? 'DENY' : 'REVIEW',
        reason: budget.reason ?? reasonOf(budget, used, cost, resetsAt),
        waitMs: cost > limit ? undefined : resetsAt - now,
      },
    ]
  })
  return over.find(({ effect }) => effect === 'DENY') ?? over[0]
}

function reasonOf(
  { id, limit, unit, window }: Budget,
  used: number,
  cost: number,
  resetsAt: number,
): string {
  const budget = `budget "${id}" of ${limit} ${unit} in ${durationText(window)}`
  if (cost > limit) return `this asks for ${cost} ${unit}, more than the whole ${budget}`
  const left = used >= limit ? 'is used up' : `has less left than the ${cost} asked for`
  return `the ${budget} ${left}; more at ${new Date(resetsAt).toISOString()}`
}

function uncounted(items: readonly Item[]): Beyond | undefined {
  const held = items.find(({ budget: { answer } }) => answer !== 'none')
  if (held === undefined) return undefined
  return {
    policyId: policyIdOf(held.budget),
    effect: 'DENY',
    reason: `the budget "${held.budget.id}" cannot be counted at the moment`,
    waitMs: undefined,
  }
}
