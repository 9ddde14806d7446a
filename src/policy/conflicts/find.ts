// Conflicts between policies: which pairs may disagree, whether they can, and a request that shows it.
//
// Pairs come from the scope index, those first in which a refusal may be void. Reasoning over the conditions says "never",
// or proposes a request; the policies themselves are asked whether it shows the conflict. Only such requests are told.

import { createHash } from 'node:crypto'
import { Pace } from '../../base/pace.ts'
import type { Conflict, ConflictReport, ConflictType, Evidence } from '../../model/conflict.ts'
import { CONFLICT_TYPES } from '../../model/conflict.ts'
import { type Effect, SEVERITIES, type Severity } from '../../model/decision.ts'
import { byCodePoint, type CombineOptions, type Evaluated } from '../combine.ts'
import type { PolicyOutcome } from '../engine.ts'
import { ambiguityBetween } from './ambiguity.ts'
import { type Atom, both, type Condition } from './condition.ts'
import { plainDocument } from './fields.ts'
import { likeness, type Pass, PASSES } from './passes.ts'
import { Catalogue, type Catalogued, nobodyMeant } from './reach.ts'
import {
  add,
  after,
  type Bits,
  countAfter,
  covers,
  intersect,
  scopeCondition,
  ScopeMeetings,
} from './scopes.ts'
import { tries } from './search.ts'
import {
  contradictionSeverity,
  type Pair,
  shadowSeverity,
  unreachableSeverity,
} from './severity.ts'
import { solve } from './solve.ts'
import type { PolicySource } from './sources.ts'

/** What answers a request: the policies of one revision. */
export interface Judged {
  readonly combining: CombineOptions
  outcomes(document: unknown, json?: Uint8Array, only?: ReadonlySet<string>): readonly Evaluated[]
}

export interface FindOptions {
  readonly policies: Judged
  /** By priority, then by id. */
  readonly sources: readonly PolicySource[]
  /** Only conflicts in which one of these has a part. */
  readonly candidates?: ReadonlySet<string>
  /** Input documents that were recorded, to be tried as well. */
  readonly recorded?: readonly unknown[]
  readonly catalogued?: Catalogued
  readonly notes?: readonly string[]
  /** Milliseconds; what was not looked into by then is told. */
  readonly limitMs?: number
  readonly signal?: AbortSignal
}

const LIMIT_MS = 60_000
const MAX_CONFLICTS = 5000
const MAX_EXAMINED = 1_000_000
const MAX_OVERLAPS = 500
/** Combinations of alternatives of a pair. */
const MAX_COMBINED = 256
/** Proposals of reasoning that are put to the policies, for a pair. */
const MAX_PROPOSALS = 16
/** Requests that are tried for a pair, and for all pairs. */
const MAX_TRIES = 120
const MAX_RECORDED = 200
const ALL_TRIES = 200_000
const EFFECTS: readonly Effect[] = ['ALLOW', 'REVIEW', 'DENY']

export async function findConflicts(options: FindOptions): Promise<ConflictReport> {
  return new Finder(options).run()
}

interface Witness {
  readonly document: Record<string, unknown>
  readonly evidence: Evidence
  readonly a: PolicyOutcome
  readonly b: PolicyOutcome
}

class Finder {
  readonly #options: FindOptions
  readonly #sources: readonly PolicySource[]
  readonly #combining: CombineOptions['combining']
  readonly #scopes: readonly Condition[]
  readonly #meetings: ScopeMeetings
  readonly #catalogue: Catalogue
  readonly #candidates: Bits | undefined
  readonly #found: Conflict[] = []
  readonly #done = new Set<number>()
  readonly #notes: string[]
  readonly #until: number
  #examined = 0
  #tries = 0
  #complete = true
  readonly #pace = new Pace()

  constructor(options: FindOptions) {
    const { sources, policies, candidates, notes = [], limitMs = LIMIT_MS } = options
    this.#options = options
    this.#sources = sources
    this.#combining = policies.combining.combining
    this.#scopes = sources.map(({ policy }) => scopeCondition(policy.scope))
    this.#meetings = new ScopeMeetings(sources.map(({ policy }) => policy.scope))
    this.#catalogue = new Catalogue(options.catalogued?.services ?? [])
    this.#candidates =
      candidates === undefined ? undefined : this.#bits(({ policy }) => candidates.has(policy.id))
    this.#notes = [...notes]
    this.#until = performance.now() + limitMs
  }

