// What two policies do to each other: can they answer one request differently, or say what cannot be put in order?
//
// In the order of cost: a request that is kept shows it; their ways prove "never"; reasoning proposes a request; requests
// are tried out of the words in both. What was in vain for two is in vain for others that answer as they do.

import type { ConflictType, Evidence } from '../../model/conflict.ts'
import type { Effect, Severity } from '../../model/decision.ts'
import { SEVERITIES } from '../../model/decision.ts'
import type { Combining } from '../combine.ts'
import type { PolicyOutcome } from '../engine.ts'
import { ambiguityBetween } from './ambiguity.ts'
import { both, type Condition } from './condition.ts'
import { mayBeAmbiguous } from './passes.ts'
import type { Document, Requests, Shown } from './requests.ts'
import { isInScope, scopeCondition } from './scopes.ts'
import { tries } from './search.ts'
import { contradictionSeverity, type Pair } from './severity.ts'
import { solve } from './solve.ts'
import type { PolicySource } from './sources.ts'
import type { Way, Ways } from './ways.ts'

/** A conflict before it has a name. */
export interface Found {
  readonly type: ConflictType
  readonly a: PolicySource
  readonly b: PolicySource | undefined
  /** More policies that have a part in it. */
  readonly others?: readonly PolicySource[]
  readonly severity: Severity
  readonly evidence: Evidence
  readonly says: string
  readonly witness: Document | null
}

/** Combinations of ways of a pair. */
const MAX_COMBINED = 256
/** Proposals of reasoning that are put to the policies, for a pair. */
const MAX_PROPOSALS = 16
/** Requests that are tried for a pair, and for all pairs; the more pairs need them, the fewer for each. */
const MAX_TRIES = 120
const MIN_TRIES = 4
const ALL_TRIES = 60_000
const PAIRS_WITH_TRIES = 250
const EFFECTS: readonly Effect[] = ['ALLOW', 'REVIEW', 'DENY']

/** One answer, any answer, or anything: obligations too. */
type Saying = Effect | 'speaks' | 'any'

type Shows = (a: PolicyOutcome, b: PolicyOutcome) => boolean

interface Combo {
  readonly saysA: Effect
  readonly saysB: Effect
  readonly severity: Severity
}

export class Between {
  readonly #sources: readonly PolicySource[]
  readonly #combining: Combining
  readonly #requests: Requests
  readonly #ways: Ways
  readonly #scopes: readonly Condition[]
  readonly #answering: Map<Saying, readonly Way[]>[]
  readonly #kinds: readonly Kind[]
  /** What was found out of two kinds: proven never, or sought in vain. */
  readonly #vain = new Map<string, 'never' | 'open'>()
  #tries = 0
  #untried = 0

