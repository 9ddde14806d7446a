// Exceptions in a decision: which of those in force concern a request, and whether they let it through.
//
// They have a part only in what would be refused or asked for. One that would change nothing has none.

import type { Verdict } from '../model/decision.ts'
import { BY_DEFAULT, type LiveException } from '../model/exception.ts'
import type { InputDocument } from '../model/input.ts'
import type { Enforced } from './enforce.ts'

/** What the corridor asks of the exceptions in force. */
export interface ExceptionDesk {
  /** Those that hold for this request, in the order in which they are to be taken. `service`: its id, else the host. */
  of(input: InputDocument, service: string): readonly LiveException[]
  /**
   * Counts a use of each of them, or of none where one has none left: then that one is told. Rejects where the store
   * cannot be asked; then nothing may pass.
   */
  claim(exceptions: readonly LiveException[]): Promise<LiveException | undefined>
}

/** What policies say, and what is done. */
export interface Judgement {
  readonly verdict: Verdict
  readonly enforced: Enforced
}

export interface Lifted extends Judgement {
  /** Each of them was needed; the first is the one that the Decision names. */
  readonly exceptions: readonly LiveException[]
  /** Ids of the policies that did not vote, ascending; an empty one is the default. */
  readonly policies: readonly string[]
}

/** Whether the store counts its uses. */
export function isCounted({ conditions }: LiveException): boolean {
  return conditions.max_uses !== undefined
}

/**
 * What the offered exceptions make of a refusal; undefined where they make nothing better of it. Those that name what
 * they lift come before one that lifts everything, which stands alone.
 */
export function lift(
  refused: Judgement,
  offered: readonly LiveException[],
  judge: (excepted: ReadonlySet<string>) => Judgement,
): Lifted | undefined {
  const named = liftNamed(refused, offered, judge)
  if (named?.enforced.decision === 'ALLOW') return named
  const all = liftAll(refused, offered, judge)
  if (all === undefined) return named
  return named !== undefined && rank(named) >= rank(all) ? named : all
}

/** Takes what refuses away as far as an exception names it, then gives back what need not have been taken. */
function liftNamed(
  refused: Judgement,
  offered: readonly LiveException[],
  judge: (excepted: ReadonlySet<string>) => Judgement,
): Lifted | undefined {
  const lifting = new Map<string, LiveException>()
  for (const exception of offered) {
    const what = liftedBy(exception)
    if (what !== undefined && !lifting.has(what)) lifting.set(what, exception)
  }
  const taken = new Set<string>()
  let judged = refused
  while (judged.enforced.decision !== 'ALLOW') {
    const before = taken.size
    for (const what of partsOf(judged.verdict)) if (lifting.has(what)) taken.add(what)
    if (taken.size === before) break
    judged = judge(new Set(taken))
  }
  if (rank(judged) <= rank(refused)) return undefined
  const wanted = rank(judged)
  // What costs a use is given back first.
  for (const what of [...lifting.keys()].toReversed()) {
    if (!taken.has(what) || taken.size === 1) continue
    const fewer = new Set(taken)
    fewer.delete(what)
    const without = judge(fewer)
    if (rank(without) < wanted) continue
    taken.delete(what)
    judged = without
  }
  return {
    ...judged,
    exceptions: [...lifting].flatMap(([what, exception]) => (taken.has(what) ? [exception] : [])),
    policies: [...taken].toSorted(),
  }
}

/** Until nothing refuses any more; obligations of those that still vote may refuse nevertheless. */
function liftAll(
  refused: Judgement,
  offered: readonly LiveException[],
  judge: (excepted: ReadonlySet<string>) => Judgement,
): Lifted | undefined {
  const exception = offered.find(({ lifts }) => lifts === 'everything')
  if (exception === undefined) return undefined
  const taken = new Set<string>()
  let judged = refused
  while (judged.verdict.decision !== 'ALLOW') {
    const before = taken.size
    for (const what of refusersOf(judged.verdict)) taken.add(what)
    if (taken.size === before) break
    judged = judge(new Set(taken))
  }
  if (rank(judged) <= rank(refused)) return undefined
  return { ...judged, exceptions: [exception], policies: [...taken].toSorted() }
}

function liftedBy({ lifts, policy_id: policy }: LiveException): string | undefined {
  if (lifts === 'everything') return undefined
  return lifts === 'defaults' ? BY_DEFAULT : policy
}

/** What has a part in the answer: an obligation that cannot be performed refuses, too. */
function* partsOf({ primary_policy_id: primary, policies_evaluated: all }: Verdict) {
  if (primary === null) yield BY_DEFAULT
  for (const { policy_id: id, matched, mode } of all) if (matched && mode === 'enforce') yield id
}

function* refusersOf({ primary_policy_id: primary, policies_evaluated: all }: Verdict) {
  if (primary === null) yield BY_DEFAULT
  for (const { policy_id: id, effect, mode } of all)
    if (mode === 'enforce' && (effect === 'DENY' || effect === 'REVIEW')) yield id
}

const RANK = { DENY: 0, REVIEW: 1, ALLOW: 2 } as const

function rank({ enforced }: Judgement): number {
  return RANK[enforced.decision]
}

