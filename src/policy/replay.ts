// Replay: what a draft says of decisions that were made, beside what was said then.
//
// Policy verdict is compared with policy verdict: what mode, monitor, reviewers and doors made of it is left out on both
// sides. Documents that are equal in all that a policy can read run once (src/policy/policy-set.ts remembers). Where a
// policy that was asked reads what recording has left out, nobody can tell, and the report names the path.
//
// Everything that is kept is bounded, however many decisions go by.

import type { Effect, Obligation, PolicyEvaluated, Verdict } from '../model/decision.ts'
import { pseudonymOf } from '../model/person.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import { type CombineOptions, byCodePoint, canonical } from './combine.ts'
import { isObject } from './metadata.ts'
import { NAME_WORD, type Recorded, type RecordedInput } from './recorded-input.ts'
import { recordedVerdict } from './recorded-verdict.ts'
import { type Compared, type Counts, type Grouped, Tallies, Tally } from './replay-tally.ts'
import { READS, ScopeIndex } from './scope.ts'

/** What a policy set offers here. */
export interface Draft {
  readonly revision: string
  readonly policies: readonly PolicyMetadata[]
  /** How often policies were run until now. */
  readonly evaluations: number
  decide(document: unknown, json?: Uint8Array, excepted?: ReadonlySet<string>): Verdict
}

export interface ReplayOptions {
  readonly draft: Draft
  /** The settings in force: records of former releases tell less, and these fill in. */
  readonly combining: CombineOptions
  /** Whether people are shown by pseudonyms. */
  readonly pseudonymous: boolean
  /** How many names of each kind, samples and paths a report shows; 20. */
  readonly top?: number
}

export const REPLAY_BY = ['department', 'service', 'user'] as const
export type ReplayBy = (typeof REPLAY_BY)[number]

/** Decisions that change in the same way. */
export interface Sample {
  readonly from: Effect
  readonly to: Effect
  readonly obligations_changed: boolean
  readonly old_policy_id: string | null
  readonly new_policy_id: string | null
  readonly department: string | null
  readonly service: string | null
  readonly count: number
  readonly newest: string
  /** The newest of them, at most three. */
  readonly decision_ids: readonly string[]
}

export interface ReplayReport extends Counts {
  /** Of the draft. */
  readonly revision: string
  readonly policies: number
  /** Of the decisions that were read; null where there were none. */
  readonly oldest: string | null
  readonly newest: string | null
  /** What could not be read as a decision. */
  readonly unreadable: number
  /** How often policies were run; equal documents run once. */
  readonly evaluations: number
  /** Of those compared: all that the record tells is as it was, down to each policy. */
  readonly identical: number
  /** Of those compared: a former release recorded them and did something else than the policies said, so obligations are not compared. */
  readonly obligations_unknown: number
  readonly by: Readonly<Record<ReplayBy, Grouped>>
  /** The changes that are most frequent, and the newest decisions that change. */
  readonly samples: { readonly frequent: readonly Sample[]; readonly newest: readonly Changed[] }
  /** Policies that fail where they did not fail then. */
  readonly failing: readonly Failing[]
  /** What was masked and would have been read. */
  readonly masked: readonly Masked[]
}

export interface Changed {
  readonly decision_id: string
  readonly time: string
  readonly from: Effect
  readonly to: Effect
  readonly obligations_changed: boolean
  readonly old_policy_id: string | null
  readonly new_policy_id: string | null
  readonly department: string | null
  readonly service: string | null
  readonly user: string | null
}

export interface Failing {
  readonly policy_id: string
  readonly error: string
  readonly count: number
  readonly decision_ids: readonly string[]
}

export interface Masked {
  readonly path: string
  /** Decisions of which nobody can tell for that reason. */
  readonly count: number
  readonly policy_ids: readonly string[]
}

/** How a replay ended: with the period, because somebody said so, or with as many decisions as were asked for. */
export type ReplayEnd = 'complete' | 'cancelled' | 'limit'

const DEFAULT_TOP = 20
const MOST = { department: 10_000, service: 10_000, user: 100_000 } as const
const MOST_KINDS = 5000
const MOST_FAILING = 1000
const MOST_PATHS = 200
const MOST_POLICIES_A_PATH = 20
const IDS = 3
const MAX_ERROR = 300