  constructor(
    sources: readonly PolicySource[],
    combining: Combining,
    requests: Requests,
    ways: Ways,
  ) {
    this.#sources = sources
    this.#combining = combining
    this.#requests = requests
    this.#ways = ways
    this.#scopes = sources.map(({ policy }) => scopeCondition(policy.scope))
    this.#answering = sources.map(() => new Map())
    const kinds = Map.groupBy(sources, kindOf)
    const numbers = new Map([...kinds.keys()].map((key, number) => [key, number]))
    this.#kinds = sources.map((source) => {
      const key = kindOf(source)
      return { number: numbers.get(key) ?? -1, isCommon: (kinds.get(key)?.length ?? 0) > 1 }
    })
  }

  /** Pairs for which no request was tried, because too many had been. */
  get untried(): number {
    return this.#untried
  }

  waysOf(index: number, answer: Saying): readonly Way[] {
    const known = this.#answering[index]?.get(answer)
    if (known !== undefined) return known
    const source = this.#sources[index]
    if (source === undefined) return []
    const said =
      answer === 'any'
        ? [...source.speaks, ...source.obliges]
        : answer === 'speaks'
          ? source.speaks
          : (source.answers.get(answer) ?? [])
    const ways = this.#ways.of(withScope(this.#scopes[index] ?? [], said))
    this.#answering[index]?.set(answer, ways)
    return ways
  }

  scopeOf(index: number): Condition {
    return this.#scopes[index] ?? []
  }

  contradiction(indexA: number, indexB: number): Found | undefined {
    const [a, b] = [this.#sources[indexA], this.#sources[indexB]]
    if (a === undefined || b === undefined) return undefined
    const pair: Pair = { a: a.policy, b: b.policy, combining: this.#combining }
    const combos = combosOf(pair, a, b)
    let open: Combo | undefined
    for (const combo of combos) {
      const { saysA, saysB } = combo
      const shows: Shows = (x, y) => x.effect === saysA && y.effect === saysB
      const found =
        this.#requests.shown(indexA, indexB, shows) ??
        this.#reason(indexA, indexB, [saysA, saysB], shows)
      if (found === 'open') open ??= combo
      else if (found !== 'never') return contradicting(pair, a, b, found)
    }
    if (open === undefined) return undefined
    const shown = this.#search(indexA, indexB, 'differ', differ)
    if (shown !== undefined) return contradicting(pair, a, b, shown)
    const { saysA, saysB } = open
    return {
      type: 'contradictory_action',
      a,
      b,
      severity: contradictionSeverity(pair, saysA, saysB, 'possible'),
      evidence: 'possible',
      says: `${named(a)} may say ${saysA} where ${named(b)} says ${saysB}; no request was found that shows it`,
      witness: null,
    }
  }

  ambiguity(indexA: number, indexB: number): Found | undefined {
    const [a, b] = [this.#sources[indexA], this.#sources[indexB]]
    if (a === undefined || b === undefined) return undefined
    const isTogether =
      this.#combining !== 'priority_tiers' || a.policy.priority === b.policy.priority
    const isCounted = a.policy.mode === 'enforce' && b.policy.mode === 'enforce'
    if (!isTogether || !isCounted || !mayBeAmbiguous(a, b)) return undefined
    const pair: Pair = { a: a.policy, b: b.policy, combining: this.#combining }
    const shows: Shows = (x, y) => ambiguityBetween(pair, x, y) !== undefined
    let found =
      this.#requests.shown(indexA, indexB, shows) ??
      this.#reason(indexA, indexB, ['any', 'any'], shows)
    if (found === 'open' && a.mayOblige && b.mayOblige)
      found = this.#search(indexA, indexB, 'ambiguous', shows) ?? 'open'
    if (typeof found === 'string') return undefined
    const ambiguity = ambiguityBetween(pair, found.a, found.b)
    if (ambiguity === undefined) return undefined
    return {
      type: 'priority_ambiguity',
      a,
      b,
      severity: ambiguity.severity,
      evidence: evidenceOf(found),
      says: `${named(a)} and ${b.policy.id} ${ambiguity.says}`,
      witness: found.document,
    }
  }

  /** A request in both scopes. */
  overlap(indexA: number, indexB: number): Found | undefined {
    const [a, b] = [this.#sources[indexA], this.#sources[indexB]]
    if (a === undefined || b === undefined) return undefined
    const document = this.#requests.askedBoth(indexA, indexB) ?? this.#askingBoth(indexA, indexB)
    if (document === undefined) return undefined
    return {
      type: 'scope_overlap',
      a,
      b,
      severity: 'low',
      evidence: 'proven',
      says: `${named(a)} and ${named(b)} are both asked for some requests`,
      witness: document,
    }
  }

  #askingBoth(a: number, b: number): Document | undefined {
    for (const { atoms } of both(this.scopeOf(a), this.scopeOf(b)).slice(0, MAX_PROPOSALS)) {
      const solved = solve(atoms)
      if (solved.verdict !== 'found') continue
      const { document } = solved
      // Who is in scope is asked: no engine has to tell.
      if ([a, b].every((each) => isInScope(this.#sources[each]?.policy.scope ?? {}, document)))
        return document
    }
    return undefined
  }

  /** `never`: proven. `open`: neither proven nor shown. */
  #reason(
    a: number,
    b: number,
    says: readonly [Saying, Saying],
    shows: Shows,
  ): Shown | 'never' | 'open' {
    const known = this.#recall(a, b, says.join())
    if (known !== undefined) return known
    const ofA = this.waysOf(a, says[0])
    const ofB = this.waysOf(b, says[1])
    const isMuch = ofA.length * ofB.length > MAX_COMBINED
    let isOpen = isMuch
    let proposals = 0
    for (const one of isMuch ? [] : ofA)
      for (const other of ofB) {
        if (!this.#ways.meet(one, other)) continue
        isOpen = true
        if (proposals >= MAX_PROPOSALS) continue
        const solved = solve([...one.atoms, ...other.atoms])
        if (solved.verdict !== 'found') continue
        proposals += 1
        const shown = this.#requests.both(solved.document, a, b)
        if (shown !== undefined && shows(shown.a, shown.b))
          return { ...shown, follows: shown.follows || (one.exact && other.exact) }
      }
    return this.#keep(a, b, says.join(), isOpen ? 'open' : 'never')
  }

  #search(a: number, b: number, what: string, shows: Shows): Shown | undefined {
    const [one, other] = [this.#sources[a], this.#sources[b]]
    if (one === undefined || other === undefined) return undefined
    if (this.#recall(a, b, what) !== undefined) return undefined
    if (this.#tries >= ALL_TRIES) {
      this.#untried += 1
      return undefined
    }
    for (const document of this.#proposals(a, b, [one, other])) {
      this.#tries += 1
      const shown = this.#requests.ask(document, a, b)
      if (shown === undefined || !shows(shown.a, shown.b)) continue
      // Others may be shown by it too.
      this.#requests.put(document)
      return { ...shown, follows: false }
    }
    this.#keep(a, b, what, 'open')
    return undefined
  }

  *#proposals(
    a: number,
    b: number,
    sources: readonly PolicySource[],
  ): Generator<Record<string, unknown>> {
    const starts = both(this.scopeOf(a), this.scopeOf(b))
      .slice(0, 4)
      .flatMap(({ atoms }) => {
        const solved = solve(atoms)
        return solved.verdict === 'found' ? [solved.document] : []
      })
    const left = Math.ceil((ALL_TRIES - this.#tries) / PAIRS_WITH_TRIES)
    const count = Math.max(MIN_TRIES, Math.min(MAX_TRIES, left))
    for (const start of starts) yield* tries(start, sources, Math.ceil(count / starts.length))
  }

  #recall(a: number, b: number, what: string): 'never' | 'open' | undefined {
    return this.#vain.size > 0 && this.#isCommon(a, b)
      ? this.#vain.get(this.#key(a, b, what))
      : undefined
  }

  /** Of policies that are one of their kind each pair comes once anyway. */
  #keep<const V extends 'never' | 'open'>(a: number, b: number, what: string, verdict: V): V {
    if (this.#isCommon(a, b)) this.#vain.set(this.#key(a, b, what), verdict)
    return verdict
  }

  #isCommon(a: number, b: number): boolean {
    return this.#kinds[a]?.isCommon === true || this.#kinds[b]?.isCommon === true
  }

  #key(a: number, b: number, what: string): string {
    return `${this.#kinds[a]?.number} ${this.#kinds[b]?.number} ${what}`
  }
}

/** Policies of one kind answer equally, and what they say is equally grave. */
interface Kind {
  readonly number: number
  readonly isCommon: boolean
}

function kindOf({ kind, policy: { severity } }: PolicySource): string {
  return `${kind} ${severity}`
}

/** As `both` does it, with more room: each side is bounded already. */
function withScope(scope: Condition, said: Condition): Condition {
  if (scope.length * said.length > MAX_COMBINED) return both(scope, said)
  return scope.flatMap((one) =>
    said.map((other) => ({
      atoms: [...one.atoms, ...other.atoms],
      exact: one.exact && other.exact,
    })),
  )
}

const COMBOS = new Map<string, readonly Combo[]>()

/** What two may say differently, the gravest first; the same for policies that are alike in what it hangs on. */
function combosOf(pair: Pair, a: PolicySource, b: PolicySource): readonly Combo[] {
  const key = [
    pair.combining,
    Math.sign(a.policy.priority - b.policy.priority),
    a.policy.mode,
    b.policy.mode,
    ...a.answers.keys(),
    '/',
    ...b.answers.keys(),
  ].join()
  const known = COMBOS.get(key)
  if (known !== undefined) return known
  const combos = EFFECTS.flatMap((saysA) =>
    EFFECTS.filter((saysB) => saysA !== saysB && a.answers.has(saysA) && b.answers.has(saysB)).map(
      (saysB) => ({
        saysA,
        saysB,
        severity: contradictionSeverity(pair, saysA, saysB, 'proven'),
      }),
    ),
  ).toSorted((x, y) => SEVERITIES.indexOf(y.severity) - SEVERITIES.indexOf(x.severity))
  COMBOS.set(key, combos)
  return combos
}

function differ(x: PolicyOutcome, y: PolicyOutcome): boolean {
  return x.effect !== null && y.effect !== null && x.effect !== y.effect
}

function contradicting(pair: Pair, a: PolicySource, b: PolicySource, shown: Shown): Found {
  const [saysA, saysB] = [shown.a.effect ?? 'ALLOW', shown.b.effect ?? 'ALLOW']
  const isFirst = pair.combining === 'priority_tiers' && pair.a.priority > pair.b.priority
  const isCounted = pair.a.mode === 'enforce' && pair.b.mode === 'enforce'
  const end = isFirst ? ', and the first one decides' : ', and the stricter one decides'
  const evidence = evidenceOf(shown)
  return {
    type: 'contradictory_action',
    a,
    b,
    severity: contradictionSeverity(pair, saysA, saysB, evidence),
    evidence,
    says: `${named(a)} says ${saysA} where ${named(b)} says ${saysB}${isCounted ? end : ''}`,
    witness: shown.document,
  }
}

function evidenceOf({ follows }: Shown): Evidence {
  return follows ? 'proven' : 'witnessed'
}

export function named({ policy: { id, priority, mode } }: PolicySource): string {
  return `${id} (priority ${priority}${mode === 'enforce' ? '' : `, ${mode}`})`
}
