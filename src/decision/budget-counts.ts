// How much of each budget is used, and by whom: what counts there are, told in order, a page at a time.

import { Pace } from '../base/pace.ts'
import type { ListedCounter } from '../context/budget-counter.ts'
import type { Budget, BudgetMatch, BudgetPart } from '../model/budget.ts'
import type { UserInput } from '../model/input.ts'
import { isModel, isUser } from './budgets.ts'
import { countKey, partsOfName, valuesOf } from './count-name.ts'

/** Whose counts are wanted; nothing given: all. */
export interface CountQuery {
  readonly budget?: string
  readonly person?: {
    /** The key, or the digits that it begins with. */
    readonly key: string
    /** Undefined behind a pseudonym: then budgets that name people are not told, nor those of departments. */
    readonly user: UserInput | undefined
  }
  readonly department?: string
  readonly service?: string
  readonly model?: string
  readonly limit: number
  /** `next` of the page before. */
  readonly after?: string
}

export interface BudgetCount {
  readonly budget: Budget
  /** By what the budget is per; undefined where nobody has used anything of it. People are keys. */
  readonly subject: Readonly<Partial<Record<BudgetPart, string>>> | undefined
  readonly used: number
  /** Milliseconds since the epoch; undefined without a subject. */
  readonly resets_at: number | undefined
}

export interface CountPage {
  readonly counts: readonly BudgetCount[]
  readonly next: string | null
  /** False where there are more counts than are looked through. */
  readonly isComplete: boolean
}

interface Found {
  /** Where it stands: by budget, then in the order of keys. */
  readonly place: string
  readonly budget: Budget
  readonly key: string
  readonly values: readonly string[] | undefined
}

/** As many as memory has room for. */
const MOST_LOOKED = 200_000
const LOOKED_AT_ONCE = 100
const MOST_UNORDERED = 2000
const READ_AT_ONCE = 100
const FULL_KEY = 64

/** Rejects with STORE_UNAVAILABLE while nobody can count. */
export async function budgetCounts(
  counter: ListedCounter,
  all: readonly Budget[],
  query: CountQuery,
): Promise<CountPage> {
  const wanted = all.filter((budget) => isWanted(budget, query))
  const budgets = new Map(wanted.map((budget) => [budget.id, budget]))
  let found = new Map<string, Found>()
  const used = new Set<string>()
  // Whoever counts does something else too: this many may not be put in order at once, nor looked through.
  const most = query.limit + 1
  const pace = new Pace()
  const add = (budget: Budget, key: string, values: readonly string[] | undefined): void => {
    if (values !== undefined) used.add(budget.id)
    const place = `${budget.id}.${values === undefined ? '' : key}`
    if (query.after === undefined || place > query.after)
      found.set(place, { place, budget, key, values })
    if (found.size >= most + MOST_UNORDERED)
      found = new Map(inOrder(found, most).map((each) => [each.place, each]))
  }
  let isComplete = true
  if (wanted.some(({ per }) => per.length > 0)) {
    let looked = 0
    for await (const named of counter.named()) {
      for (const [index, { key, name }] of named.entries()) {
        if (index % LOOKED_AT_ONCE === 0) await pace.point()
        const parts = partsOfName(name)
        const budget = budgets.get(parts?.[0] ?? '')
        const values = budget === undefined ? undefined : valuesOf(budget, parts ?? [])
        if (budget !== undefined && values !== undefined && isOf(budget, values, query))
          add(budget, key, values)
      }
      looked += named.length
      isComplete = looked <= MOST_LOOKED
      if (!isComplete) break
    }
  }
  for (const budget of wanted) {
    // Of whom it is known who they are, also that they have used nothing.
    const values = knownValues(budget, query)
    if (values !== undefined && isOf(budget, values, query))
      add(budget, countKey(budget, values), values)
    else if (isComplete && !used.has(budget.id)) add(budget, '', undefined)
  }
  const page = inOrder(found, most)
  const shown = page.slice(0, query.limit)
  return {
    counts: await counted(counter, shown),
    next: page.length > query.limit ? (shown.at(-1)?.place ?? null) : null,
    isComplete,
  }
}

function inOrder(found: ReadonlyMap<string, Found>, most: number): readonly Found[] {
  return [...found.values()].toSorted((a, b) => (a.place < b.place ? -1 : 1)).slice(0, most)
}

/** Reads without adding anything. */
async function counted(counter: ListedCounter, found: readonly Found[]): Promise<BudgetCount[]> {
  const counts: BudgetCount[] = []
  for (let from = 0; from < found.length; from += READ_AT_ONCE) {
    const part = found.slice(from, from + READ_AT_ONCE)
    const read = await counter.take(
      part.map(({ budget: { limit, window, kind }, key }) => {
        return { key, name: '', limit, cost: 0, window, kind, holds: false }
      }),
    )
    for (const [index, { budget, values }] of part.entries()) {
      const { used = 0, resets_at } = read.counted[index] ?? {}
      counts.push(
        values === undefined
          ? { budget, subject: undefined, used: 0, resets_at: undefined }
          : { budget, subject: subjectOf(budget, values), used, resets_at },
      )
    }
  }
  return counts
}

/** Whether requests of the people and to the services that are asked for may belong to it. */
function isWanted({ id, match }: Budget, query: CountQuery): boolean {
  const { budget, person, department, service, model } = query
  if (budget !== undefined && budget !== id) return false
  if (department !== undefined && !names(match.departments, department)) return false
  if (service !== undefined && !names(match.services, service)) return false
  if (model !== undefined && !isModel(match, model)) return false
  if (person === undefined) return true
  return person.user === undefined ? !namesPeople(match) : isUser(match, person.user)
}

function isOf({ per }: Budget, values: readonly string[], query: CountQuery): boolean {
  return per.every((part, index) => {
    const value = values[index] ?? ''
    if (part === 'user') return query.person === undefined || value.startsWith(query.person.key)
    const own = part === 'department' ? departmentOf(query.person) : undefined
    const asked = query[part] ?? own
    return asked === undefined || asked.toLowerCase() === value.toLowerCase()
  })
}

/** Undefined where not all of what the budget is per is known. */
function knownValues({ per }: Budget, { person }: CountQuery): readonly string[] | undefined {
  const values = per.map((part) => {
    if (part === 'user') return person?.key.length === FULL_KEY ? person.key : undefined
    return part === 'department' ? departmentOf(person) : undefined
  })
  return values.every((value) => value !== undefined) ? values : undefined
}

/** Undefined where nobody knows it. */
function departmentOf(person: CountQuery['person']): string | undefined {
  return person?.user === undefined ? undefined : (person.user.department?.name ?? '')
}

function subjectOf(
  { per }: Budget,
  values: readonly string[],
): Readonly<Partial<Record<BudgetPart, string>>> {
  return Object.fromEntries(per.map((part, index) => [part, values[index] ?? '']))
}

function names(list: readonly string[] | undefined, value: string): boolean {
  if (list === undefined || list.length === 0) return true
  return list.some((each) => each.toLowerCase() === value.toLowerCase())
}

function namesPeople({ users, groups, roles, departments }: BudgetMatch): boolean {
  return [users, groups, roles, departments].some((list) => (list?.length ?? 0) > 0)
}