export class Replay {
  readonly #options: ReplayOptions
  readonly #top: number
  readonly #policies: ReadonlyMap<string, PolicyMetadata>
  readonly #ofUsers: UserScopes
  readonly #all = new Tally()
  readonly #by: Readonly<Record<ReplayBy, Tallies>> = {
    department: new Tallies(MOST.department),
    service: new Tallies(MOST.service),
    user: new Tallies(MOST.user),
  }
  readonly #names = new Map<string, string>()
  readonly #kinds = new Map<string, Kind>()
  readonly #newest = new Newest<Changed>(DEFAULT_TOP)
  readonly #failing = new Map<string, { error: string; count: number; newest: Newest<string> }>()
  readonly #masked = new Map<string, { count: number; policies: Set<string> }>()
  readonly #unknowns = new WeakMap<readonly PolicyEvaluated[], Map<string, readonly Unknown[]>>()
  #evaluations = 0
  #identical = 0
  #unreadable = 0
  #obligationsUnknown = 0
  #from = Infinity
  #to = -Infinity

  constructor(options: ReplayOptions) {
    this.#options = options
    this.#top = options.top ?? DEFAULT_TOP
    this.#policies = new Map(options.draft.policies.map((policy) => [policy.id, policy]))
    this.#ofUsers = new UserScopes(options.draft.policies)
  }

  /** One decision; undefined is one that could not be read. */
  add(recorded: Recorded | undefined): void {
    if (recorded === undefined) {
      this.#unreadable += 1
      return
    }
    const { document, masked, time, person, name } = recorded
    this.#from = Math.min(this.#from, time)
    this.#to = Math.max(this.#to, time)
    const { draft } = this.#options
    const before = draft.evaluations
    const verdict = draft.decide(document, undefined, recorded.excepted)
    this.#evaluations += draft.evaluations - before
    const unknowns = masked.length === 0 ? NO_UNKNOWNS : this.#unknown(recorded, verdict)
    const compared = unknowns.length > 0 ? CANNOT_TELL : this.#compare(recorded, verdict)
    for (const unknown of unknowns) this.#noteUnknown(unknown)

    this.#all.add(compared)
    this.#by.department.add(departmentOf(document), compared)
    this.#by.service.add(serviceOf(document), compared)
    this.#by.user.add(person, compared)
    if (name !== undefined && !this.#options.pseudonymous && this.#names.size < MOST.user)
      this.#names.set(person, name)
  }

  report(): ReplayReport {
    const { draft } = this.#options
    const top = this.#top
    return {
      revision: draft.revision,
      policies: draft.policies.length,
      oldest: this.#from === Infinity ? null : new Date(this.#from).toISOString(),
      newest: this.#to === -Infinity ? null : new Date(this.#to).toISOString(),
      ...this.#all.counts,
      unreadable: this.#unreadable,
      evaluations: this.#evaluations,
      identical: this.#identical,
      obligations_unknown: this.#obligationsUnknown,
      by: {
        department: this.#by.department.grouped(top),
        service: this.#by.service.grouped(top),
        user: this.#by.user.grouped(top, (person) => this.#shown(person)),
      },
      samples: {
        frequent: [...this.#kinds.values()]
          .toSorted((a, b) => b.count - a.count)
          .slice(0, top)
          .map(({ newest, ...kind }) => ({
            ...kind,
            newest: new Date(newest.time).toISOString(),
            decision_ids: newest.items,
          })),
        newest: this.#newest.items.slice(0, top),
      },
      failing: [...this.#failing]
        .map(([policy, { error, count, newest }]) => ({
          policy_id: policy,
          error,
          count,
          decision_ids: newest.items,
        }))
        .toSorted((a, b) => b.count - a.count || byCodePoint(a.policy_id, b.policy_id))
        .slice(0, top),
      masked: [...this.#masked]
        .map(([path, { count, policies }]) => ({
          path,
          count,
          policy_ids: [...policies].toSorted(byCodePoint),
        }))
        .toSorted((a, b) => b.count - a.count || byCodePoint(a.path, b.path)),
    }
  }

  #compare(recorded: Recorded, verdict: Verdict): Compared {
    const { decision, document, decision_id: id, time } = recorded
    const old = recordedVerdict(recorded, this.#options.combining)
    const isSame = old.decision === verdict.decision
    const hasSameObligations =
      old.obligations === undefined || sameObligations(old.obligations, verdict.obligations)
    if (old.obligations === undefined) this.#obligationsUnknown += 1
    const fails = verdict.errors > 0 && this.#noteFailing(recorded, verdict)
    const isIdentical =
      isSame &&
      hasSameObligations &&
      old.obligations !== undefined &&
      old.would_be === verdict.would_be &&
      isReading(old.reason, verdict.reason) &&
      old.primary_policy_id === verdict.primary_policy_id &&
      sameEvaluations(decision.policies_evaluated, verdict.policies_evaluated)
    if (isIdentical) this.#identical += 1
    else if (!isSame || !hasSameObligations)
      this.#noteChange({
        decision_id: id,
        time: new Date(time).toISOString(),
        from: old.decision,
        to: verdict.decision,
        obligations_changed: !hasSameObligations,
        old_policy_id: old.primary_policy_id,
        new_policy_id: verdict.primary_policy_id,
        department: departmentOf(document),
        service: serviceOf(document),
        user: recorded.person,
      })
    return {
      kind: 'compared',
      from: old.decision,
      to: verdict.decision,
      obligationsChanged: !hasSameObligations,
      wouldBeChanged: old.would_be !== verdict.would_be,
      fails,
    }
  }

  #noteChange(changed: Changed): void {
    const { decision_id: id, time, user, ...like } = changed
    const at = Date.parse(time)
    const key = JSON.stringify(like)
    let kind = this.#kinds.get(key)
    if (kind === undefined && this.#kinds.size < MOST_KINDS) {
      kind = { ...like, count: 0, newest: new Newest(IDS) }
      this.#kinds.set(key, kind)
    }
    if (kind !== undefined) {
      kind.count += 1
      kind.newest.add(id, at)
    }
    this.#newest.add({ ...changed, user: this.#shown(user) }, at)
  }

  /** Whether a policy fails that did not fail then. */
  #noteFailing({ decision, decision_id: id, time }: Recorded, verdict: Verdict): boolean {
    const failed = new Set(
      decision.policies_evaluated.flatMap(({ policy_id, error }) =>
        error === null ? [] : [policy_id],
      ),
    )
    let fails = false
    for (const { policy_id: policy, error } of verdict.policies_evaluated) {
      if (error === null || failed.has(policy)) continue
      fails = true
      let noted = this.#failing.get(policy)
      if (noted === undefined) {
        if (this.#failing.size >= MOST_FAILING) continue
        noted = { error: error.slice(0, MAX_ERROR), count: 0, newest: new Newest(IDS) }
        this.#failing.set(policy, noted)
      }
      noted.count += 1
      noted.newest.add(id, time)
    }
    return fails
  }

  /** The masked paths that a policy which was asked, or one whose scope hangs on them, reads. */
  #unknown({ document, masked }: RecordedInput, verdict: Verdict): readonly Unknown[] {
    const asked = this.#unknownOf(verdict.policies_evaluated, masked)
    const scoped = this.#ofUsers.hidden(document, masked)
    return scoped.length === 0 ? asked : [...asked, ...scoped]
  }

  #unknownOf(evaluated: readonly PolicyEvaluated[], masked: readonly string[]): readonly Unknown[] {
    let known = this.#unknowns.get(evaluated)
    if (known === undefined) {
      known = new Map()
      this.#unknowns.set(evaluated, known)
    }
    const key = masked.join()
    let found = known.get(key)
    if (found === undefined) {
      found = masked.flatMap((path) => {
        const policies = evaluated
          .map(({ policy_id: id }) => id)
          .filter((id) => this.#policies.get(id)?.reads.some((read) => touches(read, path)))
        return policies.length === 0 ? [] : [{ path, policies }]
      })
      known.set(key, found)
    }
    return found
  }

  #noteUnknown({ path, policies }: Unknown): void {
    let noted = this.#masked.get(path)
    if (noted === undefined) {
      if (this.#masked.size >= MOST_PATHS) return
      noted = { count: 0, policies: new Set() }
      this.#masked.set(path, noted)
    }
    noted.count += 1
    for (const policy of policies)
      if (noted.policies.size < MOST_POLICIES_A_PATH) noted.policies.add(policy)
  }

  #shown(person: string | null): string | null {
    if (person === null) return null
    return this.#names.get(person) ?? pseudonymOf(person) ?? (person === '' ? null : person)
  }
}

