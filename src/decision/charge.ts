// What one request costs its budgets: taken beforehand, more while its answer runs, settled or given back in the end.
//
// Steps follow each other, and nobody waits for them but a running answer that needs more.

import type { Asked, BudgetCounter, Change, Counted } from '../context/budget-counter.ts'
import type { Budget } from '../model/budget.ts'

export interface Item {
  readonly budget: Budget
  readonly asked: Asked
}

export interface ChargeParts {
  readonly counter: BudgetCounter
  readonly items: readonly Item[]
  /** What was added, in the order of the items; undefined where nothing was. */
  readonly taken: readonly Counted[] | undefined
  /** Told of every step that could not be counted. */
  readonly onError: () => void
}

/** What a request has cost so far, as far as is known. */
export interface Spent {
  readonly tokens: number
  readonly bytes: number
}

/** What was added to a count, in a slot of its time. */
interface Part {
  readonly slot: number
  amount: number
}

interface Account extends Item {
  readonly parts: Part[]
}

/** A count that nothing was added to yet, and what is. */
interface Begun {
  readonly account: Account
  readonly cost: number
}

/** Steps in which a running answer is counted: taken in advance where it may end, so that not every word has to be asked for. */
const ADVANCE = { requests: 0, tokens: 256, bytes: 64 * 1024 } as const

export class Charge {
  readonly #counter: BudgetCounter
  readonly #accounts: readonly Account[]
  readonly #onError: () => void
  #last: Promise<unknown> = Promise.resolve()

  constructor({ counter, items, taken, onError }: ChargeParts) {
    this.#counter = counter
    this.#onError = onError
    this.#accounts = items.map((item, index) => ({ ...item, parts: partsOf(item, taken?.[index]) }))
  }

  /** Whether it matters how long the answer gets. */
  get measures(): boolean {
    return this.#accounts.some(({ budget: { unit } }) => unit !== 'requests')
  }

  /** The request does not pass: it has used nothing. */
  refund(): void {
    this.#next(() => this.#correct(() => 0))
  }

  /** The request passes: what was not taken, or given back, is taken whatever the limits say. */
  pass(): void {
    this.#next(async () => {
      const missing = this.#accounts.filter(
        ({ parts, asked: { cost } }) => cost > 0 && total(parts) === 0,
      )
      if (missing.length > 0)
        await this.#begin(missing.map((account) => ({ account, cost: account.asked.cost })))
    })
  }

  /** It has ended, and has cost this. */
  settle(spent: Spent): void {
    this.#next(() =>
      this.#correct(({ budget: { unit } }) => (unit === 'requests' ? undefined : spent[unit])),
    )
  }

  /** Whether a running answer that has cost so much needs more than was taken. `cuts`: budgets that end it once they run out. */
  isShort(spent: Spent, cuts: (budget: Budget) => boolean): boolean {
    return this.#accounts.some((account) => isShort(account, spent, cuts))
  }

  /**
   * Takes more for a running answer, of budgets that do not end it whatever their limits say. Gives the budget that has run
   * out, or undefined; rejects where it cannot be counted.
   */
  extend(spent: Spent, cuts: (budget: Budget) => boolean): Promise<Budget | undefined> {
    const extended = this.#last.then(() => this.#extend(spent, cuts))
    this.#last = extended.catch(() => undefined)
    return extended
  }

  async #extend(spent: Spent, cuts: (budget: Budget) => boolean): Promise<Budget | undefined> {
    const short = this.#accounts.filter((account) => isShort(account, spent, cuts))
    if (short.length === 0) return undefined
    const more = (advance: boolean): Asked[] =>
      short.map((account) => {
        const { asked, budget } = account
        const holds = cuts(budget)
        const ahead = holds && advance ? ADVANCE[budget.unit] : 0
        return { ...asked, limit: budget.limit, cost: missingIn(account, spent) + ahead, holds }
      })
    let wanted = more(true)
    let { granted, counted } = await this.#counter.take(wanted)
    if (!granted) {
      // Near the end no more than what is needed.
      wanted = more(false)
      ;({ granted, counted } = await this.#counter.take(wanted))
    }
    for (const [index, account] of short.entries()) {
      const { cost = 0, limit = 0, holds = false } = wanted[index] ?? {}
      const at = counted[index]
      if (at === undefined) continue
      if (granted) add(account.parts, { slot: at.slot, amount: cost })
      else if (holds && at.used + cost > limit) return account.budget
    }
    return undefined
  }

  /** Brings each count to what it should be, the newest part first; undefined: it is right. */
  async #correct(wanted: (item: Item) => number | undefined): Promise<void> {
    const changes: Change[] = []
    const begun: Begun[] = []
    for (const account of this.#accounts) {
      const { parts, asked } = account
      const amount = wanted(account)
      if (amount === undefined) continue
      let by = Math.max(0, Math.ceil(amount)) - total(parts)
      const last = parts.at(-1)
      // A count that nothing was added to has no slot yet.
      if (by > 0 && (last === undefined || total(parts) === 0)) begun.push({ account, cost: by })
      else if (by > 0 && last !== undefined) {
        last.amount += by
        changes.push({ key: asked.key, slot: last.slot, by })
      }
      for (const part of parts.toReversed()) {
        if (by >= 0) break
        const back = Math.min(part.amount, -by)
        part.amount -= back
        by += back
        if (back > 0) changes.push({ key: asked.key, slot: part.slot, by: -back })
      }
    }
    if (changes.length > 0) await this.#counter.adjust(changes)
    if (begun.length > 0) await this.#begin(begun)
  }

  async #begin(begun: readonly Begun[]): Promise<void> {
    const { counted } = await this.#counter.take(
      begun.map(({ account: { asked }, cost }) => ({ ...asked, cost, holds: false })),
    )
    for (const [index, { account, cost }] of begun.entries()) {
      const at = counted[index]
      if (at !== undefined) add(account.parts, { slot: at.slot, amount: cost })
    }
  }

  #next(step: () => Promise<void>): void {
    this.#last = this.#last.then(step).catch(() => this.#onError())
  }
}

function partsOf({ asked }: Item, counted: Counted | undefined): Part[] {
  return counted === undefined ? [] : [{ slot: counted.slot, amount: asked.cost }]
}

function missingIn({ budget: { unit }, parts }: Account, spent: Spent): number {
  return unit === 'requests' ? 0 : Math.max(0, Math.ceil(spent[unit]) - total(parts))
}

function isShort(account: Account, spent: Spent, cuts: (budget: Budget) => boolean): boolean {
  const missing = missingIn(account, spent)
  return missing > 0 && (cuts(account.budget) || missing >= ADVANCE[account.budget.unit])
}

/** More than a sliding window has: the oldest part is over by then, and nothing of it can be given back. */
const MOST_PARTS = 64

function add(parts: Part[], part: Part): void {
  const last = parts.at(-1)
  if (last?.slot === part.slot) last.amount += part.amount
  else parts.push(part)
  const [oldest, next] = parts
  if (parts.length <= MOST_PARTS || oldest === undefined || next === undefined) return
  next.amount += oldest.amount
  parts.shift()
}

function total(parts: readonly Part[]): number {
  return parts.reduce((sum, { amount }) => sum + amount, 0)
}