/** The exceptions in force, found by whom they are for. One a process. */
export class LiveExceptions {
  readonly #all = new Map<string, LiveException>()
  readonly #users: Filed = new Map()
  readonly #departments: Filed = new Map()
  readonly #groups: Filed = new Map()
  /** Those that have no use left; which is for good. */
  readonly #spent = new Set<string>()

  get size(): number {
    return this.#all.size
  }

  has(id: string): boolean {
    return this.#all.has(id)
  }

  list(): readonly LiveException[] {
    return [...this.#all.values()]
  }

  replace(exceptions: Iterable<LiveException>): void {
    for (const map of [this.#all, this.#users, this.#departments, this.#groups]) map.clear()
    for (const exception of exceptions) this.#add(exception)
    for (const id of this.#spent) if (!this.#all.has(id)) this.#spent.delete(id)
  }

  /** `live`: new or different ones. `ended`: ids of those that no longer hold, whether they did or not. */
  change(live: readonly LiveException[], ended: readonly string[]): void {
    for (const id of ended) this.#remove(id)
    for (const exception of live) {
      this.#remove(exception.exception_id)
      this.#add(exception)
    }
  }

  /** No use of it is left. */
  spend(id: string): void {
    if (this.#all.has(id)) this.#spent.add(id)
  }

  of(input: InputDocument, service: string): readonly LiveException[] {
    if (this.#all.size === 0) return NONE
    const { user } = input
    const found: LiveException[] = []
    const look = (filed: Filed, name: string | undefined): void => {
      for (const exception of (name === undefined ? undefined : filed.get(name)) ?? NONE)
        if (!this.#spent.has(exception.exception_id) && holds(exception, input, service))
          found.push(exception)
    }
    look(this.#users, user.id)
    for (const group of user.groups ?? []) look(this.#groups, group)
    for (const department of departmentsOf(input)) look(this.#departments, department)
    return found.length < 2 ? found : [...new Set(found)].toSorted(byPreference)
  }

  /** Under the narrowest of its names. */
  #add(exception: LiveException): void {
    const [filed, name] = this.#fileOf(exception)
    if (name === undefined) return
    this.#all.set(exception.exception_id, exception)
    const others = filed.get(name)
    if (others === undefined) filed.set(name, [exception])
    else others.push(exception)
  }

  #remove(id: string): void {
    const exception = this.#all.get(id)
    if (exception === undefined) return
    const [filed, name = ''] = this.#fileOf(exception)
    const others = (filed.get(name) ?? []).filter((other) => other !== exception)
    if (others.length === 0) filed.delete(name)
    else filed.set(name, others)
    this.#all.delete(id)
    this.#spent.delete(id)
  }

  #fileOf({ user_id: user, group, department }: LiveException): [Filed, string | undefined] {
    if (user !== undefined) return [this.#users, user]
    return group === undefined ? [this.#departments, department] : [this.#groups, group]
  }
}

type Filed = Map<string, LiveException[]>

const NONE: readonly LiveException[] = []

/** What costs no use comes first, then what is for fewer people, then the older one. */
function byPreference(a: LiveException, b: LiveException): number {
  return (
    Number(isCounted(a)) - Number(isCounted(b)) ||
    breadth(a) - breadth(b) ||
    (a.exception_id < b.exception_id ? -1 : 1)
  )
}

function breadth({ user_id: user, group }: LiveException): number {
  if (user !== undefined) return 0
  return group === undefined ? 2 : 1
}

function departmentsOf({ user: { department } }: InputDocument): readonly string[] {
  if (department === undefined) return []
  const { name, path = [] } = department
  return name === undefined || path.includes(name) ? path : [name, ...path]
}

/** Whether the request is within the scope and the conditions of the exception. */
function holds(exception: LiveException, input: InputDocument, service: string): boolean {
  const { user_id: id, department, group, service_id: wanted } = exception
  const { user } = input
  return (
    (id === undefined || id === user.id) &&
    (group === undefined || user.groups?.includes(group) === true) &&
    (department === undefined || departmentsOf(input).includes(department)) &&
    (wanted === undefined || wanted === service) &&
    isInTime(exception, input) &&
    meets(exception, input)
  )
}

/** By the clock and in the time zone of the point, as policies see it. */
function isInTime({ from, until, conditions }: LiveException, { context }: InputDocument): boolean {
  const { time } = context
  if (time === undefined) return false
  const { hours, weekdays } = conditions
  return (
    (from === undefined || time.epoch_ms >= from) &&
    (until === undefined || time.epoch_ms < until) &&
    (hours === undefined || isWithin(hours, time.hour)) &&
    (weekdays === undefined || weekdays.includes(time.weekday))
  )
}

function isWithin({ from, to }: { readonly from: number; readonly to: number }, hour: number) {
  return from < to ? hour >= from && hour < to : hour >= from || hour < to
}

function meets({ conditions }: LiveException, { action, context, content }: InputDocument) {
  const { data_types: allowed, sources, actions } = conditions
  if (sources?.some((source) => source === context.source) === false) return false
  if (actions?.includes(action) === false) return false
  if (allowed === undefined) return true
  // What was not seen may be anything.
  const seen = content !== undefined && content.classified && content.parsed && !content.truncated
  return (
    seen &&
    content.findings.every(
      ({ type, category }) => allowed.includes(type) || allowed.includes(category),
    )
  )
}