/** Reads pages of decisions into a replay; `onPage` is called after each with how many there were so far, and the last one's time. */
export async function replayPages(
  replay: Replay,
  pages: AsyncIterable<readonly (Recorded | undefined)[]>,
  {
    limit = Infinity,
    isCancelled,
    onPage,
  }: {
    readonly limit?: number
    readonly isCancelled: () => boolean
    readonly onPage: (decisions: number, time: number | undefined) => void
  },
): Promise<ReplayEnd> {
  let decisions = 0
  for await (const page of pages) {
    let time: number | undefined
    for (const recorded of page) {
      if (decisions >= limit) return 'limit'
      replay.add(recorded)
      decisions += 1
      time = recorded?.time ?? time
    }
    onPage(decisions, time)
    if (isCancelled()) return 'cancelled'
  }
  return isCancelled() ? 'cancelled' : 'complete'
}

interface Unknown {
  readonly path: string
  readonly policies: readonly string[]
}

interface Kind extends Omit<Changed, 'decision_id' | 'time' | 'user'> {
  count: number
  readonly newest: Newest<string>
}

const CANNOT_TELL: Compared = { kind: 'cannot_tell' }
const NO_UNKNOWNS: readonly Unknown[] = []

/** The newest few of what comes in any order, those first. */
class Newest<T> {
  readonly #most: number
  readonly #found: { readonly item: T; readonly time: number }[] = []