  async run(): Promise<ConflictReport> {
    await this.#alone()
    for (const pass of PASSES)
      for (const kind of ['sure', 'maybe'] as const)
        for (const [a, b] of this.#pairs(pass, kind)) {
          if (!(await this.#mayGoOn())) return this.#report()
          this.#examined += 1
          this.#found.push(...this.#between(a, b))
        }
    await this.#overlaps()
    return this.#report()
  }

  #report(): ConflictReport {
    let pairs = 0
    for (const index of this.#sources.keys())
      pairs += countAfter(this.#partners(index, this.#meetings.of(index).sure), index)
    return {
      conflicts: this.#found.toSorted(
        (a, b) =>
          SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity) ||
          CONFLICT_TYPES.indexOf(a.type) - CONFLICT_TYPES.indexOf(b.type) ||
          byCodePoint(a.policy_a_id, b.policy_a_id) ||
          byCodePoint(a.policy_b_id ?? '', b.policy_b_id ?? ''),
      ),
      policies: this.#sources.length,
      pairs,
      examined: this.#examined,
      complete: this.#complete,
      notes: this.#notes,
    }
  }

  /** Lets others have their turn; false: it is time to end. */
  async #mayGoOn(): Promise<boolean> {
    const { signal } = this.#options
    await this.#pace.point()
    if (signal?.aborted === true) return this.#stop('it was cancelled')
    if (performance.now() > this.#until) return this.#stop('the time was over')
    if (this.#examined >= MAX_EXAMINED)
      return this.#stop(`there are more than ${MAX_EXAMINED} that may disagree`)
    return (
      this.#found.length < MAX_CONFLICTS ||
      this.#stop(`there are more than ${MAX_CONFLICTS} conflicts`)
    )
  }

  #stop(why: string): false {
    if (this.#complete) this.#notes.push(`not all pairs were looked into: ${why}`)
    this.#complete = false
    return false
  }

  // Which pairs.

  #bits(holds: (source: PolicySource) => boolean): Bits {
    const bits = this.#meetings.none()
    for (const [index, source] of this.#sources.entries()) if (holds(source)) add(bits, index)
    return bits
  }

  /** Of those that meet, those that have to be looked at. */
  #partners(index: number, met: Bits): Bits {
    const id = this.#sources[index]?.policy.id ?? ''
    if (this.#candidates !== undefined && this.#options.candidates?.has(id) !== true)
      intersect(met, this.#candidates)
    return met
  }

  *#pairs(pass: Pass, kind: 'sure' | 'maybe'): Generator<readonly [a: number, b: number]> {
    const count = this.#sources.length
    const cache = new Map<string, Bits>()
    for (const [index, source] of this.#sources.entries()) {
      const wanted = pass(source, this.#combining)
      if (wanted === undefined) continue
      // Policies that are alike in what a pass asks of them want the same partners.
      const key = likeness(source)
      let bits = cache.get(key)
      if (bits === undefined) cache.set(key, (bits = this.#bits(wanted)))
      const met = this.#partners(index, this.#meetings.of(index)[kind])
      intersect(met, bits)
      for (const other of after(met, index)) {
        if (this.#done.has(index * count + other)) continue
        this.#done.add(index * count + other)
        if (!this.#neverBoth(index, other)) yield [index, other]
      }
    }
  }

  /** No service of the catalogue lies in both. */
  #neverBoth(index: number, other: number): boolean {
    const [a, b] = [this.#sources[index]?.policy.scope, this.#sources[other]?.policy.scope]
    return a !== undefined && b !== undefined && this.#catalogue.neverBoth(a, b)
  }

  // One policy.

  async #alone(): Promise<void> {
    for (const [index, source] of this.#sources.entries()) {
      if (this.#options.candidates?.has(source.policy.id) === false) continue
      if (!(await this.#mayGoOn())) return
      const why = this.#unreachable(index, source)
      if (why === undefined) continue
      const witness = this.#withoutAnswer(index, source)
      this.#found.push({
        ...this.#conflict('unreachable', source, undefined),
        severity: unreachableSeverity(source.policy, [...source.answers.keys()]),
        evidence: witness === null ? 'possible' : 'proven',
        says: `${source.policy.id} can never apply: ${why}`,
        witness,
      })
    }
  }

  #unreachable(index: number, source: PolicySource): string | undefined {
    const meant = nobodyMeant(source.policy, this.#options.catalogued)
    if (meant !== undefined) return meant
    if (source.impossible || this.#isNever(index, source))
      return 'its conditions contradict each other'
    return undefined
  }

  #isNever(index: number, { speaks, obliges }: PolicySource): boolean {
    const all = both(this.#scopes[index] ?? [], [...speaks, ...obliges])
    return all.every(({ atoms }) => solve(atoms).verdict === 'never')
  }

  /** A request as the policy's scope wants it, which it does not answer. */
  #withoutAnswer(index: number, { policy }: PolicySource): Record<string, unknown> | null {
    const proposals = (this.#scopes[index] ?? []).flatMap(({ atoms }) => {
      const solved = solve(atoms)
      return solved.verdict === 'found' ? [solved.document] : []
    })
    for (const document of [...proposals, plainDocument()]) {
      const outcome = this.#ask(document, policy.id).get(policy.id)
      const isSilent = outcome === undefined || isNothing(outcome)
      if (isSilent) return document
    }
    return null
  }

  // Two policies.

  #between(indexA: number, indexB: number): readonly Conflict[] {
    const [a, b] = [this.#sources[indexA], this.#sources[indexB]]
    if (a === undefined || b === undefined) return []
    const scopes = both(this.#scopes[indexA] ?? [], this.#scopes[indexB] ?? [])
    const pair: Pair = { a: a.policy, b: b.policy, combining: this.#combining }
    const contradiction = this.#contradiction(a, b, scopes, pair)
    return [
      ...(contradiction === undefined ? [] : [contradiction.conflict]),
      ...this.#shadow(a, b, this.#scopes[indexB] ?? [], scopes, pair, contradiction?.witness),
      ...this.#ambiguity(a, b, scopes, pair),
    ]
  }

  #contradiction(
    a: PolicySource,
    b: PolicySource,
    scopes: Condition,
    pair: Pair,
  ): { readonly conflict: Conflict; readonly witness: Witness | undefined } | undefined {
    const combos = EFFECTS.flatMap((saysA) =>
      EFFECTS.filter(
        (saysB) => saysA !== saysB && a.answers.has(saysA) && b.answers.has(saysB),
      ).map((saysB) => ({
        saysA,
        saysB,
        severity: contradictionSeverity(pair, saysA, saysB, 'proven'),
      })),
    ).toSorted((x, y) => SEVERITIES.indexOf(y.severity) - SEVERITIES.indexOf(x.severity))
    const differ = (x: PolicyOutcome, y: PolicyOutcome): boolean =>
      x.effect !== null && y.effect !== null && x.effect !== y.effect
    let open: (typeof combos)[number] | undefined
    for (const combo of combos) {
      const answer = this.#reason(
        a,
        b,
        [scopes, a.answers.get(combo.saysA) ?? [], b.answers.get(combo.saysB) ?? []],
        differ,
      )
      if (answer === 'open') open ??= combo
      else if (answer !== 'never') return this.#contradicting(a, b, pair, answer)
    }
    if (open === undefined) return undefined
    const witness = this.#search(a, b, scopes, differ)
    if (witness !== undefined) return this.#contradicting(a, b, pair, witness)
    const { saysA, saysB } = open
    return {
      conflict: {
        ...this.#conflict('contradictory_action', a, b),
        severity: contradictionSeverity(pair, saysA, saysB, 'possible'),
        evidence: 'possible',
        says: `${named(a)} may say ${saysA} where ${named(b)} says ${saysB}; no request was found that shows it`,
        witness: null,
      },
      witness: undefined,
    }
  }

  #contradicting(
    a: PolicySource,
    b: PolicySource,
    pair: Pair,
    witness: Witness,
  ): { readonly conflict: Conflict; readonly witness: Witness } {
    const saysA = witness.a.effect ?? 'ALLOW'
    const saysB = witness.b.effect ?? 'ALLOW'
    const isFirst = this.#combining === 'priority_tiers' && pair.a.priority > pair.b.priority
    const end =
      pair.a.mode !== 'enforce' || pair.b.mode !== 'enforce'
        ? ''
        : isFirst
          ? `, and the first one decides`
          : `, and the stricter one decides`
    return {
      conflict: {
        ...this.#conflict('contradictory_action', a, b),
        severity: contradictionSeverity(pair, saysA, saysB, witness.evidence),
        evidence: witness.evidence,
        says: `${named(a)} says ${saysA} where ${named(b)} says ${saysB}${end}`,
        witness: witness.document,
      },
      witness,
    }
  }

  #shadow(
    a: PolicySource,
    b: PolicySource,
    scopeB: Condition,
    scopes: Condition,
    pair: Pair,
    known: Witness | undefined,
  ): readonly Conflict[] {
    const isBehind =
      this.#combining === 'priority_tiers' &&
      a.policy.mode === 'enforce' &&
      a.policy.priority > b.policy.priority &&
      b.answers.size > 0
    if (!isBehind || !covers(a.policy.scope, b.policy.scope)) return []
    const premises = both(scopeB, b.speaks)
    if (premises.length === 0 || !premises.every(({ atoms }) => implies(atoms, a.speaks))) return []
    const answer =
      known ??
      this.#reason(
        a,
        b,
        [scopes, a.speaks, b.speaks],
        (x, y) => x.effect !== null && y.effect !== null,
      )
    if (typeof answer === 'string') return []
    const saysA = answer.a.effect ?? 'ALLOW'
    const saysB = answer.b.effect ?? 'ALLOW'
    return [
      {
        ...this.#conflict('shadowed', a, b),
        severity: shadowSeverity(pair, saysA, saysB, 'proven'),
        evidence: 'proven',
        says: `${named(b)} never decides: whenever it has an answer, ${named(a)} has answered before (${saysA} instead of ${saysB})`,
        witness: answer.document,
      },
    ]
  }

  #ambiguity(a: PolicySource, b: PolicySource, scopes: Condition, pair: Pair): readonly Conflict[] {
    const isTogether =
      this.#combining !== 'priority_tiers' || a.policy.priority === b.policy.priority
    const isCounted = a.policy.mode === 'enforce' && b.policy.mode === 'enforce'
    if (!isTogether || !isCounted) return []
    const shows = (x: PolicyOutcome, y: PolicyOutcome): boolean =>
      ambiguityBetween(pair, x, y) !== undefined
    const anyOf = (source: PolicySource): Condition => [...source.speaks, ...source.obliges]
    let answer = this.#reason(a, b, [scopes, anyOf(a), anyOf(b)], shows)
    if (answer === 'open' && a.mayOblige && b.mayOblige)
      answer = this.#search(a, b, scopes, shows) ?? 'open'
    if (typeof answer === 'string') return []
    const ambiguity = ambiguityBetween(pair, answer.a, answer.b)
    if (ambiguity === undefined) return []
    return [
      {
        ...this.#conflict('priority_ambiguity', a, b),
        severity: ambiguity.severity,
        evidence: answer.evidence,
        says: `${named(a)} and ${b.policy.id} ${ambiguity.says}`,
        witness: answer.document,
      },
    ]
  }

  async #overlaps(): Promise<void> {
    const known = new Set(
      this.#found.map(({ policy_a_id: a, policy_b_id: b }) => `${a}\0${b ?? ''}`),
    )
    let told = 0
    let left = 0
    for (const [index, a] of this.#sources.entries()) {
      if (!(await this.#mayGoOn())) return
      const met = this.#partners(index, this.#meetings.of(index).sure)
      if (told >= MAX_OVERLAPS) {
        left += countAfter(met, index)
        continue
      }
      for (const other of after(met, index)) {
        const b = this.#sources[other]
        if (b === undefined || known.has(`${a.policy.id}\0${b.policy.id}`)) continue
        if (this.#neverBoth(index, other)) continue
        if (told >= MAX_OVERLAPS) {
          left += 1
          continue
        }
        const witness = this.#askingBoth(
          a,
          b,
          both(this.#scopes[index] ?? [], this.#scopes[other] ?? []),
        )
        if (witness === undefined) continue
        told += 1
        this.#found.push({
          ...this.#conflict('scope_overlap', a, b),
          severity: 'low' satisfies Severity,
          evidence: 'proven',
          says: `${named(a)} and ${named(b)} are both asked for some requests`,
          witness,
        })
      }
    }
    if (left > 0) this.#notes.push(`${left} more pairs are asked for some requests together`)
  }

  #askingBoth(
    a: PolicySource,
    b: PolicySource,
    scopes: Condition,
  ): Record<string, unknown> | undefined {
    for (const { atoms } of scopes.slice(0, MAX_PROPOSALS)) {
      const solved = solve(atoms)
      if (solved.verdict !== 'found') continue
      const asked = this.#ask(solved.document, a.policy.id, b.policy.id)
      if (asked.size === 2) return solved.document
    }
    return undefined
  }

  // Requests.

  /** `never`: proven. `open`: neither proven nor shown. */
  #reason(
    a: PolicySource,
    b: PolicySource,
    conditions: readonly Condition[],
    shows: (a: PolicyOutcome, b: PolicyOutcome) => boolean,
  ): Witness | 'never' | 'open' {
    const size = conditions.reduce((count, { length }) => count * length, 1)
    if (size === 0) return 'never'
    if (size > MAX_COMBINED) return 'open'
    let isOpen = false
    let proposals = 0
    for (const { atoms, exact } of product(conditions)) {
      const solved = solve(atoms)
      if (solved.verdict === 'never') continue
      isOpen = true
      if (solved.verdict === 'unknown' || proposals >= MAX_PROPOSALS) continue
      proposals += 1
      const asked = this.#ask(solved.document, a.policy.id, b.policy.id)
      const [saysA, saysB] = [asked.get(a.policy.id), asked.get(b.policy.id)]
      if (saysA !== undefined && saysB !== undefined && shows(saysA, saysB))
        return {
          document: solved.document,
          evidence: exact ? 'proven' : 'witnessed',
          a: saysA,
          b: saysB,
        }
    }
    return isOpen ? 'open' : 'never'
  }