  constructor(most: number) {
    this.#most = most
  }

  add(item: T, time: number): void {
    const found = this.#found
    if (found.length >= this.#most && time <= (found.at(-1)?.time ?? 0)) return
    const at = found.findIndex((each) => each.time < time)
    found.splice(at === -1 ? found.length : at, 0, { item, time })
    if (found.length > this.#most) found.pop()
  }

  get items(): readonly T[] {
    return this.#found.map(({ item }) => item)
  }

  get time(): number {
    return this.#found[0]?.time ?? 0
  }
}

/** Policies whose scope names users: who somebody is called decides whether they are asked. */
class UserScopes {
  readonly #policies: readonly PolicyMetadata[]
  readonly #users: readonly ReadonlySet<string>[]
  readonly #others: ScopeIndex

  constructor(policies: readonly PolicyMetadata[]) {
    this.#policies = policies.filter(({ scope }) => (scope.users ?? []).length > 0)
    this.#users = this.#policies.map(({ scope }) => new Set(scope.users))
    this.#others = new ScopeIndex(
      this.#policies.map(({ scope: { users: _users, ...scope } }) => ({ scope })),
    )
  }

  hidden(document: RecordedInput['document'], masked: readonly string[]): readonly Unknown[] {
    if (this.#policies.length === 0) return NO_UNKNOWNS
    const paths = masked.filter((path) => READS.users.includes(path))
    if (paths.length === 0) return NO_UNKNOWNS
    const id = partOf(document, 'user')['id']
    const policies = this.#others
      .candidates(document)
      .filter((index) => typeof id !== 'string' || this.#users[index]?.has(id) !== true)
      .flatMap((index) => this.#policies[index]?.id ?? [])
    return policies.length === 0 ? NO_UNKNOWNS : paths.map((path) => ({ path, policies }))
  }
}

/** Whether one of two paths lies within the other. */
function touches(read: string, path: string): boolean {
  return read === '' || read === path || read.startsWith(`${path}.`) || path.startsWith(`${read}.`)
}

/** The same obligations in whatever order. Recorded ones have words where a name stood. */
function sameObligations(recorded: readonly Obligation[], said: readonly Obligation[]): boolean {
  if (recorded.length !== said.length) return false
  if (recorded.length === 0) return true
  const left = said.map(({ type, parameters }) => canonical([type, parameters]))
  return recorded.every(({ type, parameters }) => {
    const text = canonical([type, parameters])
    const at = left.findIndex((each) => isReading(text, each))
    if (at !== -1) left.splice(at, 1)
    return at !== -1
  })
}

function sameEvaluations(
  recorded: readonly PolicyEvaluated[],
  said: readonly PolicyEvaluated[],
): boolean {
  return (
    recorded.length === said.length &&
    recorded.every((old, index) => {
      const now = said[index]
      return (
        old.policy_id === now?.policy_id &&
        old.matched === now.matched &&
        old.effect === now.effect &&
        old.mode === now.mode &&
        old.priority === now.priority &&
        (old.error === null) === (now.error === null)
      )
    })
  )
}

/** Whether a text is what was recorded with words in place of names. */
export function isReading(recorded: string, text: string): boolean {
  if (recorded === text) return true
  if (!NAME_WORD.test(recorded)) return false
  const parts = recorded.split(NAME_WORD)
  const [first = ''] = parts
  const last = parts.at(-1) ?? ''
  if (!text.startsWith(first) || !text.endsWith(last)) return false
  if (text.length < first.length + last.length) return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return at + last.length <= text.length
}

function departmentOf(document: RecordedInput['document']): string | null {
  const name = partOf(partOf(document, 'user'), 'department')['name']
  return typeof name === 'string' ? name : null
}

/** Null for a site, and for AI that no catalogue knows. */
function serviceOf(document: RecordedInput['document']): string | null {
  const id = partOf(document, 'resource')['id']
  return typeof id === 'string' ? id : null
}

function partOf(value: Readonly<Record<string, unknown>>, key: string): Record<string, unknown> {
  const part = value[key]
  return isObject(part) ? part : {}
}