  #search(
    a: PolicySource,
    b: PolicySource,
    scopes: Condition,
    shows: (a: PolicyOutcome, b: PolicyOutcome) => boolean,
  ): Witness | undefined {
    for (const document of this.#requests(a, b, scopes)) {
      if (this.#tries >= ALL_TRIES) {
        this.#stop('too many requests were tried')
        return undefined
      }
      this.#tries += 1
      const asked = this.#ask(document, a.policy.id, b.policy.id)
      const [saysA, saysB] = [asked.get(a.policy.id), asked.get(b.policy.id)]
      if (saysA !== undefined && saysB !== undefined && shows(saysA, saysB))
        return { document, evidence: 'witnessed', a: saysA, b: saysB }
    }
    return undefined
  }

  *#requests(
    a: PolicySource,
    b: PolicySource,
    scopes: Condition,
  ): Generator<Record<string, unknown>> {
    const { recorded = [] } = this.#options
    for (const document of recorded.slice(0, MAX_RECORDED))
      if (typeof document === 'object' && document !== null)
        yield document as Record<string, unknown>
    const starts = scopes.slice(0, 4).flatMap(({ atoms }) => {
      const solved = solve(atoms)
      return solved.verdict === 'found' ? [solved.document] : []
    })
    for (const start of starts) yield* tries(start, [a, b], Math.ceil(MAX_TRIES / starts.length))
  }

  /** What those of the policies say that are asked; an error is no answer here. */
  #ask(document: unknown, ...ids: readonly string[]): ReadonlyMap<string, PolicyOutcome> {
    const said = this.#options.policies.outcomes(document, undefined, new Set(ids))
    return new Map(
      said.flatMap(({ policy, outcome }) =>
        outcome.error === null ? [[policy.id, outcome] as const] : [],
      ),
    )
  }

  #conflict(
    type: ConflictType,
    a: PolicySource,
    b: PolicySource | undefined,
  ): Pick<Conflict, 'type' | 'policy_a_id' | 'policy_b_id' | 'fingerprint'> {
    const hash = createHash('sha256')
    for (const part of [type, this.#combining, a.digest, b?.digest ?? '']) hash.update(`${part}\0`)
    return {
      type,
      policy_a_id: a.policy.id,
      policy_b_id: b?.policy.id ?? null,
      fingerprint: hash.digest('hex'),
    }
  }
}

function named({ policy: { id, priority, mode } }: PolicySource): string {
  return `${id} (priority ${priority}${mode === 'enforce' ? '' : `, ${mode}`})`
}

function isNothing({ effect, obligations }: PolicyOutcome): boolean {
  return effect === null && obligations.length === 0
}

/** Whether the conclusion holds whenever the premises do, as far as it can be proven. */
function implies(premises: readonly Atom[], conclusion: Condition): boolean {
  if (solve(premises).verdict === 'never') return true
  return conclusion.some(
    ({ atoms, exact }) =>
      exact &&
      atoms.every(
        ({ path, test, holds }) =>
          !path.includes('#') &&
          solve([...premises, { path, test, holds: !holds }]).verdict === 'never',
      ),
  )
}

function* product(conditions: readonly Condition[]): Generator<Condition[number]> {
  const [first, ...rest] = conditions
  if (first === undefined) {
    yield { atoms: [], exact: true }
    return
  }
  for (const one of first)
    for (const other of product(rest))
      yield { atoms: [...one.atoms, ...other.atoms], exact: one.exact && other.exact }
}
